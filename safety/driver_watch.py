"""What the driver does, as far as anybody says it: what is said of him is believed while it is fresh.

That he acts is evidence whatever its stamp and however often it was said before: no clock, and no sender that says its
last word again, may keep him from the vehicle. One that is stuck on it leaves the vehicle to a person, and is named. A
repetition by the network, late even, gives him the vehicle for the hold once more, and no longer. That he does not act
ends nothing sooner than the hold does; it is knowledge where its stamp is later than the one before and not ahead of
now. Only the order of neighbours is asked for, so a clock put back costs one message.
"""

from __future__ import annotations

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.safe_trajectory import DriverState
from onboard_vla.core.verdict import Reason

DRIVER_HOLD_NS = nanoseconds(0.5)
"""A driver counts as acting for so long after he was last heard to; unheard for longer, what he does is unknown. A
pedal let go for a moment gives nobody the vehicle, and a word that is not said again is no evidence for ever. Five
messages at the rate asked for."""


class DriverWatch:
    """Remembers when he was heard, when with a sound stamp, and when he was heard to act, on the monotonic clock."""

    def __init__(self) -> None:
        self._heard_ns: int | None = None
        self._sound_ns: int | None = None
        self._acted_ns: int | None = None
        self._stamp_ns: int | None = None
        self._fault: Reason | None = None

    def hear(self, message: DriverState, now: Now, future_s: float) -> None:
        """Take one message. `future_s`: how far ahead of now its stamp may be."""
        self._heard_ns = now.monotonic_ns
        if message.override:
            self._acted_ns = now.monotonic_ns
        self._fault = self._stamp_fault(message.stamp_ns, now, future_s)
        self._stamp_ns = message.stamp_ns
        if self._fault is None:
            self._sound_ns = now.monotonic_ns

    def acts(self, now: Now) -> bool:
        """Whether he acts, or did a moment ago. Unknown is no evidence that he does."""
        return _within_hold(self._acted_ns, now)

    def doubt(self, now: Now) -> Reason | None:
        """Why what he does is unknown, or known by the word that he acts alone; None where nobody ever said it."""
        if self._heard_ns is None:
            return None
        if not _within_hold(self._heard_ns, now):
            silent_s = seconds(now.monotonic_ns - self._heard_ns)
            detail = "since the driver's state was received, s"
            return Reason("DRIVER_SILENT", silent_s, seconds(DRIVER_HOLD_NS), detail)
        return None if _within_hold(self._sound_ns, now) else self._fault

    def unknown(self, now: Now) -> Reason | None:
        """Why it is not known whether he acts; None where that is said, soundly and lately."""
        if self._heard_ns is None:
            return Reason("DRIVER_UNHEARD", 0.0, 1.0, "nobody says whether the driver acts")
        return None if self.acts(now) else self.doubt(now)

    def _stamp_fault(self, stamp_ns: int, now: Now, future_s: float) -> Reason | None:
        ahead_s = seconds(stamp_ns - now.stamp_ns)
        if ahead_s > future_s:
            return Reason("DRIVER_STAMP_AHEAD", ahead_s, future_s, "stamp of the driver's state ahead of now, s")
        if self._stamp_ns is not None and stamp_ns <= self._stamp_ns:
            behind_s = seconds(self._stamp_ns - stamp_ns)
            return Reason("DRIVER_STAMP_STANDS", behind_s, 0.0, "stamp of the driver's state behind the one before, s")
        return None


def _within_hold(since_ns: int | None, now: Now) -> bool:
    return since_ns is not None and now.monotonic_ns - since_ns <= DRIVER_HOLD_NS
