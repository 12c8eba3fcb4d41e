"""Small campaigns on the real supervisor, and on two that must not pass."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.app.campaign import changes, episode
from onboard_vla.app.campaign.episode import MONITOR_OFF, MONITOR_ON, kept_start
from onboard_vla.app.campaign.figures import FAIL, PASS, verdict_of
from onboard_vla.app.campaign.golden import drive_golden
from onboard_vla.app.campaign.golden import figures_of as golden_figures
from onboard_vla.app.campaign.jobs import CONTROL_CASE, Job, Result, quick_jobs, run_job, shard
from onboard_vla.app.campaign.outcome import GOOD
from onboard_vla.app.campaign.pictures import MomentPictures
from onboard_vla.app.campaign.planted import AlwaysBrakes, NeverIntervenes
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.core.cameras import FRONT
from onboard_vla.core.safe_trajectory import OperatorCommand
from onboard_vla.safety import plan_guard
from onboard_vla.world.expert import Expert
from onboard_vla.world.world import World

BLACK, KILL = "F3/black", "F14/gone, and back after 4 s"


@pytest.fixture(autouse=True)
def _fresh_starts():
    kept_start.cache_clear()
    yield
    kept_start.cache_clear()


def small_campaign(speed_mps: float = 15.0) -> list[Result]:
    jobs = [Job(case, monitor, speed_mps, 0, 0) for case in (BLACK, KILL) for monitor in (MONITOR_ON, MONITOR_OFF)]
    jobs += [Job(CONTROL_CASE.key, monitor, speed_mps, 0, 0) for monitor in (MONITOR_ON, MONITOR_OFF)]
    return [run_job(job) for job in jobs]


def test_faults_are_handled_and_are_dangerous_without_the_monitor():
    results = {(r.fault, r.monitor): r for r in small_campaign()}
    assert results["F3", MONITOR_ON].outcome == results["F14", MONITOR_ON].outcome == "handled"
    assert results["F3", MONITOR_OFF].harm
    assert results["F14", MONITOR_OFF].harm
    assert not results["control", MONITOR_ON].harm
    assert not results["control", MONITOR_OFF].harm
    assert verdict_of(list(results.values()), None, (), 0).outcome == PASS


def test_same_job_gives_the_same_result_again():
    job = Job(BLACK, MONITOR_ON, 5.0, 0, 3)
    first = run_job(job)
    kept_start.cache_clear()
    assert run_job(job) == first
    assert Result.of_line(first.line()) == first


def test_supervisor_that_never_intervenes_fails(monkeypatch):
    monkeypatch.setitem(episode.SUPERVISORS, MONITOR_ON, NeverIntervenes)
    verdict = verdict_of(small_campaign(), None, (), 0)
    assert verdict.outcome == FAIL
    assert any("silent unsafe" in reason for reason in verdict.reasons)


@pytest.mark.parametrize("variant", ["9 tokens", "a negative token"])
def test_supervisor_that_does_not_look_at_a_plans_structure_fails(variant, monkeypatch):
    job = Job(f"F8/{variant}", MONITOR_ON, 15.0, 0, 0)
    held = run_job(job)
    assert (held.outcome, held.spoiled_driven, held.detection_ms) == ("handled", 0, 0.0)
    assert verdict_of([held], None, (), 0).outcome == PASS

    monkeypatch.setattr(plan_guard, "check_structure", lambda plan, limits, core_hash: [])
    kept_start.cache_clear()
    planted = run_job(job)
    assert planted.outcome not in GOOD
    verdict = verdict_of([planted], None, (), 0)
    assert verdict.outcome == FAIL
    assert verdict.reasons[0].startswith(f"F8/{variant}: ")


def test_supervisor_that_counts_no_tokens_fails_though_the_plan_drives_harmlessly(monkeypatch):
    whole = plan_guard.check_structure
    monkeypatch.setattr(
        plan_guard,
        "check_structure",
        lambda plan, limits, core_hash: [r for r in whole(plan, limits, core_hash) if r.code != "PLAN_TOKENS"],
    )
    planted = run_job(Job("F8/a negative token", MONITOR_ON, 15.0, 0, 0))
    assert (planted.outcome, planted.harm) == ("driven", "")
    assert planted.spoiled_driven > 0
    assert verdict_of([planted], None, (), 0).outcome == FAIL


def test_supervisor_that_always_brakes_fails_on_golden_drives(monkeypatch):
    monkeypatch.setitem(episode.SUPERVISORS, MONITOR_ON, AlwaysBrakes)
    drives = [drive_golden(road, 1, 8 * SECOND_NS) for road in ("winding_5", "winding_15", "winding_25")]
    figures = golden_figures(drives)
    assert not figures.passed
    assert figures.emergency[0] == 3
    assert sum(drive.phantoms for drive in drives) >= 3
    verdict = verdict_of([], figures, (), 0)
    assert verdict.outcome == FAIL


class Creeps(NeverIntervenes):
    """Publishes the plan's path at a quarter of its speed, in whatever mode: nothing ever happens to it."""

    def tick(self, now):
        plan = super().tick(now)
        points = plan.points.copy()
        if len(points):
            for column in (1, 2, 3):
                points[:, column] = np.interp(points[:, 0] / 4, points[:, 0], points[:, column])
            points[:, 4] /= 4
            points[:, 5] = 0.0
        return replace(plan, points=points)


class NeverEngages(NeverIntervenes):
    """Answers no command: nothing can be said against a vehicle that nobody drives."""

    def receive(self, message, now):
        if not isinstance(message, OperatorCommand):
            super().receive(message, now)


@pytest.mark.parametrize(("planted", "says"), [(Creeps, "of the expert's way"), (NeverEngages, "engaged 0%")])
def test_supervisor_that_creeps_or_never_engages_fails_on_golden_drives(planted, says, monkeypatch):
    monkeypatch.setitem(episode.SUPERVISORS, MONITOR_ON, planted)
    figures = golden_figures([drive_golden("winding_15", 1, 8 * SECOND_NS)])
    assert any(says in failure for failure in figures.failures)
    assert verdict_of([], figures, (), 0).outcome == FAIL


def test_real_supervisor_drives_a_road_without_fault_or_alarm():
    drive = drive_golden("winding_5", 1, 8 * SECOND_NS)
    assert (drive.fallback_entries, drive.emergency_entries, drive.phantoms, drive.rear_end_hits) == (0, 0, 0, 0)
    assert drive.progress_share > 0.8
    assert drive.engaged_share > 0.99


def test_shards_part_the_campaign():
    jobs = quick_jobs()
    parts = [shard(jobs, index, 3) for index in (1, 2, 3)]
    assert sorted(job.key for part in parts for job in part) == sorted(job.key for job in jobs)
    assert len({job.key for job in jobs}) == len(jobs)


def test_pictures_tell_their_moment_unless_they_are_spoiled():
    world = World(1, "quiet_road")
    pictures = MomentPictures(Expert(world))
    for _ in range(300):
        taken = pictures.render(world)[FRONT]
        expected = np.asarray(Expert(world).plan().fine, np.float64)
        assert np.array_equal(pictures.seen_in(taken), expected)
    for spoil in (changes.black, changes.white, changes.covered(0.5), changes.covered(0.8), changes.blurred):
        assert pictures.seen_in(spoil(taken)) is None
    dark = (taken * 0.7).astype(np.uint8)
    assert np.array_equal(pictures.seen_in(dark), expected)
