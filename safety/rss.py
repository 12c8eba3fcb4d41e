"""Responsibility-sensitive safety: the distances at which two road users who react reasonably cannot collide.

Definitions 1 (same direction), 2 (opposite directions) and 6 (lateral) of Shalev-Shwartz, Shammah and Shashua, "On a
formal model of safe and scalable self-driving cars", arXiv 1708.06374, with the conventions of intel/ad-rss-lib:
acceleration in the response time ends at `acceleration_speed_max_mps`, brake and acceleration figures are magnitudes
here, and two lateral motions away from each other never give less than zero.

All functions broadcast over NumPy arrays. A speed that is NaN, or negative along the road, has no answer: NaN comes
back, and a caller must treat NaN as unsafe.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.validated import Validated, limit

Array = NDArray[np.float64]

APPENDIX = "ad-rss-lib documentation, parameter discussion"


@dataclass(frozen=True)
class RssDynamics(Validated):
    """What one road user may do: how late it answers, how hard it accelerates and brakes. Defaults: conservative."""

    response_s: float = limit(1.0, "s", APPENDIX, 0.05, 5.0)
    acceleration_mps2: float = limit(3.5, "m/s^2", APPENDIX, 0.0, 10.0)
    acceleration_speed_max_mps: float = limit(100.0, "m/s", "own: no bound below any road speed", 1.0, 100.0)
    brake_min_mps2: float = limit(4.0, "m/s^2", APPENDIX, 0.5, 12.0)
    brake_max_mps2: float = limit(8.0, "m/s^2", APPENDIX, 0.5, 12.0)
    brake_min_correct_mps2: float = limit(3.0, "m/s^2", APPENDIX, 0.5, 12.0)
    lateral_acceleration_mps2: float = limit(0.2, "m/s^2", APPENDIX, 0.0, 5.0)
    lateral_brake_mps2: float = limit(0.8, "m/s^2", APPENDIX, 0.1, 5.0)
    fluctuation_m: float = limit(0.1, "m", APPENDIX, 0.0, 1.0)
    standstill_gap_m: float = limit(0.0, "m", "own: contact; ad-rss-lib's minimum longitudinal distance", 0.0, 5.0)

    def __post_init__(self) -> None:
        super().__post_init__()
        if not self.brake_min_correct_mps2 <= self.brake_min_mps2 <= self.brake_max_mps2:
            raise ConfigurationError(
                "RssDynamics: expected brake_min_correct_mps2 <= brake_min_mps2 <= brake_max_mps2, found "
                f"{self.brake_min_correct_mps2:g}, {self.brake_min_mps2:g}, {self.brake_max_mps2:g}"
            )


CONSERVATIVE_EGO = RssDynamics()
CONSERVATIVE_OTHER = RssDynamics(response_s=2.0)


def stated_braking_m(speed_mps: ArrayLike, dynamics: RssDynamics, brake_mps2: float) -> Array:
    """Distance to standstill of someone who accelerates through the response time and then brakes with `brake_mps2`."""
    v = _forward(speed_mps)
    ceiling = np.maximum(v, dynamics.acceleration_speed_max_mps)
    wanted = v + dynamics.acceleration_mps2 * dynamics.response_s
    reached = np.minimum(wanted, ceiling)
    gained = reached - v
    accelerating_s = gained / dynamics.acceleration_mps2 if dynamics.acceleration_mps2 > 0.0 else np.zeros_like(gained)
    moved = v * dynamics.response_s + gained * (dynamics.response_s - accelerating_s / 2)
    return np.asarray(moved + reached**2 / (2 * brake_mps2), np.float64)


def same_direction_m(rear_mps: ArrayLike, front_mps: ArrayLike, rear: RssDynamics, front: RssDynamics) -> Array:
    """Definition 1: least gap of the rear one behind a front one that brakes as hard as it can."""
    needed = stated_braking_m(rear_mps, rear, rear.brake_min_mps2)
    given = _forward(front_mps) ** 2 / (2 * front.brake_max_mps2)
    return np.asarray(np.maximum(needed - given, 0.0) + rear.standstill_gap_m, np.float64)


def opposite_direction_m(
    correct_mps: ArrayLike, opposite_mps: ArrayLike, correct: RssDynamics, opposite: RssDynamics
) -> Array:
    """Definition 2: least gap of two that drive towards each other; `correct`: the one in its own lane.

    Both speeds are magnitudes, each along its own direction.
    """
    own = stated_braking_m(correct_mps, correct, correct.brake_min_correct_mps2)
    theirs = stated_braking_m(opposite_mps, opposite, opposite.brake_min_mps2)
    gap = max(correct.standstill_gap_m, opposite.standstill_gap_m)
    return np.asarray(own + theirs + gap, np.float64)


def stop_before_intersection_m(speed_mps: ArrayLike, dynamics: RssDynamics) -> Array:
    """Distance to an intersection from which whoever must yield still stops before it."""
    return stated_braking_m(speed_mps, dynamics, dynamics.brake_min_mps2) + dynamics.standstill_gap_m


def lateral_m(left_mps: ArrayLike, right_mps: ArrayLike, left: RssDynamics, right: RssDynamics) -> Array:
    """Definition 6: least sideways gap between the one to the left and the one to the right.

    Sideways speeds are positive to the left (ISO 8855), so the left one approaches with a negative speed.
    """
    rightwards = _sideways_m(-np.asarray(left_mps, np.float64), left)
    leftwards = _sideways_m(np.asarray(right_mps, np.float64), right)
    return np.asarray(
        np.maximum(rightwards + leftwards + (left.fluctuation_m + right.fluctuation_m) / 2, 0.0), np.float64
    )


def _sideways_m(towards_mps: Array, dynamics: RssDynamics) -> Array:
    """Displacement towards the other: worst acceleration in the response time, then braking to no sideways speed."""
    v, rho = towards_mps, dynamics.response_s
    reached = v + dynamics.lateral_acceleration_mps2 * rho
    moved = v * rho + dynamics.lateral_acceleration_mps2 * rho**2 / 2
    return np.asarray(moved + np.maximum(reached, 0.0) ** 2 / (2 * dynamics.lateral_brake_mps2), np.float64)


def _forward(speed_mps: ArrayLike) -> Array:
    v = np.asarray(speed_mps, np.float64)
    return np.asarray(np.where(v >= 0.0, v, np.nan), np.float64)
