"""Ground points into pictures, and poses of the vehicle out of the record."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.closed_loop_record import PlanRecord, RunRecord
from onboard_vla.core.cameras import CameraCalibration
from onboard_vla.core.geometry import compose, inverse

LEAST_DEPTH_M = 0.3
"""Points nearer to the camera's plane than this are not drawn."""
RIBBON_WIDTH_M = 1.6
"""Drawn width of a trajectory: a little narrower than the vehicle."""
RIBBON_SPACING_M = 0.5

Array = NDArray[np.float64]


def project(calibration: CameraCalibration, points: Array) -> tuple[Array, NDArray[np.bool_]]:
    """Pixels (N, 2) of ego-frame points (N, 3), and which of them lie in front of the camera."""
    seen = (points - calibration.position_m) @ calibration.rotation
    visible = seen[:, 2] > LEAST_DEPTH_M
    depth = np.where(visible, seen[:, 2], 1.0)
    pixels = (seen / depth[:, None]) @ calibration.intrinsics.T
    return pixels[:, :2], visible


def ribbon(path: Array) -> tuple[Array, Array]:
    """Left and right edge (N, 3) on the ground of a path (M, 2), evenly spaced; empty for a path without length."""
    steps = np.hypot(*np.diff(path, axis=0).T) if len(path) > 1 else np.zeros(0)
    keep = np.concatenate([[True], steps > 1e-3]) if len(path) else np.zeros(0, bool)
    path = path[keep]
    if len(path) < 2:
        return np.zeros((0, 3)), np.zeros((0, 3))
    arc = np.concatenate([[0.0], np.cumsum(np.hypot(*np.diff(path, axis=0).T))])
    samples = np.linspace(0.0, arc[-1], max(int(arc[-1] / RIBBON_SPACING_M), 2))
    x, y = np.interp(samples, arc, path[:, 0]), np.interp(samples, arc, path[:, 1])
    heading = np.unwrap(np.arctan2(np.gradient(y, samples), np.gradient(x, samples)))
    across = np.stack([-np.sin(heading), np.cos(heading)], axis=1) * (RIBBON_WIDTH_M / 2)
    middle = np.stack([x, y], axis=1)
    ground = np.zeros((len(samples), 1))
    return np.hstack([middle + across, ground]), np.hstack([middle - across, ground])


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
