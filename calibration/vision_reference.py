"""Fits the statistics that vision's distance is measured with, on the pictures of nominal drives.

Drives are split into folds: the unit, and the distances that drift is judged by, come from statistics that were fitted
without the drive in question. A drive is the unit of the split, never a picture: neighbours look alike.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.calibration.nominal_drives import DriveSignals
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.runtime.vision_reference import CameraReference, scaled

Floats = NDArray[np.float32]

FOLDS = 6
DIRECTIONS = 32
"""Leading directions that keep their own variance."""
PICTURES_PER_DIRECTION = 20
"""Least pictures of a fit, per direction."""
EVERY = 2
"""Of a drive's plans, every other one is fitted on: neighbours at 5 Hz are nearly the same picture."""
UNIT_QUANTILE = 0.99


def fit_references(drives: Sequence[DriveSignals]) -> tuple[dict[str, CameraReference], list[Floats]]:
    """Statistics per camera, and per drive the distances (N,) of its plans, largest over the cameras, out of fold.

    Raises:
        ConfigurationError: too few drives or pictures.
    """
    pictures = sum(len(drive.stamps_ns[::EVERY]) for drive in drives) * (FOLDS - 1) // FOLDS
    if len(drives) < FOLDS or pictures < DIRECTIONS * PICTURES_PER_DIRECTION:
        wanted = DIRECTIONS * PICTURES_PER_DIRECTION
        raise ConfigurationError(
            f"vision statistics need {FOLDS} drives and {wanted} pictures, found {len(drives)} and {pictures}"
        )
    cameras = list(drives[0].pooled)
    references: dict[str, CameraReference] = {}
    largest = [np.zeros(len(drive.stamps_ns), np.float32) for drive in drives]
    for camera in cameras:
        rows = [scaled(drive.pooled[camera]) for drive in drives]
        away = _out_of_fold(rows)
        unit = float(np.quantile(np.concatenate(away), UNIT_QUANTILE))
        references[camera] = _fit(rows, unit)
        largest = [np.maximum(old, new / unit).astype(np.float32) for old, new in zip(largest, away, strict=True)]
    return references, largest


def _out_of_fold(rows: Sequence[Floats]) -> list[Floats]:
    """Distances of each drive's pictures by statistics of the other folds' drives; unit 1."""
    away: list[Floats] = [np.zeros(0, np.float32)] * len(rows)
    for fold in range(FOLDS):
        reference = _fit([row for i, row in enumerate(rows) if i % FOLDS != fold], 1.0)
        for i in range(fold, len(rows), FOLDS):
            away[i] = np.array([reference.distance(row) for row in rows[i]], np.float32)
    return away


def _fit(rows: Sequence[Floats], unit: float) -> CameraReference:
    """Mean, leading directions, and one variance for the rest (probabilistic PCA, Tipping and Bishop 1999)."""
    chosen = np.concatenate([row[::EVERY] for row in rows]).astype(np.float64)
    mean = chosen.mean(axis=0)
    variances, directions = np.linalg.eigh(np.cov(chosen - mean, rowvar=False))
    count = min(DIRECTIONS, len(mean) - 1)
    leading = slice(None, -count - 1, -1)
    # As it will be stored: the distance must be the one that the vehicle computes.
    basis = directions[:, leading].T.astype(np.float16).astype(np.float32)
    rest = float(variances[:-count].mean())
    floor = max(rest, float(np.finfo(np.float32).tiny))
    kept = np.maximum(variances[leading], floor).astype(np.float32)
    return CameraReference(mean.astype(np.float32), basis, kept, floor, unit)
