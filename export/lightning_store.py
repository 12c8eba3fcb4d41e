"""Lightning checkpoints (`.ckpt`) as AutoVLA's training writes them, read without running anything that is in them.

A `.ckpt` is a pickle. It is opened by torch with `weights_only=True`, which builds tensors and plain containers and
refuses everything else, and mapped into memory, so that a checkpoint larger than memory can be read; pages that were
read are given back at once, because the kernel counts them as this process's memory. Torch belongs to the extra
`parity` and is imported here alone.

Prefixes that training wrappers put before the names of transformers (ucla-mobility/AutoVLA: models/autovla.py,
tools/run_rft.py) are taken off: `autovla.vlm.`, `drivevla.vlm.`, and below it peft's `base_model.model.`.
"""

from __future__ import annotations

import ctypes
import mmap
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np

from onboard_vla.core.errors import CheckpointError, EnvironmentLacksError
from onboard_vla.core.installation import installation
from onboard_vla.export.tensor_store import Floats, StoredTensor, listed

WRAPPERS = ("autovla.vlm.", "drivevla.vlm.", "autovla.", "drivevla.", "vlm.")
PEFT = "base_model.model."
CONVERT = "save {'state_dict': model.state_dict()} alone with torch.save where the checkpoint was trained"
MAPPINGS = Path("/proc/self/maps")
LORA_TABLE, ALPHA_NAMES = "lora", ("alpha", "lora_alpha")


class LightningStore:
    """Tensors of a `.ckpt` under the names of transformers.

    `lora_alphas`: values that the stored hyperparameters name for LoRA's alpha (none, one, or contradicting ones).
    """

    def __init__(self, file: Path) -> None:
        """Open the file and take the prefixes off.

        Raises:
            EnvironmentLacksError: torch is not installed.
            CheckpointError: the file is damaged, holds objects that are not loaded, has no state_dict, or two of its
                keys are the same tensor.
        """
        self._file = file
        content = _load(file)
        self._mapping = _Mapping(file)
        state = content.get("state_dict") if isinstance(content, Mapping) else None
        if not isinstance(state, Mapping) or not state:
            found = sorted(map(str, content)) if isinstance(content, Mapping) else type(content).__name__
            raise CheckpointError(f"{file}: expected a Lightning checkpoint with a state_dict, found {found}")
        self._values: dict[str, Any] = {}
        self.tensors: dict[str, StoredTensor] = {}
        for key, value in state.items():
            name = without_prefixes(str(key))
            if name in self.tensors:
                raise CheckpointError(f"{file}: {self.tensors[name].key} and {key} are both {name}")
            if not hasattr(value, "dtype"):
                raise CheckpointError(f"{file}: {key} is a {type(value).__name__}, expected a tensor")
            self.tensors[name] = StoredTensor(tuple(value.shape), _kind(str(value.dtype)), str(key), str(file))
            self._values[name] = value
        self.lora_alphas = sorted(set(_alphas(content.get("hyper_parameters"))))

    def read(self, name: str, rows: slice | None = None) -> Floats:
        """A tensor, or some rows of it, as float32."""
        value = self._values[name] if rows is None else self._values[name][rows]
        found = np.array(value.float().numpy(), np.float32)
        self._mapping.give_back(value.untyped_storage())
        return found


def without_prefixes(key: str) -> str:
    """A key as transformers names it."""
    for wrapper in WRAPPERS:
        if key.startswith(wrapper):
            key = key[len(wrapper) :]
            break
    return key.removeprefix(PEFT)


def lightning_file(folder: Path) -> Path | None:
    """The `.ckpt` of a folder; None where there is none.

    Raises:
        CheckpointError: there are several.
    """
    files = sorted(folder.glob("*.ckpt"))
    if len(files) > 1:
        raise CheckpointError(f"{folder} holds {listed([file.name for file in files])}: expected one .ckpt file")
    return files[0] if files else None


def _load(file: Path) -> Any:  # noqa: ANN401  (whatever is in the file)
    try:
        import torch
    except ImportError:
        raise EnvironmentLacksError(
            f"{file} is a Lightning checkpoint and torch is missing: {installation('parity')}, "
            "or convert it to safetensors elsewhere"
        ) from None
    try:
        return torch.load(file, map_location="cpu", weights_only=True, mmap=True)
    except OSError as error:
        raise CheckpointError(f"{file} cannot be read: {error}") from None
    except Exception as error:  # torch raises pickle, zip and runtime errors of many types
        reason = next((line.strip() for line in str(error).splitlines() if "GLOBAL" in line), str(error).split(". ")[0])
        raise CheckpointError(
            f"{file} cannot be loaded with weights_only=True, which runs no code from the file ({reason}); "
            f"if it is whole, {CONVERT}"
        ) from None


class _Mapping:
    """Where a file is mapped in this process; nowhere, if the system does not tell."""

    def __init__(self, file: Path) -> None:
        self._parts: list[range] = []
        if MAPPINGS.is_file():
            lines = (line.split(maxsplit=5) for line in MAPPINGS.read_text(encoding="utf-8").splitlines())
            places = [line[0] for line in lines if line[-1] == str(file.resolve())]
            self._parts = [range(*(int(end, 16) for end in place.split("-"))) for place in places]

    def give_back(self, storage: Any) -> None:  # noqa: ANN401  (torch's)
        """Drop the pages of a tensor that lies in the mapping; they are read from the file if they are asked for again.

        Only there: elsewhere the same call would erase memory.
        """
        first, last = storage.data_ptr(), storage.data_ptr() + storage.nbytes()
        if any(first in part and last - 1 in part for part in self._parts):
            start = first // mmap.PAGESIZE * mmap.PAGESIZE
            ctypes.CDLL(None).madvise(ctypes.c_void_p(start), ctypes.c_size_t(last - start), mmap.MADV_DONTNEED)


def _kind(dtype: str) -> str:
    """A torch type in safetensors' words."""
    kinds = {"torch.float16": "F16", "torch.bfloat16": "BF16", "torch.float32": "F32"}
    return kinds.get(dtype, dtype.removeprefix("torch."))


def _alphas(values: object, inside: bool = False) -> list[float]:
    """Every alpha in a table called `lora`, at any depth."""
    if not isinstance(values, Mapping):
        return []
    found: list[float] = []
    for key, value in values.items():
        if inside and key in ALPHA_NAMES and isinstance(value, (int, float)) and not isinstance(value, bool):
            found.append(float(value))
        found += _alphas(value, key == LORA_TABLE)
    return found
