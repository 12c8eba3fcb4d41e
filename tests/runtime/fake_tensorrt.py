"""A `tensorrt` module without TensorRT: exactly the members of the published bindings, executing through ONNX Runtime.

Which members there are says `tensorrt_members.json`, read from NVIDIA's own bindings of 10.3.0 and 11.4.0.106 (see
`read_tensorrt_bindings.py`). Using another one raises AttributeError, also one that only the other version has. What a
member does is written after its documentation; that the real ones do the same is what no test here can show.
"""

from __future__ import annotations

import enum
import json
from pathlib import Path
from types import SimpleNamespace
from typing import ClassVar

import numpy as np
import onnx

from onboard_vla.kernels.memory import array_at

TABLE = json.loads(Path(__file__).with_name("tensorrt_members.json").read_text())["versions"]
VERSIONS = tuple(TABLE)
MAGIC = b"fake plan\0"
SCRATCH = 4096


class Members:
    """Admits the members of one class in one version, and no others; what tests look at begins with `seen`."""

    version = ""

    def __getattribute__(self, name):
        cls = object.__getattribute__(self, "__class__")
        if not name.startswith(("_", "seen")) and name not in TABLE[cls.version][published(cls)]:
            raise AttributeError(f"tensorrt {cls.version}: {published(cls)} has no {name}")
        return object.__getattribute__(self, name)

    def __setattr__(self, name, value):
        cls = self.__class__
        if not name.startswith(("_", "seen")) and name not in TABLE[cls.version][published(cls)]:
            raise AttributeError(f"tensorrt {cls.version}: {published(cls)} has no {name}")
        object.__setattr__(self, name, value)


def published(cls) -> str:
    """The class of the bindings that a class stands for, also one derived by the caller."""
    return next(base.__name__ for base in cls.__mro__ if base.__name__ in TABLE[cls.version])


class Module:
    """The module."""

    def __init__(self, version: str, gpu):
        known = set(TABLE[version]["module"])
        self.__dict__.update({"__version__": version, "_known": known, "seen": SimpleNamespace()})
        self.seen.caches, self.seen.profiles = [], []
        for name in ("BuilderFlag", "DataType", "ExecutionContextAllocationStrategy", "MemoryPoolType",
                     "NetworkDefinitionCreationFlag", "TensorIOMode"):  # fmt: skip
            values = [m for m in TABLE[version][name] if m not in ("name", "value", "itemsize")]
            setattr(self, name, enum.IntEnum(name, values, start=0))
        for cls in (ILogger, Builder, INetworkDefinition, ITensor, IBuilderConfig, ITimingCache, IOptimizationProfile,
                    OnnxParser, IHostMemory, Runtime, ICudaEngine, IExecutionContext):  # fmt: skip
            setattr(self, cls.__name__, type(cls.__name__, (cls,), {"version": version, "_trt": self, "_gpu": gpu}))

    def __setattr__(self, name, value):
        assert name in self._known, name
        self.__dict__[name] = value

    def __getattr__(self, name):
        raise AttributeError(f"module tensorrt {self.__version__} has no attribute {name}")


class ILogger(Members):
    INTERNAL_ERROR, ERROR, WARNING, INFO, VERBOSE = range(5)

    def __init__(self):
        pass


class IHostMemory(Members):
    def __init__(self, content: bytes):
        self._content = content

    def __bytes__(self):
        return self._content

    @property
    def nbytes(self):
        return len(self._content)


class ITimingCache(Members):
    def __init__(self, content: bytes):
        self._content = content

    def serialize(self):
        return self._trt.IHostMemory(self._content)


class IOptimizationProfile(Members):
    def __init__(self):
        self._shapes = {}

    def set_shape(self, input, min, opt, max):
        assert all(a <= b <= c for a, b, c in zip(min, opt, max, strict=True)), (input, min, opt, max)
        self._shapes[input] = [list(shape) for shape in (min, opt, max)]


