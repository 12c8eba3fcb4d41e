"""How a plan's signals are distributed on nominal drives: what drift is judged against.

`drift_reference.json` of a checkpoint or a bundle: medians over blocks of 10 s by signal, how many drives they come
from, and the precision that the model ran in. A bundle's core holds it, so it is bound to the core's hash.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
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

Blocks = dict[str, tuple[float, ...]]


def drift_blocks(drives: Sequence[DriveSignals], vision: Sequence[NDArray[np.float32]]) -> Blocks:
    """Block medians of all drives by signal. `vision`: each drive's distances, out of fold."""
    table: dict[str, list[float]] = {}
    for drive, distances in zip(drives, vision, strict=True):
        signals = {**{name: drive.signals[name] for name in DECODE_SIGNALS}, VISION_OOD: distances}
        for name, values in signals.items():
            medians = block_medians(drive.stamps_ns.tolist(), values.tolist())
            table.setdefault(name, []).extend(float(f"{value:.{DIGITS}g}") for value in medians)
    return {name: tuple(values) for name, values in table.items()}


def drift_document(blocks: Blocks, note: dict[str, Any]) -> str:
    """The file's text."""
    return json.dumps({**note, "blocks": {name: list(values) for name, values in blocks.items()}}) + "\n"


def load_blocks(path: Path) -> Blocks:
    """Read the block medians.

    Raises:
        BundleError: the file cannot be read, or its values are not such medians.
    """
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        blocks = document["blocks"]
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise BundleError(f"{path} cannot be read as a drift reference: {error!r}") from None
    reference = as_drift_reference(blocks)
    check_drift_reference(reference)
    return reference
