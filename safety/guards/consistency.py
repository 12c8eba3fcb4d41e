"""A plan must fit the vehicle as it is now, and the plan before it."""

from __future__ import annotations

import math

import numpy as np

from onboard_vla.core.clock import seconds
from onboard_vla.core.geometry import compose, inverse
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import ConsistencyLimits, HandbackLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.placed_plan import Array, PlacedPlan


def check_consistency(placed: PlacedPlan, motion: Motion, stamp_ns: int, limits: ConsistencyLimits) -> list[Reason]:
    """Speed and pose that the plan expects at `stamp_ns` against the vehicle's motion then; its start likewise."""
    age_s = seconds(stamp_ns - placed.stamp_ns)
    gap = compose(inverse(placed.pose_at(age_s)), motion.pose)
    speed_gap = abs(placed.speed_at(age_s) - motion.speed_mps)
    longitudinal = limits.longitudinal_m + limits.longitudinal_per_speed_s * abs(motion.speed_mps)
    start_gap = abs(placed.own_start_speed_mps - placed.start.speed_mps)
    checks = (
        ("PLAN_START_SPEED", start_gap, limits.speed_mps, "plan's own first speed against the vehicle's then"),
        ("PLAN_SPEED", speed_gap, limits.speed_mps, "plan's speed now against the vehicle's"),
        ("PLAN_LATERAL", abs(float(gap[1])), limits.lateral_m, "vehicle beside the plan"),
        ("PLAN_LONGITUDINAL", abs(float(gap[0])), longitudinal, "vehicle ahead of or behind the plan"),
        ("PLAN_YAW", abs(float(gap[2])), limits.yaw_rad, "vehicle's heading against the plan's"),
    )
    return [Reason(code, value, limit, detail) for code, value, limit, detail in checks if not value <= limit]


def check_steadiness(placed: PlacedPlan, before: PlacedPlan, limits: HandbackLimits) -> list[Reason]:
    """Comfort between two plans in a row (EC of section 2.3): root mean square differences over their common time."""
    shift_s = seconds(placed.stamp_ns - before.stamp_ns)
    times = placed.times_s[placed.times_s + shift_s <= before.times_s[-1]]
    if len(times) < 2:
        return [Reason("UNSTEADY_HORIZON", float(len(times)), 2.0, "plans hardly overlap in time")]

    def rms(now: Array, then: Array) -> float:
        earlier = np.interp(times + shift_s, before.times_s, then)
        return float(np.sqrt(np.mean((now[: len(times)] - earlier) ** 2)))

    step_s = placed.plan.step_s
    jerk_now, jerk_then = (np.gradient(p.acceleration_mps2, step_s) for p in (placed, before))
    checks = (
        (
            "UNSTEADY_ACCELERATION",
            rms(placed.acceleration_mps2, before.acceleration_mps2),
            limits.acceleration_rms_mps2,
        ),
        ("UNSTEADY_JERK", rms(jerk_now, jerk_then), limits.jerk_rms_mps3),
        ("UNSTEADY_YAW_RATE", rms(placed.yaw_rate_rps, before.yaw_rate_rps), limits.yaw_rate_rms_rps),
        (
            "UNSTEADY_YAW_ACCELERATION",
            rms(placed.yaw_acceleration_rps2, before.yaw_acceleration_rps2),
            limits.yaw_acceleration_rms_rps2,
        ),
    )
    return [Reason(code, value, limit, "change between plans") for code, value, limit in checks if not value <= limit]


def check_agreement(model: Array, current: Array, limits: HandbackLimits) -> list[Reason]:
    """Model and present trajectory, both (T, 6) points from the same instant, over the first `window_s` (6.2)."""
    rows = min(len(model), len(current), math.floor(limits.window_s / (model[1, 0] - model[0, 0]) + 1e-9) + 1)
    gap = compose(inverse(current[:rows, 1:4]), model[:rows, 1:4])
    checks = (
        ("HANDBACK_LATERAL", float(np.abs(gap[:, 1]).max()), limits.lateral_m),
        ("HANDBACK_HEADING", float(np.abs(gap[:, 2]).max()), limits.heading_rad),
        ("HANDBACK_SPEED", float(np.abs(model[:rows, 4] - current[:rows, 4]).max()), limits.speed_mps),
    )
    return [
        Reason(code, value, limit, "model against the fallback") for code, value, limit in checks if not value <= limit
    ]
