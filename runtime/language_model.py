"""The language model: one graph for prefill and decode steps over a KV cache."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import MASKED_BIAS, TextDimensions
from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.engine import CacheKeeper, Engine, ResidentEngine, StandingArrays
from onboard_vla.runtime.finite import all_finite
from onboard_vla.runtime.kv_cache import KvCache
from onboard_vla.runtime.positions import RotaryTable

LEAST_ROWS = 2
"""Fewest tokens, and fewest wanted rows, of a pass; a lone one is doubled and its double thrown away.

ONNX Runtime computes a product with one row by another kernel than one with several, with other sums in the last bits.
With two rows or more a token's logits on the CPU depend on the tokens before it alone, to the bit, and not on how these
were divided into passes; so what decodes in fewer passes gives the same tokens (tests/runtime/test_pass_shapes.py).
"""


PASSES, PASSES_BYTES = 512, 32 << 20
"""How many passes' arrays are remembered: plans meet the same lengths again and again, of prompts that differ by a few
tokens. Of AutoVLA's size, 1,250 tokens, three prefills fit (own)."""


NO_TEXT: NDArray[np.int64] = np.empty(0, np.int64)
"""No ids."""


class LanguageModel:
    """Runs tokens through the model; the cache remembers them until `rollback`.

    `prefills`, `decodes`: passes so far over given text and over what the model says, as counted by the engine.
    `prefill_s`: seconds spent in the former. `known_text`: ids of text at the cache's beginning, whose keys and values
    are good for another prompt; `rollback` keeps it true, whoever rolls back. `least_rows`: see `LEAST_ROWS`; 1 to
    measure what it changes.
    """

    def __init__(self, engine: Engine, dimensions: TextDimensions, capacity: int) -> None:
        self._engine = engine
        self._dimensions = dimensions
        self._rotary = RotaryTable(dimensions.head_dim, dimensions.rope_theta, dimensions.mrope_section, capacity)
        self.least_rows = LEAST_ROWS
        self._known_text = NO_TEXT
        self._resident = engine if isinstance(engine, ResidentEngine) else None
        self._past_multiple = 1 if self._resident is None else self._resident.past_multiple
        # Room for the double of a lone token that comes last.
        slots = rounded_up(capacity + 1, self._past_multiple)
        allocate = engine.cache_block if isinstance(engine, CacheKeeper) else None
        self.cache = KvCache(dimensions.layers, slots, dimensions.kv_heads, dimensions.head_dim, allocate)
        self._unclean = self._resident is not None
        self._standing: dict[int, NDArray[np.float32]] = {}
        self._places: dict[int, tuple[NDArray[np.float32], int]] = {}
        """Views of standing rooms that passes wrote to lately, by identity, and where they begin."""
        self._lone: dict[int, NDArray[np.float32]] = {}
        self._embeddings = np.empty((slots, dimensions.hidden_size), np.float32)
        self._passes = _Passes()
        self.prefills = 0
        self.decodes = 0
        self.prefill_s = 0.0

    @property
    def known_text(self) -> NDArray[np.int64]:
        """See the class; nothing while the cache must begin anew."""
        return NO_TEXT if self._unclean else self._known_text

    @known_text.setter
    def known_text(self, ids: NDArray[np.int64]) -> None:
        self._known_text = ids

    @property
    def vocabulary_size(self) -> int:
        """Columns of the logits."""
        return self._dimensions.vocabulary_size

    def forward(
        self,
        embeddings: NDArray[np.float32],
        positions: NDArray[np.int64],
        rows: Sequence[int] | NDArray[np.int64],
        logits: NDArray[np.float32],
        *,
        prefill: bool = False,
        hidden: NDArray[np.bool_] | None = None,
    ) -> None:
        """Append tokens to the cache and write the logits of some of them.

        Args:
            embeddings: (S, D) of the new tokens, best written into a `room`.
            positions: (3, S) multimodal rotary positions.
            rows: (R,) which of the new tokens' logits are wanted.
            logits: (R, V) where they are written, best of a `logits_room`; (R, count) for those of the actions alone,
                if the graph has a head of these.
            prefill: count the pass as one over given text.
            hidden: (S, past + S) what each of at least two new tokens does not see; if not given, what comes after it.

        Raises:
            EngineError: the cache is full, a position is past its capacity, or the engine failed.
        """
        start = time.perf_counter() if prefill else 0.0
        if self._resident is not None and self._unclean and self.cache.length == 0:
            self._resident.keep(self.cache.block)
            self._unclean = False
        count, lone = len(embeddings), len(rows) == 1
        wanted = self._lone_room(logits.shape[1]) if lone else logits
        one = self._pass(count, positions, wanted, hidden)
        tokens = one.inputs["embeds"]
        if embeddings.base is not self._embeddings:  # else it is a `room`, which begins where `tokens` does
            tokens[:count] = embeddings
        if count == 1:
            tokens[1:] = tokens[0]
        asked = tuple(rows)
        if asked != one.asked:
            one.wanted[:] = one.asked = asked
        before = self._engine.executions
        self._engine.run(one.inputs, one.outputs)
        ran = self._engine.executions - before
        self.cache.advance(count)
        if lone:
            logits[0] = wanted[0]
        # Masked slots still count where they hold no finite number: 0 * NaN is NaN.
        self._unclean = self._unclean or (self._resident is not None and not all_finite(wanted))
        if prefill:
            self.prefills += ran
            self.prefill_s += time.perf_counter() - start
        else:
            self.decodes += ran

    def logits_room(self, rows: int, columns: int | None = None) -> NDArray[np.float32]:
        """(rows, columns) for logits, for as long as the model is there: passes that write into it are remembered.

        `columns`: the whole vocabulary's, or as many as there are actions.
        """
        room = np.empty((rows, columns or self.vocabulary_size), np.float32)
        self._standing[id(room)] = room
        return room[:]

    def room(self, count: int) -> NDArray[np.float32]:
        """(count, D) where the next pass's embeddings may be written; `forward` copies others there.

        Raises:
            EngineError: so many tokens never fit the cache.
        """
        if count > len(self._embeddings):
            raise EngineError(f"KV cache holds {self.cache.capacity} tokens, {count} are needed")
        return self._embeddings[:count]

    def _lone_room(self, columns: int) -> NDArray[np.float32]:
        """For a lone row's logits and its double's."""
        if columns not in self._lone:
            self._lone[columns] = self.logits_room(LEAST_ROWS, columns)
        doubled = self._lone[columns]
        return doubled if self.least_rows == LEAST_ROWS else doubled[: self.least_rows]

    def _pass(
        self,
        count: int,
        positions: NDArray[np.int64],
        logits: NDArray[np.float32],
        hidden: NDArray[np.bool_] | None,
    ) -> _Pass:
        """The arrays of a pass; one that was met before has them still, and an engine what it made of them."""
        past = self.cache.length
        # Where the keys and values come from and go to follows from the lengths; the bias does, too, if not given.
        place = self._place(logits) if hidden is None else None
        key = (past, len(logits), place, positions.tobytes())
        if place is not None and (known := self._passes.get(key)) is not None:
            return known
        if count and int(positions.max()) >= self._rotary.limit:
            raise EngineError(f"rotary position {int(positions.max())} is past the capacity {self._rotary.limit}")
        if count == 1:
            positions = positions.repeat(self.least_rows, axis=1)
        slots, new = rounded_up(past, self._past_multiple), positions.shape[1]
        cos, sin = self._rotary.look_up(positions)
        wanted = np.zeros(len(logits), np.int64)
        inputs: dict[str, NDArray[Any]] = {
            "embeds": self._embeddings[:new],
            "cos": cos,
            "sin": sin,
            "bias": causal_bias(past, new, slots) if hidden is None else hiding_bias(hidden, slots),
            "rows": wanted,
            **self.cache.past(slots),
        }
        name = "logits"
        if logits.shape[1] != self.vocabulary_size:  # no rows of the whole head, and all of the actions'
            inputs, name = {**inputs, "rows": NO_TEXT, "action_rows": wanted}, "action_logits"
        made = _Pass(StandingArrays(inputs), StandingArrays({name: logits, **self.cache.room(new)}), wanted)
        if place is not None:
            self._passes.put(key, made)
        return made

    def _place(self, logits: NDArray[np.float32]) -> int | None:
        """The address of logits of a `logits_room`, None of others."""
        known = self._places.get(id(logits))
        if known is not None and known[0] is logits:
            return known[1]
        if id(logits.base) not in self._standing:
            return None
        if len(self._places) >= PASSES:
            self._places.clear()
        self._places[id(logits)] = logits, logits.ctypes.data
        return self._places[id(logits)][1]

    def rollback(self, length: int) -> None:
        """Forget all tokens from cache slot `length` on."""
        self.cache.truncate(length)
        if length < len(self._known_text):
            self._known_text = self._known_text[:length]


