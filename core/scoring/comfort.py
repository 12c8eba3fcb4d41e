"""nuPlan's comfort limits (C in PDMS, HC in EPDMS) and the agreement of two successive plans (EC in EPDMS).

Limits and filters: nuplan-devkit, nuplan/planning/metrics, ego_*_metric, as NAVSIM's pdm_comfort_metrics.py has them.
Accelerations are those of the footprint's centre. NAVSIM's rolled-out states give a rear axle no lateral acceleration
and so its centre hardly any; here it is speed times yaw rate, plus the centre's own share.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.scoring.motion import STEP_S, Motion
from onboard_vla.core.scoring.smoothing import savitzky_golay

Array = NDArray[np.float64]

LONGITUDINAL_MPS2 = (-4.05, 2.40)
LATERAL_MPS2 = 4.89
JERK_MPS3 = 8.37
LONGITUDINAL_JERK_MPS3 = 4.13
YAW_RATE_RPS = 0.95
YAW_ACCELERATION_RPS2 = 1.93
"""Open intervals: a value on the limit is uncomfortable."""
SMOOTH_ACCELERATION, SMOOTH_JERK, SMOOTH_YAW = 8, 15, 5
"""Samples in the filters' windows."""
FRAMES_ACCELERATION_MPS2, FRAMES_JERK_MPS3, FRAMES_YAW_RATE_RPS, FRAMES_YAW_ACCELERATION_RPS2 = 0.7, 0.5, 0.1, 0.1
"""Root mean square that two successive plans may differ by."""
LEAST_INSTANTS = 5
"""Instants that the filters need."""


@dataclass(frozen=True, eq=False)
class Dynamics:
    """Filtered signals of a motion, each (T,)."""

    longitudinal_mps2: Array
    lateral_mps2: Array
    magnitude_mps2: Array
    longitudinal_jerk_mps3: Array
    jerk_mps3: Array
    yaw_rate_rps: Array
    yaw_acceleration_rps2: Array


@dataclass(frozen=True)
class Comfort:
    """Which of nuPlan's six limits hold."""

    longitudinal: bool
    lateral: bool
    jerk: bool
    longitudinal_jerk: bool
    yaw_acceleration: bool
    yaw_rate: bool

    @property
    def all(self) -> bool:
        """Whether the motion is comfortable."""
        return all((self.longitudinal, self.lateral, self.jerk, self.longitudinal_jerk)) and (
            self.yaw_acceleration and self.yaw_rate
        )


def dynamics(motion: Motion, vehicle: VehicleGeometry, yaw_acceleration_order: int = 3) -> Dynamics:
    """The signals that limits are held against.

    Raises:
        GeometryError: fewer than `LEAST_INSTANTS` instants.
    """
    if len(motion) < LEAST_INSTANTS:
        raise GeometryError(f"comfort: expected at least {LEAST_INSTANTS} instants, found {len(motion)}")
    offset, rate = vehicle.centre_offset_m, motion.yaw_rate_rps
    along = motion.acceleration_mps2 - offset * rate**2
    across = motion.speed_mps * rate + offset * np.gradient(rate, STEP_S)
    rear_across = motion.speed_mps * rate
    longitudinal = _smooth(along, SMOOTH_ACCELERATION)
    magnitude = _smooth(np.hypot(motion.acceleration_mps2, rear_across), SMOOTH_ACCELERATION)
    headings = np.unwrap(motion.poses[:, 2])
    return Dynamics(
        longitudinal_mps2=longitudinal,
        lateral_mps2=_smooth(across, SMOOTH_ACCELERATION),
        magnitude_mps2=magnitude,
        longitudinal_jerk_mps3=_smooth(longitudinal, SMOOTH_JERK, derivative=1),
        jerk_mps3=_smooth(magnitude, SMOOTH_JERK, derivative=1),
        yaw_rate_rps=_smooth(headings, SMOOTH_YAW, derivative=1),
        yaw_acceleration_rps2=_smooth(headings, SMOOTH_YAW, order=yaw_acceleration_order, derivative=2),
    )


def comfort(motion: Motion, vehicle: VehicleGeometry) -> Comfort:
    """Hold nuPlan's six limits against a motion; with what was driven before in front (`Motion.after`) this is HC."""
    found = dynamics(motion, vehicle)
    low, high = LONGITUDINAL_MPS2
    return Comfort(
        longitudinal=bool(((low < found.longitudinal_mps2) & (found.longitudinal_mps2 < high)).all()),
        lateral=_within(found.lateral_mps2, LATERAL_MPS2),
        jerk=_within(found.jerk_mps3, JERK_MPS3),
        longitudinal_jerk=_within(found.longitudinal_jerk_mps3, LONGITUDINAL_JERK_MPS3),
        yaw_acceleration=_within(found.yaw_acceleration_rps2, YAW_ACCELERATION_RPS2),
        yaw_rate=_within(found.yaw_rate_rps, YAW_RATE_RPS),
    )


def extended_comfort(before: Motion, now: Motion, steps_between: int, vehicle: VehicleGeometry) -> float:
    """EC: 1 if two successive plans agree where they overlap in time, else 0.

    Args:
        before: the earlier plan's motion.
        now: the later one's, which begins `steps_between` instants after it.
        steps_between: instants from one to the next (NAVSIM: 5, half a second).
        vehicle: footprint.

    Raises:
        GeometryError: they overlap in fewer than `LEAST_INSTANTS` instants.
    """
    count = min(len(before) - steps_between, len(now))
    if steps_between < 1 or count < LEAST_INSTANTS:
        raise GeometryError(f"extended comfort: plans {steps_between} instants apart overlap in {count} instants")
    one = dynamics(before.part(steps_between, steps_between + count), vehicle, yaw_acceleration_order=2)
    two = dynamics(now.part(0, count), vehicle, yaw_acceleration_order=2)
    agrees = (
        _rms(one.magnitude_mps2 - two.magnitude_mps2) <= FRAMES_ACCELERATION_MPS2
        and _rms(one.jerk_mps3 - two.jerk_mps3) <= FRAMES_JERK_MPS3
        and _rms(one.yaw_rate_rps - two.yaw_rate_rps) <= FRAMES_YAW_RATE_RPS
        and _rms(one.yaw_acceleration_rps2 - two.yaw_acceleration_rps2) <= FRAMES_YAW_ACCELERATION_RPS2
    )
    return 1.0 if agrees else 0.0


def _smooth(values: Array, window: int, order: int = 2, derivative: int = 0) -> Array:
    return np.round(savitzky_golay(values, min(window, len(values)), order, derivative, STEP_S), 8)


def _within(values: Array, limit: float) -> bool:
    return bool((np.abs(values) < limit).all())


def _rms(values: Array) -> float:
    return float(np.sqrt(np.mean(values**2)))
