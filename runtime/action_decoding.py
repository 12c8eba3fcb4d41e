"""The answer's action run: N action tokens by greedy decoding, nothing skipped, nothing padded."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.runtime.answer_grammar import CANCELLED, TOO_MANY_ACTIONS, DecodeError, action_index, refuse_step
from onboard_vla.runtime.answer_sequence import AnswerSequence
from onboard_vla.runtime.lookahead import Lookahead, beginnings
from onboard_vla.runtime.token_memory import LONGEST_CONTEXT, TokenMemory


class ActionDecoder:
    """Decodes the actions of one answer after another.

    Args:
        actions: where the action tokens are and how many an answer has.
        closing: ids that end an answer; inside the action run they mean that actions are missing.
        to_text: ids to text, for refusals.
        room: makes room for so many rows of logits.
        memory: earlier answers, to guess from; none to decode one token a pass.
        check_end: see one token more, which must not be an action.
        alone: after the first, which is chosen from the whole vocabulary, actions are chosen among actions alone, and
            passes compute no other logits. Guesses change nothing in that: where a pass gave more, it is not looked at.
    """

    def __init__(
        self,
        actions: ActionTokens,
        closing: Sequence[int],
        to_text: Callable[[Sequence[int]], str],
        room: Callable[[int, int | None], NDArray[np.float32]],
        memory: TokenMemory | None,
        *,
        check_end: bool,
        alone: bool = False,
    ) -> None:
        if check_end and alone:
            raise ValueError("check_end: whether an action follows the last shows among all tokens, not among actions")
        self._actions, self._closing, self._to_text, self._memory = actions, closing, to_text, memory
        self._check_end = check_end
        self._names = [f"action {step}" for step in range(actions.per_answer + 1)]
        self._pushed = actions.per_answer - (0 if check_end else 1)
        self._span = slice(actions.first_id, actions.first_id + actions.count)
        self.rows = room(actions.per_answer + 2, None)
        """Room for the fork's logits, then those that action 0, 1, ... and what follows the last are chosen from."""
        self.logits = self.rows[1 : 1 + actions.per_answer]
        """(N, V) raw logits that the actions were chosen from."""
        self.whole = self.logits[:1] if alone else self.logits
        """Those of them that are computed: the first K."""
        self.few = room(actions.per_answer, actions.count) if alone else None
        """(N, count) raw logits of the action tokens, where the others of most actions are not computed."""
        self.beginnings = beginnings(self.rows)
        self._behind = [beginnings(self._behind_action(step)) for step in range(actions.per_answer)]
        """What a pass after each action may write to."""

    def guesses(self, opening: Sequence[int]) -> tuple[int, ...]:
        """Ids of the actions that may follow the answer's opening; as many as a pass can make use of."""
        return self._guess(opening, 0, np.empty((0, 0), np.float32))

    def decode(
        self, sequence: AnswerSequence, guesses: Sequence[int], cancelled: Callable[[], bool] = lambda: False
    ) -> tuple[int, ...]:
        """N codebook indices.

        Args:
            sequence: the prompt and the answer up to the first action; `guesses` lie in the cache behind it.
            guesses: ids. `rows` holds, from row 1 on, the logits after what was said and after each guess.
            cancelled: asked before every further action.

        Raises:
            DecodeError: what greedy decoding chooses is no valid action run.
        """
        tokens: list[int] = []
        wanted = self._actions.per_answer
        ahead = Lookahead(sequence, self.rows[1 : 2 + len(guesses)], guesses)
        while True:
            step = len(tokens)
            token = self._choose(sequence, ahead.logits, step)
            index = action_index(token, self._actions)
            if step == wanted:
                if index is not None:
                    raise DecodeError(TOO_MANY_ACTIONS, f"an action token follows the {wanted} actions")
                return tuple(tokens)
            if index is None:
                raise refuse_step(token, step, self._actions, self._closing, self._to_text([token]))
            tokens.append(index)
            sequence.say((token,))
            if len(tokens) == wanted and not self._check_end:
                return tuple(tokens)
            if cancelled():
                raise DecodeError(CANCELLED, f"cancelled after {len(tokens)} actions")
            if not ahead.guessed(token):
                following = self._guess(sequence.generated, len(tokens), self._actions_of(ahead.behind))
                ahead.read(token, following, self._behind[step])

    def _behind_action(self, step: int) -> NDArray[np.float32]:
        """Room for the logits that the actions behind action `step` are chosen from."""
        return self.rows[2 + step : 2 + self._pushed] if self.few is None else self.few[1 + step :]

    def _choose(self, sequence: AnswerSequence, logits: NDArray[np.float32], step: int) -> int:
        """The id that action `step` is to have."""
        if self.few is None:
            return sequence.choose(logits, self._names[step])
        self.few[step] = self._actions_of(logits)
        if step == 0:
            return sequence.choose(logits, self._names[step])
        return sequence.choose(self.few[step], self._names[step], self._actions.first_id)

    def _actions_of(self, logits: NDArray[np.float32]) -> NDArray[np.float32]:
        """The columns of the action tokens, of rows that may have no others."""
        return logits if logits.shape[-1] == self._actions.count else logits[..., self._span]

    def _guess(self, said: Sequence[int], done: int, fresh: NDArray[np.float32]) -> tuple[int, ...]:
        """From memory, else the model's best action behind a wrong guess; as many as a pass can make use of.

        `fresh`: (R, count) what the model said behind wrong guesses.
        """
        guesses: list[int] = []
        if self._memory is None:
            return ()
        recall, first, behind = (
            self._memory.recall,
            self._actions.first_id,
            self._actions.first_id + self._actions.count,
        )
        context = tuple(said[-LONGEST_CONTEXT:])
        while len(guesses) < self._pushed - done:
            context, token = recall(context)
            if token is None and len(guesses) < len(fresh):
                token = first + int(fresh[len(guesses)].argmax())
            if token is None or not first <= token < behind:
                break
            guesses.append(token)
            context = (*context, token)
        return tuple(guesses)
