"""A graph too large for memory, run piece by piece: each is written, opened, run on all inputs, and dropped.

What flows from one piece into the next lies on disk between them, so that memory holds one input's at a time.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import onnx
from numpy.typing import NDArray

from onboard_vla.export.external_data import SUFFIX, ExternalData
from onboard_vla.export.graph import save_model
from onboard_vla.export.graph_session import Arrays, Feed, GraphSession, Take, cores
from onboard_vla.export.kept_arrays import OnDemand, OnDisk
from onboard_vla.export.kept_tables import KeptTables
from onboard_vla.export.language_graph import CACHE, HIDDEN, HIDDEN_BEFORE

WritePiece = Callable[[range, ExternalData], onnx.ModelProto]


class Probe(Protocol):
    """Looks at every piece after it has run."""

    @property
    def inputs(self) -> int:
        """How many of the inputs it looks at."""

    def look(self, piece: range, feeds: Sequence[Feed]) -> Mapping[str, float]:
        """What it finds; `feeds`: what the first inputs fed to the piece, `HIDDEN_BEFORE` included."""

    def take(self, piece: range, found: Mapping[str, float]) -> None:
        """Take in what `look` found, now or in an attempt that was killed."""


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
        memory: tuple[KeptTables, str] | None = None,
    ) -> None:
        """`write(piece, external)` gives the graph of some of `steps` steps; files go to `scratch` and are removed.

        `runs`: how often all inputs will be run, for the progress. `fed`: gives what graphs ask for beside the inputs.
        `memory`: where outputs are kept, and this graph's name there. A later session of the same `scratch` and memory
        that is run with the same inputs hands over what is there, and computes the rest alone. Keys and values are not
        kept in it: whoever wants them has them on disk.
        """
        self._write, self._steps, self._probe, self._runs = write, steps, probe, runs
        self._scratch, self._progress, self._fed = scratch, progress, fed
        self._memory: KeptTables | None = memory[0] if memory is not None else None
        self._name = memory[1] if memory is not None else "graph"
        self._done = 0

    def run(self, inputs: Feed) -> Arrays:
        """All outputs for one input."""
        found: Arrays = {}
        self.run_each([inputs], lambda _, outputs: found.update(outputs))
        return found

    def run_each(self, feeds: Sequence[Feed], take: Take) -> None:
        """Hand over every piece's outputs for each input, but for `hidden`, which is handed on."""
        hidden, run = OnDisk(self._scratch / "hidden"), self._done
        probed = feeds[: self._probe.inputs if self._probe is not None else 0]
        for step in range(self._steps):
            piece, at = range(step, step + 1), [f"{self._name}-{run}-{step}-{index}" for index in range(len(feeds))]
            following = [f"{self._name}-{run}-{step + 1}-{index}" for index in range(len(feeds))]
            before = [_with_hidden(feed, hidden, key) for feed, key in zip(feeds, at, strict=True)]
            opened_piece = _OpenedOnce(self._write, piece, self._scratch, self._fed)
            with opened_piece:
                for index, feed in enumerate(before):
                    outputs = self._recall(at[index])
                    if outputs is None:
                        outputs = opened_piece.run(feed)
                        if HIDDEN in outputs:
                            hidden[following[index]] = outputs.pop(HIDDEN)
                        take(index, outputs)
                        self._remember(at[index], outputs)
                    else:
                        take(index, outputs)
                    if index >= len(probed):
                        hidden.pop(at[index], None)
                    self._progress((run % self._runs + (step + (index + 1) / len(feeds)) / self._steps) / self._runs)
            if self._probe is not None:
                self._look(self._probe, piece, before[: len(probed)], f"{self._name}-{run}-{step}-probed")
            for key in at[: len(probed)]:
                hidden.pop(key, None)
        self._done += 1

    def _look(self, probe: Probe, piece: range, feeds: Sequence[Feed], key: str) -> None:
        known = self._recall(key)
        found = probe.look(piece, feeds) if known is None else {name: float(value) for name, value in known.items()}
        if known is None and self._memory is not None:
            self._memory[key] = {name: np.float64(value) for name, value in found.items()}
        probe.take(piece, found)

    def _recall(self, key: str) -> Arrays | None:
        kept = self._memory.get(key) if self._memory is not None else None
        return None if kept is None else dict(kept)

    def _remember(self, key: str, outputs: Arrays) -> None:
        if self._memory is not None:
            self._memory[key] = {name: value for name, value in outputs.items() if not name.startswith(CACHE)}


class _OpenedOnce:
    """A piece that is opened when it is first run, and closed with the context."""

    def __init__(self, write: WritePiece, piece: range, scratch: Path, fed: Callable[[Sequence[str]], Arrays]) -> None:
        self._write, self._piece, self._scratch, self._fed = write, piece, scratch, fed
        self._stack = ExitStack()
        self._session: GraphSession | None = None
        self._weights: Arrays = {}

    def __enter__(self) -> _OpenedOnce:
        return self

    def __exit__(self, *_: object) -> None:
        self._session, self._weights = None, {}  # before the next one is opened
        self._stack.close()

    def run(self, feed: Feed) -> Arrays:
        """All outputs."""
        if self._session is None:
            self._session = self._stack.enter_context(opened(self._write, self._piece, self._scratch, cores()))
            self._weights = self._fed([name for name in self._session.inputs if name not in feed])
        weights = self._weights
        return owned(self._session.run({n: weights[n] if n in weights else feed[n] for n in self._session.inputs}))


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
