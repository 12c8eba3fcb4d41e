"""Decoding in fewer passes: tokens to come are guessed, and ride along in the pass of a token that is known.

A pass gives the logits after each of its tokens. While the tokens that greedy decoding chooses are those guessed, the
logits it needs next are there already; the first wrong guess ends that, and the tokens behind it are guessed anew
(speculative decoding with a free draft, Leviathan et al. 2023, arXiv:2211.17192; where the guesses are what the model
itself said behind a wrong guess, fixed-point or Jacobi decoding, Santilli et al. 2023, arXiv:2305.10427).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.runtime.answer_sequence import AnswerSequence


class Lookahead:
    """The logits after one token of an answer after another."""

    def __init__(self, sequence: AnswerSequence, rows: NDArray[np.float32], guesses: Sequence[int] = ()) -> None:
        """`guesses` lie in the cache behind what was said; `rows` (1 + G, V): logits after that and after each."""
        self._sequence, self._rows, self._guesses, self._right = sequence, rows, tuple(guesses), 0
        """`_right`: how many of the guesses were."""

    @property
    def logits(self) -> NDArray[np.float32]:
        """(V,) after all that was said."""
        row: NDArray[np.float32] = self._rows[self._right]
        return row

    @property
    def behind(self) -> NDArray[np.float32]:
        """(R, V) behind guesses yet to come; if the next one is wrong, what the model said behind a wrong one."""
        return self._rows[self._right + 1 :]

    def guessed(self, token: int) -> bool:
        """Move on behind `token`, the one just said, if it was guessed; else it is to be read."""
        right = self._right < len(self._guesses) and self._guesses[self._right] == token
        self._right += right
        return right

    def read(self, token: int, guesses: Sequence[int], rooms: Sequence[NDArray[np.float32]]) -> None:
        """Move on behind `token`, the one just said, in a pass of its own.

        `rooms`: where the pass writes, the `beginnings` of R rows; it carries at most R - 1 of the guesses.
        """
        self._guesses, self._right = tuple(guesses[: len(rooms) - 1]), 0
        self._rows = rooms[len(self._guesses)]
        self._sequence.keep(len(self._sequence.generated) - 1)
        self._sequence.push((token, *self._guesses), self._rows)


def beginnings(room: NDArray[np.float32]) -> tuple[NDArray[np.float32], ...]:
    """Of a `logits_room` (R, V) the first row, the first two, ..., made once: a pass knows them again."""
    return tuple(room[: 1 + last] for last in range(len(room)))
