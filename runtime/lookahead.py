"""Decoding in fewer passes: tokens to come are guessed, and ride along in the pass of a token that is known.

A pass gives the logits after each of its tokens. While the tokens that greedy decoding chooses are those guessed, the
logits it needs next are there already; the first wrong guess ends that, and the tokens behind it are guessed anew
(speculative decoding with a free draft, Leviathan et al. 2023, arXiv:2211.17192; where the guesses are what the model
itself said behind a wrong guess, fixed-point or Jacobi decoding, Santilli et al. 2023, arXiv:2305.10427).
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.runtime.answer_sequence import AnswerSequence

Guess = Callable[[NDArray[np.float32]], Sequence[int]]
"""Ids that may follow the token just said, given the logits (R, V) of the places behind a wrong guess, if any."""


class Lookahead:
    """The logits after one token of an answer after another."""

    def __init__(self, sequence: AnswerSequence, rows: NDArray[np.float32], guesses: Sequence[int] = ()) -> None:
        """`guesses` lie in the cache behind what was said; `rows` (1 + G, V): logits after that and after each."""
        self._sequence, self._rows, self._guesses = sequence, rows, tuple(guesses)

    @property
    def logits(self) -> NDArray[np.float32]:
        """(V,) after all that was said."""
        row: NDArray[np.float32] = self._rows[0]
        return row

    def read(self, token: int, room: NDArray[np.float32], guess: Guess) -> None:
        """Move on behind `token`, the one just said; in a pass of its own if it was not guessed.

        `room`: (R, V) where a pass writes; it carries at most R - 1 guesses.
        """
        if self._guesses and self._guesses[0] == token:
            self._rows, self._guesses = self._rows[1:], self._guesses[1:]
            return
        self._guesses = tuple(guess(self._rows[1:]))[: len(room) - 1]
        self._rows = room[: 1 + len(self._guesses)]
        self._sequence.keep(len(self._sequence.generated) - 1)
        self._sequence.push((token, *self._guesses), self._rows)
