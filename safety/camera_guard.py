"""Is a picture fit for use? Black, overexposed, covered, blurred, frozen, out of order (safety sheet 3.3).

Runs in the camera-guard process; the supervisor never sees a picture. The measures are taken on a grey picture made by
taking every n-th pixel. One bad picture is enough where the measure is beyond doubt (black, overexposed, out of order,
malformed); covered and blurred need several in a row (many at the sides, where a vehicle alongside fills the picture),
frozen needs repetition by nature.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FRONT, CameraFrame
from onboard_vla.core.clock import seconds
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.camera_guard_config import CameraGuardConfig


@dataclass(frozen=True)
class PictureMeasures:
    """What one grey picture shows. Fractions of pixels or blocks; Laplacian variance in grey levels squared."""

    mean: float
    dark_fraction: float
    bright_fraction: float
    flat_fraction: float
    laplacian_variance: float


@dataclass
class _Track:
    """What is remembered of one camera."""

    stamp_ns: int | None = None
    sequence: int | None = None
    checksum: int | None = None
    same_since_ns: int = 0
    same_count: int = 0
    flat_count: int = 0
    blur_count: int = 0


class CameraGuard:
    """Judges pictures of any number of cameras, each by its own history."""

    def __init__(self, config: CameraGuardConfig) -> None:
        self.config = config
        self._tracks: dict[str, _Track] = {}

    def check(self, frame: CameraFrame, speed_mps: float) -> Verdict:
        """Judge one picture; `speed_mps` (the vehicle's) decides how soon an unchanged picture counts as frozen."""
        track = self._tracks.setdefault(frame.camera, _Track())
        reasons = _check_order(frame, track)
        fault = _shape_fault(frame.image)
        if fault is not None:
            reasons.append(fault)
        else:
            reasons += self._check_picture(frame, track, speed_mps)
        if track.stamp_ns is None or frame.stamp_ns > track.stamp_ns:
            track.stamp_ns, track.sequence = frame.stamp_ns, frame.sequence
        return Verdict(frame.camera, frame.stamp_ns, frame.sequence, not reasons, tuple(reasons))

    def _check_picture(self, frame: CameraFrame, track: _Track, speed_mps: float) -> list[Reason]:
        limits = self.config
        measures = measure(grey_picture(frame.image, limits.width_px), limits)
        found = []
        if measures.mean < limits.mean_min:
            found.append(Reason("BLACK", measures.mean, limits.mean_min, "mean grey"))
        elif measures.dark_fraction > limits.dark_fraction_max:
            found.append(Reason("BLACK", measures.dark_fraction, limits.dark_fraction_max, "fraction of dark pixels"))
        if measures.mean > limits.mean_max:
            found.append(Reason("OVEREXPOSED", measures.mean, limits.mean_max, "mean grey"))
        elif measures.bright_fraction > limits.bright_fraction_max:
            detail = "fraction of white pixels"
            found.append(Reason("OVEREXPOSED", measures.bright_fraction, limits.bright_fraction_max, detail))
        front = frame.camera == FRONT
        track.flat_count = track.flat_count + 1 if measures.flat_fraction > limits.flat_fraction_max else 0
        if track.flat_count >= (limits.flat_frames if front else limits.side_frames):
            detail = f"fraction of flat blocks, {track.flat_count} pictures"
            found.append(Reason("COVERED", measures.flat_fraction, limits.flat_fraction_max, detail))
        track.blur_count = track.blur_count + 1 if measures.laplacian_variance < limits.laplacian_min else 0
        if track.blur_count >= (limits.blur_frames if front else limits.side_frames):
            detail = f"Laplacian variance, {track.blur_count} pictures"
            found.append(Reason("BLURRED", measures.laplacian_variance, limits.laplacian_min, detail))
        frozen = self._check_frozen(frame, track, speed_mps)
        return [*found, frozen] if frozen is not None else found

    def _check_frozen(self, frame: CameraFrame, track: _Track, speed_mps: float) -> Reason | None:
        limits = self.config
        checksum = zlib.crc32(np.ascontiguousarray(frame.image[:: limits.row_step]).data)
        if checksum != track.checksum:
            track.checksum, track.same_since_ns, track.same_count = checksum, frame.stamp_ns, 1
            return None
        track.same_count += 1
        moving = not abs(speed_mps) <= limits.frozen_speed_mps
        if moving and track.same_count >= limits.frozen_frames:
            return Reason("FROZEN", float(track.same_count), float(limits.frozen_frames), "equal pictures while moving")
        same_s = seconds(frame.stamp_ns - track.same_since_ns)
        if same_s >= limits.frozen_standstill_s:
            return Reason("FROZEN", same_s, limits.frozen_standstill_s, "equal pictures at standstill, s")
        return None


def grey_picture(image: NDArray[np.uint8], width_px: int) -> NDArray[np.int16]:
    """Every n-th pixel of (H, W, 3) RGB as grey (h, w) int16, n such that w is closest above `width_px`."""
    step = max(1, image.shape[1] // width_px)
    small = image[::step, ::step]
    grey = small[..., 1].astype(np.int16)
    grey *= 2
    grey += small[..., 0]
    grey += small[..., 2]
    grey >>= 2
    return grey


def measure(grey: NDArray[np.int16], limits: CameraGuardConfig) -> PictureMeasures:
    """All measures of one grey picture (h, w)."""
    histogram = np.bincount(grey.ravel(), minlength=256)
    count = grey.size
    mean = float(np.arange(len(histogram)) @ histogram) / count
    dark = float(histogram[: limits.dark_level + 1].sum()) / count
    bright = float(histogram[limits.bright_level :].sum()) / count
    laplacian = grey[1:-1, :-2] + grey[1:-1, 2:]
    laplacian += grey[:-2, 1:-1]
    laplacian += grey[2:, 1:-1]
    laplacian -= 4 * grey[1:-1, 1:-1]
    values = laplacian.astype(np.float32).ravel()
    variance = float(values @ values) / values.size - float(values.mean()) ** 2
    return PictureMeasures(mean, dark, bright, flat_fraction(grey, limits.block_px, limits.flat_std), variance)


def flat_fraction(grey: NDArray[np.int16], block_px: int, flat_std: float) -> float:
    """Fraction of whole blocks whose standard deviation is below `flat_std`."""
    rows, columns = grey.shape[0] // block_px, grey.shape[1] // block_px
    if rows == 0 or columns == 0:
        return 0.0
    blocks = grey[: rows * block_px, : columns * block_px].astype(np.float32)
    blocks = blocks.reshape(rows, block_px, columns, block_px)
    area = block_px * block_px
    total = np.einsum("abcd->ac", blocks)
    squares = np.einsum("abcd,abcd->ac", blocks, blocks)
    variance = squares / area - (total / area) ** 2
    return float(np.mean(variance < flat_std**2))


def _check_order(frame: CameraFrame, track: _Track) -> list[Reason]:
    if track.stamp_ns is None or frame.stamp_ns > track.stamp_ns:
        return []
    back = seconds(frame.stamp_ns - track.stamp_ns)
    return [Reason("STAMP_ORDER", back, 0.0, "stamp against the picture before, s")]


def _shape_fault(image: NDArray[np.uint8]) -> Reason | None:
    coloured = isinstance(image, np.ndarray) and image.dtype == np.uint8 and image.ndim == 3 and image.shape[2] == 3
    if coloured and min(image.shape[:2]) >= 3:
        return None
    return Reason("MALFORMED", 1.0, 0.0, "expected (H, W, 3) uint8, at least 3x3")
