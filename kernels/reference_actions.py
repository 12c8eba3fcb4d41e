"""Reference of the action-token kernel: what one decoding step's logits say about the motion, in float64.

All figures come from raw logits: AutoVLA decodes with temperatures down to 0.2 and top-p down to 0.2, and what is left
after such warping no longer says how sure the model was. Spread is in metres because entropy counts equal motions as
doubt (Rao's quadratic entropy weighs by distance: Rao 1982, Theor. Popul. Biol. 21).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

NEAR_M = 0.3
"""Radius in metres within which tokens count as the same motion; own choice."""


LINK_M = 0.5
"""Tokens closer than this belong to the same group of motions (docs/safety-basis.md, section 3.2, signal 3)."""
GROUPED_MASS = 0.95
"""The most probable tokens that together have this probability are grouped (as above)."""
GROUPED_TOKENS = 256
"""Of those, no more than this many: a flatter distribution has spread, not groups."""


@dataclass(frozen=True)
class ActionStatistics:
    """One decoding step.

    `best`: codebook index with the highest allowed logit. `log_sum_exp`: over the allowed action tokens.
    `outside_mass`: probability of everything else in the vocabulary. `spread_m`: root-mean-square distance of the
    allowed tokens' end points from their mean. `chosen_mass`: probability, among allowed tokens, of end points within
    `NEAR_M` of the chosen one. `chosen_log_probability`: of the chosen token among allowed ones, nats.
    `second_mass`, `second_distance_m`: probability of the second group of end points and metres between the means of
    the two (`second_group`); 0 where there is one group.
    `finite`: no logit is NaN or infinite; when false every other figure is NaN and `best` is -1.
    """

    best: int
    log_sum_exp: float
    outside_mass: float
    spread_m: float
    chosen_mass: float
    chosen_log_probability: float
    second_mass: float
    second_distance_m: float
    finite: bool


def action_statistics(
    logits: NDArray[np.floating],
    first_id: int,
    ends: NDArray[np.float64],
    chosen: int | None = None,
    allowed: NDArray[np.bool_] | None = None,
) -> ActionStatistics:
    """Statistics of one row of logits.

    Args:
        logits: (V,) raw logits over the whole vocabulary.
        first_id: vocabulary id of codebook token 0.
        ends: (K, 2) end points of the codebook's tokens, metres.
        chosen: codebook index that was decoded; the best allowed one if not given.
        allowed: (K,) which tokens may be chosen at all; every one if not given.
    """
    row = np.asarray(logits, np.float64)
    if not np.isfinite(row).all():
        nan = float("nan")
        return ActionStatistics(-1, nan, nan, nan, nan, nan, nan, nan, False)
    actions = row[first_id : first_id + len(ends)]
    if allowed is not None:
        actions = np.where(allowed, actions, -np.inf)
    best = int(np.argmax(actions))
    pick = best if chosen is None else chosen
    peak = actions[best]
    weights = np.exp(actions - peak)
    total = weights.sum()
    probabilities = weights / total
    centre = probabilities @ ends
    spread = np.sqrt(probabilities @ ((ends - centre) ** 2).sum(axis=1))
    near = ((ends - ends[pick]) ** 2).sum(axis=1) <= NEAR_M**2
    second_mass, second_distance = second_group(probabilities, ends)
    log_sum_exp = peak + np.log(total)
    top = row.max()
    everything = top + np.log(np.exp(row - top).sum())
    return ActionStatistics(
        best=best,
        log_sum_exp=float(log_sum_exp),
        outside_mass=float(max(0.0, -np.expm1(log_sum_exp - everything))),
        spread_m=float(spread),
        chosen_mass=float(probabilities[near].sum()),
        chosen_log_probability=float(actions[pick] - log_sum_exp),
        second_mass=second_mass,
        second_distance_m=second_distance,
        finite=True,
    )


def second_group(
    probabilities: NDArray[np.float64],
    ends: NDArray[np.float64],
    link_m: float = LINK_M,
    grouped_mass: float = GROUPED_MASS,
) -> tuple[float, float]:
    """Mass of the second group of motions and metres between the two heaviest groups' means; (0, 0) for one group.

    The most probable tokens up to `grouped_mass` are linked where their end points lie within `link_m`; what hangs
    together, directly or over others, is one group. A blur of any width over neighbouring tokens is one group; going on
    and braking are two.

    Args:
        probabilities: (K,) of the allowed tokens, 0 for others.
        ends: (K, 2) end points of the codebook's tokens, metres.
        link_m: as `LINK_M`.
        grouped_mass: as `GROUPED_MASS`.
    """
    order = np.argsort(-probabilities, kind="stable")[:GROUPED_TOKENS]
    before = np.cumsum(probabilities[order]) - probabilities[order]
    order = order[(before < grouped_mass) & (probabilities[order] > 0.0)]
    points, weights = ends[order], probabilities[order]
    linked = ((points[:, None] - points[None]) ** 2).sum(axis=-1) <= link_m**2
    group = np.arange(len(order))
    while True:
        lowest = np.where(linked, group[None], len(order)).min(axis=1)
        lowest = lowest[lowest]
        if np.array_equal(lowest, group):
            break
        group = lowest
    masses = np.bincount(group, weights)
    heaviest = np.argsort(-masses, kind="stable")[:2]
    if len(heaviest) < 2 or masses[heaviest[1]] <= 0.0:
        return 0.0, 0.0
    means = [np.average(points[group == g], axis=0, weights=weights[group == g]) for g in heaviest]
    return float(masses[heaviest[1]]), float(np.hypot(*(means[0] - means[1])))
