"""A human driver behind the vehicle: follows it comfortably, and brakes hard only a reaction time after it does.

Whoever brakes harder or longer than there is reason for is hit from behind sooner or later; this driver tells.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from onboard_vla.world.idm import IdmParameters, idm_acceleration

GAP_S, CLOSE_GAP_S = 1.5, 0.8
"""Time gaps that an ordinary and a close follower keep (own choice)."""
STANDING_GAP_M = 2.0
"""Comes on top at the start of a scenario."""
REACTION_S = 1.25
"""Brake reaction to an unexpected event (Green 2000, "How long does it take to stop?": about 1.25 s)."""
COMFORT_MPS2, STANDING_MPS = 2.5, 0.3
HARDEST_MPS2 = 5.0
"""Hardest braking, once surprised."""


class HumanBehind:
    """Car following, with the limit that surprise puts on braking. `desired_mps`: its own free speed."""

    def __init__(self, desired_mps: float, gap_s: float = GAP_S) -> None:
        self._parameters = IdmParameters(desired_mps, time_gap_s=gap_s)
        self._ahead_before_mps: float | None = None
        self._alarmed_s = 0.0

    def acceleration(self, speed_mps: float, gap_m: float, ahead_mps: float, dt_s: float) -> float:
        """What the driver does next; called once a step with the present gap and speeds."""
        before = ahead_mps if self._ahead_before_mps is None else self._ahead_before_mps
        self._ahead_before_mps = ahead_mps
        alarming = (before - ahead_mps) / dt_s > COMFORT_MPS2 or ahead_mps < STANDING_MPS
        self._alarmed_s = self._alarmed_s + dt_s if alarming else 0.0
        demand = idm_acceleration(speed_mps, gap_m, ahead_mps, self._parameters)
        return max(demand, -(HARDEST_MPS2 if self._alarmed_s >= REACTION_S else COMFORT_MPS2))


def least_gap_behind(rear_m: NDArray[np.float64], speed_mps: NDArray[np.float64], dt_s: float) -> float:
    """Least gap, metres, of a close follower to a vehicle whose rear end and speed (T,) are known every `dt_s`.

    It starts at the same speed, `STANDING_GAP_M` and `CLOSE_GAP_S` behind; 0 or less is a hit.
    """
    own, least = float(speed_mps[0]), math.inf
    front = float(rear_m[0]) - STANDING_GAP_M - CLOSE_GAP_S * own
    driver = HumanBehind(max(1.1 * float(speed_mps.max()), 1.0), CLOSE_GAP_S)
    for rear, ahead in zip(rear_m.tolist(), speed_mps.tolist(), strict=True):
        gap = rear - front
        least = min(least, gap)
        if gap <= 0.0:
            break
        slower = max(own + driver.acceleration(own, gap, ahead, dt_s) * dt_s, 0.0)
        front, own = front + (own + slower) / 2 * dt_s, slower
    return least
