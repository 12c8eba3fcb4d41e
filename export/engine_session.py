"""A runtime's engines as sessions of the scene runner, so that engines are judged the way the planner uses them."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from onboard_vla.core.bundle_manifest import TextDimensions
from onboard_vla.core.errors import EngineError
from onboard_vla.export.graph_session import Arrays, Feed, Take, run_in_turn
from onboard_vla.runtime.engine import Engine, ResidentEngine
from onboard_vla.runtime.kv_cache import KvCache
from onboard_vla.runtime.language_model import causal_bias, rounded_up


class VisionSession:
    """A vision engine; `tokens` (N) embeddings of width `width` come out for every frame pair."""

    def __init__(self, engine: Engine, tokens: int, width: int) -> None:
        self._engine, self._tokens, self._width = engine, tokens, width

    def run(self, inputs: Feed) -> Arrays:
        """See `Session`."""
        found = np.empty((len(inputs["patches"]), self._tokens, self._width), np.float32)
        self._engine.run({"patches": inputs["patches"]}, {"embeddings": found})
        return {"embeddings": found}

    def run_each(self, feeds: Sequence[Feed], take: Take) -> None:
        """See `Session`."""
        run_in_turn(self, feeds, take)


class LanguageSession:
    """A language engine with a cache of its own, on the device where the engine can: one sequence after the other.

    The cache that comes in a feed only says how long the sequence is: it must be the one that this session holds, or
    its beginning, which is then gone on with anew. So whoever doubles a lone token (`DoubledRows`) drops its double.
    """

    def __init__(self, engine: Engine, text: TextDimensions, capacity: int) -> None:
        self._engine, self._text = engine, text
        self._resident = engine if isinstance(engine, ResidentEngine) else None
        self._multiple = 1 if self._resident is None else self._resident.past_multiple
        slots = rounded_up(capacity + 1, self._multiple)
        self._cache = KvCache(text.layers, slots, text.kv_heads, text.head_dim)

    def run(self, inputs: Feed) -> Arrays:
        """See `Session`; the new keys and values that come out have the right shape and no content.

        Raises:
            EngineError: the feed goes on with a longer sequence than the last one.
        """
        past, new = len(inputs["past_key_0"]), len(inputs["embeds"])
        if past == 0:
            self._cache.truncate(0)
            if self._resident is not None:
                self._resident.keep(self._cache.block)
        if past < self._cache.length:
            self._cache.truncate(past)
        if past != self._cache.length:
            raise EngineError(f"a sequence of {past} tokens goes on, the engine's cache holds {self._cache.length}")
        slots = rounded_up(past, self._multiple)
        logits = np.empty((len(inputs["rows"]), self._text.vocabulary_size), np.float32)
        self._engine.run(
            {
                **{name: inputs[name] for name in ("embeds", "cos", "sin", "rows")},
                "bias": causal_bias(past, new, slots),
                **self._cache.past(slots),
            },
            {"logits": logits, **self._cache.room(new)},
        )
        self._cache.advance(new)
        empty = np.zeros((new, self._text.kv_heads, self._text.head_dim), np.float32)
        names = [f"new_{kind}_{i}" for i in range(self._text.layers) for kind in ("key", "value")]
        return {"logits": logits, **dict.fromkeys(names, empty)}

    def run_each(self, feeds: Sequence[Feed], take: Take) -> None:
        """See `Session`; only one sequence at a time."""
        run_in_turn(self, feeds, take)
