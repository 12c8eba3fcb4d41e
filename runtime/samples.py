"""Several answers to one prompt: K action runs drawn at once, one pass a step, all on the same cached prefix.

The prefix's keys and values are neither computed nor copied again; each pass carries the next token of every answer,
and a mask keeps the answers apart. A token's attention then runs over the others' slots with weights of exactly zero,
whose places in the sums differ from those of an answer alone: logits are equal to the last bits, not to the bit.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.runtime.answer_grammar import action_index
from onboard_vla.runtime.answer_sequence import AnswerSequence

LEAST = 2
"""A lone token's pass is doubled, which leaves no room for a mask; one answer is what plain decoding gives."""


@dataclass(frozen=True, eq=False)
class Samples:
    """Drawn answers. `tokens`: (M, N) codebook indices of the valid ones; `log_probability`: (M,) of their tokens.

    `refused`: answers in which something else than an action was drawn; they are dropped, never repaired.
    """

    tokens: NDArray[np.int32]
    log_probability: NDArray[np.float64]
    refused: int


@dataclass(frozen=True)
class Draw:
    """How answers are drawn: how many, at which temperature (0: the likeliest token), from which seed."""

    count: int
    temperature: float = 1.0
    seed: int = 0

    def __post_init__(self) -> None:
        if self.count < LEAST or not self.temperature >= 0:
            raise ValueError(f"{self}: expected a count of at least {LEAST} and a temperature of 0 or more")


def draw_actions(
    sequence: AnswerSequence, opening: tuple[int, ...], logits: NDArray[np.float32], actions: ActionTokens, draw: Draw
) -> Samples:
    """Draw answers behind `opening`, the answer's ids up to its first action, which lie in the cache.

    Every token is drawn from the whole vocabulary, after the repetition penalty over prompt and that answer, as
    AutoVLA's training draws them. The cache ends behind the opening again.

    Args:
        sequence: the prompt and its answer.
        opening: ids of the answer before its first action.
        logits: (V,) raw ones behind the opening.
        actions: where the action tokens are and how many an answer has.
        draw: how to draw.
    """
    rng, count = np.random.default_rng(draw.seed), draw.count
    rows = np.repeat(logits[None], count, axis=0)
    drawn = np.zeros((count, actions.per_answer), np.int64)
    likelihood, valid = np.zeros(count), np.ones(count, bool)
    sequence.keep(len(opening))
    for step in range(actions.per_answer):
        for k in range(count):
            sequence.expect_finite(rows[k], f"sample {k}, action {step}")
            scores = sequence.scores(rows[k], (*opening, *drawn[k, :step].tolist())).astype(np.float64)
            token = _draw(scores, draw.temperature, rng)
            likelihood[k] += scores[token] - _log_sum_exp(scores)
            if action_index(token, actions) is None:
                valid[k] = False
                token = actions.first_id  # goes on for nothing: it is dropped in the end
            drawn[k, step] = token
        if step + 1 < actions.per_answer:
            sequence.push_branches(drawn[:, step].tolist(), len(opening), rows)
    sequence.keep(len(opening))
    tokens = (drawn[valid] - actions.first_id).astype(np.int32)
    return Samples(tokens, likelihood[valid], int(count - valid.sum()))


def _draw(scores: NDArray[np.float64], temperature: float, rng: np.random.Generator) -> int:
    """Gumbel's trick: the largest of scores / T with Gumbel noise is distributed as softmax(scores / T)."""
    if temperature == 0:
        return int(np.argmax(scores))
    return int(np.argmax(scores / temperature + rng.gumbel(size=len(scores))))


def _log_sum_exp(scores: NDArray[np.float64]) -> float:
    most = scores.max()
    return float(most + np.log(np.exp(scores - most).sum()))
