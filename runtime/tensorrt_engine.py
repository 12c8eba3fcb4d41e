"""A TensorRT engine behind the same interface as ONNX Runtime: profiles, one stream, and captured CUDA graphs.

**No GPU has run this yet.** Tested over a stand-in for `tensorrt` that has exactly the members of the published
bindings and executes through ONNX Runtime.

A captured graph holds the state of its execution context, so every graph has a context of its own; all contexts share
one block of scratch memory, because all run one after the other on one stream.
"""

from __future__ import annotations

from contextlib import suppress
from dataclasses import dataclass
from math import prod
from typing import Any, Protocol

import numpy as np

from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.device_engine import MOST_GRAPHS, DeviceEngine, Key
from onboard_vla.runtime.device_tensors import DeviceMemory, Placed, Placement, rounded
from onboard_vla.runtime.tensorrt_module import new_logger, numpy_type

Shape = tuple[int, ...]
Placements = tuple[Placed, ...]


class GraphMemory(DeviceMemory, Protocol):
    """A GPU whose streams can be captured."""

    name: str
    capability: tuple[int, int]
    driver_cuda: tuple[int, int]

    def new_stream(self) -> int:
        """Handle of a stream that is not the default one."""

    def begin_capture(self, stream: int) -> None:
        """What comes on the stream from now on is recorded and not run."""

    def end_capture(self, stream: int) -> int:
        """The record, ready to be launched."""

    def launch_graph(self, graph: int, stream: int) -> None:
        """Put a record on a stream."""


@dataclass
class _Program:
    """A context that was given shapes and addresses; `graph` once it is captured."""

    context: Any
    graph: int | None = None


@dataclass
class _Prepared:
    """Arrays that were placed; `program` once it was captured for them."""

    placement: Placement
    key: Key
    program: _Program | None = None


