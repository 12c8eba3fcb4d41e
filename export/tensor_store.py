"""Where a checkpoint's tensors lie: one view on every file format, one tensor in memory at a time."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]

FLOAT_TYPES = ("F16", "BF16", "F32")
"""Types that weights may have, in safetensors' words."""
LISTED_KEYS = 8
"""Keys printed of a long list; the rest is counted."""


@dataclass(frozen=True)
class StoredTensor:
    """`shape` and `kind` (see FLOAT_TYPES) of a tensor, `key` and `file` as a person finds it on disk."""

    shape: tuple[int, ...]
    kind: str
    key: str
    file: str


class TensorStore(Protocol):
    """Tensors by the names that transformers gives them."""

    @property
    def tensors(self) -> Mapping[str, StoredTensor]:
        """All tensors by name."""

    def read(self, name: str, rows: slice | None = None) -> Floats:
        """A tensor, or some rows of it, as float32."""


def listed(names: list[str]) -> str:
    """A list of keys for a message, cut where it gets long."""
    shown = ", ".join(names[:LISTED_KEYS])
    return shown if len(names) <= LISTED_KEYS else f"{shown} and {len(names) - LISTED_KEYS} more"