class ITensor(Members):
    def __init__(self, value):
        self.name = value.name
        self.shape = tuple(d.dim_value if d.HasField("dim_value") else -1 for d in value.type.tensor_type.shape.dim)


class INetworkDefinition(Members):
    def __init__(self, flags):
        assert flags == 1 << int(self._trt.NetworkDefinitionCreationFlag.STRONGLY_TYPED)
        self._model = None

    @property
    def num_inputs(self):
        return len(self._model.graph.input)

    def get_input(self, index):
        return self._trt.ITensor(self._model.graph.input[index])


class OnnxParser(Members):
    def __init__(self, network, logger):
        self._network, self._error = network, ""

    def parse_from_file(self, model):
        assert isinstance(model, str)
        try:
            self._network._model = onnx.load(model)
        except Exception as error:
            self._error = repr(error)
            return False
        unknown = {node.op_type for node in self._network._model.graph.node if node.domain}
        self._error = f"no importer for {sorted(unknown)}" if unknown else ""
        return not unknown

    @property
    def num_errors(self):
        return int(bool(self._error))

    def get_error(self, index):
        return self._error


class IBuilderConfig(Members):
    def __init__(self):
        self._profiles, self._cache, self._flags = [], None, set()
        self.builder_optimization_level = 3

    def add_optimization_profile(self, profile):
        self._profiles.append(profile._shapes)
        return len(self._profiles) - 1

    def create_timing_cache(self, serialized_timing_cache):
        self._trt.seen.caches.append(bytes(serialized_timing_cache))
        return self._trt.ITimingCache(bytes(serialized_timing_cache))

    def set_timing_cache(self, cache, ignore_mismatch):
        self._cache = cache
        return True

    def get_timing_cache(self):
        return self._cache

    def set_memory_pool_limit(self, pool, pool_size):
        assert pool in self._trt.MemoryPoolType
        assert pool_size > 0

    def set_flag(self, flag):
        self._flags.add(self._trt.BuilderFlag(flag).name)


class Builder(Members):
    def __init__(self, logger):
        self.logger = logger

    def create_network(self, flags=0):
        return self._trt.INetworkDefinition(flags)

    def create_builder_config(self):
        return self._trt.IBuilderConfig()

    def create_optimization_profile(self):
        return self._trt.IOptimizationProfile()

    def build_serialized_network(self, network, config):
        if len(network._model.graph.node) == 0:
            self.logger.log(self._trt.ILogger.ERROR, "the network has no layers")
            return None
        dynamic = {t.name for t in map(self._trt.ITensor, network._model.graph.input) if -1 in t.shape}
        for profile in config._profiles:
            assert dynamic <= profile.keys(), "a dynamic input without a range"
        self._trt.seen.profiles.append(config._profiles)
        if config._cache is not None:
            config._cache._content += b"timed;"
        header = json.dumps({"version": self._trt.__version__, "profiles": config._profiles}).encode()
        return self._trt.IHostMemory(MAGIC + header + b"\n" + network._model.SerializeToString())


class Runtime(Members):
    def __init__(self, logger):
        self.logger = logger

    def deserialize_cuda_engine(self, plan):
        plan = bytes(plan)
        header, _, model = plan.removeprefix(MAGIC).partition(b"\n")
        if not plan.startswith(MAGIC) or json.loads(header)["version"] != self._trt.__version__:
            self.logger.log(self._trt.ILogger.ERROR, "the engine was built by another version")
            return None
        return self._trt.ICudaEngine(json.loads(header)["profiles"], onnx.load_from_string(model))


