"""One graph in ONNX Runtime, for the exporter's own runs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from onboard_vla.export.half_rounding import EXTERNAL_FOLDER, rounding_model

Arrays = dict[str, NDArray[Any]]


class Session(Protocol):
    """Runs a graph; outputs come as a table by name."""

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """All outputs."""

    def run_many(self, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> list[Arrays]:
        """All outputs for each input."""


class GraphSession:
    """ONNX Runtime on the processor; graphs in half precision are rounded where they say so (see `half_rounding`)."""

    def __init__(self, graph: Path | bytes, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        source = graph if isinstance(graph, bytes) else str(graph)
        if isinstance(graph, Path) and (rounding := rounding_model(graph)) is not None:
            source = rounding
            options.add_session_config_entry(EXTERNAL_FOLDER, str(graph.parent))
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self.inputs = [item.name for item in self._session.get_inputs()]
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """All outputs."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))

    def run_many(self, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> list[Arrays]:
        """All outputs for each input."""
        return [self.run(feed) for feed in feeds]
