"""The reference checkpoint as an INT8 bundle drives in closed loop, from six rendered cameras, in virtual time."""

from __future__ import annotations

import pytest

from onboard_vla.app.closed_loop import Scene
from onboard_vla.app.closed_loop_figures import figures_of
from onboard_vla.app.closed_loop_json import compared_part, digest_of
from onboard_vla.app.closed_loop_record import RunSettings
from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT, given_bundle
from onboard_vla.app.demo_verdict import reaction_to
from onboard_vla.app.faults import BLACK_CAMERA, BLACK_REACTION_LIMIT_NS, MILLISECOND_NS, SECOND_NS, Fault
from onboard_vla.app.lockstep import run_lockstep
from onboard_vla.app.lockstep_parts import MODEL, make_guard, make_supervisor, planner_with_model
from onboard_vla.core.cameras import FRONT
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.export.bundle_writer import export_bundle

pytestmark = pytest.mark.timeout(600)  # about 30 s of work; a busy machine stretches it
BLACK = Fault(BLACK_CAMERA, FRONT, 6 * SECOND_NS, 3 * SECOND_NS, BLACK_REACTION_LIMIT_NS)


@pytest.fixture(scope="module")
def drive(tmp_path_factory):
    folder = tmp_path_factory.mktemp("model")
    bundle = export_bundle(REFERENCE_CHECKPOINT, folder / "bundle", precision="int8")
    factory, thresholds = planner_with_model(given_bundle(bundle, folder / "cache", lambda *_: None))

    def drive(seconds: float, *faults: Fault):
        run = RunSettings(
            seed=7,
            profile="quiet_road",
            sensor="modelled",
            transport="lockstep",
            run_ns=int(seconds * SECOND_NS),
            warmup_ns=4 * SECOND_NS,
            planner=MODEL,
            faults=faults,
            plan_latency_ns=100 * MILLISECOND_NS,
        )
        scene = Scene.build(run.seed, run.profile, run.sensor)
        return run_lockstep(run, factory, make_supervisor(thresholds), make_guard(), scene)

    return drive


def test_model_drives_yields_to_the_fallback_while_the_front_camera_is_black_and_drives_again(drive):
    record = drive(18.0, BLACK)

    reaction, figures = reaction_to(record, record.faults[0]), figures_of(record)
    assert reaction.engaged_before
    assert reaction.mode_before <= Mode.REDUCED
    assert reaction.reaction_ms is not None
    assert reaction.reaction_ms <= BLACK_REACTION_LIMIT_NS / MILLISECOND_NS
    assert reaction.reason.startswith("BLACK")
    assert record.driving()[-1].mode <= Mode.REDUCED
    assert figures.progress_share >= 0.5
    assert figures.interventions == 1, "the black camera and nothing else"
    assert not [violation for violation in record.violations if violation.at_fault]


def test_same_seed_gives_the_same_plans(drive):
    first, second = drive(2.0), drive(2.0)

    assert figures_of(first).plans >= 8
    assert digest_of(compared_part(first)) == digest_of(compared_part(second))
