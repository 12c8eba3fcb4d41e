"""A graph too large for memory, run piece by piece: each is written, opened, run on all inputs, and dropped."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import onnx
from numpy.typing import NDArray

from onboard_vla.export.external_data import SUFFIX, ExternalData
from onboard_vla.export.graph import save_model
from onboard_vla.export.graph_session import Arrays, GraphSession
from onboard_vla.export.language_graph import HIDDEN, HIDDEN_BEFORE

WritePiece = Callable[[range, ExternalData], onnx.ModelProto]


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
        steps_per_piece: int = 1,
    ) -> None:
        """`write(piece, external)` gives the graph of some of `steps` steps; files go to `scratch` and are removed."""
        self._write, self._steps, self._per_piece = write, steps, steps_per_piece
        self._scratch, self._progress = scratch, progress

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """All outputs for one input."""
        return self.run_many([inputs])[0]

    def run_many(self, feeds: Sequence[Mapping[str, NDArray[Any]]]) -> list[Arrays]:
        """All outputs for each input; `hidden` is handed on, all other outputs are kept for every input."""
        found: list[Arrays] = [{} for _ in feeds]
        for start in range(0, self._steps, self._per_piece):
            piece = range(start, min(start + self._per_piece, self._steps))
            for session in self._opened(piece):
                for feed, outputs in zip(feeds, found, strict=True):
                    known = {**feed, HIDDEN_BEFORE: outputs.pop(HIDDEN)} if HIDDEN in outputs else feed
                    outputs |= _owned(session.run({name: known[name] for name in session.inputs}))
                del session  # before the next one is opened
            self._progress(piece.stop / self._steps)
        return found

    def _opened(self, piece: range) -> Iterator[GraphSession]:
        path = self._scratch / "piece.onnx"
        try:
            with ExternalData(path.with_name(path.name + SUFFIX)) as external:
                save_model(self._write(piece, external), path)
            yield GraphSession(path)
        finally:
            path.unlink(missing_ok=True)
            path.with_name(path.name + SUFFIX).unlink(missing_ok=True)


def _owned(outputs: Arrays) -> Arrays:
    """Copies: what ONNX Runtime returns lies in the session's memory and would keep all of that alive."""
    return {name: value.copy() for name, value in outputs.items()}