class ICudaEngine(Members):
    _TYPES: ClassVar = {
        onnx.TensorProto.FLOAT: "FLOAT",
        onnx.TensorProto.FLOAT16: "HALF",
        onnx.TensorProto.INT64: "INT64",
    }
    device_memory_size_v2 = SCRATCH

    def __init__(self, profiles, model):
        import onnxruntime

        self._profiles, self._model = profiles, model
        options = onnxruntime.SessionOptions()
        options.log_severity_level, options.intra_op_num_threads = 3, 1
        self._session = onnxruntime.InferenceSession(
            model.SerializeToString(), options, providers=["CPUExecutionProvider"]
        )
        self._values = {value.name: value for value in (*model.graph.input, *model.graph.output)}
        self._inputs = {value.name for value in model.graph.input}

    @property
    def num_io_tensors(self):
        return len(self._values)

    @property
    def num_optimization_profiles(self):
        return len(self._profiles)

    def get_tensor_name(self, index):
        return list(self._values)[index]

    def get_tensor_mode(self, name):
        return self._trt.TensorIOMode.INPUT if name in self._inputs else self._trt.TensorIOMode.OUTPUT

    def get_tensor_dtype(self, name):
        kind = self._TYPES[self._values[name].type.tensor_type.elem_type]
        return self._trt.DataType[kind]

    def get_tensor_profile_shape(self, name, profile_index):
        return [tuple(shape) for shape in self._profiles[profile_index][name]]

    def create_execution_context(self, strategy=0):
        assert strategy == self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        return self._trt.IExecutionContext(self)


class IExecutionContext(Members):
    def __init__(self, engine):
        self._engine, self._profile, self._scratch = engine, None, None
        self._shapes, self._addresses, self._enqueued = {}, {}, False

    def set_device_memory(self, memory, size):
        assert size >= SCRATCH
        self._gpu.check(memory, size)
        self._scratch = memory

    def set_optimization_profile_async(self, profile_index, stream_handle):
        self._profile = profile_index
        return 0 <= profile_index < len(self._engine._profiles)

    def set_input_shape(self, name, shape):
        assert isinstance(shape, tuple)
        least, _, most = self._engine._profiles[self._profile][name]
        if len(shape) != len(least) or not all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True)):
            return False
        self._enqueued = self._enqueued and self._shapes.get(name) == shape
        self._shapes[name] = shape
        return True

    def get_tensor_shape(self, name):
        known = {}
        for given, shape in self._shapes.items():
            for dim, extent in zip(self._engine._values[given].type.tensor_type.shape.dim, shape, strict=True):
                known[dim.dim_param] = extent
        dims = self._engine._values[name].type.tensor_type.shape.dim
        return tuple(d.dim_value if d.HasField("dim_value") else known.get(d.dim_param, -1) for d in dims)

    def set_tensor_address(self, name, memory):
        assert isinstance(memory, int)
        self._addresses[name] = memory
        return memory != 0

    def execute_async_v3(self, stream_handle):
        engine, shapes, addresses = self._engine, dict(self._shapes), dict(self._addresses)
        assert addresses.keys() == engine._values.keys()
        assert shapes.keys() == engine._inputs
        if stream_handle in self._gpu.capturing and not self._enqueued:
            return False
        self._enqueued = True
        wanted = {name: self.get_tensor_shape(name) for name in engine._values}

        def execute():
            assert (shapes, addresses) == (self._shapes, self._addresses), "a graph outlived its context's state"
            array_at(self._scratch, np.uint8, SCRATCH).fill(0xAB)
            kinds = {item.name: item.type for item in (*engine._session.get_inputs(), *engine._session.get_outputs())}
            types = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}
            arrays = {}
            for name, shape in wanted.items():
                kind = np.dtype(types[kinds[name]])
                if int(np.prod(shape)):
                    self._gpu.check(addresses[name], int(np.prod(shape)) * kind.itemsize)
                arrays[name] = array_at(addresses[name], kind, *shape)
            outputs = [name for name in engine._values if name not in engine._inputs]
            feeds = {name: arrays[name].copy() for name in engine._inputs}
            for name, value in zip(outputs, engine._session.run(outputs, feeds), strict=True):
                arrays[name][...] = value

        self._gpu.enqueue(stream_handle, execute)
        return True
