"""A provisional thresholds file for a bundle: numbers to start with, and no guarantee of any kind.

Only the supervisor's simulation profile accepts such a file. The numbers come from the table below; a few scenes
certify nothing (1 % risk at 95 % confidence needs 299 scenes without failure), so nothing here is called a risk or a
confidence. What drift is judged against comes from the bundle's core.
"""

from __future__ import annotations

from datetime import datetime, timezone
from pathlib import Path

from onboard_vla.calibration.drift_reference import DriftReference, load_drift_reference
from onboard_vla.core.bundle_manifest import computed_precision, load_manifest
from onboard_vla.core.thresholds import (
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
    Threshold,
    Thresholds,
)

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
    VISION_OOD: (2.0, "own: above what drives in unseen worlds of the nominal profile showed"),
}
"""Values without any scene."""


def provisional_thresholds(
    core_hash: str,
    precision: str,
    created: str | None = None,
    *,
    vision: bool = False,
    drift: DriftReference | None = None,
) -> Thresholds:
    """Thresholds from the table for one bundle core, marked provisional.

    `vision`: whether the core has statistics of its cameras' embeddings, so that its plans carry vision's distance.
    `drift`: what nominal drives showed; signals that the core does not deliver are left out.

    Raises:
        BundleError: hash or precision is empty, or `drift` is no drift reference.
    """
    signals, known = SIGNALS | (DELIVERED if vision else {}), drift or DriftReference({}, {})
    return Thresholds(
        core_hash=core_hash,
        precision=precision,
        provisional=True,
        method="table",
        provenance="values of calibration/provisional.py; provisional: no risk level and no confidence is claimed",
        n_scenes=0,
        alpha=1.0,
        delta=1.0,
        created=created or datetime.now(timezone.utc).strftime("%Y-%m-%dT%H:%M:%SZ"),
        limits=tuple(
            Threshold(signal, TABLE[signal][0], unit, direction, TABLE[signal][1])
            for signal, (unit, direction) in signals.items()
        ),
        drift_reference={name: blocks for name, blocks in known.blocks.items() if name in signals},
        drift_tolerance={name: value for name, value in known.tolerance.items() if name in signals},
    )


def thresholds_of(bundle: Path) -> Thresholds:
    """Provisional thresholds for a bundle, with what its core knows of nominal drives.

    Raises:
        BundleError: its manifest or its drift reference is damaged.
    """
    manifest = load_manifest(bundle)
    drift = None if manifest.drift_reference is None else load_drift_reference(bundle / manifest.drift_reference)
    vision = manifest.vision_reference is not None
    return provisional_thresholds(manifest.core_hash, computed_precision(manifest), vision=vision, drift=drift)
