"""Greedy decoding of an answer: forced prefixes, the fast/slow fork, reasoning, exactly N actions.

The fast prefix is part of the prefill, so one pass gives both the fork's logits and the first action. Every token is
the one that plain greedy decoding after the same prefix would choose: the maximum over the whole vocabulary, after the
repetition penalty over prompt and answer so far, as `transformers` applies it. What is no action is refused, never
skipped.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.core.plan import FAST, SLOW
from onboard_vla.runtime.action_decoding import ActionDecoder
from onboard_vla.runtime.answer_grammar import (
    ACTION_OUTSIDE_ANSWER,
    CANCELLED,
    WITHOUT_TEXT,
    DecodeError,
    action_index,
    parse_answer,
)
from onboard_vla.runtime.answer_sequence import AnswerSequence, PromptInput
from onboard_vla.runtime.language_model import LanguageModel
from onboard_vla.runtime.lookahead import Lookahead, beginnings
from onboard_vla.runtime.prompt import AnswerIds
from onboard_vla.runtime.samples import Draw, Samples, draw_actions
from onboard_vla.runtime.token_memory import LONGEST_CONTEXT, TokenMemory

MODEL, FREE = "model", "free"
DEPTHS = (FAST, SLOW, MODEL, FREE)
"""fast: act at once. slow: reason first. model: as the fork's logits say. free: plain greedy, no forced prefixes."""

TEXT_GUESSES = 8
"""Tokens of reasoning that are guessed ahead in one pass."""
UTF8_BYTES = 4
"""Most bytes of a character."""


class TextCodec(Protocol):
    """A tokenizer."""

    def encode(self, text: str) -> tuple[int, ...]:
        """Token ids of a text."""

    def decode(self, ids: Sequence[int]) -> str:
        """Text of token ids, special tokens included."""


@dataclass(frozen=True, eq=False)
class Decoded:
    """A valid answer.

    `tokens`: N codebook indices. `logits`: (K, V) raw logits that the first K were chosen from, valid until the next
    decode: all of them, or the first alone where the others were chosen from `action_logits` (N, count).
    `fork_logits`: of the fast and the slow fork token, with the repetition penalty, as decoding compares them.
    `generated`: all answer ids, forced ones included. `complete`: the reasoning ended by itself, not by force.
    """

    tokens: tuple[int, ...]
    logits: NDArray[np.float32]
    fork_logits: tuple[float, float]
    depth: str
    reasoning: str
    generated: tuple[int, ...]
    complete: bool
    action_logits: NDArray[np.float32] | None = None


