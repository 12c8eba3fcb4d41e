"""Safetensors, one file or shards with an index, as `save_pretrained` writes them."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 with numpy, which safetensors then finds)
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.tensor_store import Floats, StoredTensor, listed

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
UPPER = 1 if sys.byteorder == "little" else 0
"""Which of two halves of a number is the upper one."""


class SafetensorsStore:
    """Tensors of a folder's safetensors files."""

    def __init__(self, folder: Path) -> None:
        """Find every tensor; nothing is read yet.

        Raises:
            CheckpointError: a file is missing, damaged, or holds other tensors than the index says.
        """
        self._files = _files_by_key(folder)
        self.tensors: dict[str, StoredTensor] = {}
        for file in sorted(set(self._files.values())):
            handle = _open(file)
            for key in (key for key, place in self._files.items() if place == file):
                piece = handle.get_slice(key)
                self.tensors[key] = StoredTensor(tuple(piece.get_shape()), piece.get_dtype(), key, str(file))

    def read(self, name: str, rows: slice | None = None) -> Floats:
        """A tensor, or some rows of it, as float32."""
        handle = _open(self._files[name])
        if rows is None:
            array: Any = handle.get_tensor(name)
        else:  # unlike numpy, safetensors refuses to reach beyond the end
            array = handle.get_slice(name)[rows.start or 0 : min(rows.stop, self.tensors[name].shape[0])]
        return as_float32(array)


def as_float32(array: NDArray[Any]) -> Floats:
    """An array in float32; bfloat16 is its upper half.

    Moving the bits takes a tenth of the time of ml_dtypes' cast.
    """
    if array.dtype.name != "bfloat16":
        return np.asarray(array, np.float32)
    halves = np.zeros((*array.shape, 2), np.uint16)
    halves[..., UPPER] = array.view(np.uint16)
    return halves.view(np.float32)[..., 0]


def _open(file: Path) -> Any:  # noqa: ANN401  (safetensors ships no types)
    try:
        return safe_open(file, framework="np")
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{file} cannot be read as safetensors: {error}") from None


def _files_by_key(folder: Path) -> dict[str, Path]:
    """Tensor name in the file to the file that holds it; reads a sharded checkpoint's index."""
    single, index = folder / SINGLE_FILE, folder / INDEX_FILE
    if not single.is_file() and index.is_file():
        return _files_of_index(index)
    if not single.is_file():
        raise CheckpointError(f"{folder}: expected {SINGLE_FILE}, {INDEX_FILE} or one .ckpt file, found none of them")
    return dict.fromkeys(_open(single).keys(), single)


def _files_of_index(index: Path) -> dict[str, Path]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = {str(key): index.parent / str(name) for key, name in weight_map.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is no safetensors index: {error!r}") from None
    for file in sorted(set(files.values())):
        if file.parent != index.parent or not file.is_file():
            raise CheckpointError(f"{index} names {file.name}, which is not in the folder")
        held = set(_open(file).keys())
        indexed = {key for key, place in files.items() if place == file}
        if held != indexed:
            raise CheckpointError(f"{file}: holds other tensors than the index says: {listed(sorted(held ^ indexed))}")
    return files
