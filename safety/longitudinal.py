"""Rolling a speed profile forward under a control law, with bounded jerk and no negative speed."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]
Law = Callable[[float, float, float], "tuple[float, float]"]
"""(time s, distance m, speed m/s) -> (wanted acceleration m/s^2, jerk limit m/s^3)."""

POINT_STEP_S = 0.1
POINTS = 51
"""A published trajectory: 5 s at 0.1 s, the present included."""
SUB_STEPS = 2
"""Euler steps per point: 0.05 s, the largest step that docs/safety-basis.md (2.1) allows."""
HOLD_MPS2 = 1.5
"""Brake demand at standstill (6.1 L5)."""


@dataclass(frozen=True, eq=False)
class SpeedProfile:
    """Distance, speed and acceleration at every point of a trajectory, each (POINTS,)."""

    distance_m: Array
    speed_mps: Array
    acceleration_mps2: Array


def roll(speed_mps: float, acceleration_mps2: float, law: Law) -> SpeedProfile:
    """Integrate from the present speed and the acceleration in force."""
    dt = POINT_STEP_S / SUB_STEPS
    v, a, s = max(speed_mps, 0.0), acceleration_mps2, 0.0
    rows = [s, v, a]
    for step in range((POINTS - 1) * SUB_STEPS):
        wanted, jerk = law(step * dt, s, v)
        change = jerk * dt
        low, high = a - change, a + change
        a = low if wanted < low else high if wanted > high else wanted
        faster = v + a * dt
        if faster <= 0.0:
            s += v * dt / 2 if v > 0.0 else 0.0
            v, a = 0.0, a if v > 0.0 else max(min(wanted, 0.0), -HOLD_MPS2)
        else:
            s, v = s + (v + faster) / 2 * dt, faster
        if step % SUB_STEPS == SUB_STEPS - 1:
            rows += (s, v, a)
    table = np.array(rows).reshape(POINTS, 3)
    return SpeedProfile(table[:, 0], table[:, 1], table[:, 2])


def stop_distance(speed_mps: float, acceleration_mps2: float, deceleration_mps2: float, jerk_mps3: float) -> float:
    """Distance to standstill when braking builds up from `acceleration_mps2` with this jerk to this deceleration."""
    v, a = max(speed_mps, 0.0), min(max(acceleration_mps2, -deceleration_mps2), deceleration_mps2)
    ramp = (a + deceleration_mps2) / jerk_mps3
    after = v + a * ramp - jerk_mps3 * ramp**2 / 2
    if after >= 0.0:
        return v * ramp + a * ramp**2 / 2 - jerk_mps3 * ramp**3 / 6 + after**2 / (2 * deceleration_mps2)
    end = (a + math.sqrt(a * a + 2 * jerk_mps3 * v)) / jerk_mps3
    return v * end + a * end**2 / 2 - jerk_mps3 * end**3 / 6