class GreedyDecoder:
    """Decodes answers with one language model; not thread-safe.

    Args:
        model: the language model; its cache is cleared by each decode.
        embeddings: (V, D) one row per token id.
        answer: the answer's fixed parts.
        actions: where the action tokens are and how many an answer has.
        end_ids: ids that end an answer wherever they stand.
        suffix_id: what follows the last action; inside the action run it means that actions are missing.
        repetition_penalty: see `penalised`.
        max_reasoning: reasoning tokens after which a slow answer is closed by force.
        tokenizer: ids to text and back.
        wordless: ids that no text consists of; before the actions they are refused, unless they end the answer.
        look_ahead: guess tokens ahead, for fewer passes; else one token a pass. The answers are equal.
        check_end: see that no further action follows the N-th.
        prefix_cache: see `AnswerSequence`.
        actions_alone: see `ActionDecoder`; the model must have a head of the actions.
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
        wordless: Collection[int],
        look_ahead: bool = True,
        check_end: bool = False,
        prefix_cache: bool = True,
        actions_alone: bool = False,
    ) -> None:
        self._model, self._answer, self._actions = model, answer, actions
        self._end_ids, self._closing = frozenset(end_ids), (*end_ids, suffix_id)
        self._max_reasoning, self._tokenizer = max_reasoning, tokenizer
        self._wordless = frozenset(wordless) - self._end_ids
        self._sequence = AnswerSequence(model, embeddings, repetition_penalty, prefix_cache=prefix_cache)
        self._memory = TokenMemory() if look_ahead else None
        self._action_decoder = ActionDecoder(
            actions,
            self._closing,
            tokenizer.decode,
            model.logits_room,
            self._memory,
            check_end=check_end,
            alone=actions_alone,
        )
        self._fork_logits: tuple[float, float] | None = None
        self._text_rows = beginnings(model.logits_room(1 + (TEXT_GUESSES if look_ahead else 0)))

    @property
    def action_logits(self) -> NDArray[np.float32]:
        """(K, V) raw logits that the newest answer's first K actions were chosen from, as in `Decoded`."""
        return self._action_decoder.whole

    def decode(
        self,
        prompt: PromptInput,
        depth: str,
        cancelled: Callable[[], bool] = lambda: False,
        act_now: Callable[[bool], bool] = lambda _: False,
    ) -> Decoded:
        """Decode one answer.

        Args:
            prompt: the prompt up to where the answer begins.
            depth: one of `DEPTHS`.
            cancelled: asked before every token of a slow answer.
            act_now: asked before every pass of a slow answer's text (true) and every further action (false), whether to
                take it back to the fork and answer fast after all. The tokens are then those of the fast answer.

        Raises:
            DecodeError: the answer is not valid.
            EngineError: an execution failed or the cache is too small.
        """
        self._fork_logits = None
        if depth == FREE:
            return self._decode_freely(prompt)
        forced = self._answer.slow_prefix if depth == SLOW else self._answer.fast_prefix
        guesses = () if depth == SLOW else self._action_decoder.guesses(forced)
        fork_logits = self._prefill(prompt, forced, guesses)
        if depth == MODEL and fork_logits[1] > fork_logits[0]:
            rows = self._from_the_fork(self._answer.slow_prefix)
            return self._slow_unless(act_now, rows, fork_logits, cancelled)
        if depth == SLOW:
            return self._slow_unless(act_now, self._action_decoder.rows[1:2], fork_logits, cancelled)
        return self._fast(guesses, fork_logits)

    def decode_further(self, most_reasoning: int, cancelled: Callable[[], bool] = lambda: False) -> Decoded:
        """The slow answer to the prompt of the fast one just decoded; the prompt is not read again.

        The tokens are those of `decode(prompt, SLOW)` where the reasoning ends by itself.

        Args:
            most_reasoning: reasoning tokens after which the answer is closed by force, if the bundle allows as many.
            cancelled: asked before every token.

        Raises:
            DecodeError: the answer is not valid.
            EngineError: an execution failed or the cache is too small.
            ValueError: the newest answer is no valid fast one.
        """
        fork_logits, self._fork_logits = self._fork_logits, None
        if fork_logits is None:
            raise ValueError("decode_further: expected a fast answer just before")
        rows = self._from_the_fork(self._answer.slow_prefix)
        return self._slow(rows, fork_logits, cancelled, min(most_reasoning, self._max_reasoning))

    def draw(self, draw: Draw) -> Samples:
        """Further answers to the prompt of the fast one just decoded, on the same cached prefix.

        `decode_further` may follow, and need not.

        Raises:
            DecodeError: some logits are not finite.
            EngineError: an execution failed or the cache is too small.
            ValueError: the newest answer is no valid fast one.
        """
        if self._fork_logits is None:
            raise ValueError("draw: expected a fast answer just before")
        first = self._action_decoder.rows[1]
        return draw_actions(self._sequence, self._answer.fast_prefix, first, self._actions, draw)

    def _from_the_fork(self, prefix: Sequence[int]) -> NDArray[np.float32]:
        """Take the answer back to the fork, and go on with another prefix; (1, V) logits after it."""
        fork = self._answer.fork_index
        self._sequence.unsay(fork)
        return self._force(prefix[fork:])

    def _fast(
        self, guesses: Sequence[int], fork_logits: tuple[float, float], cancelled: Callable[[], bool] = lambda: False
    ) -> Decoded:
        """Act at once; the action decoder has the logits after the fast prefix and after each guess."""
        tokens = self._action_decoder.decode(self._sequence, guesses, cancelled)
        self._fork_logits = fork_logits
        return self._answered(tokens, fork_logits, FAST)

    def _slow_unless(
        self,
        act_now: Callable[[bool], bool],
        rows: NDArray[np.float32],
        fork_logits: tuple[float, float],
        cancelled: Callable[[], bool],
    ) -> Decoded:
        """The slow answer, or the fast one where it is to act now."""
        try:
            return self._slow(rows, fork_logits, cancelled, self._max_reasoning, act_now)
        except _ActNow:
            pass
        self._action_decoder.logits[0] = self._from_the_fork(self._answer.fast_prefix)[0]
        return self._fast((), fork_logits, cancelled)

    def _slow(
        self,
        rows: NDArray[np.float32],
        fork_logits: tuple[float, float],
        cancelled: Callable[[], bool],
        most: int,
        act_now: Callable[[bool], bool] = lambda _: False,
    ) -> Decoded:
        """Reason, then act; `rows` (1, V): logits after the slow prefix.

        Raises:
            _ActNow: it is not to go on.
        """

        def stop() -> bool:
            if cancelled():
                return True
            if act_now(False):
                raise _ActNow
            return False

        ahead = Lookahead(self._sequence, rows)
        text, complete, self._action_decoder.logits[0] = self._reason(ahead, cancelled, most, act_now)
        tokens = self._action_decoder.decode(self._sequence, (), stop)
        return self._answered(tokens, fork_logits, SLOW, text, complete=complete)

    def _answered(
        self,
        tokens: tuple[int, ...],
        fork_logits: tuple[float, float],
        depth: str,
        reasoning: str = "",
        *,
        complete: bool = True,
    ) -> Decoded:
        generated = tuple(self._sequence.generated)
        if self._memory is not None:
            forced = self._answer.slow_prefix if depth == SLOW else self._answer.fast_prefix
            self._memory.learn(generated, len(forced))
        whole, few = self._action_decoder.whole, self._action_decoder.few
        return Decoded(tokens, whole, fork_logits, depth, reasoning, generated, complete, few)

    def _prefill(self, prompt: PromptInput, forced: Sequence[int], guesses: Sequence[int]) -> tuple[float, float]:
        """Prompt, forced ids and guesses in one pass; gives the fork's logits."""
        fork, last = self._answer.fork_index, len(forced) - 1
        wanted = (fork - 1, *range(last, last + 1 + len(guesses)))
        rows = self._action_decoder.beginnings[len(wanted) - 1]
        self._sequence.begin(prompt, forced, guesses, wanted, rows)
        self._sequence.expect_finite(rows[0], "the fork")
        return self._fork_scores(rows[0], forced[:fork])

    def _fork_scores(self, logits: NDArray[np.float32], said: Sequence[int]) -> tuple[float, float]:
        """Of the fast and the slow fork token, after what was said before the fork."""
        fast, slow = self._answer.fast_fork, self._answer.slow_fork
        return self._sequence.score(logits, fast, said), self._sequence.score(logits, slow, said)

    def _force(self, ids: Sequence[int]) -> NDArray[np.float32]:
        """Say given ids; (1, V) logits after the last one."""
        rows = self._text_rows[0]
        self._sequence.push(ids, rows, prefill=True)
        self._sequence.say(ids)
        return rows

    def _reason(
        self, ahead: Lookahead, cancelled: Callable[[], bool], most: int, act_now: Callable[[bool], bool]
    ) -> tuple[str, bool, NDArray[np.float32]]:
        """Free text until it ends with the reasoning suffix, whether it did, and the logits (V,) after that.

        The suffix is sought in the text, because its first token may have merged with the reasoning's last one: in as
        many last tokens as it can take up, of a byte each. The budget's end, after `most` tokens, forces what is
        missing of the suffix.
        """
        suffix, ids = self._answer.reasoning_suffix, list[int]()
        most_ids = UTF8_BYTES * len(suffix)
        while not (end := self._tokenizer.decode(ids[-most_ids:])).endswith(suffix):
            if cancelled():
                raise DecodeError(CANCELLED, f"cancelled after {len(ids)} reasoning tokens")
            token = self._sequence.choose(ahead.logits, f"reasoning token {len(ids)}")
            if action_index(token, self._actions) is not None:
                raise DecodeError(ACTION_OUTSIDE_ANSWER, f"an action token stands at {len(ids)} in the reasoning")
            if token in self._end_ids or len(ids) >= most:
                self._sequence.keep(len(self._sequence.generated))
                said = _overlap(end, suffix)
                rows = self._force(self._tokenizer.encode(suffix[said:]))
                text = self._tokenizer.decode(ids)
                return text[: len(text) - said], False, rows[0]
            self._expect_text(token, f"{len(ids)} in the reasoning")
            self._sequence.say((token,))
            ids.append(token)
            if not ahead.guessed(token):
                if act_now(True):
                    raise _ActNow
                ahead.read(token, self._guess_text(most - len(ids)), self._text_rows)
        self._sequence.keep(len(self._sequence.generated))
        return self._tokenizer.decode(ids).removesuffix(suffix), True, ahead.logits

    def _expect_text(self, token: int, where: str) -> None:
        """Refuse what the model would read on as said, and no reader of the text would see."""
        if token in self._wordless:
            raise DecodeError(WITHOUT_TEXT, f"token {token}, which is no text, stands at {where}")

    def _guess_text(self, left: int) -> tuple[int, ...]:
        """Ids of text that may follow, from memory; `left`: tokens left of the budget."""
        guesses: list[int] = []
        context = tuple(self._sequence.generated[-LONGEST_CONTEXT:])
        while self._memory is not None and len(guesses) < min(TEXT_GUESSES, left):
            context, token = self._memory.recall(context)
            if token is None or action_index(token, self._actions) is not None:
                break
            guesses.append(token)
            context = (*context, token)
        return tuple(guesses)

    def _decode_freely(self, prompt: PromptInput) -> Decoded:
        """Plain greedy decoding of the whole answer, the baseline that forced prefixes are held against."""
        sequence, logits, row = self._sequence, self._action_decoder.logits, self._text_rows[0]
        sequence.begin(prompt, (), (), (-1,), row)
        fork_logits, steps = (float("nan"), float("nan")), 0
        limit = self._model.cache.capacity - self._model.cache.length
        while True:
            if sequence.generated == list(self._answer.fast_prefix[: self._answer.fork_index]):
                fork_logits = self._fork_scores(row[0], sequence.generated)
            token = sequence.choose(row[0], f"token {len(sequence.generated)}")
            if action_index(token, self._actions) is not None and steps < self._actions.per_answer:
                logits[steps] = row[0]
                steps += 1
            if not steps:
                self._expect_text(token, f"{len(sequence.generated)} in the answer")
            sequence.say((token,))
            if token in self._end_ids or len(sequence.generated) >= limit:
                break
            sequence.push((token,), row)
        generated = sequence.generated
        tokens = parse_answer(generated, self._answer, self._actions, self._closing, self._tokenizer.decode)
        fast = tuple(generated[: len(self._answer.fast_prefix)]) == self._answer.fast_prefix
        return Decoded(
            tokens=tokens,
            logits=logits[:steps],
            fork_logits=fork_logits,
            depth=FAST if fast else SLOW,
            reasoning="",
            generated=tuple(generated),
            complete=True,
        )


class _ActNow(Exception):  # noqa: N818 - no error: the fast answer follows
    """A slow answer is not to go on."""


def _overlap(text: str, suffix: str) -> int:
    """Length of the longest beginning of `suffix` that `text` ends with."""
    return next(length for length in range(len(suffix), -1, -1) if text.endswith(suffix[:length]))
