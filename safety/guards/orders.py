"""Which commands of the operator count: each once, in order, and none of long ago; a stop whatever its stamp.

Stamps order commands, and show what is old. A stop errs on the safe side: a clock that is off, a clock put back or a
slow link must not keep the vehicle driving. So it counts out of order, late and from the future, too, and what is wrong
with its stamp is only said. One alone does not count: a stop that was obeyed, and whose stamp was sound, heard again.
It would begin anew what somebody has re-armed, with a stamp that is known to lie behind his. A stamp that is not sound
(unset, of another clock) says nothing of when, and a stop that changed nothing is none to be repeated.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import DISENGAGE, STOP, OperatorCommand
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import FreshnessLimits
from onboard_vla.safety.guards.clock_step import Restate

STOPS_KEPT = 64
"""Stops of which the stamps are remembered; one heard again after so many others counts once more."""
PENDING_COMMANDS = 8
"""Commands between two cycles; more are a fault, and need not be obeyed, unless they end a drive."""
ENDING = (STOP, DISENGAGE)


class Orders:
    """Remembers the newest stamp, and those of stops that were obeyed. A repeated old command must not engage."""

    def __init__(self, limits: FreshnessLimits) -> None:
        self._limits = limits
        self._command_ns: int | None = None
        self._waiting_ns: deque[int] = deque(maxlen=STOPS_KEPT)
        self._obeyed_ns: deque[int] = deque(maxlen=STOPS_KEPT)

    def refuse_command(self, message: OperatorCommand, now: Now) -> Reason | None:
        """Why this command does not count; None where it does."""
        untimely = self.untimely(message, now)
        if message.command == STOP:
            if message.stamp_ns in self._obeyed_ns:
                return Reason("COMMAND_REPEATED", 1.0, 0.0, f"{STOP!r}: obeyed with this stamp before")
            if untimely is None:
                self._waiting_ns.append(message.stamp_ns)
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

    def decided(self, stopped: bool) -> None:
        """The cycle has decided on what was heard until now; `stopped`: a stop was obeyed."""
        self._obeyed_ns += self._waiting_ns if stopped else ()
        self._waiting_ns.clear()

    def restate(self, clock: Restate) -> None:
        """The data clock has stepped: restate the stamps on it."""
        if self._command_ns is not None:
            self._command_ns = clock(self._command_ns)
        self._waiting_ns = deque(map(clock, self._waiting_ns), STOPS_KEPT)
        self._obeyed_ns = deque(map(clock, self._obeyed_ns), STOPS_KEPT)


class PendingCommands:
    """What was heard since the last cycle, in order: the first `PENDING_COMMANDS`, then one of each of `ENDING`.

    Whatever is left out, the vehicle is driven no more than if all had been obeyed: nothing takes back a stop in the
    cycle that it begins in, and nothing but a command that is left out engages behind it.
    """

    def __init__(self) -> None:
        self._first: list[str] = []
        self._ending: list[str] = []

    def __iter__(self) -> Iterator[str]:
        yield from self._first
        yield from self._ending

    def __len__(self) -> int:
        return len(self._first) + len(self._ending)

    def clear(self) -> None:
        """The cycle has taken them."""
        self._first.clear()
        self._ending.clear()

    def add(self, command: str) -> Reason | None:
        """Keep a command for the next cycle; why not, else None."""
        if len(self._first) < PENDING_COMMANDS:
            self._first.append(command)
        elif command not in ENDING:
            count, limit = len(self._first) + 1.0, float(PENDING_COMMANDS)
            return Reason("COMMANDS_TOO_MANY", count, limit, f"{command[:50]!r}: commands since the last cycle")
        elif command not in self._ending:
            self._ending.append(command)
        return None


def _what(message: OperatorCommand) -> str:
    return repr(message.command)[:50]
