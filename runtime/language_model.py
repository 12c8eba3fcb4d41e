"""The language model: one graph for prefill and decode steps over a KV cache."""

from __future__ import annotations

import time
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import MASKED_BIAS, TextDimensions
from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.engine import Engine
from onboard_vla.runtime.kv_cache import KvCache
from onboard_vla.runtime.positions import RotaryTable


class LanguageModel:
    """Runs tokens through the model; the cache remembers them until `rollback`.

    `prefills`, `decodes`: passes so far with several tokens and with one, as counted by the engine. `prefill_s`:
    seconds spent in the former.
    """

    def __init__(self, engine: Engine, dimensions: TextDimensions, capacity: int) -> None:
        self._engine = engine
        self._dimensions = dimensions
        self._rotary = RotaryTable(dimensions.head_dim, dimensions.rope_theta, dimensions.mrope_section, capacity)
        self._open_bias = np.zeros((1, capacity), np.float32)
        self.cache = KvCache(dimensions.layers, capacity, dimensions.kv_heads, dimensions.head_dim)
        self.prefills = 0
        self.decodes = 0
        self.prefill_s = 0.0

    @property
    def vocabulary_size(self) -> int:
        """Columns of the logits."""
        return self._dimensions.vocabulary_size

    def forward(
        self,
        embeddings: NDArray[np.float32],
        positions: NDArray[np.int64],
        rows: NDArray[np.int64],
        logits: NDArray[np.float32],
    ) -> None:
        """Append tokens to the cache and write the logits of some of them.

        Args:
            embeddings: (S, D) of the new tokens.
            positions: (3, S) multimodal rotary positions.
            rows: (R,) which of the new tokens' logits are wanted.
            logits: (R, V) where they are written.

        Raises:
            EngineError: the cache is full, a position is past its capacity, or the engine failed.
        """
        count, past = len(embeddings), self.cache.length
        if count and int(positions.max()) >= self._rotary.limit:
            raise EngineError(f"rotary position {int(positions.max())} is past the capacity {self._rotary.limit}")
        cos, sin = self._rotary.look_up(positions)
        bias = self._open_bias[:, : past + 1] if count == 1 else causal_bias(past, count)
        inputs: dict[str, NDArray[Any]] = {
            "embeds": embeddings,
            "cos": cos,
            "sin": sin,
            "bias": bias,
            "rows": rows,
            **self.cache.past(),
        }
        before, start = self._engine.executions, time.perf_counter()
        self._engine.run(inputs, {"logits": logits, **self.cache.room(count)})
        self.cache.advance(count)
        if count == 1:
            self.decodes += self._engine.executions - before
        else:
            self.prefills += self._engine.executions - before
            self.prefill_s += time.perf_counter() - start

    def rollback(self, length: int) -> None:
        """Forget all tokens from cache slot `length` on."""
        self.cache.truncate(length)


def causal_bias(past: int, count: int) -> NDArray[np.float32]:
    """(count, past + count) additive bias: each new token sees the cache, the new tokens before it, and itself."""
    bias = np.zeros((count, past + count), np.float32)
    bias[:, past:][np.triu_indices(count, 1)] = MASKED_BIAS
    return bias
