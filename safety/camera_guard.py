"""Is a picture fit for use? Black, overexposed, covered, blurred, empty, noisy, frozen, skewed, out of order.

Runs in the camera-guard process; the supervisor never sees a picture. One bad picture is enough where the measure is
beyond doubt (black, overexposed, out of order, malformed); the others need several in a row: at the sides many, because
a vehicle alongside fills the picture. A verdict carries every reason with its measured value; a usable picture's
reasons are warnings.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FRONT, CameraFrame
from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.camera_guard_config import CameraGuardConfig
from onboard_vla.safety.camera_guard_measures import Grey, PictureMeasures, grey_picture, measure
from onboard_vla.safety.camera_guard_skew import SkewWatch
from onboard_vla.safety.guards.clock import ClockWatch
from onboard_vla.safety.guards.clock_step import restated_by
from onboard_vla.safety.input_config import ClockLimits


@dataclass(frozen=True)
class MeasureLimit:
    """One measure's two limits. `upper`: too much is wrong, else too little. `at_once`: one picture is enough."""

    measure: str
    upper: bool
    at_once: bool
    error: str
    error_limit: str
    warning: str
    warning_limit: str
    detail: str


# fmt: off
MEASURE_LIMITS = (
    MeasureLimit("mean", False, True, "BLACK", "mean_min", "DARK", "mean_low_warn", "mean grey"),
    MeasureLimit("dark_fraction", True, True, "BLACK", "dark_fraction_max", "DARK", "dark_fraction_warn",
                 "fraction of dark pixels"),
    MeasureLimit("mean", True, True, "OVEREXPOSED", "mean_max", "BRIGHT", "mean_high_warn", "mean grey"),
    MeasureLimit("bright_fraction", True, True, "OVEREXPOSED", "bright_fraction_max", "BRIGHT", "bright_fraction_warn",
                 "fraction of white pixels"),
    MeasureLimit("flat_fraction", True, False, "COVERED", "flat_fraction_max", "PARTLY_COVERED", "flat_fraction_warn",
                 "fraction of flat blocks"),
    MeasureLimit("laplacian_variance", False, False, "BLURRED", "laplacian_min", "SOFT", "laplacian_warn",
                 "Laplacian variance"),
    MeasureLimit("entropy_bits", False, False, "LOW_ENTROPY", "entropy_min", "DULL", "entropy_warn",
                 "entropy of the grey levels, bit"),
    MeasureLimit("noise_sigma", True, False, "NOISE", "noise_max", "NOISY", "noise_warn", "noise sigma, grey levels"),
)
# fmt: on


@dataclass
class _Track:
    """What is remembered of one camera. `runs`: pictures in a row beyond each error and warning limit."""

    stamp_ns: int | None = None
    checksum: int | None = None
    grey: Grey | None = None
    same_since_ns: int = 0
    same_count: int = 0
    runs: dict[str, int] = field(default_factory=dict)


