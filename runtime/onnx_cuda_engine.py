"""ONNX Runtime on a GPU: the CUDA provider, bound to device memory, with CUDA graphs where they capture.

**No GPU has run this yet.** Tested over a stand-in for `onnxruntime` that runs on the processor.
"""

from __future__ import annotations

import importlib
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.core.installation import installation
from onboard_vla.runtime.device_engine import MOST_GRAPHS, DeviceEngine, Key
from onboard_vla.runtime.device_tensors import DeviceMemory, Placement
from onboard_vla.runtime.engine import LOG_ERRORS_ONLY

PROVIDER = "CUDAExecutionProvider"
OLDEST = (1, 27)
"""Older ones have no CUDA kernels for opset 21's Reshape, Transpose, Squeeze and Unsqueeze (to 1.23) and Identity
(microsoft/onnxruntime, pull requests 26075 and 27728), and would run those on the processor, which is refused here."""
NO_GRAPH = -1
"""Annotation id of runs that are not captured (ONNX Runtime, CUDA execution provider, "Using CUDA Graphs")."""
TYPES = {"tensor(float)": np.float32, "tensor(float16)": np.float16, "tensor(int64)": np.int64}


class StreamMemory(DeviceMemory, Protocol):
    """A GPU with streams."""

    def new_stream(self) -> int:
        """Handle of a stream that is not the default one."""


@dataclass
class _Bound:
    """Arrays bound to the session; `options`: of all further runs, once they are known."""

    placement: Placement
    session: Any
    binding: Any
    key: Key
    options: Any = None


