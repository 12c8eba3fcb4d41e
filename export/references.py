"""What nominal drives showed, as files beside a checkpoint, taken into a bundle's core where they are about its model.

`vision_reference.npz` (see runtime.vision_reference) and `drift_reference.json` (see calibration.drift_reference) both
name the `fingerprint` of the checkpoint and the `precision` that was driven (see `computed_numbers`): of other weights
or prompts they are refused, of another precision, other scales or other ranges they say nothing and are left out.
"""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from pathlib import Path

import numpy as np

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.activation_ranges import fingerprint
from onboard_vla.export.archives import why_unread

VISION_FILE, DRIFT_FILE = "vision_reference.npz", "drift_reference.json"
AGAIN = "drive and calibrate again (python -m onboard_vla.app.nominal_drives, then onboard_vla.calibration.nominal)"


def take_references(checkpoint: Path, folder: Path, precision: str) -> tuple[str | None, str | None]:
    """Copy the references of `checkpoint` into a bundle's folder; their names there, None for what is not there.

    Raises:
        CheckpointError: one of them cannot be read, or is about other weights or prompts.
    """
    return _take(checkpoint, folder, VISION_FILE, precision, _of_npz), _take(
        checkpoint, folder, DRIFT_FILE, precision, _of_json
    )


def _take(
    checkpoint: Path, folder: Path, name: str, precision: str, read: Callable[[Path], tuple[str, str]]
) -> str | None:
    path = checkpoint / name
    if not path.is_file():
        return None
    try:
        made_for, driven = read(path)
    except Exception as error:  # zipfile and zlib raise types of their own on damaged archives
        raise CheckpointError(f"{path} cannot be read: {why_unread(error)}; {AGAIN}") from None
    if driven != precision:  # nothing of it is taken, whatever it was made for
        return None
    if made_for != (found := fingerprint(checkpoint)):
        raise CheckpointError(f"{path} was made for a checkpoint of sha256 {made_for}, this one has {found}: {AGAIN}")
    shutil.copyfile(path, folder / name)
    return name


def _of_npz(path: Path) -> tuple[str, str]:
    with np.load(path, allow_pickle=False) as archive:
        return str(archive["fingerprint"]), str(archive["precision"])


def _of_json(path: Path) -> tuple[str, str]:
    document = json.loads(path.read_text(encoding="utf-8"))
    return str(document["fingerprint"]), str(document["precision"])
