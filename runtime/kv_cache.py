"""Keys and values of the tokens so far, in memory that is allocated once."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError


class KvCache:
    """Per layer one (capacity, kv_heads, head_dim) float32 array of keys and one of values; `length` slots are valid.

    A pass reads the slots before `length` and writes the slots after it, both as plain views: nothing is copied here.
    The graph itself joins past and new keys of a layer once a pass.
    `block` (2 * layers, capacity, kv_heads, head_dim) holds them all, layer by layer.
    """

    def __init__(
        self,
        layers: int,
        capacity: int,
        kv_heads: int,
        head_dim: int,
        allocate: Callable[[tuple[int, ...]], NDArray[np.float32]] | None = None,
    ) -> None:
        """`allocate`: makes `block`, of zeros, where it shall lie."""
        shape = (2 * layers, capacity, kv_heads, head_dim)
        self.block = np.zeros(shape, np.float32) if allocate is None else allocate(shape)
        self.keys, self.values = list(self.block[::2]), list(self.block[1::2])
        self.capacity = capacity
        self.length = 0

    def past(self, slots: int | None = None) -> dict[str, NDArray[np.float32]]:
        """Views of the valid slots under the graph's input names; of the first `slots` if given."""
        count = self.length if slots is None else slots
        views = {}
        for i, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            views[f"past_key_{i}"], views[f"past_value_{i}"] = keys[:count], values[:count]
        return views

    def room(self, count: int) -> dict[str, NDArray[np.float32]]:
        """Views of the next `count` slots under the graph's output names; they become valid with `advance`.

        Raises:
            EngineError: the cache is too small.
        """
        if self.length + count > self.capacity:
            raise EngineError(f"KV cache holds {self.capacity} tokens, {self.length + count} are needed")
        slots = slice(self.length, self.length + count)
        views = {}
        for i, (keys, values) in enumerate(zip(self.keys, self.values, strict=True)):
            views[f"new_key_{i}"], views[f"new_value_{i}"] = keys[slots], values[slots]
        return views

    def advance(self, count: int) -> None:
        """Declare `count` slots written."""
        self.length += count

    def truncate(self, length: int) -> None:
        """Forget everything from slot `length` on.

        Raises:
            EngineError: the cache is shorter than that.
        """
        if not 0 <= length <= self.length:
            raise EngineError(f"cannot roll the KV cache back to {length} tokens: it holds {self.length}")
        self.length = length
