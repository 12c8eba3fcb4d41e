"""Processor time of repeated work on one thread: what a busy machine disturbs least."""

from __future__ import annotations

import statistics
import time
from collections.abc import Callable

LEAST_RUNS, SPENT_S = 5, 0.1
"""A piece of work is repeated this often at least, and for this long."""


def median_s(work: Callable[[], object]) -> float:
    """Median processor time of one run, after one that is not counted, s."""
    return statistics.median(_times(work))


def least_s(work: Callable[[], object]) -> float:
    """The shortest, s: what a machine can do, for a probe."""
    return min(_times(work))


def _times(work: Callable[[], object]) -> list[float]:
    work()
    found: list[float] = []
    while len(found) < LEAST_RUNS or sum(found) < SPENT_S:
        start = time.thread_time()
        work()
        found.append(time.thread_time() - start)
    return found