class CameraGuard:
    """Judges pictures of any number of cameras, each by its own history (and its stamps beside the others').

    `config_hash`: of the settings that `config` is part of; every verdict carries it.
    """

    def __init__(self, config: CameraGuardConfig, config_hash: str) -> None:
        self.config, self.config_hash = config, config_hash
        self._tracks: dict[str, _Track] = {}
        self._skew = SkewWatch(config)
        self._clock = ClockWatch(ClockLimits())

    def check(self, frame: CameraFrame, speed_mps: float, now: Now) -> Verdict:
        """Judge one picture. `speed_mps`: the vehicle's; `now`: when it arrived."""
        self._follow_clock(now)
        track = self._tracks.setdefault(frame.camera, _Track())
        errors = _check_order(frame, track)
        if not errors:
            errors = [reason for reason in (self._skew.check(frame.camera, frame.stamp_ns, now),) if reason]
        warnings: list[Reason] = []
        fault = _shape_fault(frame.image)
        if fault is not None:
            errors.append(fault)
        else:
            grey = grey_picture(frame.image, self.config.width_px)
            measures = measure(grey, self.config)
            found, warnings = self._check_measures(frame.camera, measures, track)
            errors += found + self._check_frozen(frame, grey, measures, track, speed_mps)
        if track.stamp_ns is None or frame.stamp_ns > track.stamp_ns:
            track.stamp_ns = frame.stamp_ns
        reasons = (*errors, *warnings)
        return Verdict(frame.camera, frame.stamp_ns, frame.sequence, not errors, reasons, self.config_hash)

    def _follow_clock(self, now: Now) -> None:
        """A step of the data clock must not make every later picture look older than the last one."""
        step_ns = self._clock.step_ns(now)
        if not step_ns:
            return
        clock = restated_by(step_ns, now.stamp_ns)
        for track in self._tracks.values():
            track.stamp_ns = None if track.stamp_ns is None else clock(track.stamp_ns)
            track.same_since_ns = clock(track.same_since_ns)

    def _check_measures(
        self, camera: str, measures: PictureMeasures, track: _Track
    ) -> tuple[list[Reason], list[Reason]]:
        """Errors, and warnings about measures that are no error."""
        several = self.config.frames if camera == FRONT else self.config.side_frames
        errors: list[Reason] = []
        warnings: list[Reason] = []
        for row in MEASURE_LIMITS:
            value = float(getattr(measures, row.measure))
            needed = 1 if row.at_once else several
            if self._beyond(row, row.error_limit, value, track) >= needed:
                errors.append(Reason(row.error, value, float(getattr(self.config, row.error_limit)), row.detail))
            if self._beyond(row, row.warning_limit, value, track) >= needed and row.error not in _codes(errors):
                warnings.append(Reason(row.warning, value, float(getattr(self.config, row.warning_limit)), row.detail))
        return errors, warnings

    def _beyond(self, row: MeasureLimit, limit: str, value: float, track: _Track) -> int:
        """Pictures in a row, this one included, in which the measure is not within this limit (NaN is not)."""
        allowed = float(getattr(self.config, limit))
        within = value <= allowed if row.upper else value >= allowed
        track.runs[limit] = 0 if within else track.runs.get(limit, 0) + 1
        return track.runs[limit]

    def _check_frozen(
        self, frame: CameraFrame, grey: Grey, measures: PictureMeasures, track: _Track, speed_mps: float
    ) -> list[Reason]:
        """Equal pictures, to the bit or up to a codec's noise. A picture without structure is covered, not frozen."""
        limits = self.config
        checksum = zlib.crc32(np.ascontiguousarray(frame.image[:: limits.row_step]).data)
        same = checksum == track.checksum or _difference(grey, track.grey) < limits.frozen_difference
        track.checksum, track.grey = checksum, grey
        if not same or not measures.flat_fraction <= limits.flat_fraction_max:
            track.same_since_ns, track.same_count = frame.stamp_ns, 1
            return []
        track.same_count += 1
        moving = not abs(speed_mps) <= limits.frozen_speed_mps
        if moving and track.same_count >= limits.frozen_frames:
            detail = "equal pictures in a row while moving"
            return [Reason("FROZEN", float(track.same_count), float(limits.frozen_frames), detail)]
        same_s = seconds(frame.stamp_ns - track.same_since_ns)
        if same_s >= limits.frozen_standstill_s:
            return [Reason("FROZEN", same_s, limits.frozen_standstill_s, "equal pictures at standstill, s")]
        return []


def _codes(reasons: list[Reason]) -> list[str]:
    return [reason.code for reason in reasons]


def _difference(grey: Grey, before: Grey | None) -> float:
    """Mean absolute difference of two pictures; infinite where they cannot be compared."""
    if before is None or before.shape != grey.shape:
        return float("inf")
    return float(np.abs(grey - before).mean())


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