class OnnxCudaEngine(DeviceEngine):
    """ONNX Runtime on a GPU and never, not even in part, on the processor.

    `graphs`: whether runs are captured; `not_captured` says why not, where ONNX Runtime refused, or a capture failed.
    """

    def __init__(self, graph: Path | bytes, device: StreamMemory, *, ordinal: int = 0, graphs: bool = True) -> None:
        """Build a session on the GPU that `device` is.

        Raises:
            EnvironmentLacksError: onnxruntime is missing, or see `require_provider`.
            EngineError: the graph cannot be loaded, or a part of it would run on the processor.
        """
        try:
            onnxruntime = importlib.import_module("onnxruntime")
        except ImportError:
            raise EnvironmentLacksError(f"onnxruntime is missing: {installation('gpu')}") from None
        self._ort, self.not_captured = onnxruntime, ""
        name = "graph" if isinstance(graph, bytes) else graph.name
        require_provider(onnxruntime)
        stream = device.new_stream()
        self._source = graph if isinstance(graph, bytes) else str(graph)
        self._stream, self._ordinal = stream, ordinal
        self._session: Any = None
        if graphs:
            try:
                self._session = self._open(graphs=True)
            except Exception as error:  # onnxruntime's exceptions share no base class of their own
                self.not_captured = str(error)
        self.graphs = self._session is not None
        if self._session is None:
            try:
                self._session = self._open(graphs=False)
            except Exception as error:  # as above
                raise EngineError(f"{name}: onnxruntime cannot load the graph on the GPU: {error}") from error
        used = self._session.get_providers()
        if not used or used[0] != PROVIDER:
            raise EnvironmentLacksError(
                f"{name}: asked for {PROVIDER}, ONNX Runtime took {', '.join(used)}: its CUDA or cuDNN libraries do "
                "not load; its own log says which"
            )
        inputs, outputs = ({i.name: _type(name, i) for i in items} for items in self._values())
        super().__init__(name, device, stream, inputs, outputs)
        self._ids: dict[Key, int] = {}

    def _values(self) -> tuple[Any, Any]:
        return self._session.get_inputs(), self._session.get_outputs()

    def _open(self, *, graphs: bool) -> Any:  # noqa: ANN401
        options = self._ort.SessionOptions()
        options.log_severity_level = LOG_ERRORS_ONLY
        # A node that only the processor has would run there without a word.
        options.add_session_config_entry("session.disable_cpu_ep_fallback", "1")
        settings = {
            "device_id": str(self._ordinal),
            "user_compute_stream": str(self._stream),
            "enable_cuda_graph": "1" if graphs else "0",
        }
        return self._ort.InferenceSession(self._source, options, providers=[(PROVIDER, settings)])

    def _prepare(self, placement: Placement) -> _Bound:
        return _Bound(placement, self._session, self._bind(placement), placement.key)

    def _bind(self, placement: Placement) -> Any:  # noqa: ANN401
        binding = self._session.io_binding()
        for item in placement.inputs:
            kind = self._inputs[item.name].type
            binding.bind_input(item.name, "cuda", self._ordinal, kind, item.shape, item.address)
        for item in placement.outputs:
            kind = self._outputs[item.name].type
            binding.bind_output(item.name, "cuda", self._ordinal, kind, item.shape, item.address)
        return binding

    def _execute(self, prepared: _Bound) -> None:
        if prepared.session is not self._session:  # it was opened anew, without graphs
            prepared.session, prepared.binding, prepared.options = self._session, self._bind(prepared.placement), None
        options = prepared.options or self._options(prepared)
        try:
            self._session.run_with_iobinding(prepared.binding, options)
        except Exception as error:  # as above
            if not self.graphs or prepared.options is None:
                raise EngineError(f"{self.name}: execution failed: {error}") from error
            self._give_up_graphs(error)
            self._execute(prepared)

    def _give_up_graphs(self, error: Exception) -> None:
        """Go on without graphs after a run that was to be captured, or replayed, has failed."""
        self.graphs, self.not_captured = False, str(error)
        try:
            self._session = self._open(graphs=False)
        except Exception as again:  # as above
            raise EngineError(f"{self.name}: execution failed: {error}; nor does it load again: {again}") from error

    def _options(self, bound: _Bound) -> Any:  # noqa: ANN401
        """Of the next run; kept where later ones have the same."""
        options = self._ort.RunOptions()
        # The stream is ours: what follows on it waits, and nothing else has to.
        options.add_run_config_entry("disable_synchronize_execution_providers", "1")
        number = self._graph_id(bound.key) if self.graphs else NO_GRAPH
        if self.graphs:
            options.add_run_config_entry("gpu_graph_id", str(number))
        if not self.graphs or number != NO_GRAPH:
            bound.options = options
        return options

    def _graph_id(self, key: Key) -> int:
        """A number for shapes and addresses that were met before; others are not captured."""
        if key in self._ids:
            return self._ids[key]
        if len(self._ids) >= MOST_GRAPHS or not self._met_before(key):
            return NO_GRAPH
        self._ids[key] = len(self._ids) + 1
        return self._ids[key]


def require_provider(onnxruntime: Any) -> None:  # noqa: ANN401  (a module)
    """See that this ONNX Runtime can run our graphs on a GPU.

    Raises:
        EnvironmentLacksError: it has no CUDA provider, or one that lacks kernels of our opset.
    """
    available = onnxruntime.get_available_providers()
    if PROVIDER not in available:
        raise EnvironmentLacksError(
            f"ONNX Runtime here has the providers {', '.join(available)} and not {PROVIDER}: remove onnxruntime, "
            f"{installation('gpu')}, or set the engine to cpu"
        )
    found = tuple(int(part) for part in str(onnxruntime.__version__).split(".")[:2])
    if found < OLDEST:
        raise EnvironmentLacksError(
            f"ONNX Runtime {onnxruntime.__version__} has no CUDA kernels for graphs of opset 21: "
            f"pip install 'onnxruntime-gpu>={OLDEST[0]}.{OLDEST[1]}', or set the engine to cpu"
        )


def _type(name: str, value: Any) -> np.dtype[Any]:  # noqa: ANN401  (onnxruntime's)
    if value.type not in TYPES:
        raise EngineError(f"{name}: {value.name} is of type {value.type}, expected one of {', '.join(TYPES)}")
    return np.dtype(TYPES[value.type])
