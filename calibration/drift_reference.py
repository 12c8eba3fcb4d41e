"""How a plan's signals are distributed on nominal drives: what drift is judged against.

`drift_reference.json` of a checkpoint or a bundle: medians over blocks of 10 s by signal, how much the drives differ in
each, where they come from, and the precision that the model ran in. A bundle's core holds it, so it is bound to the
core's hash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.calibration.nominal_drives import DECODE_SIGNALS, DriveSignals
from onboard_vla.core.errors import BundleError
from onboard_vla.core.thresholds import VISION_OOD, as_drift_reference, check_drift_reference
from onboard_vla.safety.drift import block_medians

DIGITS = 5
"""Significant digits of a median."""

TOLERANCE_QUANTILE = 0.95
"""Of the drives' medians' distances from the median of all: one drive in twenty is allowed to lie farther off."""


@dataclass(frozen=True)
class DriftReference:
    """`blocks`: block medians by signal. `tolerance`: by signal, how far a whole drive may lie from them."""

    blocks: dict[str, tuple[float, ...]]
    tolerance: dict[str, float]


def drift_reference(drives: Sequence[DriveSignals], vision: Sequence[NDArray[np.float32]]) -> DriftReference:
    """Of all drives. `vision`: each drive's distances, out of fold."""
    table: dict[str, list[float]] = {}
    middles: dict[str, list[float]] = {}
    for drive, distances in zip(drives, vision, strict=True):
        signals = {**{name: drive.signals[name] for name in DECODE_SIGNALS}, VISION_OOD: distances}
        for name, values in signals.items():
            medians = block_medians(drive.stamps_ns.tolist(), values.tolist())
            table.setdefault(name, []).extend(map(_rounded, medians))
            middles.setdefault(name, []).append(float(np.median(values)))
    tolerance = {}
    for name, values_of_drives in middles.items():
        aside = np.abs(np.array(values_of_drives) - np.median(values_of_drives))
        tolerance[name] = _rounded(float(np.quantile(aside, TOLERANCE_QUANTILE)))
    return DriftReference({name: tuple(medians) for name, medians in table.items()}, tolerance)


def _rounded(value: float) -> float:
    return float(f"{value:.{DIGITS}g}")


def drift_document(reference: DriftReference, note: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps({**note, **asdict(reference)}) + "\n"


def load_drift_reference(path: Path) -> DriftReference:
    """Read the file.

    Raises:
        BundleError: the file cannot be read, or its values are not such medians.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        blocks, tolerance = document["blocks"], document["tolerance"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} cannot be read as a drift reference: {error!r}") from None
    reference = as_drift_reference(blocks)
    check_drift_reference(reference, tolerance)
    return DriftReference(reference, tolerance)
