"""A trajectory as the vehicle would drive it: the world's own gate and plant, as NAVSIM's tracker and bicycle model."""

from __future__ import annotations

import numpy as np

from onboard_vla.core.clock import Now, nanoseconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.scoring.motion import HORIZON_S, STEP_S, Motion
from onboard_vla.core.vehicle_gate import VehicleGate
from onboard_vla.world.vehicle import Vehicle
from onboard_vla.world.world import STEP_S as CONTROL_STEP_S

CONTROLS = round(STEP_S / CONTROL_STEP_S)


def rolled_out(trajectory: SafeTrajectory, ego: EgoState, horizon_s: float = HORIZON_S) -> Motion:
    """Follow one trajectory from `ego` for the horizon, and nothing else."""
    vehicle, gate = Vehicle(ego.x_m, ego.y_m, ego.heading_rad, ego.speed_mps), VehicleGate()
    vehicle.acceleration_mps2 = ego.acceleration_mps2
    vehicle.curvature_per_m = ego.yaw_rate_rps / ego.speed_mps if ego.speed_mps > 0.1 else 0.0
    states, stamp_ns = [ego], ego.stamp_ns
    for _ in range(round(horizon_s / STEP_S)):
        for _ in range(CONTROLS):
            now = Now(stamp_ns, stamp_ns)
            gate.follow(trajectory, now)
            vehicle.step(gate.control(vehicle.state(stamp_ns), now), CONTROL_STEP_S)
            stamp_ns += nanoseconds(CONTROL_STEP_S)
        states.append(vehicle.state(stamp_ns))
    rows = np.array([(e.x_m, e.y_m, e.heading_rad, e.speed_mps, e.acceleration_mps2, e.yaw_rate_rps) for e in states])
    return Motion(rows[:, :3], rows[:, 3], rows[:, 4], rows[:, 5])
