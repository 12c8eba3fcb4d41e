"""Which commands of the operator count: each once, in order, and none of long ago; a stop whatever its stamp.

Stamps order commands, and show what is old. A stop errs on the safe side: a clock that is off, a clock put back or a
slow link must not keep the vehicle driving. So it counts out of order, late and from the future, too, and what is wrong
with its stamp is only said. The same stop heard again does not count: it would begin anew what somebody has re-armed.
"""

from __future__ import annotations

from collections import deque

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import STOP, OperatorCommand
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import FreshnessLimits
from onboard_vla.safety.guards.clock_step import Restate

STOPS_KEPT = 64
"""Stops of which the stamps are remembered; one heard again after so many others counts once more."""


class Orders:
    """Remembers the newest stamp, and those of stops. A repetition of an old command must not engage."""

    def __init__(self, limits: FreshnessLimits) -> None:
        self._limits = limits
        self._command_ns: int | None = None
        self._stops_ns: deque[int] = deque(maxlen=STOPS_KEPT)

    def refuse_command(self, message: OperatorCommand, now: Now) -> Reason | None:
        """Why this command does not count; None where it does."""
        untimely = self.untimely(message, now)
        if message.command == STOP:
            if message.stamp_ns in self._stops_ns:
                return Reason("COMMAND_REPEATED", 1.0, 0.0, f"{STOP!r}: heard with this stamp before")
            self._stops_ns.append(message.stamp_ns)
        elif untimely is not None:
            return untimely
        elif self._command_ns is not None and message.stamp_ns <= self._command_ns:
            behind = seconds(self._command_ns - message.stamp_ns)
            return Reason("COMMAND_REPEATED", behind, 0.0, f"{_what(message)}: behind the newest command, s")
        newest_ns = self._command_ns
        if untimely is None and (newest_ns is None or message.stamp_ns > newest_ns):
            self._command_ns = message.stamp_ns
        return None

    def untimely(self, message: OperatorCommand, now: Now) -> Reason | None:
        """What is wrong with the stamp, held against the clock alone."""
        age = seconds(now.stamp_ns - message.stamp_ns)
        if -age > self._limits.future_s:
            return Reason("COMMAND_FROM_FUTURE", -age, self._limits.future_s, f"{_what(message)}: stamp, s ahead")
        if age > self._limits.command_age_s:
            return Reason("COMMAND_OLD", age, self._limits.command_age_s, f"{_what(message)}: age, s")
        return None

    def restate(self, clock: Restate) -> None:
        """The data clock has stepped: restate the stamps on it."""
        if self._command_ns is not None:
            self._command_ns = clock(self._command_ns)
        self._stops_ns = deque(map(clock, self._stops_ns), STOPS_KEPT)


def _what(message: OperatorCommand) -> str:
    return repr(message.command)[:50]
