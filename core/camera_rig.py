"""Where cameras sit and what they see: rigs from files, and points on the ground into pictures."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import CAMERAS, CameraCalibration
from onboard_vla.core.errors import ConfigurationError

LEAST_DEPTH_M = 0.3
"""Points nearer to the camera's plane than this are not drawn."""
RIBBON_WIDTH_M = 1.6
"""Drawn width of a trajectory: a little narrower than the vehicle."""
RIBBON_SPACING_M = 0.5

Array = NDArray[np.float64]


def read_rig(file: Path, width: int | None = None, height: int | None = None) -> dict[str, CameraCalibration]:
    """The six cameras of a file in the form of world/rig.json, in the order of `core.cameras.CAMERAS`.

    Args:
        file: the rig.
        width: picture width in pixels; the file's own where None. The field of view stays.
        height: picture height in pixels; the file's own where None.

    Raises:
        ConfigurationError: the file cannot be read, or lacks something.
    """
    try:
        data = json.loads(file.read_text(encoding="utf-8"))
        w, h = width or int(data["width"]), height or int(data["height"])
        rig = {}
        for name in CAMERAS:
            camera = data["cameras"][name]
            focal = w / 2 / np.tan(np.radians(camera["horizontal_fov_deg"]) / 2)
            intrinsics = np.array([[focal, 0.0, w / 2], [0.0, focal, h / 2], [0.0, 0.0, 1.0]])
            rotation = optical_to_ego(np.radians(camera["yaw_deg"]), np.radians(camera["pitch_deg"]))
            position = np.array(camera["position_m"], np.float64)
            rig[name] = CameraCalibration(name, w, h, intrinsics, rotation, position)
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{file}: not a camera rig in the form of world/rig.json: {error!r}") from None
    return rig


def optical_to_ego(yaw_rad: float, pitch_rad: float) -> Array:
    """Rotation (3, 3) from the optical frame (x right, y down, z forward) to the ego frame, without roll."""
    cos_y, sin_y, cos_p, sin_p = np.cos(yaw_rad), np.sin(yaw_rad), np.cos(pitch_rad), np.sin(pitch_rad)
    right = np.array([sin_y, -cos_y, 0.0])
    forward = np.array([cos_y * cos_p, sin_y * cos_p, -sin_p])
    down = np.cross(forward, right)
    return np.stack([right, down, forward], axis=1)


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
