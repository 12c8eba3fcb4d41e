"""What the driver does, as far as anybody says it: what is said of him is believed while it is fresh."""

from __future__ import annotations

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.safe_trajectory import DriverState
from onboard_vla.core.verdict import Reason

DRIVER_HOLD_NS = nanoseconds(0.5)
"""A driver counts as acting for so long after he was last heard to; unheard for longer, what he does is unknown. A
pedal let go for a moment gives nobody the vehicle, and a word that is not said again is no evidence for ever. Five
messages at the rate asked for."""


class DriverWatch:
    """Remembers when he was heard, and when he was heard to act, on the monotonic clock."""

    def __init__(self) -> None:
        self._heard_ns: int | None = None
        self._acted_ns: int | None = None

    def hear(self, message: DriverState, now: Now) -> None:
        """Take a state that counts (`guards/orders.py`)."""
        self._heard_ns = now.monotonic_ns
        if message.override:
            self._acted_ns = now.monotonic_ns

    def acts(self, now: Now) -> bool:
        """Whether he acts, or did a moment ago. Unknown is no evidence that he does."""
        return self._acted_ns is not None and now.monotonic_ns - self._acted_ns <= DRIVER_HOLD_NS

    def silence(self, now: Now) -> Reason | None:
        """What he does is unknown again; None where nobody has ever said it, as where nobody can."""
        if self._heard_ns is None or now.monotonic_ns - self._heard_ns <= DRIVER_HOLD_NS:
            return None
        silent_s = seconds(now.monotonic_ns - self._heard_ns)
        return Reason("DRIVER_SILENT", silent_s, seconds(DRIVER_HOLD_NS), "since the driver's state was received, s")
