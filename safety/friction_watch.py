"""Do the tyres give the braking that is asked for? Where not, the road is taken to be as slippery as that shows.

Asked for is what every published trajectory of the last moments began with: braking that was asked for throughout, so
that it is owed by now whatever the brakes' delay and lag. A shortfall of 30 % for 0.3 s lowers the estimate (10.3 S7);
nothing raises it again but the end of the drive, because what has been slippery once is no place for trying. A weak
brake looks the same, and needs the same.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.friction import GRAVITY, USABLE_SHARE, for_friction
from onboard_vla.safety.ladder_state import Request

Array = NDArray[np.float64]

SHORTFALL = 0.3
CONFIRM_S = 0.3
"""Both: 10.3 S7."""
SLOTS = 25
"""Ticks of asking that count: 0.5 s, delay and lag of a usual drive (0.2 s each) and a tick."""
ASKED_MPS2 = 1.5
"""Own: the softest braking that tells; below it noise and slopes weigh as much."""
MOVING_MPS = 1.5
"""Own: in the last metre before standstill brakes let go."""
LEAST, DRY = 0.13, 1.0
"""Ice, where the settings' ranges end (1 m/s^2 of braking), and what no shortfall has been seen on."""


class FrictionWatch:
    """`settings`: the fallback's, for the friction estimated. All memory is taken at the start."""

    def __init__(self, settings: FallbackSettings) -> None:
        for_friction(settings, LEAST)  # what could not be derived while driving is refused now
        self._given = self.settings = settings
        self.friction = DRY
        self._asked = np.zeros(SLOTS)
        self._count, self._given_mps2 = 0, 0.0
        self._short_ns: int | None = None

    def check(self, points: Array, motion: Motion | None, now_ns: int) -> list[Request]:
        """Take over what was published last, (T, 6), none where nothing is asked of the vehicle: the drive has ended.

        L2 on a slippery road: the fallback knows the estimate, the model's plans were judged by a dry road's limits.
        """
        if not len(points):
            self.friction, self.settings = DRY, self._given
        if motion is None or not len(points) or motion.speed_mps < MOVING_MPS:
            self._count = 0
        else:
            self._asked[self._count % SLOTS] = -points[0, 5]
            self._count += 1
            self._compare(-motion.acceleration_mps2, now_ns)
        if self.friction == DRY:
            return []
        detail = "friction that braking showed; the fallback plans with it"
        return [Request(Mode.FALLBACK, Reason("FRICTION_LOW", self.friction, DRY, detail))]

    def _compare(self, got_mps2: float, now_ns: int) -> None:
        owed = float(self._asked.min()) if self._count >= SLOTS else 0.0
        if owed < ASKED_MPS2 or not got_mps2 < (1.0 - SHORTFALL) * owed:
            self._short_ns = None
            return
        if self._short_ns is None:
            self._short_ns, self._given_mps2 = now_ns, got_mps2
        # The most that came in that time: what the tyres can, not what noise says.
        self._given_mps2 = max(self._given_mps2, got_mps2)
        if now_ns - self._short_ns < nanoseconds(CONFIRM_S):
            return
        found = max(self._given_mps2 / (USABLE_SHARE * GRAVITY), LEAST)
        if found < self.friction:
            self.friction, self.settings = found, for_friction(self._given, found)
        self._short_ns = None
