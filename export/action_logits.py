"""What a model says at the fork and at every action of an answer, taken in one token after the other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.runtime.prompt import AnswerIds

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class ActionLogits:
    """`fork`: (2,) raw logits of the fast and slow fork token. `actions`: (T, count) raw logits of the action tokens.

    `tokens`: (T,) codebook indices that each row's successor was conditioned on. `inside`: (T,) bool, whether the
    largest of all logits (after the penalty) was an action token's.
    """

    fork: Floats
    actions: Floats
    tokens: NDArray[np.int64]
    inside: NDArray[np.bool_]


class GrowingAnswer:
    """Reads one row of logits (V,) after the other and keeps what `ActionLogits` are made of."""

    def __init__(
        self,
        actions: ActionTokens,
        answer: AnswerIds,
        penalty: float,
        prompt_ids: NDArray[np.int64],
        *,
        tokens_alone: bool = False,
    ) -> None:
        """After this prompt; with `tokens_alone` no logits are kept, and none can be had."""
        self._tokens_alone = tokens_alone
        self._first, self._count, self._penalty, self._answer = actions.first_id, actions.count, penalty, answer
        self._seen = [*prompt_ids.tolist(), *answer.fast_prefix]
        self._fork: Floats = np.zeros(2, np.float32)
        self._rows: list[Floats] = []
        self._inside: list[bool] = []
        self.tokens: list[int] = []

    def take_fork(self, logits: Floats) -> None:
        """The row at the fork."""
        self._fork = logits[[self._answer.fast_fork, self._answer.slow_fork]]

    def take(self, logits: Floats, forced: int | None = None) -> None:
        """The row at the next action, which goes on with `forced`, or greedily among the action tokens."""
        span = slice(self._first, self._first + self._count)
        scores = penalised(logits, self._seen, self._penalty)
        if not self._tokens_alone:
            self._inside.append(span.start <= int(np.argmax(scores)) < span.stop)
            self._rows.append(logits[span].copy())
        self.tokens.append(int(np.argmax(scores[span])) if forced is None else forced)
        self._seen.append(self.last_id)

    @property
    def last_id(self) -> int:
        """The id of the latest action token."""
        return self._first + self.tokens[-1]

    def logits(self) -> ActionLogits:
        """What was taken in."""
        return ActionLogits(self._fork, np.array(self._rows), np.array(self.tokens, np.int64), np.array(self._inside))


def penalised(logits: Floats, seen: Sequence[int], penalty: float) -> Floats:
    """Logits (V,) with transformers' repetition penalty on the ids seen so far."""
    scores: Floats = logits.copy()
    ids = np.unique(seen)
    scores[ids] = np.where(scores[ids] < 0, scores[ids] * np.float32(penalty), scores[ids] / np.float32(penalty))
    return scores
