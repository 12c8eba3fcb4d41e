"""The closed loop in virtual time, with planners that need no model."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.app import closed_loop_warmup
from onboard_vla.app.closed_loop import Scene
from onboard_vla.app.closed_loop_figures import figures_of
from onboard_vla.app.closed_loop_json import compared_part, digest_of
from onboard_vla.app.closed_loop_record import RunSettings
from onboard_vla.app.demo_verdict import judge, reaction_to
from onboard_vla.app.faults import (
    BLACK_CAMERA,
    BLACK_REACTION_LIMIT_NS,
    KILL_PROCESS,
    KILL_REACTION_LIMIT_NS,
    MILLISECOND_NS,
    SECOND_NS,
    Fault,
    demo_faults,
)
from onboard_vla.app.lockstep import run_lockstep
from onboard_vla.app.lockstep_parts import make_guard, make_supervisor, planner_without_model
from onboard_vla.app.simulated_vehicle import SIMULATED_VEHICLE
from onboard_vla.core.cameras import CAMERAS, FRONT
from onboard_vla.core.clock import Now
from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.process_graph import PLANNER
from onboard_vla.safety.config_file import config_hash
from onboard_vla.world.world import World

BLACK = Fault(BLACK_CAMERA, FRONT, 2 * SECOND_NS, SECOND_NS, BLACK_REACTION_LIMIT_NS)
KILL = Fault(KILL_PROCESS, PLANNER, 2 * SECOND_NS, SECOND_NS, KILL_REACTION_LIMIT_NS)


class PatchPictures:
    """Stands in for the renderer: pictures that pass the camera guard, and take no time."""

    def __init__(self, look: str = "day") -> None:
        self.look = look
        rng = np.random.default_rng(1)
        patches = {camera: rng.integers(0, 255, (36, 64, 3), np.uint8) for camera in CAMERAS}
        self._pictures = {camera: np.kron(grid, np.ones((7, 7, 1), np.uint8)) for camera, grid in patches.items()}

    def render(self, world: World) -> dict[str, np.ndarray]:
        shift = world.time_ns // (20 * MILLISECOND_NS)
        return {camera: np.roll(picture, shift, axis=1) for camera, picture in self._pictures.items()}


def settings(seconds: float, *faults: Fault, seed: int = 3, latency_ms: int = 100) -> RunSettings:
    return RunSettings(
        seed=seed,
        profile="quiet_road",
        sensor="perfect",
        transport="lockstep",
        run_ns=int(seconds * SECOND_NS),
        warmup_ns=4 * SECOND_NS,
        planner="expert",
        faults=faults,
        plan_latency_ns=latency_ms * MILLISECOND_NS,
    )


def drive(run: RunSettings, planner: str = "expert"):
    factory, thresholds = planner_without_model(planner)
    scene = Scene.build(run.seed, run.profile, run.sensor, PatchPictures())
    return run_lockstep(run, factory, make_supervisor(thresholds), make_guard(), scene)


@pytest.fixture(scope="module")
def undisturbed():
    return drive(settings(6.0))


def test_expert_drives_from_the_first_answer_and_keeps_up_with_itself(undisturbed):
    figures = figures_of(undisturbed)
    assert undisturbed.driving()[0].engagement == "engaged"
    assert figures.model_share == 1.0
    assert 0.75 < figures.progress_share < 1.05  # L1 caps the speed at 0.8 of the limit for the first seconds
    assert not undisturbed.violations


def test_the_record_has_the_hash_of_the_settings_that_it_was_driven_with(undisturbed):
    assert len(undisturbed.config_hash) == 64
    factory, thresholds = planner_without_model("expert")
    run, supervisor = settings(0.1), make_supervisor(thresholds)
    scene = Scene.build(run.seed, run.profile, run.sensor, PatchPictures())
    record = run_lockstep(run, factory, supervisor, make_guard(), scene)
    assert record.config_hash == config_hash(dataclasses.replace(SIMULATED_VEHICLE, thresholds=thresholds))


def test_same_seed_gives_the_same_run_and_another_seed_another(undisturbed):
    again = drive(settings(6.0))
    other = drive(settings(1.0, seed=4))
    assert digest_of(compared_part(again)) == digest_of(compared_part(undisturbed))
    assert other.plans[0].poses.tobytes() != undisturbed.plans[0].poses.tobytes()


def test_plans_arrive_at_5_hz_and_as_old_as_declared(undisturbed):
    received = np.array([plan.received_ns for plan in undisturbed.plans])
    assert set(np.diff(received)) == {200 * MILLISECOND_NS}
    ages = {plan.received_ns - plan.stamp_ns for plan in undisturbed.plans}
    assert ages == {120 * MILLISECOND_NS}


def test_declared_latency_shows_in_the_age_of_plans():
    slow = drive(settings(2.0, latency_ms=300))
    assert {plan.received_ns - plan.stamp_ns for plan in slow.plans} == {320 * MILLISECOND_NS}
    with pytest.raises(ConfigurationError, match="expected 0 to 1000 ms"):
        drive(settings(1.0, latency_ms=2000))


def test_black_front_camera_is_noticed_named_and_recovered_from():
    record = drive(settings(10.0, BLACK))
    (fault,) = record.faults
    assert 0 <= fault.start_ns - BLACK.start_ns < 100 * MILLISECOND_NS
    reaction = reaction_to(record, fault)
    assert reaction.reaction_ms is not None
    assert reaction.reaction_ms <= BLACK_REACTION_LIMIT_NS / MILLISECOND_NS
    assert reaction.reason.split(": ")[1] == FRONT
    assert reaction.recovery_s is not None
    assert reaction.recovery_s > 1.0


def test_killed_planner_is_noticed_and_comes_back_empty():
    record = drive(settings(10.0, KILL))
    (fault,) = record.faults
    reaction = reaction_to(record, fault)
    assert reaction.reaction_ms is not None
    assert reaction.reaction_ms <= KILL_REACTION_LIMIT_NS / MILLISECOND_NS
    assert reaction.reason.startswith("PLANNER_")
    silent = [p for p in record.plans if KILL.start_ns <= p.received_ns < KILL.end_ns + 1500 * MILLISECOND_NS]
    assert not silent
    assert record.plans[-1].plan_id < len(record.plans)
    ready_ns, process = record.restarts[0]
    assert process == PLANNER
    assert ready_ns >= KILL.end_ns + 1500 * MILLISECOND_NS
    assert reaction.recovery_s is not None


def test_only_the_planner_can_be_killed_in_virtual_time():
    with pytest.raises(ConfigurationError, match="camera_guard"):
        drive(settings(3.0, dataclasses.replace(KILL, target="camera_guard")))


def test_constant_velocity_leaves_the_lane_and_the_fallback_takes_over():
    record = drive(settings(12.0), planner="constant_velocity")
    assert figures_of(record).interventions > 0


def test_planner_that_never_gets_ready_is_reported(monkeypatch):
    monkeypatch.setattr(closed_loop_warmup, "READY_LIMIT_NS", 5 * SECOND_NS)

    class Dead:
        def receive(self, message, now: Now) -> None:
            pass

        def plan_once(self, now: Now) -> None:
            return None

        def heartbeat(self, now: Now) -> Heartbeat:
            return Heartbeat(PLANNER, 0, now.stamp_ns, now.stamp_ns, 0, 0, False, "never")

    run = settings(1.0)
    _, thresholds = planner_without_model("expert")
    scene = Scene.build(run.seed, run.profile, run.sensor, PatchPictures())
    with pytest.raises(EnvironmentLacksError, match="did not become ready"):
        run_lockstep(run, lambda scene: Dead(), make_supervisor(thresholds), make_guard(), scene)


def test_short_lockstep_run_is_judged_by_what_it_has(undisturbed):
    assert judge(undisturbed, complete=False).exit_status == 0
    assert judge(undisturbed, complete=True).exit_status == 3


def test_demo_faults_are_those_that_begin_within_the_run():
    assert [f.kind for f in demo_faults(60 * SECOND_NS)] == [BLACK_CAMERA, KILL_PROCESS]
    assert [f.kind for f in demo_faults(20 * SECOND_NS)] == [BLACK_CAMERA]
    assert demo_faults(10 * SECOND_NS) == ()
