"""When to plan, so that the pictures of a plan serve a later one, too.

A plan's newest pair is the anchor's pictures and those of one frame spacing before. Where those were an anchor's
themselves they are decoded already, and half of a plan's decoding falls away: with six cameras at 10 Hz, a spacing of
0.5 s and a plan period of 0.2 s, plans at 0, 0.2, 0.5, 0.7 s decode 24 pictures a second; at 0, 0.2, 0.4, 0.6 s they
decode 60, for no anchor's predecessor was ever one.
"""

from __future__ import annotations

import statistics
from collections import deque

from onboard_vla.core.cameras import EncodedPicture, FrameSet
from onboard_vla.core.clock import nanoseconds

PATIENCE_NS = nanoseconds(0.12)
"""Longest wait for an anchor that shares its pictures: one period of a 10 Hz camera, and its jitter. Counted from the
moment of choosing: the newest complete pictures may be a camera period old while the next are on their way."""
QUICK_S = 0.15
"""Where plans that share take longer nobody waits: at five plans a second one would be more than half a second old, the
strictest profile's limit, when the next one replaces it."""
RECENT = 9
"""Plans that shared, whose median is held against it: one slow plan must not lose the rhythm, and those that had to
decode everything say nothing of what sharing would take. As many ages of pictures, too: the least is their way here."""
JITTER_NS = nanoseconds(0.02)
"""How exactly an anchor comes one spacing after another."""


class AnchorPacing:
    """Chooses among anchors; uncompressed pictures leave nothing to share, and are taken as they come.

    `period_s`: shortest time between the starts of two plans, which somebody else keeps; may be changed.
    """

    def __init__(self, spacing_s: float, period_s: float) -> None:
        self._spacing_ns = nanoseconds(spacing_s)
        self.period_s = period_s
        self._plans_s: deque[float] = deque([0.0], RECENT)
        self._ages_ns: deque[int] = deque(maxlen=RECENT)
        self._anchors: list[int] = []
        self._waits_since_ns: int | None = None
        self._shares = False

    def takes(self, frames: FrameSet, now_ns: int) -> bool:
        """Whether to plan on these frames now, by the clock of their stamps; if so, they count as planned on."""
        anchor_ns = frames.stamp_ns
        if self._anchors and anchor_ns < self._anchors[-1]:
            self._forget()  # the data clock was set back
        compressed = any(isinstance(pictures[-1], EncodedPicture) for pictures in frames.images.values())
        shared_ns = [anchor + self._spacing_ns for anchor in self._anchors]
        shares = any(abs(stamp_ns - anchor_ns) <= JITTER_NS for stamp_ns in shared_ns)
        if (
            compressed
            and not shares
            and any(
                stamp_ns > anchor_ns + JITTER_NS and self._comes_in_time(stamp_ns, now_ns) for stamp_ns in shared_ns
            )
        ):
            self._waits_since_ns = now_ns if self._waits_since_ns is None else self._waits_since_ns
            return False
        self._waits_since_ns, self._shares = None, shares
        self._ages_ns.append(now_ns - anchor_ns)
        self._anchors = [anchor for anchor in self._anchors if anchor_ns - anchor < self._spacing_ns - JITTER_NS]
        self._anchors.append(anchor_ns)
        return True

    def took(self, plan_s: float) -> None:
        """Say how long the plan on the frames that were taken last took."""
        if self._shares:
            self._plans_s.append(plan_s)

    def _comes_in_time(self, stamp_ns: int, now_ns: int) -> bool:
        """Whether pictures of this stamp will be here before the patience ends."""
        patience_ns = PATIENCE_NS if statistics.median(self._plans_s) <= QUICK_S else 0
        waited_ns = 0 if self._waits_since_ns is None else now_ns - self._waits_since_ns
        wait_ns = stamp_ns + min(self._ages_ns) - now_ns
        return -JITTER_NS <= wait_ns <= min(patience_ns, nanoseconds(self.period_s) - JITTER_NS) - waited_ns

    def _forget(self) -> None:
        self._anchors.clear()
        self._ages_ns.clear()
        self._waits_since_ns = None
