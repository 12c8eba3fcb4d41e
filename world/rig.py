"""The camera rig: six calibrated cameras, read from `rig.json`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import CAMERAS, CameraCalibration

RIG_FILE = Path(__file__).with_name("rig.json")


def default_rig(
    width: int | None = None, height: int | None = None, file: Path | None = None
) -> dict[str, CameraCalibration]:
    """The world's six cameras, in the order of `core.cameras.CAMERAS`.

    Args:
        width: picture width in pixels; the file's own where None. The field of view stays.
        height: picture height in pixels; the file's own where None.
        file: another rig in the form of rig.json.
    """
    data = json.loads((file or RIG_FILE).read_text(encoding="utf-8"))
    w, h = width or int(data["width"]), height or int(data["height"])
    rig = {}
    for name in CAMERAS:
        camera = data["cameras"][name]
        focal = w / 2 / np.tan(np.radians(camera["horizontal_fov_deg"]) / 2)
        intrinsics = np.array([[focal, 0.0, w / 2], [0.0, focal, h / 2], [0.0, 0.0, 1.0]])
        rotation = optical_to_ego(np.radians(camera["yaw_deg"]), np.radians(camera["pitch_deg"]))
        rig[name] = CameraCalibration(name, w, h, intrinsics, rotation, np.array(camera["position_m"], np.float64))
    return rig


def optical_to_ego(yaw_rad: float, pitch_rad: float) -> NDArray[np.float64]:
    """Rotation (3, 3) from the optical frame (x right, y down, z forward) to the ego frame, without roll."""
    cos_y, sin_y, cos_p, sin_p = np.cos(yaw_rad), np.sin(yaw_rad), np.cos(pitch_rad), np.sin(pitch_rad)
    right = np.array([sin_y, -cos_y, 0.0])
    forward = np.array([cos_y * cos_p, sin_y * cos_p, -sin_p])
    down = np.cross(forward, right)
    return np.stack([right, down, forward], axis=1)
