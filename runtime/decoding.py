"""Greedy decoding of an answer: forced prefixes, the fast/slow fork, repetition penalty, exactly N actions.

The fast prefix is part of the prefill, so one pass gives both the fork's logits and the first action. Every token is
the one that plain greedy decoding after the same prefix would choose: the maximum over the whole vocabulary, after the
repetition penalty over prompt and answer so far, as `transformers` applies it. What is no action is refused, never
skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.core.plan import FAST, SLOW
from onboard_vla.runtime.answer_grammar import (
    ACTION_OUTSIDE_ANSWER,
    CANCELLED,
    NAN_LOGITS,
    TOO_MANY_ACTIONS,
    DecodeError,
    action_index,
    parse_answer,
    refuse_step,
)
from onboard_vla.runtime.language_model import LanguageModel
from onboard_vla.runtime.positions import text_positions
from onboard_vla.runtime.prompt import AnswerIds

MODEL, FREE = "model", "free"
DEPTHS = (FAST, SLOW, MODEL, FREE)
"""fast: act at once. slow: reason first. model: as the fork's logits say. free: plain greedy, no forced prefixes."""


class TextCodec(Protocol):
    """A tokenizer."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included."""


@dataclass(frozen=True, eq=False)
class PromptInput:
    """A prompt ready for the model.

    `ids`: (S,); `embeddings`: (S, D) float32, visual ones filled in; `positions`: (3, S).
    """

    ids: NDArray[np.int64]
    embeddings: NDArray[np.float32]
    positions: NDArray[np.int64]
    next_position: int


@dataclass(frozen=True, eq=False)
class Decoded:
    """A valid answer.

    `tokens`: N codebook indices. `logits`: (N, V) raw logits that they were chosen from, valid until the next decode.
    `fork_logits`: of the fast and the slow fork token, with the repetition penalty, as decoding compares them.
    `generated`: all answer ids, forced ones included.
    """

    tokens: tuple[int, ...]
    logits: NDArray[np.float32]
    fork_logits: tuple[float, float]
    depth: str
    reasoning: str
    generated: tuple[int, ...]


