"""The planner's own doubt, in metres and probability (safety sheet 3.2). It only lowers how often others must act."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.plan import Uncertainty
from onboard_vla.core.thresholds import CHOSEN_MASS, OUTSIDE_MASS, SPREAD_FALLBACK, SPREAD_REDUCE, Thresholds
from onboard_vla.core.verdict import Reason

OUTSIDE_MASS_MAX = 0.05
"""Probability outside the action tokens that no thresholds file may raise (3.2 item 1)."""
ROUNDING = 1e-3
"""What half precision may add to a probability of 1, or take from 0."""


@dataclass(frozen=True)
class Doubt:
    """`reject`: reasons to refuse the plan. `reduce`: reasons for L1. `calm`: below the exit level of both limits."""

    reject: tuple[Reason, ...]
    reduce: tuple[Reason, ...]
    calm: bool


def judge_doubt(uncertainty: Uncertainty, thresholds: Thresholds | None, exit_fraction: float) -> Doubt:
    """Hold the plan's signals against the thresholds; without any, only the outside mass is judged."""
    spread = float(uncertainty.spread_m.max())
    outside = float(uncertainty.outside_mass.max())
    chosen = float(uncertainty.chosen_mass.min())
    highest = OUTSIDE_MASS_MAX if thresholds is None else min(OUTSIDE_MASS_MAX, thresholds.value(OUTSIDE_MASS))
    reject, reduce = [], []
    masses = (float(uncertainty.outside_mass.min()), outside, chosen, float(uncertainty.chosen_mass.max()))
    worst = max(-float(uncertainty.spread_m.min()), -min(masses), max(masses) - 1.0)
    if not worst <= ROUNDING:
        reject.append(Reason("DOUBT_RANGE", worst, ROUNDING, "a spread below 0 or a mass outside [0, 1]"))
    if not outside <= highest:
        reject.append(Reason("OUTSIDE_MASS", outside, highest, "probability outside the action tokens"))
    if thresholds is None:
        return Doubt(tuple(reject), (), not reject)
    low, high = thresholds.value(SPREAD_REDUCE), thresholds.value(SPREAD_FALLBACK)
    least = thresholds.value(CHOSEN_MASS)
    if not spread <= high:
        reject.append(Reason("SPREAD", spread, high, "spread of the action distribution, m"))
    if not spread <= low:
        reduce.append(Reason("SPREAD_RAISED", spread, low, "spread of the action distribution, m"))
    if not chosen >= least:
        reduce.append(Reason("CHOSEN_MASS", chosen, least, "probability near the chosen actions"))
    return Doubt(tuple(reject), tuple(reduce), not reject and not reduce and spread <= exit_fraction * low)
