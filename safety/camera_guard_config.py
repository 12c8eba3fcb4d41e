"""Limits of the camera guard, with unit, range and source (safety basis 3.3 unless said otherwise)."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.validated import Validated, limit

NOISE_FREE_STANDSTILL_S = 3600.0
"""`frozen_standstill_s` for a synthetic camera: without sensor noise it shows the same picture while nothing moves. At
standstill that harms nobody, and from `frozen_speed_mps` on the rule for moving vehicles holds."""


@dataclass(frozen=True)
class CameraGuardConfig(Validated):
    """When a picture is unfit for use (error) or worth a line in the log (warning). Grey levels are 0 to 255."""

    width_px: int = limit(320, "px", "3.3: figures were measured at 320x180", 64, 1920)
    mean_min: float = limit(8.0, "grey level", "3.3 error", 0.0, 255.0)
    mean_max: float = limit(235.0, "grey level", "3.3 error", 0.0, 255.0)
    mean_low_warn: float = limit(20.0, "grey level", "3.3 warning", 0.0, 255.0)
    mean_high_warn: float = limit(215.0, "grey level", "3.3 warning", 0.0, 255.0)
    dark_level: int = limit(5, "grey level", "3.3", 0, 255)
    dark_fraction_max: float = limit(0.90, "1", "3.3 error", 0.0, 1.0)
    dark_fraction_warn: float = limit(0.50, "1", "3.3 warning", 0.0, 1.0)
    bright_level: int = limit(250, "grey level", "3.3", 0, 255)
    bright_fraction_max: float = limit(0.60, "1", "3.3 error", 0.0, 1.0)
    bright_fraction_warn: float = limit(0.35, "1", "3.3 warning", 0.0, 1.0)
    block_px: int = limit(16, "px", "3.3", 4, 64)
    flat_std: float = limit(2.0, "grey level", "3.3", 0.0, 50.0)
    flat_fraction_max: float = limit(0.40, "1", "own: half covered is 0.5, and 10.2 F3 asks L2 (3.3)", 0.0, 1.0)
    flat_fraction_warn: float = limit(0.35, "1", "3.3 warning", 0.0, 1.0)
    laplacian_min: float = limit(25.0, "grey level^2", "3.3 error", 0.0, 10000.0)
    laplacian_warn: float = limit(100.0, "grey level^2", "3.3 warning", 0.0, 10000.0)
    entropy_min: float = limit(3.0, "bit", "3.3 error", 0.0, 8.0)
    entropy_warn: float = limit(4.0, "bit", "own: 3.3 has 4.4 for a half covered lens, 7.1 for good ones", 0.0, 8.0)
    noise_max: float = limit(30.0, "grey level", "own: half the pictures' contrast; 3.3 tried sigma 40", 1.0, 255.0)
    noise_warn: float = limit(15.0, "grey level", "own: calibrate on the camera's own night pictures", 1.0, 255.0)
    frames: int = limit(3, "pictures", "3.3 and 10.2 F3: covered, blurred, empty, noisy; front camera", 1, 300)
    side_frames: int = limit(30, "pictures", "own: a vehicle alongside fills a side camera for seconds", 1, 300)
    frozen_frames: int = limit(3, "pictures", "3.3", 2, 100)
    frozen_speed_mps: float = limit(1.0, "m/s", "3.3", 0.0, 10.0)
    frozen_standstill_s: float = limit(1.0, "s", "3.3; 3600 for synthetic cameras, which have no noise", 0.1, 3600.0)
    frozen_difference: float = limit(0.05, "grey level", "3.3: mean difference, lossy codecs", 0.0, 5.0)
    row_step: int = limit(16, "rows", "3.3: CRC32 of every 16th row", 1, 64)
    future_s: float = limit(0.005, "s", "10.2 F16: future stamps", 0.0, 0.1)
    skew_learn_frames: int = limit(20, "pictures", "own: 2 s at 10 Hz", 3, 300)
    skew_tracked_s: float = limit(0.04, "s", "10.2 F16: tolerated; the learned offset follows within it", 0.0, 0.1)
    skew_max_s: float = limit(0.07, "s", "10.2 F16: between 40 ms tolerated and 100 ms detected", 0.02, 0.5)
    skew_frames: int = limit(3, "pictures", "own: two of so many beyond the limit", 2, 20)
    skew_tracking: float = limit(0.005, "1", "own: share per picture; 20 s at 10 Hz", 0.0, 0.1)
