"""The planner's doubt, in metres and probability. It only lowers how often others must act.

What refuses a plan is judged on that plan alone; what asks for L1 is the worst of the last few plans, never their mean,
so that a short spike is not averaged away. Every reason names the signal's value, its limit, and where it was worst:
the step of the plan, the camera, and how many plans ago.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.plan import Uncertainty
from onboard_vla.core.thresholds import (
    ABOVE,
    CHANGE_LATERAL,
    CHANGE_LONGITUDINAL,
    CHOSEN_MASS,
    DELIVERED,
    OUTSIDE_MASS,
    SECOND_MASS,
    SIGNALS,
    SLOW_LATERAL,
    SLOW_SPEED,
    SPREAD_FALLBACK,
    SPREAD_REDUCE,
    STANDBY_LATERAL,
    STANDBY_SPEED,
    VISION_OOD,
    Thresholds,
)
from onboard_vla.core.verdict import Reason

OUTSIDE_MASS_MAX = 0.05
"""Probability outside the action tokens that no thresholds file may raise (safety basis 3.2 item 1)."""
APART_M = 0.75
"""Two groups of motions nearer than this are one plan with some blur (as above, item 3)."""
ROUNDING = 1e-3
"""What half precision may add to a probability of 1, or take from 0."""
WINDOW = 5
"""Plans over which the worst counts (as above, aggregation): one second at 5 Hz."""
LATER_OUTSIDE_MASS = f"{OUTSIDE_MASS} behind the first step"
"""What a plan does not deliver whose later actions were chosen among actions alone; the first step's stays judged."""
CODES = {
    SPREAD_REDUCE: ("SPREAD_RAISED", "spread of the action distribution, m"),
    CHOSEN_MASS: ("CHOSEN_MASS", "probability near the chosen actions"),
    SECOND_MASS: ("TWO_PLANS", "probability of another motion than the chosen one's"),
    CHANGE_LATERAL: ("PLAN_CHANGED_LATERAL", "against the plan before, m"),
    CHANGE_LONGITUDINAL: ("PLAN_CHANGED_LONGITUDINAL", "against the plan before, m"),
    STANDBY_LATERAL: ("STANDBY_LATERAL", "beside the fallback's path at 2 s, m"),
    STANDBY_SPEED: ("STANDBY_SPEED", "against the fallback's speed at 2 s, m/s"),
    SLOW_LATERAL: ("SLOW_LATERAL", "slow against fast plan at 2 s, m"),
    SLOW_SPEED: ("SLOW_SPEED", "slow against fast plan at 2 s, m/s"),
    VISION_OOD: ("VISION_OOD", "distance of a camera's pictures from nominal ones, whose farthest 1 % begin at 1"),
}
"""Code and explanation of each signal that asks for L1."""


@dataclass(frozen=True)
class Reading:
    """One signal of one plan: its worst value, and where that was."""

    value: float
    where: str = ""


@dataclass(frozen=True)
class Doubt:
    """`reject`: reasons to refuse the plan. `reduce`: reasons for L1. `calm`: all beyond the exit level of every limit.

    `absent`: signals that bundle or plan do not deliver, by name.
    """

    reject: tuple[Reason, ...]
    reduce: tuple[Reason, ...]
    calm: bool
    absent: tuple[str, ...] = ()


def readings_of(uncertainty: Uncertainty) -> dict[str, Reading]:
    """The signals of one decode at their worst steps; vision's only where the bundle delivers it."""
    apart = np.where(uncertainty.second_distance_m >= APART_M, uncertainty.second_mass, np.float32(0.0))
    found = {
        SPREAD_REDUCE: _worst(uncertainty.spread_m, ABOVE),
        OUTSIDE_MASS: _worst(uncertainty.outside_mass, ABOVE),
        CHOSEN_MASS: _worst(uncertainty.chosen_mass, SIGNALS[CHOSEN_MASS][1]),
        SECOND_MASS: _worst(apart, ABOVE),
    }
    if uncertainty.vision_ood:
        camera = max(uncertainty.vision_ood, key=lambda name: uncertainty.vision_ood[name])
        found[VISION_OOD] = Reading(uncertainty.vision_ood[camera], f", camera {camera}")
    return found


def values_of(uncertainty: Uncertainty) -> dict[str, float]:
    """The signals of one decode at their worst steps, by name."""
    return {name: reading.value for name, reading in readings_of(uncertainty).items()}


