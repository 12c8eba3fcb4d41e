"""A planner for scenarios: follows the lane at the speed limit, with a swing across it if asked for."""

from __future__ import annotations

import numpy as np

from onboard_vla.core.geometry import Polyline, compose, inverse
from onboard_vla.core.plan import PassCount, Plan, Uncertainty
from onboard_vla.world.vehicle import Vehicle

CORE_HASH = "scenarios"
"""What the plans, and the thresholds that go with them, are bound to."""
POSES, SUB_STEPS, STEP_S = 10, 5, 0.5
ACCELERATION_MPS2 = 1.0


def lane_plan(vehicle: Vehicle, line: Polyline, limit_mps: float, swing_m: float, number: int, stamp_ns: int) -> Plan:
    """A well-formed plan of 5 s from the vehicle's pose; it ends `swing_m` beside the lane's centre."""
    pose = np.array([vehicle.x_m, vehicle.y_m, vehicle.heading_rad])
    s, d = line.project(pose[None, :2])
    t = np.arange(1, POSES * SUB_STEPS + 1) * (STEP_S / SUB_STEPS)
    speed = vehicle.speed_mps + np.clip(limit_mps - vehicle.speed_mps, -ACCELERATION_MPS2 * t, ACCELERATION_MPS2 * t)
    arcs = s[0] + np.cumsum((np.concatenate([[vehicle.speed_mps], speed[:-1]]) + speed) / 2 * (STEP_S / SUB_STEPS))
    offset = swing_m + (d[0] - swing_m) * np.exp(-t / 1.5)
    heading = np.asarray(line.heading_at(arcs), np.float64)
    xy = line.at(arcs) + offset[:, None] * np.stack([-np.sin(heading), np.cos(heading)], axis=1)
    course = heading + np.arctan2(np.gradient(offset, arcs), 1.0)
    fine = compose(inverse(pose), np.column_stack([xy, course])).astype(np.float32)
    return Plan(
        number, stamp_ns, stamp_ns, STEP_S, fine[SUB_STEPS - 1 :: SUB_STEPS].copy(), fine, tuple(range(POSES)), "fast",
        0.0, "", Uncertainty.sure(POSES, 0.01), PassCount(1, 1, 9), {}, CORE_HASH,
    )  # fmt: skip
