"""Which commands of the operator count: each once, in order, and none of long ago.

Stamps order them, and until a step of the data clock is confirmed a clock put back makes what is new look old. So what
errs on the safe side counts out of order, too: that the operator wants a stop.
"""

from __future__ import annotations

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import STOP, OperatorCommand
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import FreshnessLimits
from onboard_vla.safety.guards.clock_step import Restate


class Orders:
    """Remembers the newest stamp. A repetition of an old command must not engage."""

    def __init__(self, limits: FreshnessLimits) -> None:
        self._limits = limits
        self._command_ns: int | None = None

    def refuse_command(self, message: OperatorCommand, now: Now) -> Reason | None:
        """Why this command does not count; None where it does."""
        what = repr(message.command)[:50]
        age = seconds(now.stamp_ns - message.stamp_ns)
        if -age > self._limits.future_s:
            return Reason("COMMAND_FROM_FUTURE", -age, self._limits.future_s, f"{what}: stamp, s ahead")
        if age > self._limits.command_age_s:
            return Reason("COMMAND_OLD", age, self._limits.command_age_s, f"{what}: age, s")
        newest_ns = self._command_ns
        if newest_ns is not None and _refused_order(message.stamp_ns, newest_ns, message.command == STOP):
            behind = seconds(newest_ns - message.stamp_ns)
            return Reason("COMMAND_REPEATED", behind, 0.0, f"{what}: behind the newest command, s")
        self._command_ns = message.stamp_ns if newest_ns is None else max(newest_ns, message.stamp_ns)
        return None

    def restate(self, clock: Restate) -> None:
        """The data clock has stepped: restate the newest stamp on it."""
        if self._command_ns is not None:
            self._command_ns = clock(self._command_ns)


def _refused_order(stamp_ns: int, newest_ns: int, safe_side: bool) -> bool:
    """Whether a stamp comes too late after the newest one; on the safe side only where it is the same."""
    return stamp_ns == newest_ns if safe_side else stamp_ns <= newest_ns
