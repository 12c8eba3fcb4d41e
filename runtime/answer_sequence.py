"""A prompt and the answer so far: what lies in the KV cache, what has been said, what a repetition is."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.runtime.answer_grammar import NAN_LOGITS, DecodeError
from onboard_vla.runtime.finite import all_finite
from onboard_vla.runtime.language_model import NO_TEXT, LanguageModel
from onboard_vla.runtime.positions import text_positions


@dataclass(frozen=True, eq=False)
class PromptInput:
    """A prompt ready for the model.

    `ids`: (S,); `embeddings`: (S, D) float32, visual ones filled in; `positions`: (3, S). `text`: how many tokens come
    before the first visual one; their embeddings and positions follow from their ids.
    """

    ids: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    positions: NDArray[np.int64]
    next_position: int
    text: int = 0


class AnswerSequence:
    """Feeds one prompt and its answer to the model, and chooses tokens from logits as plain greedy decoding does.

    `generated`: all answer ids so far, forced ones included. The cache may hold guesses beyond them, until `keep`.
    """

    def __init__(
        self, model: LanguageModel, embeddings: NDArray[Any], penalty: float, *, prefix_cache: bool = True
    ) -> None:
        """`embeddings`: (V, D) one row per token id. `penalty`: see `penalised`.

        `prefix_cache`: keep the keys and values of the text that prompts begin with from one prompt to the next.
        """
        self._model, self._embeddings, self._penalty = model, embeddings, penalty
        self._prefix_cache = prefix_cache
        self._openings: dict[tuple[int, ...], NDArray[np.float32]] = {}
        self._prompt: PromptInput | None = None
        self.generated: list[int] = []
        self._prompt_ids: frozenset[int] = frozenset()
        self._answer_ids: set[int] = set()
        """Which ids the prompt and the answer have, whatever the place: what comes again is a repetition. Kept where
        there is a penalty: else nothing asks."""

    @property
    def prompt(self) -> PromptInput:
        """The prompt of the present answer."""
        if self._prompt is None:
            raise ValueError("no prompt yet: call `begin` first")
        return self._prompt

    def begin(
        self, prompt: PromptInput, forced: Sequence[int], guesses: Sequence[int], rows: Sequence[int], logits: Logits
    ) -> None:
        """Start anew: prompt, forced ids and guesses in one pass.

        Args:
            prompt: the prompt.
            forced: the answer's first ids, taken as said.
            guesses: ids that may follow; in the cache, but not said.
            rows: positions in the answer, -1 for the prompt's last token, whose logits are wanted.
            logits: (R, V) where they are written.
        """
        ids = (*forced, *guesses)
        kept = self._common_text(prompt)
        new = len(prompt.ids) - kept
        # Of all tokens, known ones too: what does not fit shall be said before anything is changed.
        embeddings = self._model.room(len(prompt.ids) + len(ids))[: new + len(ids)]
        self._model.rollback(kept)
        same = self._prompt is not None and prompt.ids is self._prompt.ids and not prompt.ids.flags.writeable
        if self._penalty != 1.0 and not same:
            self._prompt_ids = frozenset(prompt.ids.tolist())
        self._prompt, self.generated = prompt, []
        self._answer_ids.clear()
        embeddings[:new] = prompt.embeddings[kept:]
        if forced:
            embeddings[new : new + len(forced)] = self._opening(tuple(forced))
        if guesses:
            embeddings[new + len(forced) :] = self._embeddings.take(guesses, axis=0)
        positions = np.concatenate([prompt.positions[:, kept:], text_positions(prompt.next_position, len(ids))], axis=1)
        self._model.forward(embeddings, positions, [new + row for row in rows], logits, prefill=True)
        if self._prefix_cache:
            self._model.known_text = prompt.ids[: prompt.text]
        self.say(forced)

    def say(self, ids: Sequence[int]) -> None:
        """Note ids as part of the answer; they count as repeated from now on."""
        self.generated.extend(ids)
        if self._penalty != 1.0:
            self._answer_ids.update(ids)

    def push(self, ids: Sequence[int], logits: Logits, *, prefill: bool = False) -> None:
        """Give the model ids that follow what it has; `logits` (R, V) receives those of the last R of them."""
        first = len(ids) - len(logits)
        start = self.prompt.next_position + self._model.cache.length - len(self.prompt.ids)
        rows = range(first, len(ids))
        self._model.forward(self._embed(ids), text_positions(start, len(ids)), rows, logits, prefill=prefill)

    def push_branches(self, ids: Sequence[int], shared: int, logits: Logits) -> None:
        """One more token of each of several continuations in one pass; they share the answer's first `shared` ids.

        None sees another's tokens. What was said stays as it is.

        Args:
            ids: (K,) K >= 2, the next token of each continuation, in the same order every time.
            shared: ids of the answer that lie in the cache before the first of these passes.
            logits: (K, V) where what follows each is written.
        """
        count, past = len(ids), self._model.cache.length
        begin = len(self.prompt.ids) + shared
        slot, branch = np.arange(past + count), np.arange(count)[:, None]
        hidden = (slot >= begin) & ((slot - begin) % count != branch)
        positions = np.full((3, count), self.prompt.next_position + shared + (past - begin) // count, np.int64)
        self._model.forward(self._embed(ids), positions, range(count), logits, hidden=hidden)

    def keep(self, count: int) -> None:
        """Take back from the cache all but the answer's first `count` ids; what was said stays said."""
        self._model.rollback(len(self.prompt.ids) + count)

    def unsay(self, count: int) -> None:
        """Take back all but the answer's first `count` ids, as if they had never been said."""
        self.keep(count)
        del self.generated[count:]
        self._answer_ids = set(self.generated)

    def choose(self, logits: NDArray[np.float32], where: str, first: int = 0) -> int:
        """The id that follows what was said so far, from its logits (V,), or from those of some ids from `first` on.

        Raises:
            DecodeError: some logits are not finite.
        """
        best = int(logits.argmax())
        # NaN is the greatest and the least of any array that has one.
        if not (math.isfinite(logits.item(best)) and math.isfinite(logits.item(logits.argmin()))):
            raise self._not_finite(logits, where)
        if self._penalty == 1.0:
            return first + best
        if self._penalty > 1.0 and first + best not in self._prompt_ids and first + best not in self._answer_ids:
            return first + best
        # In place and back: a vocabulary may have 150,000 ids, of which prompt and answer name a few hundred.
        ids = np.fromiter(self._prompt_ids | self._answer_ids, np.int64) - first
        ids = ids[(ids >= 0) & (ids < len(logits))]
        raw = logits[ids]
        logits[ids] = penalised(raw, self._penalty)
        best = int(logits.argmax())
        logits[ids] = raw
        return first + best

    def score(self, logits: NDArray[np.float32], token: int, answer: Sequence[int]) -> float:
        """One of `scores`."""
        if self._penalty == 1.0:
            return float(logits[token])
        raw = logits[token : token + 1]
        repeated = token in self._prompt_ids or token in answer
        return float((penalised(raw, self._penalty) if repeated else raw)[0])

    def scores(self, logits: NDArray[np.float32], answer: Sequence[int]) -> NDArray[np.float32]:
        """Logits (V,) as decoding would compare them after the prompt and exactly the ids of `answer`."""
        repeated = np.concatenate([self.prompt.ids, np.array(answer, np.int64)])
        scores: NDArray[np.float32] = logits.copy()
        scores[repeated] = penalised(logits[repeated], self._penalty)
        return scores

    def expect_finite(self, logits: NDArray[np.float32], where: str) -> None:
        """Refuse logits that hold NaN or infinities."""
        if not all_finite(logits):
            raise self._not_finite(logits, where)

    def _not_finite(self, logits: NDArray[np.float32], where: str) -> DecodeError:
        # Masked tokens that are not finite spoil those before them, too: no key or value here is to be trusted.
        self._model.known_text = NO_TEXT
        bad = int((~np.isfinite(logits)).sum())
        return DecodeError(NAN_LOGITS, f"the logits of {where} hold {bad} values that are not finite")

    def _common_text(self, prompt: PromptInput) -> int:
        """How many tokens at the prompt's beginning the cache holds already."""
        known = self._model.known_text
        most = min(prompt.text, len(known))
        wanted, there = prompt.ids[:most], known[:most]
        if wanted.tobytes() == there.tobytes():
            return most
        return int((wanted != there).argmax())

    def _opening(self, ids: tuple[int, ...]) -> NDArray[np.float32]:
        """Embeddings of an answer's forced ids; there are as many such answers as forms of an answer, and no more."""
        if ids not in self._openings:
            self._openings[ids] = np.asarray(self._embeddings.take(ids, axis=0), np.float32)
        return self._openings[ids]

    def _embed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        room = self._model.room(len(ids))
        room[:] = self._embeddings.take(ids, axis=0)
        return room


Logits = NDArray[np.float32]
"""(R, V) raw logits, one row per wanted token."""


def penalised(logits: NDArray[np.float32], penalty: float) -> NDArray[np.float32]:
    """Logits of repeated ids as `transformers` penalises repetition: negative ones times `penalty`, others over it."""
    factor = np.float32(penalty)
    found: NDArray[np.float32] = np.where(logits < 0, logits * factor, logits / factor)
    return found
