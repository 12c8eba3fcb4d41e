"""Limits of the camera guard, with unit, range and source (safety sheet 3.3 unless said otherwise)."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.validated import Validated, limit

NEVER_S = 3600.0
"""A synthetic camera shows the same picture while nothing moves; at standstill that harms nobody, and from
`frozen_speed_mps` on the rule for moving vehicles holds. Real cameras have noise: set 1.0 s there."""


@dataclass(frozen=True)
class CameraGuardConfig(Validated):
    """When a picture is unfit for use. Grey levels are 0 to 255."""

    width_px: int = limit(320, "px", "3.3: figures were measured at 320x180", 64, 1920)
    mean_min: float = limit(8.0, "grey level", "3.3 error", 0.0, 255.0)
    mean_max: float = limit(235.0, "grey level", "3.3 error", 0.0, 255.0)
    dark_level: int = limit(5, "grey level", "3.3", 0, 255)
    dark_fraction_max: float = limit(0.90, "1", "3.3 error", 0.0, 1.0)
    bright_level: int = limit(250, "grey level", "3.3", 0, 255)
    bright_fraction_max: float = limit(0.60, "1", "3.3 error", 0.0, 1.0)
    block_px: int = limit(16, "px", "3.3", 4, 64)
    flat_std: float = limit(2.0, "grey level", "3.3", 0.0, 50.0)
    flat_fraction_max: float = limit(0.60, "1", "3.3 error", 0.0, 1.0)
    flat_frames: int = limit(3, "pictures", "3.3, front camera", 1, 300)
    laplacian_min: float = limit(25.0, "grey level^2", "3.3 error", 0.0, 10000.0)
    blur_frames: int = limit(3, "pictures", "10.2 F3: 450 ms at 10 Hz, front camera", 1, 300)
    side_frames: int = limit(30, "pictures", "own: a vehicle alongside fills a side camera for seconds", 1, 300)
    frozen_frames: int = limit(3, "pictures", "3.3", 2, 100)
    frozen_speed_mps: float = limit(1.0, "m/s", "3.3", 0.0, 10.0)
    frozen_standstill_s: float = limit(NEVER_S, "s", "own: 1.0 (3.3) where the camera has sensor noise", 0.1, NEVER_S)
    row_step: int = limit(16, "rows", "3.3: CRC32 of every 16th row", 1, 64)
