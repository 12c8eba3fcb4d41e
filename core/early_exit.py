"""Clean ends from the first moment: imported and called before anything heavy is loaded."""

from __future__ import annotations

import signal
from types import FrameType


def end_cleanly_when_told() -> None:
    """From now on SIGINT and SIGTERM end this process with status 0, wherever it is in its start."""
    for number in (signal.SIGINT, signal.SIGTERM):
        signal.signal(number, _end)


def _end(number: int, frame: FrameType | None) -> None:
    raise SystemExit(0)
