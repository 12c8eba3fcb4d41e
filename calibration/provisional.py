"""A provisional thresholds file for a bundle: numbers to start with, and no guarantee of any kind.

Only the supervisor's simulation profile accepts such a file. The numbers come from the table below, or from the
signals of a few driven scenes; a few scenes certify nothing (1 % risk at 95 % confidence needs 299 scenes without
failure), so nothing here is called a risk or a confidence.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timezone

import numpy as np

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import Plan
from onboard_vla.core.thresholds import (
    CHANGE_LATERAL,
    CHANGE_LONGITUDINAL,
    CHOSEN_MASS,
    DRIFT_BLOCKS_MIN,
    OUTSIDE_MASS,
    SECOND_MASS,
    SIGNALS,
    SLOW_LATERAL,
    SLOW_SPEED,
    SPREAD_FALLBACK,
    SPREAD_REDUCE,
    STANDBY_LATERAL,
    STANDBY_SPEED,
    Threshold,
    Thresholds,
)
from onboard_vla.safety.drift import block_medians

TABLE: dict[str, tuple[float, str]] = {
    SPREAD_REDUCE: (
        0.5,
        "own table; on AutoVLA's codebook a 50 cm blur has 0.555 m, straight against left 0.481 m",
    ),
    SPREAD_FALLBACK: (1.5, "own table: even odds of going and braking, 1.483 m on AutoVLA's codebook"),
    OUTSIDE_MASS: (0.05, "own table: more than a twentieth of the probability on tokens that are no actions"),
    CHOSEN_MASS: (0.1, "own: a tenth of the probability within 0.3 m of the chosen action"),
    SECOND_MASS: (0.15, "docs/safety-basis.md 3.2 item 3: two plans, at least 0.75 m apart"),
    CHANGE_LATERAL: (0.75, "own: above what nominal drives of the reference checkpoint showed"),
    CHANGE_LONGITUDINAL: (2.5, "own: above what nominal drives of the reference checkpoint showed"),
    STANDBY_LATERAL: (1.0, "own: above what nominal drives of the reference checkpoint showed"),
    STANDBY_SPEED: (3.0, "own: above what nominal drives of the reference checkpoint showed"),
    SLOW_LATERAL: (0.75, "docs/safety-basis.md 3.2 item 7"),
    SLOW_SPEED: (2.0, "docs/safety-basis.md 3.2 item 7"),
}
"""Values without any scene."""

REDUCE_FACTOR = 1.25
"""Room above the largest spread that nominal scenes showed."""
FALLBACK_FACTOR = 2.0
"""As above, for rejection."""
CHOSEN_FACTOR = 0.5
"""Room below the smallest probability near the chosen action that nominal scenes showed."""


@dataclass(frozen=True)
class SceneSignals:
    """The worst signals of one nominal scene: largest spread (m), smallest probability near the chosen actions.

    `blocks`: medians of the spread over 10 s each, for the drift reference.
    """

    scene_id: str
    plans: int
    spread_m: float
    chosen_mass: float
    blocks: tuple[float, ...]


def scene_signals(scene_id: str, plans: Iterable[Plan]) -> SceneSignals:
    """The worst signals over the plans of one scene; a scene is the unit, never a frame.

    Raises:
        ConfigurationError: the scene has no plan, or a signal is not finite.
    """
    plans = list(plans)
    if not plans:
        raise ConfigurationError(f"scene {scene_id!r} has no plan: drive it before taking its signals")
    spread = max(float(np.max(plan.uncertainty.spread_m)) for plan in plans)
    chosen = min(float(np.min(plan.uncertainty.chosen_mass)) for plan in plans)
    if not (np.isfinite(spread) and np.isfinite(chosen)):
        raise ConfigurationError(
            f"scene {scene_id!r}: a signal is not finite; such plans are rejected, not calibrated on"
        )
    stamps = [plan.stamp_ns for plan in plans]
    blocks = block_medians(stamps, [float(np.max(plan.uncertainty.spread_m)) for plan in plans])
    return SceneSignals(scene_id, len(plans), spread, chosen, blocks)


def provisional_thresholds(
    core_hash: str, precision: str, scenes: Sequence[SceneSignals] = (), created: str | None = None
) -> Thresholds:
    """Thresholds for one bundle core, marked provisional: from `scenes` where given, else from the table.

    Raises:
        ConfigurationError: a scene appears twice.
        BundleError: hash or precision is empty.
    """
    names = [scene.scene_id for scene in scenes]
    if len(set(names)) != len(names):
        raise ConfigurationError(f"scenes must be distinct, found {names}")
    values = dict(TABLE)
    if scenes:
        spread, chosen = max(s.spread_m for s in scenes), min(s.chosen_mass for s in scenes)
        counted = f"{len(scenes)} nominal scenes, {sum(s.plans for s in scenes)} plans"
        values[SPREAD_REDUCE] = REDUCE_FACTOR * spread, f"{REDUCE_FACTOR:g} x the largest spread in {counted}"
        values[SPREAD_FALLBACK] = FALLBACK_FACTOR * spread, f"{FALLBACK_FACTOR:g} x the largest spread in {counted}"
        values[CHOSEN_MASS] = CHOSEN_FACTOR * chosen, f"{CHOSEN_FACTOR:g} x the smallest mass in {counted}"
    blocks = tuple(value for scene in scenes for value in scene.blocks)
    source = f"scenes {', '.join(names)}" if scenes else "fixed values of calibration/provisional.py"
    return Thresholds(
        core_hash=core_hash,
        precision=precision,
        provisional=True,
        method="extremes of nominal scenes with a factor" if scenes else "table",
        provenance=f"{source}; provisional: no risk level and no confidence is claimed",
        n_scenes=len(scenes),
        alpha=1.0,
        delta=1.0,
        created=created or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        limits=tuple(
            Threshold(signal, values[signal][0], unit, direction, values[signal][1])
            for signal, (unit, direction) in SIGNALS.items()
        ),
        drift_reference=blocks if len(blocks) >= DRIFT_BLOCKS_MIN else (),
    )
