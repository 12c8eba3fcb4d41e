"""Activation ranges as a file: what calibration scenes showed, kept beside a checkpoint whose scenes are too large.

`calibration_ranges.npz` of a checkpoint folder: for each linear layer `largest/{layer}` (inputs,) float32, the largest
magnitude seen at each input channel; `error/{name}`, of large models, what INT8 costs each layer and step (see
`step_errors`); `scenes`, how many; `scenes_from`, a word on where they come from; `fingerprint`,
the sha256 of everything in the folder that shapes activations. Ranges of other weights or prompts are refused.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.archives import why_unread
from onboard_vla.export.aside import made_aside, put
from onboard_vla.export.checkpoint import LORA_FILE
from onboard_vla.export.fingerprints import WEIGHTS, file_hash

RANGES_FILE = "calibration_ranges.npz"
LARGEST, ERROR = "largest/", "error/"
SHAPING = (
    *WEIGHTS,
    LORA_FILE,
    "config.json",
    "preprocessor_config.json",
    "cameras.json",
    "prompt.json",
    "tokenizer.json",
)
"""Files of a checkpoint folder that decide what flows through its layers."""

Largest = Mapping[str, NDArray[np.float32]]


@dataclass(frozen=True, eq=False)
class ActivationRanges:
    """`largest[layer]`: (inputs,) largest |x| per input channel over `scenes` scenes of `scenes_from`.

    `errors`: what quantising costs layers and steps, where that was measured (see `step_errors`).
    """

    largest: Largest
    scenes: int
    scenes_from: str
    errors: Mapping[str, float] = field(default_factory=dict)


def fingerprint(folder: Path) -> str:
    """sha256 over the names and contents of the files that shape activations."""
    digest = hashlib.sha256()
    for path in sorted(path for pattern in SHAPING for path in folder.glob(pattern)):
        digest.update(path.name.encode())
        digest.update(file_hash(path).encode())
    return digest.hexdigest()


def save_ranges(folder: Path, ranges: ActivationRanges) -> Path:
    """Write `calibration_ranges.npz` into a checkpoint folder, whole or not at all.

    Raises:
        EnvironmentLacksError: the file cannot be written, or the disk is full.
    """
    path = folder / RANGES_FILE
    with made_aside(path) as aside:
        write_ranges(aside / RANGES_FILE, folder, ranges)
        put(aside / RANGES_FILE, path)
    return path


def write_ranges(path: Path, folder: Path, ranges: ActivationRanges) -> None:
    """Write ranges of a checkpoint folder to a file."""
    arrays = {f"{LARGEST}{name}": values for name, values in sorted(ranges.largest.items())}
    arrays |= {f"{ERROR}{name}": np.float32(value) for name, value in sorted(ranges.errors.items())}
    with path.open("wb") as file:
        np.savez_compressed(
            file,
            scenes=np.array(ranges.scenes),
            scenes_from=np.array(ranges.scenes_from),
            fingerprint=np.array(fingerprint(folder)),
            **arrays,  # type: ignore[arg-type]
        )


def check_fingerprint(folder: Path) -> None:
    """Hold a checkpoint folder against its ranges' fingerprint; without ranges there is nothing to hold it against.

    Raises:
        CheckpointError: the ranges cannot be read, or the folder's files are not those that they were made for.
    """
    if (folder / RANGES_FILE).is_file():
        _read(folder)


def load_ranges(folder: Path, inputs: Mapping[str, int]) -> ActivationRanges:
    """Read `calibration_ranges.npz` of a checkpoint folder.

    Args:
        folder: the checkpoint folder.
        inputs: number of input channels of every linear layer.

    Raises:
        CheckpointError: the file cannot be read, was made for other weights or prompts, or does not fit the layers.
    """
    path = folder / RANGES_FILE
    arrays, scenes, origin = _read(folder)
    largest = {name[len(LARGEST) :]: array for name, array in arrays.items() if name.startswith(LARGEST)}
    expected = {name: (count,) for name, count in inputs.items()}
    shapes = {name: array.shape for name, array in largest.items()}
    if shapes != expected:
        wrong = sorted(name for name in {*shapes, *expected} if shapes.get(name) != expected.get(name))
        raise CheckpointError(
            f"{path}: {wrong[0]} has ranges of shape {shapes.get(wrong[0])}, expected {expected.get(wrong[0])}"
        )
    if bad := sorted(name for name, array in largest.items() if not (np.isfinite(array) & (array >= 0)).all()):
        raise CheckpointError(f"{path}: the ranges of {bad[0]} are not finite and at least 0")
    errors = {name[len(ERROR) :]: float(array) for name, array in arrays.items() if name.startswith(ERROR)}
    if wrong := sorted(name for name, value in errors.items() if not value >= 0):
        raise CheckpointError(f"{path}: the error of {wrong[0]} is {errors[wrong[0]]}, expected a number of at least 0")
    return ActivationRanges(largest, scenes, origin, errors)


def _read(folder: Path) -> tuple[dict[str, NDArray[Any]], int, str]:
    """All arrays, number of scenes and where they come from, after the fingerprint was checked."""
    path = folder / RANGES_FILE
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: archive[name] for name in archive.files}
        made_for, scenes, origin = str(arrays["fingerprint"]), int(arrays["scenes"]), str(arrays["scenes_from"])
    except Exception as error:  # zipfile and zlib raise types of their own on damaged archives
        raise CheckpointError(f"{path} cannot be read as activation ranges: {why_unread(error)}") from error
    if made_for != (found := fingerprint(folder)):
        raise CheckpointError(
            f"{folder}: weights, configuration, prompt and tokenizer have sha256 {found}, {RANGES_FILE} was made for "
            f"{made_for}: if nobody changed them a file is damaged, copy the checkpoint again; after a change observe "
            "again (onboard-vla observe)"
        )
    return arrays, scenes, origin
