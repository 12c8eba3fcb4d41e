"""Linear probes: what a straight line can read from features, on worlds that the line was not fitted to."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.evaluation.intervals import Estimate, auroc_estimate, bootstrap
from onboard_vla.app.measures.collect import Row
from onboard_vla.app.measures.samples import truth_index
from onboard_vla.core.road import COMMANDS
from onboard_vla.world.dataset_episode import LEAD_SIGHT_M, SIGNAL_SIGHT_M

Array = NDArray[np.float64]

FOLDS = 5
PENALTIES = (1e-1, 1.0, 1e1, 1e2, 1e3, 1e4)
"""Ridge penalties, per feature of unit variance; chosen inside the fitted worlds."""
LEAD_GAP, SIGNAL = "lead_nearness", "signal_near"
CLOSE_M = 25.0
"""From the vehicle's front to the stop line."""


@dataclass(frozen=True)
class Probe:
    """One truth read from features, and from what the prompt tells a blind model (speed and command)."""

    name: str
    figure: str
    """"R2" or "AUROC"."""
    features: Estimate | None
    prompt_alone: Estimate | None


def probe_all(rows: Sequence[Row]) -> list[Probe]:
    """Lane offset, heading, gap to the one ahead (where there is one in sight), and signal state (likewise)."""
    features, prompt, truth, worlds = _tables(rows)
    everywhere = np.ones(len(rows), bool)
    near, signal = truth[:, truth_index(LEAD_GAP)], truth[:, truth_index(SIGNAL)]
    gap = (1.0 - near) * LEAD_SIGHT_M
    wanted = [
        ("lane offset", truth[:, truth_index("lane_offset_m")], everywhere),
        ("heading in the lane", truth[:, truth_index("heading_error_rad")], everywhere),
        ("gap to the vehicle ahead", gap, near > 0.0),
    ]
    found = [
        Probe(name, "R2", *(_r2(table[where], values[where], worlds[where]) for table in (features, prompt)))
        for name, values, where in wanted
    ]
    where, red = signal > 0.0, truth[:, truth_index("signal_red")] > 0.5
    state = (_auroc(table[where], red[where], worlds[where]) for table in (features, prompt))
    return [*found, Probe("signal not green, where one is near", "AUROC", *state)]


def probe_signals(rows: Sequence[Row]) -> list[Probe]:
    """Signal state, from samples that were placed before signals by lot: at all distances, and near."""
    features, prompt, truth, worlds = _tables(rows)
    red = truth[:, truth_index("signal_red")] > 0.5
    close = truth[:, truth_index(SIGNAL)] > 1.0 - CLOSE_M / SIGNAL_SIGHT_M
    found = []
    for name, where in (("signal not green", np.ones(len(rows), bool)), (f"the same within {CLOSE_M:g} m", close)):
        state = (_auroc(table[where], red[where], worlds[where]) for table in (features, prompt))
        found.append(Probe(name, "AUROC", *state))
    return found


def _tables(rows: Sequence[Row]) -> tuple[Array, Array, Array, NDArray[np.int64]]:
    """Features, what the prompt tells, truth, and world of each row."""
    features = np.stack([row.features for row in rows if row.features is not None]).astype(np.float64)
    prompt = np.array([(row.speed_mps, row.speed_mps**2, *(row.command == c for c in COMMANDS)) for row in rows], float)
    truth = np.stack([row.truth for row in rows]).astype(np.float64)
    return features, prompt, truth, np.array([row.world for row in rows])


def held_out(features: Array, values: Array, worlds: NDArray[np.int64]) -> Array | None:
    """Ridge predictions (N,) of `values` for each world, fitted to other worlds; None with too few worlds.

    The penalty is chosen by the same rule among the fitted worlds.
    """
    names = np.unique(worlds)
    if len(names) < 2 * FOLDS:
        return None
    fold = np.searchsorted(names, worlds) % FOLDS
    result = np.zeros(len(values))
    for k in range(FOLDS):
        inside, outside = fold != k, fold == k
        inner = (k + 1) % FOLDS
        errors = []
        for penalty in PENALTIES:
            fit, check = inside & (fold != inner), fold == inner
            errors.append(float(np.mean((_ridge(features, values, fit, check, penalty) - values[check]) ** 2)))
        best = PENALTIES[int(np.argmin(errors))]
        result[outside] = _ridge(features, values, inside, outside, best)
    return result


def _ridge(features: Array, values: Array, fit: NDArray[np.bool_], ask: NDArray[np.bool_], penalty: float) -> Array:
    """In the dual form: as many unknowns as samples."""
    centre, spread = features[fit].mean(axis=0), features[fit].std(axis=0)
    scaled = (features - centre) / np.where(spread > 1e-9, spread, 1.0) / np.sqrt(features.shape[1])
    offset = values[fit].mean()
    kernel = scaled[fit] @ scaled[fit].T
    strength = penalty / features.shape[1]
    weights = np.linalg.solve(kernel + strength * np.eye(len(kernel)), values[fit] - offset)
    return np.asarray(offset + scaled[ask] @ (scaled[fit].T @ weights), np.float64)


def _r2(features: Array, values: Array, worlds: NDArray[np.int64]) -> Estimate | None:
    predicted = held_out(features, values, worlds)
    if predicted is None:
        return None

    def r2(rows: NDArray[np.int64]) -> float:
        spread = float(((values[rows] - values[rows].mean()) ** 2).sum())
        return 1.0 - float(((values[rows] - predicted[rows]) ** 2).sum()) / spread if spread else float("nan")

    return bootstrap(worlds.tolist(), r2)


def _auroc(features: Array, red: NDArray[np.bool_], worlds: NDArray[np.int64]) -> Estimate | None:
    predicted = held_out(features, red.astype(np.float64), worlds)
    return None if predicted is None else auroc_estimate(worlds.tolist(), predicted, red)
