"""What the demo shows while it drives: a progress bar and live figures, or plain lines without a terminal."""

from __future__ import annotations

from types import TracebackType

from rich.console import Console, Group
from rich.live import Live
from rich.progress import BarColumn, Progress, TextColumn
from rich.table import Table

from onboard_vla.app.closed_loop import ClosedLoop
from onboard_vla.app.closed_loop_record import RunRecord
from onboard_vla.app.demo_tables import MODE_NAMES
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.core.safe_trajectory import Mode

PLAIN_LINE_NS = 5 * SECOND_NS
"""Time between two lines where the output is no terminal."""


class LiveView:
    """A context manager that draws the present state whenever `update` is called."""

    def __init__(self, console: Console, run_ns: int) -> None:
        self._console, self._run_ns = console, run_ns
        columns = (TextColumn("{task.description}"), BarColumn(bar_width=60), TextColumn("{task.fields[seconds]}"))
        self._progress = Progress(*columns, console=console, auto_refresh=False)
        self._task = self._progress.add_task("driving", total=run_ns, seconds="")
        self._live = Live(self._progress, console=console, auto_refresh=False)
        self._next_line_ns = 0

    def __enter__(self) -> LiveView:
        if self._console.is_terminal:
            self._live.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        if self._console.is_terminal:
            self._live.stop()

    def update(self, loop: ClosedLoop, record: RunRecord) -> None:
        """Draw the present state."""
        run_ns = loop.run_ns or 0
        row = live_row(run_ns, record)
        if not self._console.is_terminal:
            if run_ns >= self._next_line_ns:
                self._next_line_ns = run_ns + PLAIN_LINE_NS
                self._console.print("  ".join(f"{name} {value}" for name, value in row.items() if value))
            return
        self._progress.update(self._task, completed=min(run_ns, self._run_ns), seconds=f"{run_ns / SECOND_NS:.0f} s")
        table = Table(show_edge=False, pad_edge=False)
        for name in row:
            table.add_column(name, min_width=8)
        table.add_row(*row.values())
        self._live.update(Group(self._progress, table), refresh=True)


def live_row(run_ns: int, record: RunRecord) -> dict[str, str]:
    """Name and value of each live figure."""
    step = record.steps[-1] if record.steps else None
    published = record.published[-1] if record.published else None
    plan = record.plans[-1] if record.plans else None
    return {
        "time": f"{run_ns / SECOND_NS:.1f} s",
        "speed": f"{step.speed_mps:.1f} m/s" if step else "",
        "mode": MODE_NAMES[Mode(published.mode)] if published else "",
        "source": published.source if published else "",
        "plan": f"{plan.latency_ms:.0f} ms" if plan else "",
        "passes": "/".join(str(count) for count in plan.passes) if plan else "",
        "reason": published.reasons[0].code if published and published.reasons else "",
    }