@dataclass(eq=False)
class _Pass:
    """A pass's arrays. Of the inputs only embeddings and rows change from one such pass to the next.

    `wanted`: the rows, of whichever head. `asked`: what they are, where somebody asked.
    """

    inputs: StandingArrays
    outputs: StandingArrays
    wanted: NDArray[np.int64]
    asked: tuple[int, ...] = ()

    @property
    def bytes(self) -> int:
        """What is held for this pass alone."""
        return sum(self.inputs[name].nbytes for name in ("cos", "sin", "bias"))


class _Passes:
    """The arrays of passes met lately, by what they follow from; those met longest ago go first."""

    def __init__(self) -> None:
        self._known: OrderedDict[Hashable, _Pass] = OrderedDict()
        self._bytes = 0

    def get(self, key: Hashable) -> _Pass | None:
        found = self._known.get(key)
        if found is not None:
            self._known.move_to_end(key)
        return found

    def put(self, key: Hashable, made: _Pass) -> None:
        self._known[key] = made
        self._bytes += made.bytes
        while len(self._known) > 1 and (self._bytes > PASSES_BYTES or len(self._known) > PASSES):
            self._bytes -= self._known.popitem(last=False)[1].bytes


def causal_bias(past: int, count: int, slots: int | None = None) -> NDArray[np.float32]:
    """(count, slots + count) additive bias: each new token sees the cache, the new tokens before it, and itself.

    Of `slots` of the cache (as many as are filled, if not given) only the first `past` are seen. Read-only.
    """
    slots = past if slots is None else slots
    column, last = np.arange(slots + count), np.arange(slots, slots + count)[:, None]
    unseen = (column > last) | ((column >= past) & (column < slots))
    bias: NDArray[np.float32] = np.where(unseen, np.float32(MASKED_BIAS), np.float32(0.0))
    bias.flags.writeable = False
    return bias


def hiding_bias(hidden: NDArray[np.bool_], slots: int) -> NDArray[np.float32]:
    """(S, slots + S) additive bias of `hidden` (S, past + S); what lies between past and `slots` is hidden, too."""
    count = len(hidden)
    past = hidden.shape[1] - count
    bias = np.full((count, slots + count), MASKED_BIAS, np.float32)
    bias[:, :past][~hidden[:, :past]] = 0.0
    bias[:, slots:][~hidden[:, past:]] = 0.0
    return bias


def rounded_up(length: int, multiple: int) -> int:
    """The next multiple."""
    return -(-length // multiple) * multiple
