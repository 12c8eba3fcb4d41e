"""Which commands of the operator and states of the driver count: each once, in order, and no command of long ago."""

from __future__ import annotations

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import FreshnessLimits


class Orders:
    """Remembers the newest stamp of either kind. A repetition of an old one must neither engage nor end an override."""

    def __init__(self, limits: FreshnessLimits) -> None:
        self._limits = limits
        self._command_ns: int | None = None
        self._driver_ns: int | None = None

    def refuse_command(self, message: OperatorCommand, now: Now) -> Reason | None:
        """Why this command does not count; None where it does."""
        what = repr(message.command)[:50]
        age = seconds(now.stamp_ns - message.stamp_ns)
        if -age > self._limits.future_s:
            return Reason("COMMAND_FROM_FUTURE", -age, self._limits.future_s, f"{what}: stamp, s ahead")
        if age > self._limits.command_age_s:
            return Reason("COMMAND_OLD", age, self._limits.command_age_s, f"{what}: age, s")
        if self._command_ns is not None and message.stamp_ns <= self._command_ns:
            behind = seconds(self._command_ns - message.stamp_ns)
            return Reason("COMMAND_REPEATED", behind, 0.0, f"{what}: behind the newest command, s")
        self._command_ns = message.stamp_ns
        return None

    def accept_driver(self, message: DriverState, now: Now) -> bool:
        """Whether this state of the driver counts.

        That he acts counts whatever its age, as long as nothing newer is known: no clock may keep him from taking over.
        """
        if self._driver_ns is not None and message.stamp_ns <= self._driver_ns:
            return False
        if not message.override and seconds(message.stamp_ns - now.stamp_ns) > self._limits.future_s:
            return False
        # A stamp from the future must not shut out what follows it.
        self._driver_ns = min(message.stamp_ns, now.stamp_ns)
        return True
