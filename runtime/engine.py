"""Inference engines: run one graph on arrays that the caller owns, and count every execution."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any, Protocol, TypeVar, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.runtime.processor import ask_for_exact_products

Arrays = Mapping[str, NDArray[Any]]
Made = TypeVar("Made")


class StandingArrays(dict[str, NDArray[Any]]):
    """Arrays by name that are given to an engine again and again: the very same ones, with other content each time.

    What an engine worked out for them (addresses, bindings) it may keep in `prepared`, which lives as long as they do.
    Entries are never exchanged.
    """

    __slots__ = ("prepared",)

    def __init__(self, arrays: Arrays) -> None:
        super().__init__(arrays)
        self.prepared: tuple[object, object, Any] | None = None


CPU, CUDA, TENSORRT = "cpu", "cuda", "tensorrt"
ENGINES = (CPU, CUDA, TENSORRT)
"""What can run graphs: ONNX Runtime on the processor, by CUDA, and TensorRT (see `engine_choice`)."""

LOG_ERRORS_ONLY = 3
"""ONNX Runtime log severity: warnings about in-place scatter and constant folding are noise here."""


class Engine(Protocol):
    """A compiled graph. `executions` counts finished runs and is the only source of pass counts."""

    executions: int

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """Run the graph on `inputs` and write every output into the array given for it; nothing is copied.

        Inputs with a default may be left out, and of such a graph also outputs.
        """


@runtime_checkable
class ResidentEngine(Protocol):
    """An engine with memory of its own, where arrays of the caller can live from run to run.

    `past_multiple`: lengths that a key-value cache should have for it, so that shapes, and what was captured for them,
    are met again.
    """

    past_multiple: int

    def keep(self, array: NDArray[Any]) -> None:
        """Let an array live there, beginning with zeros; views of it mean that memory. Again: zero it."""


@runtime_checkable
class CacheKeeper(Protocol):
    """An engine that says where a key-value cache is to lie."""

    def cache_block(self, shape: tuple[int, ...]) -> NDArray[np.float32]:
        """Memory of zeros for (2 * layers, capacity, kv_heads, head_dim)."""


class OnnxEngine:
    """ONNX Runtime on the CPU, bound to the caller's memory."""

    def __init__(self, graph: Path | bytes, threads: int = 1) -> None:
        """Build a session from a file or from a serialised model.

        Raises:
            EnvironmentLacksError: onnxruntime is not installed.
            EngineError: the graph cannot be loaded.
        """
        try:
            import onnxruntime
        except ImportError:
            raise EnvironmentLacksError("onnxruntime is missing; install it with `pip install onnxruntime`") from None
        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.inter_op_num_threads = 1
        options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
        options.log_severity_level = LOG_ERRORS_ONLY
        # Idle workers must not burn a core that the supervisor or the guard needs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        ask_for_exact_products(options)
        self.name = "graph" if isinstance(graph, bytes) else graph.name
        source = graph if isinstance(graph, bytes) else str(graph)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise EngineError(f"{self.name}: onnxruntime cannot load the graph: {error}") from error
        self._inputs = {item.name for item in self._session.get_inputs()}
        self._outputs = {item.name for item in self._session.get_outputs()}
        # Inputs that need not be given, of graphs with outputs that then have no rows, and need not be taken.
        self._optional = {item.name for item in self._session.get_overridable_initializers()}
        self.executions = 0

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """See `Engine.run`. `StandingArrays` are bound once: the next run on them does nothing but run.

        Raises:
            EngineError: names, types or memory layout do not fit the graph, or the execution failed.
        """
        try:
            self._session.run_with_iobinding(prepared_for(self, inputs, outputs, self._bound))
        except EngineError:
            raise
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise EngineError(f"{self.name}: execution failed: {error}") from error
        self.executions += 1

    def _bound(self, inputs: Arrays, outputs: Arrays) -> Any:  # noqa: ANN401  (onnxruntime's)
        """A binding to the arrays' memory."""
        given = inputs.keys() - self._optional == self._inputs
        taken = outputs.keys() <= self._outputs if self._optional else outputs.keys() == self._outputs
        if not (given and taken):
            raise EngineError(
                f"{self.name}: expected inputs {sorted(self._inputs)} and outputs {sorted(self._outputs)}, "
                f"found {sorted(inputs)} and {sorted(outputs)}"
            )
        binding = self._session.io_binding()
        for name, array in inputs.items():
            binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, self._address(name, array))
        for name, array in outputs.items():
            binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, self._address(name, array))
        return binding

    def _address(self, name: str, array: NDArray[Any]) -> int:
        if not array.flags.c_contiguous or array.dtype not in (np.float32, np.int64):
            raise EngineError(
                f"{self.name}: {name} must be contiguous float32 or int64, found {array.dtype} "
                f"with strides {array.strides}"
            )
        return array.ctypes.data


def prepared_for(engine: object, inputs: Arrays, outputs: Arrays, prepare: Callable[[Arrays, Arrays], Made]) -> Made:
    """What `prepare` makes of the arrays; kept beside them, for this engine, if both are to be given again."""
    if not (isinstance(inputs, StandingArrays) and isinstance(outputs, StandingArrays)):
        return prepare(inputs, outputs)
    known = inputs.prepared
    if known is not None and known[0] is engine and known[1] is outputs:
        made: Made = known[2]
        return made
    made = prepare(inputs, outputs)
    inputs.prepared = engine, outputs, made
    return made
