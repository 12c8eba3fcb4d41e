"""Have the planner's signals changed over minutes? A conformal test martingale on one figure per 10 s; advisory.

Raw scores at the planner's rate are so correlated that every detector raises false alarms on them; medians over 2 s,
8 s apart, are nearly independent. Each median gets a conformal p-value against a fixed reference of nominal drives; a
Simple Jumper martingale bets against uniform p-values (Vovk et al., "Retrain or not retrain: conformal test martingales
for change-point detection", 2021), and its CUSUM, the capital over its least value so far, raises the alarm.

Simulated (`tests/safety/test_drift.py`): correlated scores (AR(1), 0.98 at 10 Hz) and a reference of 300 blocks, no
alarm in 20 hours; a shift of one standard deviation of the block medians is seen after 7 to 12 minutes.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.verdict import Reason

BLOCK_NS = 10_000_000_000
"""One value per 10 s: two correlation times or more of the spread."""
TAIL_NS = 2_000_000_000
"""A block's value is the median of its last 2 s: medians of whole blocks are correlated with their neighbours."""
BLOCK_PLANS = 5
"""A block with fewer plans in its tail has no value."""
BLOCK_PLANS_MAX = 1000
"""Plans of a block beyond this are left out; 100 Hz is no planner's rate."""
THRESHOLD = 1e4
"""Capital over its least value; with bets of at most 1.5 no alarm comes before 23 blocks, 4 minutes."""
JUMP = 0.01
"""Share of the capital that changes its bet per block (Simple Jumper)."""
BETS = np.array([-1.0, 0.0, 1.0])
"""Slopes of the betting functions 1 + bet (p - 1/2)."""
RISING, FALLING = np.array([-1.0, 0.0]), np.array([0.0, 1.0])
"""As above, against values that are too large (small p), or too small, alone."""


def block_medians(stamps_ns: Sequence[int], scores: Sequence[float]) -> tuple[float, ...]:
    """Values of the blocks of a nominal drive that have enough plans; `stamps_ns` rise."""
    blocks: dict[int, list[float]] = {}
    for stamp_ns, score in zip(stamps_ns, scores, strict=True):
        if in_tail(stamp_ns):
            blocks.setdefault(stamp_ns // BLOCK_NS, []).append(score)
    return tuple(float(np.median(block)) for block in blocks.values() if len(block) >= BLOCK_PLANS)


class DriftWatch:
    """Monitors of all signals; an alarm of any of them comes as rarely as that of one alone (Bonferroni).

    `tolerance`: by signal, how far from the reference all its values may lie without that being a drift: a drive is on
    one road and at one hour, and its medians lie together. Each side is then watched by itself, with values taken back
    by the tolerance: within it, neither bet gains in expectation.
    """

    def __init__(
        self, reference: Mapping[str, tuple[float, ...]], tolerance: Mapping[str, float] | None = None
    ) -> None:
        self._sources: dict[str, tuple[str, float, NDArray[np.float64]]] = {}
        for name in reference:
            allowed = (tolerance or {}).get(name, 0.0)
            if allowed > 0.0:
                self._sources[f"{name} more than {allowed:.3g} above nominal"] = name, -allowed, RISING
                self._sources[f"{name} more than {allowed:.3g} below nominal"] = name, allowed, FALLING
            else:
                self._sources[name] = name, 0.0, BETS
        threshold = THRESHOLD * max(len(self._sources), 1)
        self._monitors = {
            label: DriftMonitor(reference[name], seed, label, threshold, bets)
            for seed, (label, (name, _, bets)) in enumerate(self._sources.items())
        }

    @property
    def watches(self) -> bool:
        """Whether there is a reference to compare with."""
        return bool(self._monitors)

    @property
    def alarms(self) -> tuple[Reason, ...]:
        """Those raised so far."""
        return tuple(monitor.alarm for monitor in self._monitors.values() if monitor.alarm is not None)

    def add(self, stamp_ns: int, values: Mapping[str, float]) -> None:
        """Take one plan's signals; one that the plan lacks is left out."""
        for label, (name, offset, _) in self._sources.items():
            if name in values:
                self._monitors[label].add(stamp_ns, values[name] + offset)


class DriftMonitor:
    """Takes one score per plan; once raised, the alarm stays. `reference`: block medians of nominal drives."""

    def __init__(
        self,
        reference: tuple[float, ...],
        seed: int = 0,
        signal: str = "spread",
        threshold: float = THRESHOLD,
        bets: NDArray[np.float64] = BETS,
    ) -> None:
        self._signal, self._limit, self._bets = signal, math.log(threshold), bets
        self._reference = np.sort(np.asarray(reference, np.float64))
        # Ties are broken at random, as conformal p-values need; seeded, so that a replay gives the same.
        self._random = np.random.default_rng(seed)
        self._block: int | None = None
        self._scores: list[float] = []
        # Shares of the bets, of a capital whose logarithm is kept apart.
        self._capital = np.full(len(bets), 1.0 / len(bets))
        self._log_capital = 0.0
        self._least = 0.0
        self.blocks = 0
        self.alarm: Reason | None = None

    def add(self, stamp_ns: int, score: float) -> None:
        """Take the score of a plan of this data stamp; a finished block is judged."""
        block = stamp_ns // BLOCK_NS
        if block != self._block:
            if len(self._scores) >= BLOCK_PLANS:
                self.add_block(float(np.median(self._scores)))
            self._block = block
            self._scores.clear()
        if in_tail(stamp_ns) and len(self._scores) < BLOCK_PLANS_MAX:
            self._scores.append(score)

    def add_block(self, value: float) -> None:
        """Judge one block's value."""
        self.blocks += 1
        count = len(self._reference)
        above = count - int(np.searchsorted(self._reference, value, side="right"))
        equal = count - above - int(np.searchsorted(self._reference, value, side="left"))
        p = (above + self._random.random() * (equal + 1)) / (count + 1)
        mixed = (1.0 - JUMP) * self._capital + JUMP / len(self._bets)
        mixed *= 1.0 + self._bets * (p - 0.5)
        total = float(mixed.sum())
        self._capital = mixed / total
        self._log_capital += math.log(total)
        self._least = min(self._least, self._log_capital)
        rise = self._log_capital - self._least
        if self.alarm is None and rise >= self._limit:
            detail = (
                f"{self._signal} over blocks of 10 s has drifted, seen after {self.blocks} blocks; capital, decades"
            )
            self.alarm = Reason("DRIFT", rise / math.log(10.0), self._limit / math.log(10.0), detail)


def in_tail(stamp_ns: int) -> bool:
    """Whether a plan of this data stamp counts in its block's value."""
    return stamp_ns % BLOCK_NS >= BLOCK_NS - TAIL_NS
