"""One planner at a time, and no plan twice (F24)."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.plan import SLOW, Heartbeat, PlanRejection
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.guards.authority import AuthorityWatch, Heard
from onboard_vla.safety.input_config import AuthorityLimits

from .driving_range import make_plan, straight_poses

MS = 1_000_000


def watch():
    return AuthorityWatch(AuthorityLimits(), 0.005)


def beat(pid, sequence, process="vla_planner"):
    return Heartbeat(process, pid, sequence, 0, 0, 0, True, "")


def hear(authority, *messages, period_ms=50, begin_ms=0):
    """What each of the messages (pid, sequence), one per period, was taken for, and the codes at the end."""
    heard = []
    for k, (pid, sequence) in enumerate(messages):
        now = Now((begin_ms + k * period_ms) * MS, 0)
        heard.append(authority.hear(beat(pid, sequence), now))
    return heard, [(int(r.level), r.reason.code) for r in authority.requests(now)]


def test_one_process_that_counts_on_is_alone():
    heard, requests = hear(watch(), *[(1, k) for k in range(20)])
    assert heard == [Heard.RESTARTED] + [Heard.NEXT] * 19
    assert requests == []


def test_a_restart_is_no_second_process():
    heard, requests = hear(watch(), (1, 500), (1, 501), (2, 1), (2, 2), (3, 1), (3, 2))
    assert heard[2] is heard[4] is Heard.RESTARTED
    assert requests == []


def test_two_processes_in_turn_are_found_at_the_third_message():
    _, requests = hear(watch(), (1, 500), (2, 7), (1, 501))
    assert requests == [(3, "DUPLICATE_AUTHORITY")]


@pytest.mark.parametrize(("pause_ms", "found"), [(450, True), (1001, False)])
def test_an_identity_that_comes_back_after_long_is_a_restart(pause_ms, found):
    authority = watch()
    hear(authority, (1, 500))
    hear(authority, (2, 1), begin_ms=pause_ms)
    _, requests = hear(authority, (1, 1), begin_ms=2 * pause_ms)
    assert bool(requests) is found


def test_equal_process_ids_on_two_hosts_are_found_by_their_counts():
    in_turn = [pair for k in range(3) for pair in ((1, 500 + k), (1, 20 + k))]
    _, requests = hear(watch(), *in_turn, period_ms=25)
    assert requests == [(3, "DUPLICATE_AUTHORITY")]
    _, requests = hear(watch(), *in_turn[:4], period_ms=25)
    assert requests == []


def test_a_restart_under_the_same_process_id_is_taken_over_at_the_third_message():
    heard, requests = hear(watch(), (1, 500), (1, 501), (1, 1), (1, 2), (1, 3), (1, 4))
    assert heard[2:] == [Heard.OLD, Heard.OLD, Heard.RESTARTED, Heard.NEXT]
    assert requests == []


def test_duplicates_and_a_stray_old_message_are_nothing():
    heard, requests = hear(watch(), (1, 5), (1, 6), (1, 6), (1, 4), (1, 7), (1, 7), (1, 8))
    assert heard[2:5] == [Heard.OLD, Heard.OLD, Heard.NEXT]
    assert requests == []


def test_the_fault_is_held_for_a_while():
    authority = watch()
    hear(authority, (1, 500), (2, 7), (1, 501))
    assert authority.requests(Now(2100 * MS, 0))
    assert authority.requests(Now(2101 * MS, 0)) == []


def rejection(plan_id, stamp):
    return PlanRejection(plan_id, stamp, "", "")


@pytest.mark.parametrize(
    ("plan_id", "stamp", "accepted"),
    [(11, 201, True), (10, 201, False), (9, 201, False), (11, 200, False), (11, 100, False)],
)
def test_a_plan_must_count_on_and_be_newer(plan_id, stamp, accepted):
    authority, now = watch(), Now(0, 300)
    assert authority.accept_plan(rejection(10, 200), now)
    assert authority.accept_plan(rejection(plan_id, stamp), now) is accepted
    assert [r.reason.code for r in authority.requests(now)] == ([] if accepted else ["PLAN_REPLAYED"])


def test_a_planner_that_begins_anew_is_heard_again_and_replays_between_its_plans_are_not():
    authority, now = watch(), Now(0, 10**12)
    authority.accept_plan(rejection(500, 100), now)
    assert [authority.accept_plan(rejection(k, 200 + k), now) for k in range(1, 6)] == [False] * 3 + [True] * 2
    for k in range(10):
        assert authority.accept_plan(rejection(10 + k, 300 + 10 * k), now)
        assert not authority.accept_plan(rejection(3, 301 + 10 * k), now)


def test_a_stamp_from_the_future_stands_in_nobodys_way():
    authority, now = watch(), Now(0, 1000)
    assert authority.accept_plan(rejection(1, 10**15), now)
    assert authority.accept_plan(rejection(2, 900), now)


def frozen(authority):
    return [
        (r.level, r.reason.code, r.reason.measured)
        for r in authority.requests(Now(0, 10**12))
        if "FROZEN" in r.reason.code
    ]


def test_new_plans_on_old_pictures_are_a_frozen_planner_from_the_second_on_until_a_newer_one():
    authority, now = watch(), Now(0, 10**12)
    authority.accept_plan(rejection(10, 200), now)
    authority.accept_plan(rejection(11, 200), now)
    assert frozen(authority) == []
    authority.accept_plan(rejection(12, 199), now)
    assert frozen(authority) == [(Mode.FALLBACK, "PLANS_FROZEN", 2.0)]
    for plan_id in range(13, 20):
        authority.accept_plan(rejection(plan_id, 200), now)
    assert frozen(authority) == [(Mode.FALLBACK, "PLANS_FROZEN", 2.0)]
    assert authority.accept_plan(rejection(20, 201), now)
    assert frozen(authority) == []


def test_the_same_plan_heard_again_and_slow_plans_that_come_late_are_no_frozen_planner():
    authority, now = watch(), Now(0, 10**12)
    for k in range(10):
        assert authority.accept_plan(rejection(10 * k + 1, 100 * k + 100), now)
        for again in (0, 1, 1):
            authority.accept_plan(rejection(10 * k + again, 100 * k + 100), now)
        authority.accept_plan(rejection(10 * k + 2, 100 * k + 50), now)
        authority.accept_plan(rejection(10 * k + 2, 100 * k + 50), now)
        assert frozen(authority) == []


def test_a_planner_that_begins_anew_is_not_frozen():
    authority, now = watch(), Now(0, 10**12)
    authority.accept_plan(rejection(10, 200), now)
    for plan_id in (11, 12):
        authority.accept_plan(rejection(plan_id, 200), now)
    authority.forget_plans()
    assert frozen(authority) == []


@pytest.mark.parametrize(("gap_ms", "found"), [(500, True), (501, False)])
def test_both_identities_must_have_been_heard_within_the_window(gap_ms, found):
    """The older of the two counts: the first one's last word is two gaps old when it speaks again."""
    authority = watch()
    for k, pid in enumerate((1, 2, 1)):
        now = Now(round((10_000 + k * gap_ms) * MS), 0)
        authority.hear(beat(pid, 5 + k), now)
    assert bool(authority.requests(now)) is found


