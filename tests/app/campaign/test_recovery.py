"""After the fault: who comes back, who stays stopped, what counts as neither; two supervisors that may not pass."""

from __future__ import annotations

import dataclasses

import pytest

from onboard_vla.app.campaign import episode, recovery
from onboard_vla.app.campaign.episode import MONITOR_ON, Harm, Published, Stream, kept_start
from onboard_vla.app.campaign.figures import FAIL, INCONCLUSIVE, PASS, verdict_of
from onboard_vla.app.campaign.planted import AlwaysBrakes, NeverIntervenes
from onboard_vla.app.campaign.recovery import RecoveryJob, RecoveryResult, judge_recovery, recovery_jobs, run_recovery
from onboard_vla.app.campaign.table import BY_KEY, CASES
from onboard_vla.core.safe_trajectory import Engagement
from onboard_vla.world.violations import COLLISION

MS = 1_000_000
EFFECT_NS, END_NS = 5_000 * MS, 8_000 * MS
BLACK, SILENT = BY_KEY["F3/black"], BY_KEY["F20/lane silent"]


@pytest.fixture(autouse=True)
def _fresh_starts():
    kept_start.cache_clear()
    yield
    kept_start.cache_clear()


def stream(*changes: tuple[int, int], last_ms: int = 14_000, engaged_again: bool = False) -> Stream:
    """50 Hz from the effect on; changes are (ms after the fault's end, mode)."""
    published = []
    for at in range(-3000, last_ms + 1, 20):
        mode = 0
        for since, new_mode in changes:
            mode = new_mode if at >= since else mode
        word = Engagement.ENGAGED if mode < 5 or engaged_again else Engagement.LATCHED
        published.append(Published(END_NS + at * MS, mode, word.value, "model", 7, True, (), ()))
    return Stream(published, [], END_NS + last_ms * MS)


def judged(case, *changes, **more):
    return judge_recovery(case, stream(*changes, **more), EFFECT_NS, END_NS)


def test_what_comes_back_in_time_has_returned_and_the_time_is_the_streams():
    assert judged(BLACK, (-2900, 2), (6000, 1), (11000, 0)) == ("returned", 6000.0)
    assert judged(BLACK, (-2900, 1), (-500, 0)) == ("returned", 0.0)


@pytest.mark.parametrize(("at_ms", "outcome"), [(10_000, "returned"), (10_020, "late"), (99_000, "late")])
def test_ten_seconds_divide_returned_from_late(at_ms, outcome):
    assert judged(BLACK, (-2900, 2), (at_ms, 1))[0] == outcome


def test_coming_back_and_falling_again_counts_from_the_last_time():
    assert judged(BLACK, (-2900, 2), (4000, 1), (5000, 2), (9000, 1)) == ("returned", 9000.0)
    assert judged(BLACK, (-2900, 2), (4000, 1), (13_900, 2))[0] == "late"


def test_a_stop_that_no_fault_asked_for_is_needless():
    assert judged(BLACK, (-2900, 2), (100, 3))[0] == "stopped needlessly"


def test_a_stop_that_was_asked_for_is_not_left():
    assert judged(SILENT, (-2700, 3), (3000, 5)) == ("stayed stopped", None)
    assert judged(SILENT, (-2700, 3), (4000, 2))[0] == "left the stop"
    assert judged(SILENT, (-2700, 2), (4000, 1))[0] == "no stop"


def test_harm_silence_and_missing_effect_come_first():
    harmed = stream((-2900, 2), (5000, 1))
    harmed.harms.append(Harm(END_NS, COLLISION, True, "drove into a lead"))
    assert judge_recovery(BLACK, harmed, EFFECT_NS, END_NS)[0] == "harm"
    quiet = stream((-2900, 2), (5000, 1))
    quiet.published = [p for p in quiet.published if not END_NS < p.received_ns < END_NS + 300 * MS]
    assert judge_recovery(BLACK, quiet, EFFECT_NS, END_NS)[0] == "hang"
    assert judge_recovery(BLACK, quiet, None, END_NS)[0] == "no effect"


@pytest.mark.parametrize(("rad", "outcome"), [(0.02, "returned"), (0.03, "swerved")])
def test_who_comes_back_may_not_swerve(rad, outcome):
    steered = stream((-2900, 2), (6000, 1))
    steered.steering += [(EFFECT_NS - MS, 0.5), (END_NS, rad)]
    assert judge_recovery(dataclasses.replace(BLACK, steering_rad=0.02), steered, EFFECT_NS, END_NS)[0] == outcome


def test_every_fault_is_there_once_or_in_every_variant_at_every_speed():
    quick, everything = recovery_jobs(quick=True), recovery_jobs(quick=False)
    assert sorted(job.case.split("/")[0] for job in quick) == sorted({case.fault for case in CASES})
    assert len(everything) == len({job.key for job in everything}) == 3 * len(CASES)


def test_verdict_hangs_on_it():
    result = RecoveryResult("k", "F3", "black", 5.0, False, "returned", "", 100.0, 2, ())
    assert verdict_of([], None, [], 0, recoveries=[result]).outcome == PASS
    for outcome in ("late", "stopped needlessly", "left the stop", "no stop", "harm", "crash"):
        failed = dataclasses.replace(result, outcome=outcome)
        assert verdict_of([], None, [], 0, recoveries=[failed]).outcome == FAIL
    unseen = dataclasses.replace(result, outcome="no effect")
    assert verdict_of([], None, [], 0, recoveries=[unseen]).outcome == INCONCLUSIVE


def test_a_killed_planner_is_driven_with_again_and_a_lost_vehicle_state_is_not():
    back = run_recovery(RecoveryJob("F14/gone, and back after 4 s", 5.0, 0))
    assert (back.outcome, back.highest) == ("returned", 2)
    assert back.return_ms is not None
    assert back.return_ms > 2000.0
    assert RecoveryResult.of_content({**dataclasses.asdict(back)}) == back
    assert run_recovery(RecoveryJob("F18/silent for 300 ms", 5.0, 0)).outcome == "stayed stopped"


def test_an_exception_that_is_gone_again_leaves_the_vehicle_stopped():
    assert run_recovery(RecoveryJob("F22/in handback", 5.0, 0)).outcome == "stayed stopped"


def test_planted_supervisors_do_not_pass(monkeypatch):
    monkeypatch.setitem(episode.SUPERVISORS, MONITOR_ON, NeverIntervenes)
    assert run_recovery(RecoveryJob("F18/silent for 300 ms", 5.0, 0)).outcome in ("no stop", recovery.HARMED)
    kept_start.cache_clear()
    monkeypatch.setitem(episode.SUPERVISORS, MONITOR_ON, AlwaysBrakes)
    assert run_recovery(RecoveryJob("F14/gone, and back after 4 s", 5.0, 0)).outcome == "stopped needlessly"
