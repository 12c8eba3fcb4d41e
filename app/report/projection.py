"""Poses of the vehicle out of the record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop_record import PlanRecord, RunRecord
from onboard_vla.core.geometry import compose, inverse

Array = NDArray[np.float64]


def pose_at(record: RunRecord, time_ns: int) -> Array:
    """The vehicle's pose (3,) at the step nearest to this time; the first step's before the run."""
    times = np.array([step.time_ns for step in record.steps])
    step = record.steps[int(np.argmin(np.abs(times - time_ns)))]
    return np.array([step.x_m, step.y_m, step.heading_rad])


def plan_in_odometry(record: RunRecord, plan: PlanRecord) -> Array:
    """A plan's poses (T + 1, 3) in the odometry frame, beginning at the vehicle's pose when the picture was taken."""
    origin = pose_at(record, plan.stamp_ns)
    return np.vstack([origin, compose(origin, plan.poses.astype(np.float64))])


def in_ego_frame(pose: tuple[float, float, float], points: Array) -> Array:
    """Odometry-frame points (N, 2) in the frame of a vehicle at `pose`."""
    placed = np.hstack([points, np.zeros((len(points), 1))])
    return compose(inverse(np.array(pose)), placed)[:, :2]
