"""A trajectory as the vehicle would drive it: the world's own gate and plant, as NAVSIM's tracker and bicycle model."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, nanoseconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import compose
from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.scoring.motion import HORIZON_S, STEP_S, Motion
from onboard_vla.core.vehicle_gate import VehicleGate
from onboard_vla.world.vehicle import Vehicle
from onboard_vla.world.world import STEP_S as CONTROL_STEP_S

CONTROLS = round(STEP_S / CONTROL_STEP_S)
SMOOTHED = 5
"""Steps of 0.1 s over which a plan's speed is averaged: its tokens are half a second each."""


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


def as_trajectory(fine_poses: NDArray[np.floating], ego: EgoState) -> SafeTrajectory:
    """A plan's fine poses (T, 3), ego frame at `ego`'s stamp, as the gate takes them."""
    poses = np.vstack([np.zeros(3), np.asarray(fine_poses, np.float64)])
    placed = compose(np.array([ego.x_m, ego.y_m, ego.heading_rad]), poses)
    times = STEP_S * np.arange(len(poses))
    steps = np.hypot(*np.diff(poses[:, :2], axis=0).T) / STEP_S
    half = SMOOTHED // 2
    smooth = np.convolve(np.concatenate([np.full(half, steps[0]), steps, np.full(half, steps[-1])]), _mean(), "valid")
    speed = np.concatenate([smooth[:1], smooth])
    points = np.column_stack([times, placed, speed, np.gradient(speed, STEP_S)])
    return SafeTrajectory(
        stamp_ns=ego.stamp_ns,
        sequence=0,
        engagement=Engagement.ENGAGED,
        mode=Mode.NOMINAL,
        source="model",
        plan_id=0,
        reasons=(),
        points=points,
        hazard_lights=False,
        takeover=Takeover.NONE,
        takeover_stamp_ns=NO_STAMP,
        driver_stamp_ns=NO_STAMP,
        refusals=(),
        shadow_passes=0,
        config_hash="",
    )


def _mean() -> NDArray[np.float64]:
    return np.ones(SMOOTHED) / SMOOTHED