class DoubtMonitor:
    """Holds each plan's signals against the thresholds, and remembers the last few plans'."""

    def __init__(self, thresholds: Thresholds | None, exit_fraction: float) -> None:
        self._limits = {} if thresholds is None else {limit.signal: limit.value for limit in thresholds.limits}
        self._exit = exit_fraction
        self._recent: deque[dict[str, Reading]] = deque(maxlen=WINDOW)

    def judge(self, uncertainty: Uncertainty, others: dict[str, Reading]) -> Doubt:
        """Judge one plan. `others`: signals that are not of its decoding (changes, standby, slow), where they exist.

        Without thresholds only the probability outside the action tokens is judged. A signal that is delivered without
        a limit, or has a limit and is not delivered, refuses the plan: nothing above L2 without it.
        """
        readings = readings_of(uncertainty)
        outside = readings.pop(OUTSIDE_MASS)
        reject = _range_faults(uncertainty)
        highest = min(OUTSIDE_MASS_MAX, self._limits.get(OUTSIDE_MASS, OUTSIDE_MASS_MAX))
        if not outside.value <= highest:
            detail = f"probability outside the action tokens{outside.where}"
            reject.append(Reason("OUTSIDE_MASS", outside.value, highest, detail))
        absent = tuple(name for name in DELIVERED if name not in readings)
        if len(uncertainty.outside_mass) < len(uncertainty.spread_m):
            absent += (LATER_OUTSIDE_MASS,)
        if not self._limits:
            return Doubt(tuple(reject), (), not reject, absent)
        for name in DELIVERED:
            if name in readings and name not in self._limits:
                reject.append(Reason("THRESHOLD_MISSING", 0.0, 1.0, f"{name} is delivered, and has no limit"))
            if name in self._limits and name not in readings:
                reject.append(Reason("SIGNAL_MISSING", 0.0, 1.0, f"{name} has a limit, and is not delivered"))
        spread, high = readings[SPREAD_REDUCE], self._limits[SPREAD_FALLBACK]
        if not spread.value <= high:
            detail = f"{CODES[SPREAD_REDUCE][1]}{spread.where}"
            reject.append(Reason("SPREAD", spread.value, high, detail))
        self._recent.append(readings | others)
        reduce, calm = self._over_window()
        return Doubt(tuple(reject), tuple(reduce), calm and not reject, absent)

    def _over_window(self) -> tuple[list[Reason], bool]:
        """Reasons for L1 from the worst of the last plans, and whether all are beyond the exit level."""
        reduce, calm = [], True
        for name, (code, meaning) in CODES.items():
            limit = self._limits.get(name)
            rows = [(row[name], ago) for ago, row in enumerate(reversed(self._recent)) if name in row]
            if limit is None or not rows:
                continue
            above = (SIGNALS | DELIVERED)[name][1] == ABOVE
            reading, ago = max(rows, key=lambda row: row[0].value) if above else min(rows, key=lambda row: row[0].value)
            holds = reading.value <= limit if above else reading.value >= limit
            if not holds:
                when = f", {ago} plans ago" if ago else ""
                reduce.append(Reason(code, reading.value, limit, f"{meaning}{reading.where}{when}"))
            leave = self._exit * limit if above else min(limit / self._exit, 1.0)
            calm &= reading.value <= leave if above else reading.value >= leave
        return reduce, calm


def _worst(values: NDArray[np.float32], direction: str) -> Reading:
    step = int(np.argmax(values) if direction == ABOVE else np.argmin(values))
    return Reading(float(values[step]), f", step {step + 1}")


def _range_faults(uncertainty: Uncertainty) -> list[Reason]:
    """A spread or distance below 0, or a mass outside [0, 1]."""
    masses = np.concatenate([uncertainty.outside_mass, uncertainty.chosen_mass, uncertainty.second_mass])
    lengths = np.stack([uncertainty.spread_m, uncertainty.second_distance_m])
    worst = max(-float(lengths.min()), -float(masses.min()), float(masses.max()) - 1.0)
    if uncertainty.vision_ood:
        worst = max(worst, -min(uncertainty.vision_ood.values()))
    if worst <= ROUNDING:
        return []
    return [Reason("DOUBT_RANGE", worst, ROUNDING, "a spread or distance below 0, or a mass outside [0, 1]")]
