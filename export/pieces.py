"""A graph too large for memory, run piece by piece: each is written, opened, run on all inputs, and dropped.

What flows from one piece into the next lies on disk between them, so that memory holds one input's at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

import onnx
from numpy.typing import NDArray

from onboard_vla.export.external_data import SUFFIX, ExternalData
from onboard_vla.export.graph import save_model
from onboard_vla.export.graph_session import Arrays, Feed, GraphSession, Take, cores
from onboard_vla.export.kept_arrays import OnDemand, OnDisk
from onboard_vla.export.language_graph import HIDDEN, HIDDEN_BEFORE

WritePiece = Callable[[range, ExternalData], onnx.ModelProto]


class Probe(Protocol):
    """Looks at every piece after it has run."""

    @property
    def inputs(self) -> int:
        """How many of the inputs it looks at."""

    def look(self, piece: range, feeds: Sequence[Feed]) -> None:
        """`feeds`: what the first inputs fed to the piece, `HIDDEN_BEFORE` included."""


class PieceSession:
    """Looks like a `GraphSession` over the whole graph.

    With several inputs at once every piece is written once, so ask for many runs together.
    """

    def __init__(
        self,
        write: WritePiece,
        steps: int,
        scratch: Path,
        progress: Callable[[float], None] = lambda _: None,
        probe: Probe | None = None,
        runs: int = 1,
        fed: Callable[[Sequence[str]], Arrays] = lambda _: {},
    ) -> None:
        """`write(piece, external)` gives the graph of some of `steps` steps; files go to `scratch` and are removed.

        `runs`: how often all inputs will be run, for the progress. `fed`: gives what graphs ask for beside the inputs.
        """
        self._write, self._steps, self._probe, self._runs = write, steps, probe, runs
        self._scratch, self._progress, self._fed = scratch, progress, fed
        self._done = 0

    def run(self, inputs: Feed) -> Arrays:
        """All outputs for one input."""
        found: Arrays = {}
        self.run_each([inputs], lambda _, outputs: found.update(outputs))
        return found

    def run_each(self, feeds: Sequence[Feed], take: Take) -> None:
        """Hand over every piece's outputs for each input, but for `hidden`, which is handed on."""
        hidden = OnDisk(self._scratch / "hidden")
        probed = feeds[: self._probe.inputs if self._probe is not None else 0]
        for step in range(self._steps):
            piece = range(step, step + 1)
            before = [_with_hidden(feed, hidden, f"{step}-{index}") for index, feed in enumerate(feeds)]
            with opened(self._write, piece, self._scratch, cores()) as session:
                fed = self._fed([name for name in session.inputs if name not in before[0]])
                for index, feed in enumerate(before):
                    outputs = owned(
                        session.run({name: fed[name] if name in fed else feed[name] for name in session.inputs})
                    )
                    if HIDDEN in outputs:
                        hidden[f"{step + 1}-{index}"] = outputs.pop(HIDDEN)
                    if index >= len(probed):
                        hidden.pop(f"{step}-{index}", None)
                    take(index, outputs)
                    self._progress((self._done + (step + (index + 1) / len(feeds)) / self._steps) / self._runs)
                del session, fed  # before the next one is opened
            if self._probe is not None:
                self._probe.look(piece, before[: len(probed)])
            for index in range(len(probed)):
                hidden.pop(f"{step}-{index}", None)
        self._done = (self._done + 1) % self._runs


@contextmanager
def opened(write: WritePiece, piece: range, scratch: Path, threads: int = 1) -> Iterator[GraphSession]:
    """A session of one piece of a graph; its files in `scratch` are removed."""
    path = scratch / "piece.onnx"
    try:
        with ExternalData(path.with_name(path.name + SUFFIX)) as external:
            save_model(write(piece, external), path)
        yield GraphSession(path, threads)
    finally:
        path.unlink(missing_ok=True)
        path.with_name(path.name + SUFFIX).unlink(missing_ok=True)


def _with_hidden(feed: Feed, hidden: Mapping[str, NDArray[Any]], key: str) -> Feed:
    makers = {name: _asked(feed, name) for name in feed}
    return OnDemand({**makers, HIDDEN_BEFORE: _asked(hidden, key)})


def _asked(table: Mapping[str, NDArray[Any]], name: str) -> Callable[[], NDArray[Any]]:
    return lambda: table[name]


def owned(outputs: Arrays) -> Arrays:
    """Copies: what ONNX Runtime returns lies in the session's memory and would keep all of that alive."""
    return {name: value.copy() for name, value in outputs.items()}
