"""Two clocks, never mixed: monotonic time for watchdogs, data stamps for everything that is about the world."""

from __future__ import annotations

import time
from dataclasses import dataclass

NANOSECONDS = 1_000_000_000


@dataclass(frozen=True)
class Now:
    """One reading of both clocks.

    `monotonic_ns` drives watchdogs and reception ages; `stamp_ns` is comparable with message stamps
    (ROS time or the system clock on a vehicle, virtual time in lock-step).
    """

    monotonic_ns: int
    stamp_ns: int


def system_now() -> Now:
    """Read the monotonic clock and the system clock."""
    return Now(time.monotonic_ns(), time.time_ns())


def seconds(duration_ns: int) -> float:
    """Nanoseconds as seconds."""
    return duration_ns / NANOSECONDS


def nanoseconds(duration_s: float) -> int:
    """Seconds as integer nanoseconds, rounded to nearest."""
    return round(duration_s * NANOSECONDS)
