"""What followed which tokens in earlier answers: guesses of an answer's next tokens, from memory.

Prompt-lookup decoding (Saxena 2023, github.com/apoorvumang/prompt-lookup-decoding) with earlier answers as the text
that is looked up: the longest known context decides, and of its continuations the newest. So as long as an answer goes
like the last one, the guess is the last answer; where it differs, it is what once followed the last few tokens.
"""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence
from functools import lru_cache

LONGEST_CONTEXT = 10
"""Tokens of context that are told apart; with five a fast plan takes 3.98 passes instead of 3.94
(`benchmarks/passes.py`)."""
CAPACITY = 20_000
"""Contexts remembered, 4 MB of them: those of 350 fast answers that have nothing in common."""


class TokenMemory:
    """Remembers continuations; the ones learnt longest ago are forgotten first."""

    def __init__(self, capacity: int = CAPACITY) -> None:
        self._capacity = capacity
        self._next: OrderedDict[tuple[int, ...], int] = OrderedDict()

    def __len__(self) -> int:
        return len(self._next)

    def learn(self, ids: Sequence[int], first: int = 1) -> None:
        """Remember what follows each run of up to `LONGEST_CONTEXT` ids, from id `first` on.

        The ids before `first` are the same in every answer: of the runs that begin among them, which tell all the same,
        the longest is remembered.
        """
        ids, known = tuple(ids), self._next
        for run, end in _runs(first, len(ids)):
            context = ids[run]
            known[context] = ids[end]
            known.move_to_end(context)
        while len(self._next) > self._capacity:
            self._next.popitem(last=False)

    def recall(self, ids: tuple[int, ...]) -> tuple[tuple[int, ...], int | None]:
        """The longest known end of `ids`, and the id that last followed it; nothing and none if even the last is new.

        What is not known of `ids` is not known with more ids behind it, either: who goes on need not ask for it again.
        """
        ids = ids[-LONGEST_CONTEXT:]
        while ids and (found := self._next.get(ids)) is None:
            ids = ids[1:]
        return ids, found if ids else None


@lru_cache(8)
def _runs(first: int, count: int) -> tuple[tuple[slice, int], ...]:
    """The runs that `TokenMemory.learn` remembers of so many ids, and where what follows each stands.

    Fast answers are all as long as each other.
    """
    found = []
    for end in range(first, count):
        oldest = max(0, end - LONGEST_CONTEXT)
        found += [(slice(start, end), end) for start in (oldest, *range(max(oldest + 1, first), end))]
    return tuple(found)
