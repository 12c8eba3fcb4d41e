"""Bootstrap intervals over worlds: what one world holds is correlated, so whole worlds are drawn again."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

RESAMPLES = 2000
CONFIDENCE = 0.95
SEED = 1

Array = NDArray[np.float64]


@dataclass(frozen=True)
class Estimate:
    """A figure with its 95 % bounds, from `n` values of `worlds` worlds."""

    value: float
    low: float
    high: float
    n: int
    worlds: int

    def __str__(self) -> str:
        return f"{self.value:.3f} [{self.low:.3f}, {self.high:.3f}]"


def bootstrap(
    worlds: Sequence[Hashable],
    statistic: Callable[[NDArray[np.int64]], float],
    resamples: int = RESAMPLES,
    seed: int = SEED,
) -> Estimate | None:
    """Percentile bootstrap of `statistic(rows)` over the rows that belong to drawn worlds (cluster bootstrap).

    Args:
        worlds: for each row the world it comes from.
        statistic: of rows, which may repeat; NaN where it does not exist for them.
        resamples: draws.
        seed: of the draws.

    Returns: None where there is no row, or the figure does not exist.
    """
    if not len(worlds):
        return None
    names = list(dict.fromkeys(worlds))
    number = {name: index for index, name in enumerate(names)}
    groups: list[list[int]] = [[] for _ in names]
    for row, name in enumerate(worlds):
        groups[number[name]].append(row)
    parts = [np.array(group, np.int64) for group in groups]
    value = statistic(np.arange(len(worlds)))
    if not np.isfinite(value):
        return None
    rng = np.random.default_rng(seed)
    draws = [
        statistic(np.concatenate([parts[k] for k in rng.integers(len(parts), size=len(parts))]))
        for _ in range(resamples)
    ]
    known = np.array(draws)[np.isfinite(draws)]
    tail = (1.0 - CONFIDENCE) / 2
    low, high = np.quantile(known, [tail, 1.0 - tail]) if len(known) else (value, value)
    return Estimate(float(value), float(low), float(high), len(worlds), len(names))


def mean(worlds: Sequence[Hashable], values: Sequence[float]) -> Estimate | None:
    """Mean of values, with bounds over worlds."""
    table = np.asarray(values, np.float64)
    return bootstrap(worlds, lambda rows: float(table[rows].mean()))


def ratio(worlds: Sequence[Hashable], above: Sequence[float], below: Sequence[float]) -> Estimate | None:
    """Sum over sum, with bounds over worlds; NaN where the lower sum is zero."""
    one, two = np.asarray(above, np.float64), np.asarray(below, np.float64)

    def share(rows: NDArray[np.int64]) -> float:
        whole = float(two[rows].sum())
        return float(one[rows].sum()) / whole if whole else float("nan")

    return bootstrap(worlds, share)


def auroc(scores: Array, positive: NDArray[np.bool_]) -> float:
    """Area under the ROC curve: how often a positive has the higher score, ties half (Mann and Whitney 1947).

    NaN without any positive or negative.
    """
    ups, downs = int(positive.sum()), int((~positive).sum())
    if not ups or not downs:
        return float("nan")
    order, counts = np.unique(scores, return_inverse=True)[1], np.bincount(np.unique(scores, return_inverse=True)[1])
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[order]
    return float((ranks[positive].sum() - ups * (ups + 1) / 2) / (ups * downs))


def auroc_estimate(worlds: Sequence[Hashable], scores: Array, positive: NDArray[np.bool_]) -> Estimate | None:
    """AUROC with bounds over worlds."""
    return bootstrap(worlds, lambda rows: auroc(scores[rows], positive[rows]))