class TensorRtEngine(DeviceEngine):
    """One serialised plan.

    `profiles`: how many optimisation profiles it has. `graphs`: whether executions are captured; `not_captured` says
    why not, after a capture was refused, and from then on everything is enqueued.
    """

    def __init__(
        self,
        trt: Any,  # noqa: ANN401  (a module without stubs)
        name: str,
        plan: bytes,
        device: GraphMemory,
        *,
        graphs: bool = True,
    ) -> None:
        """Deserialise `plan` with the module `trt`.

        Raises:
            EngineError: the plan is another version's or another device's, or has tensors of unknown types.
        """
        self._trt, self._device, self.graphs, self.not_captured = trt, device, graphs, ""
        self._logger, self._said = new_logger(trt)
        # The engine does not hold the runtime that made it.
        self._runtime = trt.Runtime(self._logger)
        self._engine = self._runtime.deserialize_cuda_engine(plan)
        if self._engine is None:
            raise EngineError(
                f"{name}: TensorRT {trt.__version__} does not open this engine: {self._words()}; build it again on "
                "this machine with `onboard-vla build-engine`"
            )
        inputs: dict[str, np.dtype[Any]] = {}
        outputs: dict[str, np.dtype[Any]] = {}
        for i in range(self._engine.num_io_tensors):
            tensor = self._engine.get_tensor_name(i)
            kind = numpy_type(trt, self._engine.get_tensor_dtype(tensor))
            if kind is None:
                raise EngineError(f"{name}: {tensor} is of type {self._engine.get_tensor_dtype(tensor)}")
            is_input = self._engine.get_tensor_mode(tensor) == trt.TensorIOMode.INPUT
            (inputs if is_input else outputs)[tensor] = kind
        super().__init__(name, device, device.new_stream(), inputs, outputs)
        self.profiles = int(self._engine.num_optimization_profiles)
        self._ranges = [self._profile(i) for i in range(self.profiles)]
        self._scratch_size = max(int(self._engine.device_memory_size_v2), 1)
        self._scratch = device.allocate(self._scratch_size)
        self._general = [self._new_context(i) for i in range(self.profiles)]
        self._programs: dict[Key, _Program] = {}
        self._reserve()

    def _prepare(self, placement: Placement) -> _Prepared:
        return _Prepared(placement, placement.key)

    def _execute(self, prepared: _Prepared) -> None:
        key, stream = prepared.key, self.tensors.stream
        program = prepared.program or self._programs.get(key)
        if program is not None and program.graph is not None:
            prepared.program = program
            self._device.launch_graph(program.graph, stream)
            return
        inputs, outputs = prepared.placement.inputs, prepared.placement.outputs
        profile = self._fitting(inputs)
        if not self.graphs or len(self._programs) >= MOST_GRAPHS or not self._met_before(key):
            context = self._general[profile]
            self._set(context, inputs, outputs)
            self._enqueue(context)
            return
        # Met before: worth a graph. An execution comes first, because TensorRT puts off work until then.
        program = _Program(self._new_context(profile))
        self._set(program.context, inputs, outputs)
        self._enqueue(program.context)
        self._device.synchronise(stream)
        self._capture(key, program)

    def _capture(self, key: Key, program: _Program) -> None:
        """Record the next execution for later ones; a refusal leaves everything as it was and ends capturing."""
        stream = self.tensors.stream
        try:
            self._device.begin_capture(stream)
            try:
                self._enqueue(program.context)
            except EngineError:
                with suppress(EngineError):  # of a broken capture the first error tells
                    self._device.end_capture(stream)
                raise
            program.graph = self._device.end_capture(stream)
        except EngineError as error:
            self.graphs, self.not_captured = False, str(error)
            return
        self._programs[key] = program

    def _enqueue(self, context: Any) -> None:  # noqa: ANN401
        if not context.execute_async_v3(self.tensors.stream):
            raise EngineError(f"{self.name}: execution failed: {self._words()}")

    def _set(self, context: Any, inputs: Placements, outputs: Placements) -> None:  # noqa: ANN401
        for item in inputs:
            if not context.set_input_shape(item.name, item.shape):
                raise EngineError(f"{self.name}: {item.name} cannot have the shape {item.shape}: {self._words()}")
        for item in outputs:
            shape = tuple(context.get_tensor_shape(item.name))
            if shape != item.shape:
                raise EngineError(f"{self.name}: {item.name} has the shape {shape}, room is for {item.shape}")
        for item in (*inputs, *outputs):
            if not context.set_tensor_address(item.name, item.address):
                raise EngineError(f"{self.name}: {item.name} cannot lie at {item.address:#x}: {self._words()}")

    def _new_context(self, profile: int) -> Any:  # noqa: ANN401
        strategy = self._trt.ExecutionContextAllocationStrategy.USER_MANAGED
        context = self._engine.create_execution_context(strategy)
        if context is None:
            raise EngineError(f"{self.name}: no execution context: {self._words()}")
        context.set_device_memory(self._scratch, self._scratch_size)
        if not context.set_optimization_profile_async(profile, self.tensors.stream):
            raise EngineError(f"{self.name}: no optimisation profile {profile}: {self._words()}")
        self._device.synchronise(self.tensors.stream)
        return context

    def _profile(self, index: int) -> dict[str, tuple[Shape, Shape]]:
        """Least and largest shape of every input."""
        shapes = {name: self._engine.get_tensor_profile_shape(name, index) for name in self._inputs}
        return {name: (tuple(least), tuple(most)) for name, (least, _, most) in shapes.items()}

    def _fitting(self, inputs: Placements) -> int:
        """The profile that the shapes lie in; the narrowest first, for it was tuned for them."""
        fitting = [
            (sum(prod(most) for _, most in ranges.values()), index)
            for index, ranges in enumerate(self._ranges)
            if all(_within(item.shape, *ranges[item.name]) for item in inputs)
        ]
        if not fitting:
            shapes = {item.name: item.shape for item in inputs if not item.name.startswith("past_")}
            raise EngineError(f"{self.name}: no optimisation profile admits {shapes}; profiles: {self._ranges}")
        return min(fitting)[1]

    def _reserve(self) -> None:
        """Room for the largest shapes of every profile."""
        for context, ranges in zip(self._general, self._ranges, strict=True):
            for name, (_, most) in ranges.items():
                context.set_input_shape(name, most)
            for arena, types in (("inputs", self._inputs), ("outputs", self._outputs)):
                shapes = {name: tuple(context.get_tensor_shape(name)) for name in types}
                size = sum(rounded(prod(shapes[name]) * kind.itemsize) for name, kind in types.items())
                self.tensors.reserve(arena, size)

    def _words(self) -> str:
        return "; ".join(self._said["error"][-3:]) or "it says nothing"


def _within(shape: Shape, least: Shape, most: Shape) -> bool:
    return len(shape) == len(least) and all(a <= b <= c for a, b, c in zip(least, shape, most, strict=True))
