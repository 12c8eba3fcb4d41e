"""A checkpoint whose every tensor is accounted for before one is used, whatever format its weights have."""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.checkpoint_config import read_dimensions
from onboard_vla.export.lightning_store import LightningStore, lightning_file
from onboard_vla.export.lora import MergedLora, merged
from onboard_vla.export.safetensors_store import SafetensorsStore
from onboard_vla.export.tensor_names import EMBEDDING, HEAD, canonical_names, expected_shapes, file_names
from onboard_vla.export.tensor_store import FLOAT_TYPES, Floats, TensorStore, listed

LORA_FILE = "lora.json"
"""Optional file beside a `.ckpt`: `{"alpha": 8}`, for adapters whose checkpoint does not say it."""
ROWS_AT_ONCE = 16384
"""Rows of the embedding table read at a time."""


class Checkpoint:
    """A complete Qwen2.5-VL checkpoint; tensors are read from disk one at a time when asked for.

    Attributes:
        folder: where it lies.
        model: its dimensions.
        tied: whether the output head is the embedding.
        alpha: LoRA's, with which adapters are folded in; None where there are none.
    """

    def __init__(self, folder: Path) -> None:
        """Open a folder and hold its tensors against its configuration, by name and shape, in both directions.

        Raises:
            CheckpointError: a file or tensor is missing, unknown, of another shape or not a float tensor; names them.
        """
        self.folder = folder
        self.model, self.tied = read_dimensions(folder)
        lightning = lightning_file(folder)
        if lightning is None:
            self._store: TensorStore = SafetensorsStore(folder)
        else:
            opened = LightningStore(lightning)
            self._store = merged(opened, lora_alpha(folder), opened.lora_alphas, str(lightning))
        self.alpha = self._store.alpha if isinstance(self._store, MergedLora) else None
        self._names = canonical_names(self._store.tensors)
        if lightning is not None:
            self._adopt_vocabulary()
        self._check_coverage()

    def tensor(self, name: str, rows: slice | None = None) -> Floats:
        """A tensor by canonical name (see tensor_names), or some of its rows, as float32.

        Raises:
            CheckpointError: it holds a NaN or an infinity.
        """
        array = self._store.read(self._names[name], rows)
        if not np.isfinite(array).all():
            count = int(array.size - np.isfinite(array).sum())
            raise CheckpointError(
                f"{self.folder}: {self._key(name)} holds {count} values that are NaN or infinite; "
                "the training or the copy went wrong"
            )
        return array

    @cached_property
    def embedding_type(self) -> type[np.floating]:
        """float16 where the embedding table loses nothing in it, else float32."""
        rows = self.model.text.vocabulary_size
        for start in range(0, rows, ROWS_AT_ONCE):
            part = self.tensor(EMBEDDING, slice(start, start + ROWS_AT_ONCE))
            with np.errstate(over="ignore"):
                if not np.array_equal(part.astype(np.float16).astype(np.float32), part):
                    return np.float32
        return np.float16

    @cached_property
    def embedding(self) -> NDArray[np.floating]:
        """The embedding table (vocabulary, hidden) in `embedding_type`."""
        return self.tensor(EMBEDDING).astype(self.embedding_type)

    def save_embedding(self, path: Path, progress: Callable[[float], None] = lambda _: None) -> None:
        """Write the embedding table as `.npy`, some rows at a time and in order.

        Not through a memory map: on a disk that fills up, that ends the process with SIGBUS instead of an error.
        """
        rows, width = self.model.text.vocabulary_size, self.model.text.hidden_size
        kind = np.dtype(self.embedding_type)
        header = {"descr": np.lib.format.dtype_to_descr(kind), "fortran_order": False, "shape": (rows, width)}
        with path.open("wb") as file:
            np.lib.format.write_array_header_1_0(file, header)
            for start in range(0, rows, ROWS_AT_ONCE):
                file.write(self.tensor(EMBEDDING, slice(start, start + ROWS_AT_ONCE)).astype(kind).data)
                progress(min(start + ROWS_AT_ONCE, rows) / rows)

    def head(self, rows: slice | None = None) -> Floats:
        """The output head (vocabulary, hidden), or some of its rows, as float32."""
        return self.tensor(EMBEDDING if self.tied else HEAD, rows)

    @property
    def names(self) -> tuple[str, ...]:
        """Canonical names of all tensors."""
        return tuple(self._names)

    def shape(self, name: str) -> tuple[int, ...]:
        """Shape of a tensor by canonical name."""
        return self._store.tensors[self._names[name]].shape

    def _key(self, name: str) -> str:
        """A tensor's name in its file."""
        return self._store.tensors[self._names[name]].key

    def _file_prefix(self) -> str:
        """What stands before most tensors' names in the file: nothing, or what a training wrapped the model in."""
        prefixes = Counter(
            tensor.key.removesuffix(name) for name, tensor in self._store.tensors.items() if tensor.key.endswith(name)
        )
        return max(prefixes, key=prefixes.__getitem__, default="")

    def _adopt_vocabulary(self) -> None:
        """Take the vocabulary's size from the embedding: training grew it, the base model's config.json does not know.

        Whether that many rows fit the tokenizer is held against it later (see `assets`).
        """
        stored = self._store.tensors.get(self._names.get(EMBEDDING, ""))
        if stored is not None and len(stored.shape) == 2:
            self.model = replace(self.model, text=replace(self.model.text, vocabulary_size=stored.shape[0]))

    def _check_coverage(self) -> None:
        tensors = self._store.tensors
        expected = expected_shapes(self.model.text, self.model.vision, self.tied)
        found = set(self._names)
        allowed = {*expected, HEAD} if self.tied else set(expected)
        without_place = ""
        if unknown := sorted(found - allowed):
            names = [self._key(name) for name in unknown]
            without_place = f"{len(names)} tensors have no place in this model: {listed(names)}"
        if missing := sorted(set(expected) - found):
            names = [self._file_prefix() + name for name in file_names(missing, tensors)]
            also = f"; {without_place}" if unknown else ""
            raise CheckpointError(
                f"{self.folder} lacks {len(missing)} of {len(expected)} tensors: {listed(names)}{also}; "
                "copy the checkpoint again, or save the whole model"
            )
        if unknown:
            raise CheckpointError(f"{self.folder}: {without_place}")
        if HEAD in found and self.tied:
            expected[HEAD] = expected[EMBEDDING]
        self._check_shapes(expected)
        if HEAD in found and self.tied and not self._head_is_embedding():
            raise CheckpointError(
                f"{self.folder}: config.json ties the head to the embedding, but {self._key(HEAD)} differs from "
                f"{self._key(EMBEDDING)}; set tie_word_embeddings to false if the head was trained by itself"
            )

    def _check_shapes(self, expected: Mapping[str, tuple[int, ...]]) -> None:
        for name in self._names:
            stored = self._store.tensors[self._names[name]]
            if stored.shape != expected[name]:
                raise CheckpointError(
                    f"{stored.file}: {stored.key} has shape {stored.shape}, config.json says {expected[name]}"
                )
            if stored.kind not in FLOAT_TYPES:
                raise CheckpointError(
                    f"{stored.file}: {stored.key} is {stored.kind}, expected one of {', '.join(FLOAT_TYPES)}"
                )

    def _head_is_embedding(self) -> bool:
        parts = (slice(start, start + ROWS_AT_ONCE) for start in range(0, self.shape(HEAD)[0], ROWS_AT_ONCE))
        return all(np.array_equal(self.tensor(HEAD, part), self.tensor(EMBEDDING, part)) for part in parts)


def lora_alpha(folder: Path) -> float | None:
    """LoRA's alpha as the file beside the weights says it; None where there is no such file."""
    file = folder / LORA_FILE
    if not file.is_file():
        return None
    try:
        return float(json.loads(file.read_text(encoding="utf-8"))["alpha"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(f'{file}: expected {{"alpha": number}}: {error!r}') from None
