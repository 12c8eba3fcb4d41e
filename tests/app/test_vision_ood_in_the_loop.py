"""Vision's distance while the model drives: how often nominal drives raise it, and what that costs.

The bundle's statistics are of drives by the expert; the model drives a little differently, and so sees a little else.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import pytest

from onboard_vla.app.closed_loop import Scene
from onboard_vla.app.closed_loop_record import RunSettings
from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT, given_bundle
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS
from onboard_vla.app.lockstep import run_lockstep
from onboard_vla.app.lockstep_parts import MODEL, make_guard, make_supervisor, planner_with_model
from onboard_vla.app.vision_ood_report import FIRST_SEED, NOMINAL
from onboard_vla.calibration.provisional import TABLE
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.export.bundle_writer import export_bundle

LIMIT = TABLE["vision_ood"][0]
SEEDS, SECONDS = range(FIRST_SEED + 100, FIRST_SEED + 104), 20


@dataclass(frozen=True)
class Alarms:
    """Of one drive. `beyond_s`: when plans lay beyond the limit. `raised`: messages that say so; `worse`: in L2."""

    distances: list[float]
    beyond_s: list[float]
    messages: int
    raised: int
    worse: int


def alarms(seed, factory, thresholds):
    """A nominal drive of the model in virtual time."""
    run = RunSettings(
        seed=seed, profile=NOMINAL, sensor="modelled", transport="lockstep", run_ns=SECONDS * SECOND_NS,
        warmup_ns=4 * SECOND_NS, planner=MODEL, faults=(), plan_latency_ns=100 * MILLISECOND_NS,
    )  # fmt: skip
    scene = Scene.build(run.seed, run.profile, run.sensor)
    record = run_lockstep(run, factory, make_supervisor(thresholds), make_guard(), scene)
    distances = [plan.vision_ood for plan in record.plans]
    assert None not in distances
    beyond = [plan.stamp_ns / SECOND_NS for plan in record.plans if plan.vision_ood > LIMIT]
    modes = [m.mode for m in record.driving() if "VISION_OOD" in {reason.code for reason in m.reasons}]
    worse = sum(mode >= Mode.FALLBACK for mode in modes)
    return Alarms(distances, beyond, len(record.driving()), len(modes), worse)


@pytest.mark.slow
@pytest.mark.timeout(3600)  # about 80 s of work; a busy machine stretches it
def test_nominal_drives_of_the_model_seldom_raise_it_and_then_drive_slower_at_worst(tmp_path):
    bundle = export_bundle(REFERENCE_CHECKPOINT, tmp_path / "bundle", precision="int8")
    factory, thresholds = planner_with_model(given_bundle(bundle, tmp_path / "cache", lambda *_: None))
    drives = {seed: alarms(seed, factory, thresholds) for seed in SEEDS}
    beyond = {seed: found.beyond_s for seed, found in drives.items()}
    distances = np.concatenate([found.distances for found in drives.values()])
    assert len(distances) > 350
    assert 0.3 < np.median(distances) < 0.9
    assert np.mean(distances > LIMIT) <= 0.05, beyond
    assert sum(found.raised for found in drives.values()) <= 0.1 * sum(found.messages for found in drives.values())
    assert sum(found.worse for found in drives.values()) == 0, beyond
