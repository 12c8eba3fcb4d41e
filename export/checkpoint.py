"""A Hugging Face folder read with numpy alone: every tensor is accounted for before one is used."""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import cached_property
from pathlib import Path
from typing import Any

import ml_dtypes  # noqa: F401  (registers bfloat16 with numpy, which safetensors then finds)
import numpy as np
from numpy.typing import NDArray
from safetensors import SafetensorError, safe_open

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.checkpoint_config import read_dimensions
from onboard_vla.export.tensor_names import EMBEDDING, HEAD, canonical_names, expected_shapes, file_names

SINGLE_FILE = "model.safetensors"
INDEX_FILE = "model.safetensors.index.json"
FLOAT_TYPES = ("F16", "BF16", "F32")
LISTED_KEYS = 8
"""Keys printed of a long list; the rest is counted."""

Floats = NDArray[np.float32]


class Checkpoint:
    """A complete Qwen2.5-VL checkpoint; tensors are read from disk one at a time when asked for.

    Attributes:
        folder: where it lies.
        model: its dimensions.
        tied: whether the output head is the embedding.
    """

    def __init__(self, folder: Path) -> None:
        """Open a folder and hold its tensors against its configuration, by name and shape, in both directions.

        Raises:
            CheckpointError: a file or tensor is missing, unknown, of another shape or not a float tensor; names them.
        """
        self.folder = folder
        self.model, self.tied = read_dimensions(folder)
        self._files = _files_by_key(folder)
        self._keys = canonical_names(self._files)
        self._check_coverage()

    def tensor(self, name: str) -> Floats:
        """A tensor by canonical name (see tensor_names) as float32."""
        array: NDArray[np.generic] = self._open(self._files[self._keys[name]]).get_tensor(self._keys[name])
        return array.astype(np.float32)

    @cached_property
    def embedding(self) -> NDArray[np.floating]:
        """The embedding table (vocabulary, hidden): float16 where that loses nothing, else float32."""
        table = self.tensor(EMBEDDING)
        with np.errstate(over="ignore"):
            half = table.astype(np.float16)
        return half if np.array_equal(half.astype(np.float32), table) else table

    def head(self) -> Floats:
        """The output head (vocabulary, hidden) as float32."""
        return self.tensor(EMBEDDING if self.tied else HEAD)

    @staticmethod
    def _open(file: Path) -> Any:  # noqa: ANN401  (safetensors ships no types)
        try:
            return safe_open(file, framework="np")
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{file} cannot be read as safetensors: {error}") from None

    def _check_coverage(self) -> None:
        expected = expected_shapes(self.model.text, self.model.vision, self.tied)
        found = set(self._keys)
        if missing := sorted(set(expected) - found):
            names = file_names(missing, self._files)
            raise CheckpointError(
                f"{self.folder} lacks {len(missing)} of {len(expected)} tensors: {_listed(names)}; "
                "copy the checkpoint again, or save the whole model"
            )
        allowed = {*expected, HEAD} if self.tied else set(expected)
        if unknown := sorted(found - allowed):
            names = [self._keys[name] for name in unknown]
            raise CheckpointError(f"{self.folder}: {len(names)} tensors have no place in this model: {_listed(names)}")
        if HEAD in found and self.tied:
            expected[HEAD] = expected[EMBEDDING]
        self._check_shapes(expected)
        if HEAD in found and self.tied and not np.array_equal(self.tensor(HEAD), self.tensor(EMBEDDING)):
            raise CheckpointError(
                f"{self.folder}: config.json ties the head to the embedding, but {self._keys[HEAD]} differs from "
                f"{self._keys[EMBEDDING]}; set tie_word_embeddings to false if the head was trained by itself"
            )

    def _check_shapes(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        for file in sorted(set(self._files.values())):
            handle = self._open(file)
            for name, key in self._keys.items():
                if self._files[key] != file:
                    continue
                piece = handle.get_slice(key)
                shape, kind = tuple(piece.get_shape()), piece.get_dtype()
                if shape != expected[name]:
                    raise CheckpointError(f"{file}: {key} has shape {shape}, config.json says {expected[name]}")
                if kind not in FLOAT_TYPES:
                    raise CheckpointError(f"{file}: {key} is {kind}, expected one of {', '.join(FLOAT_TYPES)}")


def _files_by_key(folder: Path) -> dict[str, Path]:
    """Tensor name in the file to the file that holds it; reads a sharded checkpoint's index."""
    single, index = folder / SINGLE_FILE, folder / INDEX_FILE
    if not single.is_file() and index.is_file():
        return _files_of_index(index)
    if not single.is_file():
        raise CheckpointError(f"{folder}: expected {SINGLE_FILE} or {INDEX_FILE}, found neither")
    try:
        with safe_open(single, framework="np") as handle:
            return dict.fromkeys(handle.keys(), single)
    except (OSError, SafetensorError) as error:
        raise CheckpointError(f"{single} cannot be read as safetensors: {error}") from None


def _files_of_index(index: Path) -> dict[str, Path]:
    try:
        weight_map = json.loads(index.read_text(encoding="utf-8"))["weight_map"]
        files = {str(key): index.parent / str(name) for key, name in weight_map.items()}
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise CheckpointError(f"{index} is no safetensors index: {error!r}") from None
    for file in sorted(set(files.values())):
        if file.parent != index.parent or not file.is_file():
            raise CheckpointError(f"{index} names {file.name}, which is not in the folder")
        try:
            with safe_open(file, framework="np") as handle:
                held = set(handle.keys())
        except (OSError, SafetensorError) as error:
            raise CheckpointError(f"{file} cannot be read as safetensors: {error}") from None
        listed = {key for key, place in files.items() if place == file}
        if held != listed:
            raise CheckpointError(f"{file}: holds other tensors than the index says: {_listed(sorted(held ^ listed))}")
    return files


def _listed(names: list[str]) -> str:
    shown = ", ".join(names[:LISTED_KEYS])
    return shown if len(names) <= LISTED_KEYS else f"{shown} and {len(names) - LISTED_KEYS} more"
