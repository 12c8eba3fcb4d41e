"""Codebooks as files: our `.npz`, and the pickles that AutoVLA's tools write, read without running anything in them.

A pickle holds `{"token_all": {"veh": contours, ...}}`, contours (K, S, 4, 2) float32 (ucla-mobility/AutoVLA:
tools/action_token/action_token_cluster.py, models/action_tokenizer.py). Where the first of several sub-steps is the
start pose itself it is left out: `Codebook` holds the poses after it.
"""

from __future__ import annotations

import io
import pickle
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onboard_vla.core.codebook import Codebook, contour_poses
from onboard_vla.core.errors import CodebookError

LARGEST_BYTES = 256 * 1024 * 1024
"""A codebook of 65,536 tokens with six sub-steps has 13 MB; a file beyond this is something else."""
ALLOWED = frozenset(
    {
        ("numpy", "ndarray"),
        ("numpy", "dtype"),
        ("numpy.core.multiarray", "_reconstruct"),
        ("numpy._core.multiarray", "_reconstruct"),
        ("numpy.core.numeric", "_frombuffer"),
        ("numpy._core.numeric", "_frombuffer"),
        ("_codecs", "encode"),
    }
)
"""All that plain arrays need, in numpy 1 and 2; every other name in a pickle is refused before it is imported."""
TABLE, VEHICLES = "token_all", "veh"
START_TOLERANCE = 1e-3
"""Metres and radians within which a first sub-step is the start pose."""


def load_codebook(path: Path) -> Codebook:
    """Read a codebook from `.npz`, or from a pickle by a reader that knows arrays and nothing else.

    Raises:
        CodebookError: the file cannot be read, wants something executed, or holds no valid codebook.
    """
    if path.suffix == ".npz":
        return Codebook.load(path)
    if path.suffix not in (".pkl", ".pickle"):
        raise CodebookError(f"{path}: expected a codebook as .npz, .pkl or .pickle")
    contours = _vehicle_contours(_unpickled(path), path)
    try:
        return Codebook(_without_start(contours))
    except CodebookError as error:
        raise CodebookError(f"{path}: {error}") from None


class _ArraysOnly(pickle.Unpickler):
    """Builds numbers, containers and numpy arrays."""

    def find_class(self, module: str, name: str) -> Any:  # noqa: ANN401  (pickle's interface)
        if (module, name) not in ALLOWED:
            raise pickle.UnpicklingError(f"it asks for {module}.{name}, which no codebook needs")
        return super().find_class(module, name)


def _unpickled(path: Path) -> object:
    try:
        size = path.stat().st_size
        if size > LARGEST_BYTES:
            raise CodebookError(f"{path} has {size} bytes, a codebook at most {LARGEST_BYTES}")
        return _ArraysOnly(io.BytesIO(path.read_bytes())).load()
    except CodebookError:
        raise
    except Exception as error:  # a damaged pickle raises whatever it stumbles over
        raise CodebookError(f"{path} is not read as a codebook: {error}") from None


def _vehicle_contours(content: object, path: Path) -> np.ndarray[Any, Any]:
    table = content.get(TABLE) if isinstance(content, Mapping) else None
    contours = table.get(VEHICLES) if isinstance(table, Mapping) else None
    if not isinstance(contours, np.ndarray):
        found = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
        raise CodebookError(f"{path}: expected {{'{TABLE}': {{'{VEHICLES}': array}}}}, found {found}")
    return contours


def _without_start(contours: np.ndarray[Any, Any]) -> np.ndarray[Any, Any]:
    if contours.ndim != 4 or contours.shape[1] < 2 or contours.shape[2:] != (4, 2):
        return contours
    starts = contour_poses(contours[:, 0])
    return np.ascontiguousarray(contours[:, 1:]) if np.abs(starts).max() <= START_TOLERANCE else contours
