"""Inference engines: run one graph on arrays that the caller owns, and count every execution."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError, EnvironmentLacksError

Arrays = Mapping[str, NDArray[Any]]

CPU, CUDA, TENSORRT = "cpu", "cuda", "tensorrt"
ENGINES = (CPU, CUDA, TENSORRT)
"""What can run graphs: ONNX Runtime on the processor, by CUDA, and TensorRT (see `engine_choice`)."""

LOG_ERRORS_ONLY = 3
"""ONNX Runtime log severity: warnings about in-place scatter and constant folding are noise here."""


class Engine(Protocol):
    """A compiled graph. `executions` counts finished runs and is the only source of pass counts."""

    executions: int

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """Run the graph on `inputs` and write every output into the array given for it; nothing is copied."""


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
        self.name = "graph" if isinstance(graph, bytes) else graph.name
        source = graph if isinstance(graph, bytes) else str(graph)
        try:
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise EngineError(f"{self.name}: onnxruntime cannot load the graph: {error}") from error
        self._binding = self._session.io_binding()
        self._inputs = {item.name for item in self._session.get_inputs()}
        self._outputs = {item.name for item in self._session.get_outputs()}
        self.executions = 0

    def run(self, inputs: Arrays, outputs: Arrays) -> None:
        """See `Engine.run`.

        Raises:
            EngineError: names, types or memory layout do not fit the graph, or the execution failed.
        """
        if inputs.keys() != self._inputs or outputs.keys() != self._outputs:
            raise EngineError(
                f"{self.name}: expected inputs {sorted(self._inputs)} and outputs {sorted(self._outputs)}, "
                f"found {sorted(inputs)} and {sorted(outputs)}"
            )
        for name, array in inputs.items():
            self._binding.bind_input(name, "cpu", 0, array.dtype.type, array.shape, self._address(name, array))
        for name, array in outputs.items():
            self._binding.bind_output(name, "cpu", 0, array.dtype.type, array.shape, self._address(name, array))
        try:
            self._session.run_with_iobinding(self._binding)
        except Exception as error:  # onnxruntime's exceptions share no base class of their own
            raise EngineError(f"{self.name}: execution failed: {error}") from error
        self.executions += 1

    def _address(self, name: str, array: NDArray[Any]) -> int:
        if not array.flags.c_contiguous or array.dtype not in (np.float32, np.int64):
            raise EngineError(
                f"{self.name}: {name} must be contiguous float32 or int64, found {array.dtype} "
                f"with strides {array.strides}"
            )
        return array.ctypes.data
