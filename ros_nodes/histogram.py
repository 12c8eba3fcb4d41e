"""Durations as a histogram whose percentiles are exact, with their count."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

PERCENTILES = (50.0, 90.0, 95.0, 99.0, 99.9)
BUCKETS_PER_DECADE = 10
"""Bucket borders grow by 26 %, as fine as a glance needs."""
LIMIT = 1_000_000
"""Values kept; at 50 Hz more than five hours. Later ones are counted and left out."""


def carried(percent: float, n: int) -> bool:
    """Whether n values have at least one in the tail beyond this percentile."""
    return n * (100.0 - percent) >= 100.0 * (1.0 - 1e-9)


class Histogram:
    """Values in ms, any sign."""

    def __init__(self) -> None:
        self._values: list[float] = []
        self.left_out = 0

    def add(self, value_ms: float) -> None:
        """Take one."""
        if len(self._values) < LIMIT and math.isfinite(value_ms):
            self._values.append(value_ms)
        else:
            self.left_out += 1

    def summary(self) -> dict[str, Any]:
        """n, least, mean, percentiles, greatest, and (upper border in ms, count) of each bucket that is not empty.

        Percentiles are observed values: the least that at least so many percent of all do not exceed. One that fewer
        values than one in its tail would stand for (p99.9 of less than 1000) is left out: it would be the greatest.
        """
        if not self._values:
            return {"n": 0, "left_out": self.left_out}
        values = np.sort(np.array(self._values))
        at = {
            f"p{p:g}": float(np.percentile(values, p, method="inverted_cdf"))
            for p in PERCENTILES
            if carried(p, len(values))
        }
        borders = np.ceil(BUCKETS_PER_DECADE * np.log10(np.maximum(values, 1e-3)) - 1e-9).astype(int)
        buckets = [
            (round(float(10 ** (border / BUCKETS_PER_DECADE)), 4), int(count))
            for border, count in zip(*np.unique(borders, return_counts=True), strict=True)
        ]
        return {
            "n": len(values),
            "left_out": self.left_out,
            "min": float(values[0]),
            "mean": float(values.mean()),
            **at,
            "max": float(values[-1]),
            "buckets": buckets,
        }
