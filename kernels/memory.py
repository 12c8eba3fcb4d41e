"""Memory at an address as an array."""

from __future__ import annotations

import ctypes
from typing import Any

import numpy as np
from numpy.typing import DTypeLike, NDArray


def array_at(address: int | None, dtype: DTypeLike, *shape: int) -> NDArray[Any]:
    """The memory at `address` as an array, not copied; the caller keeps it alive."""
    kind: np.dtype[Any] = np.dtype(dtype)
    size = int(np.prod(shape)) * kind.itemsize
    if address is None or size == 0:
        return np.empty(shape, kind)
    found: NDArray[Any] = np.frombuffer(memoryview((ctypes.c_ubyte * size).from_address(address)), kind)
    return found.reshape(shape)
