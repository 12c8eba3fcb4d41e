"""A prompt with its pictures, and a sequence that grows over it pass by pass, with its keys and values."""

from __future__ import annotations

from collections.abc import Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import MASKED_BIAS, TextDimensions
from onboard_vla.export.graph_session import Arrays, Feed
from onboard_vla.export.kept_arrays import OnDemand
from onboard_vla.export.language_graph import CACHE
from onboard_vla.runtime.positions import RotaryTable, text_positions

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class SeenPrompt:
    """A prompt with its pictures: rotary `positions` (3, S), the next one's, token `ids` (S,)."""

    positions: NDArray[np.int64]
    next_position: int
    ids: NDArray[np.int64]
    kept: Mapping[str, NDArray[Any]]
    key: str

    @property
    def embeddings(self) -> Floats:
        """Embeddings (S, D), visual tokens filled in; read from where they are kept."""
        return self.kept[self.key]


class GrowingPass:
    """A growing sequence over one prompt; its keys and values lie in `kept`, their names begin with `at`."""

    def __init__(
        self,
        text: TextDimensions,
        embedding: NDArray[Any],
        rotary: RotaryTable,
        prompt: SeenPrompt,
        kept: MutableMapping[str, NDArray[Any]],
        at: str,
    ) -> None:
        self._embedding, self._rotary, self.prompt, self._kept, self._at = embedding, rotary, prompt, kept, at
        self._length = self._new = 0
        self._starts: list[int] = []
        self._empty = np.zeros((0, text.kv_heads, text.head_dim), np.float32)
        self._cached = [f"past_{kind}_{i}" for i in range(text.layers) for kind in ("key", "value")]

    def feed(self, ids: Sequence[int], rows: Sequence[int]) -> Feed:
        """Inputs that append `ids` (the first time after the prompt) and ask for the logits of `rows`."""
        prompt, past = self.prompt, self._length
        positions = text_positions(prompt.next_position + max(0, past - len(prompt.ids)), len(ids))
        if past == 0:
            positions = np.concatenate([prompt.positions, positions], axis=1)
        new = self._new = positions.shape[1]
        return OnDemand(
            {
                "embeds": lambda: self._embeddings(ids, past == 0),
                "cos": lambda: self._rotary.look_up(positions)[0],
                "sin": lambda: self._rotary.look_up(positions)[1],
                "bias": lambda: np.triu(np.full((new, past + new), MASKED_BIAS, np.float32), past + 1),
                "rows": lambda: np.array(rows, np.int64),
                **{name: partial(self._past, name) for name in self._cached},
            }
        )

    def keep(self, outputs: Arrays) -> None:
        """Append the keys and values among some outputs of the latest feed; again, and nothing changes."""
        for name in self._cached:
            if (new := outputs.get(name.replace("past_", CACHE))) is not None:
                self._kept[f"{self._at}{name}-{self._length}"] = new

    def advance(self) -> None:
        """The latest feed has run."""
        self._starts.append(self._length)
        self._length += self._new

    @property
    def length(self) -> int:
        """Tokens whose keys and values are kept."""
        return self._length

    def rewind(self, length: int) -> None:
        """Drop the keys and values of all passes after `length` tokens, where one of them began."""
        while self._length > length:
            self._length = self._starts.pop()
            for name in self._cached:
                self._kept.pop(f"{self._at}{name}-{self._length}", None)

    def forget(self) -> None:
        """Drop all keys and values."""
        self.rewind(0)

    def _past(self, name: str) -> NDArray[Any]:
        kept = [self._kept[f"{self._at}{name}-{start}"] for start in self._starts]
        return np.concatenate([self._empty, *kept])

    def _embeddings(self, ids: Sequence[int], first: bool) -> Floats:
        embeds: Floats = self._embedding[list(ids)].astype(np.float32)
        return np.concatenate([self.prompt.embeddings, embeds]) if first else embeds
