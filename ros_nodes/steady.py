"""The clock of timers, which no correction of the time of day moves."""

from __future__ import annotations

# Humble has ClockType here alone; later ones have it in `clock_type`, and here without telling a type checker.
from rclpy.clock import Clock, ClockType  # type: ignore[attr-defined]


def steady_clock() -> Clock:
    """The machine's monotonic clock, for `create_timer(clock=...)`."""
    return Clock(clock_type=ClockType.STEADY_TIME)
