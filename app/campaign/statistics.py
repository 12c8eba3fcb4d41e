"""Bounds on a share from counts, and order statistics of reaction times."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

CONFIDENCE = 0.95
STEPS = 200
"""Bisections: more than a double can tell apart."""


def clopper_pearson(events: int, trials: int, confidence: float = CONFIDENCE) -> tuple[float, float]:
    """Exact two-sided bounds on a binomial share (Clopper and Pearson 1934).

    Raises:
        ValueError: counts that cannot be.
    """
    if not 0 <= events <= trials or trials < 1 or not 0.0 < confidence < 1.0:
        raise ValueError(f"{events} of {trials} at confidence {confidence}: not a share")
    tail = (1.0 - confidence) / 2
    low = 0.0 if events == 0 else _root(lambda p: 1.0 - _at_most(events - 1, trials, p) - tail)
    high = 1.0 if events == trials else _root(lambda p: tail - _at_most(events, trials, p))
    return low, high


def poisson_upper(events: int, confidence: float = CONFIDENCE) -> float:
    """Exact one-sided upper bound on a Poisson mean after `events` were seen (Garwood 1936)."""
    if events < 0:
        raise ValueError(f"{events} events: not a count")
    high = 10.0 + 3.0 * events

    def excess(share: float) -> float:
        mean = share * high
        return (1.0 - confidence) - sum(
            math.exp(-mean + k * math.log(mean) - math.lgamma(k + 1)) for k in range(events + 1)
        )

    return high * _root(excess)


@dataclass(frozen=True)
class Times:
    """Order statistics of reaction times, ms: exact, never without the count."""

    n: int
    p50: float
    p95: float
    largest: float


def times_of(values: Sequence[float | None]) -> Times | None:
    """None where there is no value; a percentile is the smallest value with at least that share at or below it."""
    known = sorted(value for value in values if value is not None)
    if not known:
        return None
    p50, p95 = (known[max(math.ceil(share * len(known)) - 1, 0)] for share in (0.5, 0.95))
    return Times(len(known), p50, p95, known[-1])


def _at_most(events: int, trials: int, share: float) -> float:
    """Probability of at most so many events."""
    if share <= 0.0:
        return 1.0
    if share >= 1.0:
        return float(events >= trials)
    log_p, log_q = math.log(share), math.log1p(-share)
    return math.fsum(
        math.exp(
            math.lgamma(trials + 1)
            - math.lgamma(k + 1)
            - math.lgamma(trials - k + 1)
            + k * log_p
            + (trials - k) * log_q
        )
        for k in range(events + 1)
    )


def _root(rising: Callable[[float], float]) -> float:
    """Where a function that rises on (0, 1) crosses zero."""
    low, high = 0.0, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if middle in (low, high):
            break
        if rising(middle) < 0.0:
            low = middle
        else:
            high = middle
    return (low + high) / 2
