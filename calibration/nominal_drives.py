"""What nominal drives leave for calibration: every plan's signals, and the embeddings that it was made of."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import Plan
from onboard_vla.core.thresholds import CHOSEN_MASS, SPREAD_REDUCE
from onboard_vla.safety.guards.uncertainty import values_of

DECODE_SIGNALS = (SPREAD_REDUCE, CHOSEN_MASS)
"""Signals of a plan's decoding that drift is watched on; vision's distance follows from the embeddings."""
PART = "drive_{:03d}/"

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class DriveSignals:
    """One nominal drive. `stamps_ns`: (N,) int64 of its plans, rising; `signals[name]`: (N,), each plan's worst value.

    `pooled[camera]`: (N, D) mean embedding of the newest frame pair.
    """

    scene_id: str
    stamps_ns: NDArray[np.int64]
    signals: dict[str, Floats]
    pooled: dict[str, Floats]


def drive_signals(scene_id: str, plans: Sequence[Plan], pooled: Sequence[dict[str, Floats]]) -> DriveSignals:
    """The signals of one drive's plans. `pooled`: what each plan was made of, by camera.

    Raises:
        ConfigurationError: the drive has no plan, or something is not finite.
    """
    if not plans:
        raise ConfigurationError(f"drive {scene_id!r} has no plan: nothing to calibrate on")
    found = [values_of(plan.uncertainty) for plan in plans]
    drive = DriveSignals(
        scene_id,
        np.array([plan.stamp_ns for plan in plans], np.int64),
        {name: np.array([row[name] for row in found], np.float32) for name in DECODE_SIGNALS},
        {camera: np.stack([row[camera] for row in pooled]) for camera in pooled[0]},
    )
    if not all(np.isfinite(values).all() for table in (drive.signals, drive.pooled) for values in table.values()):
        raise ConfigurationError(
            f"drive {scene_id!r}: a signal is not finite; such plans are rejected, not calibrated on"
        )
    return drive


def save_drives(path: Path, drives: Sequence[DriveSignals], fingerprint: str, precision: str) -> None:
    """Write drives of one checkpoint and `precision` (see `computed_numbers`) into one .npz; embeddings in float16."""
    arrays: dict[str, NDArray[np.generic]] = {
        "fingerprint": np.array(fingerprint),
        "precision": np.array(precision),
        "scene_ids": np.array([drive.scene_id for drive in drives]),
    }
    for index, drive in enumerate(drives):
        part = PART.format(index)
        arrays[f"{part}stamps_ns"] = drive.stamps_ns
        arrays |= {f"{part}signal/{name}": values for name, values in drive.signals.items()}
        arrays |= {f"{part}pooled/{camera}": rows.astype(np.float16) for camera, rows in drive.pooled.items()}
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("wb") as file:
        np.savez(file, **arrays)  # type: ignore[arg-type]


def load_drives(path: Path) -> tuple[list[DriveSignals], str, str]:
    """Drives, the checkpoint's fingerprint, and the precision.

    Raises:
        ConfigurationError: the file cannot be read.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        drives = []
        for index, scene_id in enumerate(arrays["scene_ids"]):
            part = PART.format(index)
            found = {name[len(part) :]: values for name, values in arrays.items() if name.startswith(part)}
            signals = {n[len("signal/") :]: v for n, v in found.items() if n.startswith("signal/")}
            pooled = {n[len("pooled/") :]: v.astype(np.float32) for n, v in found.items() if n.startswith("pooled/")}
            drives.append(DriveSignals(str(scene_id), found["stamps_ns"], signals, pooled))
        return drives, str(arrays["fingerprint"]), str(arrays["precision"])
    except Exception as error:  # zipfile and zlib raise types of their own on damaged archives
        raise ConfigurationError(f"{path} cannot be read as a file of nominal drives: {error!r}") from None
