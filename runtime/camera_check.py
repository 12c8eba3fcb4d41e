"""Is the camera that sends the pictures the one that the bundle's model was trained with?"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import CameraInput
from onboard_vla.core.cameras import CameraModel
from onboard_vla.kernels.reference_images import crop_box

FOCAL_TOLERANCE = 0.05
"""Relative difference of focal lengths (own choice): a fifth of what tells a 60 degree lens from a 70 degree one."""
CENTRE_TOLERANCE = 0.05
"""Distance of principal points as a share of the model's picture (own choice): mounting calibrations stay below it."""


def calibration_mismatch(found: CameraModel, expected: CameraInput, sent: tuple[int, int] | None) -> str | None:
    """What does not fit, in one line; None when all fits, as far as the bundle says what it expects.

    Args:
        found: what the driver says.
        expected: the bundle's camera; where it names no intrinsics, only the picture's size is checked.
        sent: width and height of the pictures that arrive, once one has.
    """
    values = (*found.intrinsics.ravel(), *found.distortion)
    if not np.all(np.isfinite(values)) or found.width < 1 or found.height < 1:
        return f"camera model has no size or numbers that are not finite: {found.width}x{found.height}"
    if sent is not None and sent != (found.width, found.height):
        return f"camera model is for {found.width}x{found.height}, pictures are {sent[0]}x{sent[1]}: fix the driver"
    if expected.intrinsics is None:
        return None
    if np.any(found.distortion != 0.0):
        return (
            f"pictures are distorted ({found.distortion_model}): the bundle expects rectified ones: send image_rect, "
            "and set cameras.rectified of vla_planner, or publish CameraInfo with D = 0 and K = P"
        )
    wanted = np.reshape(expected.intrinsics, (3, 3))
    has = model_intrinsics(found, expected)
    for name, i in (("focal length across", 0), ("focal length down", 1)):
        if not abs(has[i, i] - wanted[i, i]) <= FOCAL_TOLERANCE * abs(wanted[i, i]):
            return _differs(name, has[i, i], wanted[i, i], FOCAL_TOLERANCE * abs(wanted[i, i]))
    for name, i, extent in (("optical centre across", 0, expected.width), ("optical centre down", 1, expected.height)):
        if not abs(has[i, 2] - wanted[i, 2]) <= CENTRE_TOLERANCE * extent:
            return _differs(name, has[i, 2], wanted[i, 2], CENTRE_TOLERANCE * extent)
    return None


def model_intrinsics(found: CameraModel, expected: CameraInput) -> NDArray[np.float64]:
    """The driver's intrinsics (3, 3) in pixels of the cropped and resized picture that the model sees.

    A pixel's centre is at whole numbers: resizing by s moves x to (x + 0.5) s - 0.5.
    """
    left, top, right, bottom = crop_box(found.width, found.height, expected.crop)
    has: NDArray[np.float64] = found.intrinsics.copy()
    for row, first, last, extent in ((0, left, right, expected.width), (1, top, bottom, expected.height)):
        scale = extent / (last - first)
        has[row, 2] = (has[row, 2] - first + 0.5) * scale - 0.5
        has[row, :2] *= scale
    return has


def _differs(name: str, has: float, wanted: float, limit: float) -> str:
    return (
        f"{name} is {has:.1f} px in the model's picture, the bundle was trained with {wanted:.1f} (limit {limit:.1f} "
        "apart): mount its camera, or use a bundle for this one"
    )
