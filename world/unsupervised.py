"""A model's plan as the vehicle gate takes it, with no supervisor between."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import compose
from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, SafeTrajectory, Takeover

STEP_S = 0.1
SMOOTHED = 5
"""Steps over which a plan's speed is averaged: its tokens are half a second each."""


def unsupervised_trajectory(fine_poses: NDArray[np.floating], ego: EgoState) -> SafeTrajectory:
    """A plan's fine poses (T, 3) every 0.1 s, ego frame at `ego`'s stamp, in the world and with speeds."""
    poses = np.vstack([np.zeros(3), np.asarray(fine_poses, np.float64)])
    placed = compose(np.array([ego.x_m, ego.y_m, ego.heading_rad]), poses)
    times = STEP_S * np.arange(len(poses))
    steps = np.hypot(*np.diff(poses[:, :2], axis=0).T)
    half = SMOOTHED // 2
    mirrored = np.concatenate([steps[:half][::-1], steps, steps[-half:][::-1]])
    smooth = np.convolve(mirrored, np.full(SMOOTHED, 1 / SMOOTHED), "valid") / STEP_S
    speed = np.concatenate([smooth[:1], smooth])
    points = np.column_stack([times, placed, speed, np.gradient(speed, times)])
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
