"""Can a road vehicle move like this? Raw limits for jumps, smoothed limits for accelerations, rates and jerks.

Smoothed quantities come from `PlacedPlan` (why: there). Raw checks act on the poses as they are.
"""

from __future__ import annotations

import math

import numpy as np

from onboard_vla.core.geometry import compose, inverse, wrap_angle
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import KinematicLimits
from onboard_vla.safety.guards.worst import exceeds, worst_first
from onboard_vla.safety.placed_plan import Array, PlacedPlan


def check_kinematics(placed: PlacedPlan, limits: KinematicLimits, wheelbase_m: float) -> list[Reason]:
    """Reasons to reject the plan: values that are not finite, else raw jumps, else derivatives, each at its worst."""
    # A sum is finite only if all its terms are; which are not is counted only then.
    if not math.isfinite(sum(float(row.sum()) for row in placed.motion_rows)):
        broken = sum(int(np.size(row) - np.count_nonzero(np.isfinite(row))) for row in placed.motion_rows)
        return [Reason("MOTION_NOT_FINITE", float(broken), 0.0, "placed poses or their derivatives are not finite")]
    return check_jumps(placed, limits) or check_smoothed(placed, limits, wheelbase_m)


def kinematic_warnings(placed: PlacedPlan, limits: KinematicLimits) -> list[Reason]:
    """What is reported and rejects nothing: harder than comfort allows (nuPlan's, 2.6)."""
    times, acceleration = placed.times_s, placed.acceleration_mps2
    reasons = [
        exceeds("ACCELERATION_HARD", acceleration, limits.acceleration_warn_mps2, times),
        exceeds("DECELERATION_HARD", -acceleration, limits.deceleration_warn_mps2, times),
        exceeds("LATERAL_ACCELERATION_HARD", np.abs(placed.lateral_mps2), limits.lateral_warn_mps2, times),
    ]
    return worst_first(reasons)


def check_jumps(placed: PlacedPlan, limits: KinematicLimits) -> list[Reason]:
    """Limits on the poses as they came, so that no smoothing hides a jump."""
    step_s = placed.plan.step_s
    steps = compose(inverse(placed.poses[:-1]), placed.poses[1:])
    turn = steps[:, 2]
    forward = steps[:, 0] * np.cos(turn / 2) + steps[:, 1] * np.sin(turn / 2)
    sideways = steps[:, 1] * np.cos(turn / 2) - steps[:, 0] * np.sin(turn / 2)
    speeds = np.concatenate([[placed.start.speed_mps], forward / step_s])
    times = placed.times_s[1:]
    reasons = [
        exceeds("JUMP_SPEED", np.hypot(steps[:, 0], steps[:, 1]) / step_s, limits.raw_speed_max_mps, times),
        exceeds("JUMP_SPEED_CHANGE", np.abs(np.diff(speeds)), limits.raw_speed_change_mps, times),
        exceeds("JUMP_REVERSE", -forward, limits.raw_reverse_m, times),
        exceeds("JUMP_SIDEWAYS", np.abs(sideways), limits.raw_sideways_m, times),
        exceeds("JUMP_HEADING", np.abs(turn), limits.raw_heading_step_rad, times),
        exceeds("JUMP_FINE", _fine_deviation(placed), limits.fine_deviation_m, placed.fine_times_s[1:]),
    ]
    return worst_first(reasons)


def check_smoothed(placed: PlacedPlan, limits: KinematicLimits, wheelbase_m: float) -> list[Reason]:
    """Limits on smoothed derivatives; steering angles are those of a kinematic bicycle."""
    times, step_s = placed.times_s, placed.plan.step_s
    acceleration, lateral = placed.acceleration_mps2, placed.lateral_mps2
    jerk = np.diff(acceleration) / step_s
    releasing = np.where(acceleration[1:] > 0.0, np.abs(jerk), 0.0)
    floor = limits.curvature_speed_floor_mps
    turning = placed.yaw_rate_rps / np.maximum(placed.speed_mps, floor)
    curvature, steering = np.abs(turning), np.arctan(wheelbase_m * turning)
    reasons = [
        exceeds("ACCELERATION", acceleration, limits.acceleration_max_mps2, times),
        exceeds("DECELERATION", -acceleration, limits.deceleration_max_mps2, times),
        exceeds("LATERAL_ACCELERATION", np.abs(lateral), limits.lateral_acceleration_mps2, times),
        exceeds("LATERAL_JERK", np.abs(np.diff(lateral)) / step_s, limits.lateral_jerk_mps3, times[1:]),
        exceeds("LONGITUDINAL_JERK", releasing, limits.longitudinal_jerk_mps3, times[1:]),
        exceeds("CURVATURE", curvature, limits.curvature_per_m, times),
        exceeds("STEERING", np.abs(steering), limits.steering_rad, times),
        exceeds("STEERING_RATE", np.abs(np.diff(steering)) / step_s, limits.steering_rate_rps, times[1:]),
        exceeds("YAW_RATE", np.abs(placed.yaw_rate_rps), limits.yaw_rate_rps, times),
        exceeds("YAW_ACCELERATION", np.abs(placed.yaw_acceleration_rps2), limits.yaw_acceleration_rps2, times),
    ]
    return worst_first(reasons)


def _fine_deviation(placed: PlacedPlan) -> Array:
    """Distance of every fine pose from where its step, cut evenly, would be; heading counts as metres at 1 m."""
    count = len(placed.poses) - 1
    sub_steps = (len(placed.fine) - 1) // count
    shares = np.tile(np.arange(1, sub_steps + 1) / sub_steps, count)
    starts = np.repeat(placed.poses[:-1], sub_steps, axis=0)
    ends = np.repeat(placed.poses[1:], sub_steps, axis=0)
    even = starts[:, :2] + shares[:, None] * (ends[:, :2] - starts[:, :2])
    heading = starts[:, 2] + shares * wrap_angle(ends[:, 2] - starts[:, 2])
    offset = placed.fine[1:, :2] - even
    turn = np.abs(wrap_angle(placed.fine[1:, 2] - heading))
    return np.asarray(np.maximum(np.hypot(offset[:, 0], offset[:, 1]), turn), np.float64)