class GreedyDecoder:
    """Decodes answers with one language model; not thread-safe.

    Args:
        model: the language model; its cache is cleared by each decode.
        embeddings: (V, D) one row per token id.
        answer: the answer's fixed parts.
        actions: where the action tokens are and how many an answer has.
        end_ids: ids that end an answer wherever they stand.
        suffix_id: what follows the last action; inside the action run it means that actions are missing.
        repetition_penalty: see `penalise`.
        max_reasoning: reasoning tokens after which a slow answer is closed by force.
        tokenizer: ids to text and back.
        check_end: spend one more pass to see that no further action follows the N-th.
    """

    def __init__(
        self,
        model: LanguageModel,
        embeddings: NDArray[Any],
        answer: AnswerIds,
        actions: ActionTokens,
        end_ids: Sequence[int],
        suffix_id: int,
        repetition_penalty: float,
        max_reasoning: int,
        tokenizer: TextCodec,
        *,
        check_end: bool = False,
    ) -> None:
        self._model, self._embeddings = model, embeddings
        self._answer, self._actions, self._end_ids = answer, actions, frozenset(end_ids)
        self._closing = (*end_ids, suffix_id)
        self._penalty, self._max_reasoning, self._tokenizer = repetition_penalty, max_reasoning, tokenizer
        self._check_end = check_end
        vocabulary = model.vocabulary_size
        self._action_logits = np.empty((actions.per_answer + 1, vocabulary), np.float32)
        self._text_logits = np.empty((1, vocabulary), np.float32)
        self._fork_logits = np.empty(vocabulary, np.float32)
        self._seen = np.zeros(vocabulary, bool)
        self._generated: list[int] = []
        self._next_position = 0

    def decode(self, prompt: PromptInput, depth: str, cancelled: Callable[[], bool] = lambda: False) -> Decoded:
        """Decode one answer.

        Args:
            prompt: the prompt up to where the answer begins.
            depth: one of `DEPTHS`.
            cancelled: asked before every pass of a slow answer.

        Raises:
            DecodeError: the answer is not valid.
            EngineError: an execution failed or the cache is too small.
        """
        self._begin(prompt)
        if depth == FREE:
            return self._decode_freely(prompt)
        forced = self._answer.slow_prefix if depth == SLOW else self._answer.fast_prefix
        self._prefill(prompt, forced)
        fork_logits = self._penalised_fork(prompt.ids)
        reasoning = ""
        if depth == MODEL and fork_logits[1] > fork_logits[0]:
            self._take_slow_branch(prompt)
            depth = SLOW
        if depth == SLOW:
            reasoning = self._reason(cancelled)
            self._action_logits[0] = self._text_logits[0]
        tokens = self._actions_from_first_logits(cancelled if depth == SLOW else lambda: False)
        return Decoded(
            tokens=tokens,
            logits=self._action_logits[: len(tokens)],
            fork_logits=fork_logits,
            depth=SLOW if depth == SLOW else FAST,
            reasoning=reasoning,
            generated=tuple(self._generated),
        )

    def _begin(self, prompt: PromptInput) -> None:
        self._model.rollback(0)
        self._generated = []
        self._next_position = prompt.next_position
        self._seen[:] = False
        self._seen[prompt.ids] = True

    def _prefill(self, prompt: PromptInput, forced: Sequence[int]) -> None:
        """Prompt and forced ids in one pass; fork logits, and the logits after the last forced id."""
        count = len(prompt.ids)
        embeddings = np.concatenate([prompt.embeddings, self._embed(forced)])
        positions = np.concatenate([prompt.positions, text_positions(prompt.next_position, len(forced))], axis=1)
        rows = np.array([count + self._answer.fork_index - 1, count + len(forced) - 1], np.int64)
        logits = self._action_logits[:2]
        self._model.forward(embeddings, positions, rows, logits)
        self._note(forced)
        self._fork_logits[:] = logits[0]
        self._action_logits[0] = logits[1]
        self._text_logits[0] = logits[1]
        self._expect_finite(self._fork_logits, "the fork")

    def _penalised_fork(self, prompt_ids: NDArray[np.int64]) -> tuple[float, float]:
        seen = np.zeros_like(self._seen)
        seen[prompt_ids] = True
        seen[list(self._answer.fast_prefix[: self._answer.fork_index])] = True
        scores = penalise(self._fork_logits, seen, self._penalty)
        return float(scores[self._answer.fast_fork]), float(scores[self._answer.slow_fork])

    def _take_slow_branch(self, prompt: PromptInput) -> None:
        """Roll the cache back to the fork and push the slow prefix's rest."""
        fork = self._answer.fork_index
        self._model.rollback(len(prompt.ids) + fork)
        self._generated = list(self._answer.slow_prefix[:fork])
        self._next_position = prompt.next_position + fork
        self._seen[:] = False
        self._seen[prompt.ids] = True
        self._seen[self._generated] = True
        self._push(self._answer.slow_prefix[fork:], self._text_logits)

    def _reason(self, cancelled: Callable[[], bool]) -> str:
        """Free text until it ends with the reasoning suffix; the budget's end forces what is missing of the suffix.

        The suffix is sought in the text, because its first token may have merged with the reasoning's last one.
        """
        suffix = self._answer.reasoning_suffix
        ids: list[int] = []
        while not (text := self._tokenizer.decode(ids)).endswith(suffix):
            if cancelled():
                raise DecodeError(CANCELLED, f"cancelled after {len(ids)} reasoning tokens")
            token = self._choose(self._text_logits[0], f"reasoning token {len(ids)}")
            if action_index(token, self._actions) is not None:
                raise DecodeError(ACTION_OUTSIDE_ANSWER, f"an action token stands at {len(ids)} in the reasoning")
            if token in self._end_ids or len(ids) >= self._max_reasoning:
                self._push(self._tokenizer.encode(suffix[_overlap(text, suffix) :]), self._text_logits)
                return text[: len(text) - _overlap(text, suffix)]
            self._push((token,), self._text_logits)
            ids.append(token)
        return text.removesuffix(suffix)

    def _actions_from_first_logits(self, cancelled: Callable[[], bool]) -> tuple[int, ...]:
        tokens: list[int] = []
        wanted = self._actions.per_answer
        while True:
            step = len(tokens)
            token = self._choose(self._action_logits[step], f"action {step}")
            index = action_index(token, self._actions)
            if step == wanted:
                if index is not None:
                    raise DecodeError(TOO_MANY_ACTIONS, f"an action token follows the {wanted} actions")
                return tuple(tokens)
            if index is None:
                text = self._tokenizer.decode([token])
                raise refuse_step(token, step, self._actions, self._closing, text)
            tokens.append(index)
            if len(tokens) == wanted and not self._check_end:
                self._note((token,))
                return tuple(tokens)
            if cancelled():
                raise DecodeError(CANCELLED, f"cancelled after {len(tokens)} actions")
            self._push((token,), self._action_logits[step + 1 : step + 2])

    def _decode_freely(self, prompt: PromptInput) -> Decoded:
        """Plain greedy decoding of the whole answer, the baseline that forced prefixes are held against."""
        rows = np.array([len(prompt.ids) - 1], np.int64)
        self._model.forward(prompt.embeddings, prompt.positions, rows, self._text_logits)
        fork_logits, steps = (float("nan"), float("nan")), 0
        limit = self._model.cache.capacity - self._model.cache.length
        while True:
            if self._generated == list(self._answer.fast_prefix[: self._answer.fork_index]):
                row = penalise(self._text_logits[0], self._seen, self._penalty)
                fork_logits = float(row[self._answer.fast_fork]), float(row[self._answer.slow_fork])
            token = self._choose(self._text_logits[0], f"token {len(self._generated)}")
            if action_index(token, self._actions) is not None and steps < self._actions.per_answer:
                self._action_logits[steps] = self._text_logits[0]
                steps += 1
            if token in self._end_ids or len(self._generated) + 1 >= limit:
                self._note((token,))
                break
            self._push((token,), self._text_logits)
        tokens = parse_answer(self._generated, self._answer, self._actions, self._closing, self._tokenizer.decode)
        fast = tuple(self._generated[: len(self._answer.fast_prefix)]) == self._answer.fast_prefix
        return Decoded(
            tokens=tokens,
            logits=self._action_logits[:steps],
            fork_logits=fork_logits,
            depth=FAST if fast else SLOW,
            reasoning="",
            generated=tuple(self._generated),
        )

    def _push(self, ids: Sequence[int], logits: NDArray[np.float32]) -> None:
        """Append ids to the sequence; `logits` (1, V) receives what follows the last one."""
        positions = text_positions(self._next_position, len(ids))
        self._model.forward(self._embed(ids), positions, np.array([len(ids) - 1], np.int64), logits)
        self._note(ids)

    def _note(self, ids: Sequence[int]) -> None:
        self._generated.extend(ids)
        self._seen[list(ids)] = True
        self._next_position += len(ids)

    def _embed(self, ids: Sequence[int]) -> NDArray[np.float32]:
        rows: NDArray[np.float32] = self._embeddings[list(ids)].astype(np.float32)
        return rows

    def _choose(self, logits: NDArray[np.float32], where: str) -> int:
        self._expect_finite(logits, where)
        return int(np.argmax(penalise(logits, self._seen, self._penalty)))

    def _expect_finite(self, logits: NDArray[np.float32], where: str) -> None:
        if not np.isfinite(logits).all():
            bad = int((~np.isfinite(logits)).sum())
            raise DecodeError(NAN_LOGITS, f"the logits of {where} hold {bad} values that are not finite")


def penalise(logits: NDArray[np.float32], seen: NDArray[np.bool_], penalty: float) -> NDArray[np.float32]:
    """Logits (V,) with the repetition penalty on `seen` (V,) ids: negative ones times `penalty`, others over it."""
    if penalty == 1.0:
        return logits
    factor = np.float32(penalty)
    scores: NDArray[np.float32] = logits.copy()
    repeated = scores[seen]
    scores[seen] = np.where(repeated < 0, repeated * factor, repeated / factor)
    return scores


def _overlap(text: str, suffix: str) -> int:
    """Length of the longest beginning of `suffix` that `text` ends with."""
    return next(length for length in range(len(suffix), -1, -1) if text.endswith(suffix[:length]))
