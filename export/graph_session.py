"""One graph in ONNX Runtime, for the exporter's own runs."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from numpy.typing import NDArray

from onboard_vla.export.half_rounding import EXTERNAL_FOLDER, rounding_model
from onboard_vla.runtime.processor import ask_for_exact_products

SPINNING = "session.intra_op.allow_spinning"
NO_MEMORY = ("Failed to allocate memory", "bad_alloc", "bad allocation")
"""What ONNX Runtime says where memory is full; it has no type of error for that."""
Arrays = dict[str, NDArray[Any]]
Feed = Mapping[str, NDArray[Any]]
"""Inputs by name; may make them when they are asked for."""
Take = Callable[[int, Arrays], None]
"""Takes the number of an input and outputs that it gave."""


class Session(Protocol):
    """Runs a graph; outputs come as a table by name."""

    def run(self, inputs: Feed) -> Arrays:
        """All outputs."""

    def run_each(self, feeds: Sequence[Feed], take: Take) -> None:
        """Run every input, and hand over what comes out; a graph in pieces hands over each piece's outputs."""


class GraphSession:
    """ONNX Runtime on the processor; graphs in half precision are rounded where they say so (see `half_rounding`)."""

    def __init__(self, graph: Path | bytes, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        options.add_session_config_entry(SPINNING, "0")  # other work wants the processor, too
        ask_for_exact_products(options)
        source = graph if isinstance(graph, bytes) else str(graph)
        if isinstance(graph, Path) and (rounding := rounding_model(graph)) is not None:
            source = rounding
            options.add_session_config_entry(EXTERNAL_FOLDER, str(graph.parent))
        with lack_of_memory_told():
            self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self.inputs = [item.name for item in self._session.get_inputs()]
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Feed) -> Arrays:
        """All outputs.

        Raises:
            MemoryError: there is too little memory.
        """
        feed = dict(inputs)
        with lack_of_memory_told():
            return dict(zip(self._outputs, self._session.run(self._outputs, feed), strict=True))

    def run_each(self, feeds: Sequence[Feed], take: Take) -> None:
        """Run every input, and hand over what comes out."""
        run_in_turn(self, feeds, take)


class OpenedForRuns:
    """A graph that lies in memory while it is run, and not between."""

    def __init__(self, graph: Path) -> None:
        self._graph = graph

    def run(self, inputs: Feed) -> Arrays:
        """All outputs."""
        return GraphSession(self._graph, cores()).run(inputs)

    def run_each(self, feeds: Sequence[Feed], take: Take) -> None:
        """Run every input, and hand over what comes out."""
        run_in_turn(GraphSession(self._graph, cores()), feeds, take)


@contextmanager
def lack_of_memory_told() -> Iterator[None]:
    """Have ONNX Runtime's errors about memory be Python's."""
    try:
        yield
    except Exception as error:  # its types share no base
        text = str(error)
        if not any(words in text for words in NO_MEMORY):
            raise
        raise MemoryError(f"ONNX Runtime: {text[-200:].strip()}") from None


def cores() -> int:
    """Cores that this process may use."""
    return len(os.sched_getaffinity(0))


def run_in_turn(session: Session, feeds: Sequence[Feed], take: Take) -> None:
    """`run_each` of a session that runs its graph as a whole."""
    for index, feed in enumerate(feeds):
        take(index, session.run(feed))
