"""What stays fixed for a camera: per pixel its ray, where it meets flat ground, and how large it is there."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import CameraCalibration

FARTHEST_GROUND_M = 260.0
"""Ground farther than this is drawn as sky (haze has swallowed it)."""
NEVER_M = 1e9
HAZE_M = 220.0
"""The haze's length: its share is (1 - exp(-distance / HAZE_M)) squared."""


@dataclass(frozen=True, eq=False)
class CameraRays:
    """Per-pixel constants, ego frame, float32.

    `directions` (H, W, 3): unit rays. `ground` (H, W, 8): x, y of the ground hit, its distance along the ray
    (`NEVER_M`: none), the hit's change per column (x, y) and per row (x, y), and the share of haze there.
    `sky` (H, W, 2): azimuth, elevation in rad.
    `projection` (3, 3) float64: ego direction to pixel, homogeneous.
    """

    directions: NDArray[np.float32]
    ground: NDArray[np.float32]
    sky: NDArray[np.float32]
    projection: NDArray[np.float64]
    position: NDArray[np.float64]


def trace_rays(camera: CameraCalibration) -> CameraRays:
    """Precompute a camera's rays through pixel centres."""
    columns, rows = np.meshgrid(np.arange(camera.width) + 0.5, np.arange(camera.height) + 0.5)
    pixels = np.stack([columns, rows, np.ones_like(columns)], axis=-1)
    to_ego = camera.rotation @ np.linalg.inv(camera.intrinsics)
    rays = pixels @ to_ego.T
    x, y, z = np.moveaxis(rays, -1, 0)
    height = camera.position_m[2]
    with np.errstate(divide="ignore", invalid="ignore"):
        reach = np.where(z < -1e-4, height / -z, np.nan)
        ground_x, ground_y = camera.position_m[0] + reach * x, camera.position_m[1] + reach * y
        distance = reach * np.linalg.norm(rays, axis=-1)
        changes = []
        for axis in (to_ego[:, 0], to_ego[:, 1]):
            slower = -reach * axis[2] / z
            changes += [reach * axis[0] + slower * x, reach * axis[1] + slower * y]
    hit = np.isfinite(distance) & (distance < FARTHEST_GROUND_M)
    haze = (1.0 - np.exp(-np.nan_to_num(distance) / HAZE_M)) ** 2
    ground = np.stack([ground_x, ground_y, distance, *changes, haze], axis=-1)
    ground[~hit] = 0.0
    ground[~hit, 2] = NEVER_M
    directions = rays / np.linalg.norm(rays, axis=-1, keepdims=True)
    sky = np.stack([np.arctan2(y, x), np.arcsin(directions[..., 2])], axis=-1)
    return CameraRays(
        directions.astype(np.float32),
        np.ascontiguousarray(ground, np.float32),
        sky.astype(np.float32),
        camera.intrinsics @ camera.rotation.T,
        camera.position_m.astype(np.float64),
    )
