"""What a stamp means after the data clock has stepped."""

from __future__ import annotations

from collections.abc import Callable

Restate = Callable[[int], int]
"""A stamp of before on the clock as it goes now, nanoseconds."""


def restated_by(step_ns: int, latest_ns: int) -> Restate:
    """For a clock that was put forward by `step_ns` (back, where negative) and now shows `latest_ns`.

    Some messages already carry the new time when the step is found; moved on once more they would lie in the future.
    """

    def restate(stamp_ns: int) -> int:
        moved_ns = stamp_ns + step_ns
        return moved_ns if moved_ns <= latest_ns else stamp_ns

    return restate