@pytest.mark.parametrize(("span_ms", "found"), [(1000, True), (1001, False)])
def test_counting_backwards_must_happen_within_the_window(span_ms, found):
    authority = watch()
    rows = [(0, 500), (1, 20), (300, 501), (400, 21), (1 + span_ms, 22)]
    for ms, sequence in rows:
        now = Now((10_000 + ms) * MS, 0)
        heard = authority.hear(beat(1, sequence), now)
    assert bool(authority.requests(now)) is found
    assert heard is Heard.OLD


def test_identities_beyond_the_eighth_are_forgotten():
    rows = [(pid, 1) for pid in range(1, 9)]
    assert hear(watch(), *rows, (1, 2), period_ms=50)[1] == [(3, "DUPLICATE_AUTHORITY")]
    assert hear(watch(), *rows, (9, 1), (1, 2), period_ms=50)[1] == []


def test_a_duplicate_is_reported_with_its_count_and_its_process():
    authority = watch()
    hear(authority, (1, 500), (2, 7), (1, 501))
    reason = authority.requests(Now(200 * MS, 0))[0].reason
    assert (reason.measured, reason.limit) == (2.0, 1.0)
    assert "vla_planner" in reason.detail


@pytest.mark.parametrize(("ms", "reported"), [(1000, True), (1001, False)])
def test_a_refused_plan_is_reported_for_a_second_with_both_ids(ms, reported):
    authority = watch()
    authority.accept_plan(rejection(10, 2 * 10**9), Now(50 * MS, 3 * 10**9))
    authority.accept_plan(rejection(7, 10**9), Now(50 * MS, 3 * 10**9))
    reasons = [r.reason for r in authority.requests(Now((50 + ms) * MS, 0))]
    assert [(r.code, r.measured, r.limit) for r in reasons] == ([("PLAN_REPLAYED", 7.0, 10.0)] if reported else [])
    assert all("1.000 s before" in r.detail for r in reasons)


def test_a_stamp_at_the_tolerance_is_still_judged():
    authority = AuthorityWatch(AuthorityLimits(), 0.005)
    now = Now(0, 10**9)
    assert authority.accept_plan(rejection(5, 10**9 + 5 * MS), now)
    assert not authority.accept_plan(rejection(4, 10**9 + 5 * MS), now)
    assert authority.accept_plan(rejection(4, 10**9 + 5 * MS + 1), now)


def test_the_slow_plan_of_the_same_pictures_counts_on_once():
    authority, now = AuthorityWatch(AuthorityLimits(), 0.005), Now(50 * MS, 10**9)
    fast = make_plan(10**9, straight_poses(), plan_id=1)
    slow = replace(fast, plan_id=2, depth=SLOW)
    assert [authority.accept_plan(plan, now) for plan in (fast, slow)] == [True, True]
    assert not any(authority.accept_plan(replace(plan, plan_id=3), now) for plan in (fast, slow))
