"""The last seconds of safety indicators: a ring that takes all its memory at the start."""

from __future__ import annotations

import dataclasses
import math

import numpy as np

from onboard_vla.core.indicators import SafetyIndicators

PERIOD_S = 0.1
"""10 Hz."""
ROWS = 100
"""Ten seconds: own; longer than any manoeuvre between a warning and what comes of it."""
LARGEST = ("required_deceleration_mps2", "rss_violations", "objects")
"""Of these the largest is the worst, of all others the least."""
NAMES = tuple(
    field.name
    for field in dataclasses.fields(SafetyIndicators)
    if field.name not in ("stamp_ns", "speed_mps", "config_hash")
)


class IndicatorRecord:
    """The newest `ROWS` samples."""

    def __init__(self) -> None:
        self._rows = np.full((ROWS, len(NAMES)), np.nan)
        self.count = 0

    def add(self, indicators: SafetyIndicators) -> None:
        """Keep one sample in the place of the oldest."""
        row = self._rows[self.count % ROWS]
        for column, name in enumerate(NAMES):
            row[column] = getattr(indicators, name)
        self.count += 1

    def worst(self) -> dict[str, float | None]:
        """Worst value of each indicator among those kept, None where nobody was concerned; empty before any sample."""
        rows = self._rows[: min(self.count, ROWS)]
        if not len(rows):
            return {}
        found = {name: float((rows[:, i].max if name in LARGEST else rows[:, i].min)()) for i, name in enumerate(NAMES)}
        return {name: value if math.isfinite(value) else None for name, value in found.items()}
