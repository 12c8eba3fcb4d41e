"""Steps of the data clock against the monotonic clock (10.2 F16): a fault of its own, never of a watchdog."""

from __future__ import annotations

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.input_config import ClockLimits
from onboard_vla.safety.ladder import Request

CONFIRM = 2
"""Readings in a row that must show the step: a process that loses the processor between its two readings shows one."""


class ClockWatch:
    """Compares how far both clocks went. A slow slew is followed; a step stands out of it."""

    def __init__(self, limits: ClockLimits) -> None:
        self._limits = limits
        self._offset_ns: float | None = None
        self._monotonic_ns = 0
        self._in_a_row = 0
        self._stepped: tuple[int, float] | None = None

    def step_ns(self, now: Now) -> int:
        """How far the data clock was put forward (back, where negative), once per step; 0 without one."""
        offset_ns = now.stamp_ns - now.monotonic_ns
        if self._offset_ns is None:
            self._offset_ns, self._monotonic_ns = float(offset_ns), now.monotonic_ns
            return 0
        passed_ns = max(now.monotonic_ns - self._monotonic_ns, 0)
        self._monotonic_ns = now.monotonic_ns
        moved_ns = offset_ns - self._offset_ns
        if abs(moved_ns) <= nanoseconds(self._limits.step_s):
            self._in_a_row = 0
            slew_ns = self._limits.slew_per_s * passed_ns
            self._offset_ns += min(max(moved_ns, -slew_ns), slew_ns)
            return 0
        self._in_a_row += 1
        if self._in_a_row < CONFIRM:
            return 0
        self._in_a_row = 0
        self._offset_ns = float(offset_ns)
        self._stepped = now.monotonic_ns, abs(moved_ns) / 1e9
        return round(moved_ns)

    def requests(self, now: Now) -> list[Request]:
        """The fault of the last step, as long as it is held."""
        if self._stepped is None:
            return []
        at_ns, step_s = self._stepped
        if seconds(now.monotonic_ns - at_ns) > self._limits.hold_s:
            self._stepped = None
            return []
        large = step_s >= self._limits.stop_step_s
        reason = Reason("CLOCK_STEP", step_s, self._limits.step_s, "data clock against the monotonic clock, s")
        return [Request(Mode.IN_LANE_STOP if large else Mode.FALLBACK, reason)]
