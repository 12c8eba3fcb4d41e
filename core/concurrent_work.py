"""Work that several threads do for one caller, who goes on when all of it has ended."""

from __future__ import annotations

from collections.abc import Iterable
from concurrent.futures import Future, wait
from typing import TypeVar

T = TypeVar("T")


def results_of(begun: Iterable[Future[T]]) -> list[T]:
    """What each gave, in order.

    Where one fails the first one's error is raised, once all have ended: none may go on writing to what its caller
    takes for its own again.
    """
    futures = list(begun)
    wait(futures)
    return [future.result() for future in futures]
