"""A bar for the stages of an export, each with the time that is left of it, and what each took."""

from __future__ import annotations

import time
from pathlib import Path
from types import TracebackType
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from rich.console import Console


class ExportProgress:
    """Context of one export; shows nothing where standard error is no terminal.

    `stages`: wall and processor time of each stage, and this process's `peak_rss_mib` up to its end.
    """

    def __init__(self, console: Console) -> None:
        from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn, TimeRemainingColumn

        self._bar = Progress(
            TextColumn("{task.description}"),
            BarColumn(),
            TextColumn("{task.percentage:>3.0f}%"),
            TimeElapsedColumn(),
            TextColumn("left of this stage:"),
            TimeRemainingColumn(),
            console=console,
            transient=True,
            disable=not console.is_terminal,
        )
        self._stage, self._since = "start", _now()
        self.stages: dict[str, dict[str, float]] = {}

    def __enter__(self) -> ExportProgress:
        self._bar.__enter__()
        self._task = self._bar.add_task("export", total=1.0)
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._note()
        self._bar.__exit__(kind, error, trace)

    def show(self, stage: str, share: float, words: str = "") -> None:
        """A stage's name, its finished share, 0 to 1, and words that change on the way."""
        if stage != self._stage:
            self._note()
            self._stage = stage
            self._bar.reset(self._task, total=1.0)
        self._bar.update(self._task, description=f"{stage} {words}".strip(), completed=share)

    def _note(self) -> None:
        """Add what the stage took since the last call."""
        before, self._since = self._since, _now()
        took = self.stages.setdefault(self._stage, dict.fromkeys(before, 0.0))
        for name, value in self._since.items():
            took[name] = round(took[name] + value - before[name], 2)
        took["peak_rss_mib"] = peak_rss_mib() or 0.0


def _now() -> dict[str, float]:
    return {"seconds": time.monotonic(), "processor_seconds": time.process_time()}


def peak_rss_mib() -> float | None:
    """Largest resident memory of this process so far; None where /proc does not tell.

    Not `ru_maxrss`: that begins with the peak of the process that started this one.
    """
    try:
        lines = Path("/proc/self/status").read_text(encoding="ascii").splitlines()
    except OSError:
        return None
    kib = next((line.split()[1] for line in lines if line.startswith("VmHWM:")), None)
    return None if kib is None else round(int(kib) / 1024, 1)
