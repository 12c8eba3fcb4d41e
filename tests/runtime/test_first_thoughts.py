"""Slow plans without a fast one before them: leave, budget and cancelling are those of second answers."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import FAST, SLOW, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.road import Route
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.answer_grammar import CANCELLED
from onboard_vla.runtime.depth_policy import DepthLimits
from onboard_vla.runtime.first_thoughts import FirstThoughts
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner_body import PlannerBody

MS, PERIOD_MS, BEFORE_MS, PASS_MS, TEXT = 1_000_000, 200, 40, 2, 20
FREE = Supervision(0, Mode.NOMINAL, math.inf, "")
POSES = np.zeros((10, 3), np.float32)


class Thinker:
    """A planner that thinks unless told to be fast: 40 ms for pictures and prompt, 2 ms for each token."""

    def __init__(self):
        self.now_ms, self.at_token, self.budgets, self.depths, self.tokens = 0, lambda token: None, [], [], 0
        self.text = TEXT

    def clock(self):
        return Now(self.now_ms * MS, self.now_ms * MS)

    def warm_up(self):
        pass

    def plan(self, frames, ego, command, plan_id, *, depth=None, cancelled=lambda: False, most_reasoning=10**6):
        self.depths.append(depth or SLOW)
        self.now_ms += BEFORE_MS
        text = 0 if depth == FAST else min(self.text, most_reasoning)
        if depth != FAST:
            self.budgets.append(most_reasoning)
        for token in range(text + 10):
            if depth != FAST:
                if cancelled():
                    return PlanRejection(plan_id, frames.stamp_ns, CANCELLED, f"at {token}")
                self.at_token(token)
                self.tokens = token
            self.now_ms += PASS_MS
        decode_ms = PASS_MS * (text + 10.0)
        return Plan(
            plan_id, frames.stamp_ns, frames.stamp_ns, 0.5, POSES, POSES, (0,) * 10, depth or SLOW, 0.9, "",
            Uncertainty.sure(10), PassCount(2, 1, text + 10), {"decode": decode_ms, "total": decode_ms + BEFORE_MS}, "",
        )  # fmt: skip


class Drive:
    """A body whose pictures come every 100 ms, and a supervisor that gives leave unless told otherwise."""

    def __init__(self, period_s=PERIOD_MS / 1e3):
        self.planner = Thinker()
        self.first = FirstThoughts(DepthLimits(), 10, period_s)
        self.resting = False
        self.first.attend(self.planner.clock, lambda: self.resting)
        self.body = PlannerBody(self.planner, CameraIngest(("front",), 2, 0.5), first=self.first)
        self.body.receive(Route("r", np.array([[0.0, 0.0], [100.0, 0.0]]), np.full(2, 10.0), ()), Now(0, 0))
        self.word, self.stamp_ms = FREE, 0
        for _ in range(6):
            self.picture()

    def picture(self):
        stamp_ns, now = self.stamp_ms * MS, self.planner.clock()
        self.body.receive(CameraFrame("front", stamp_ns, 0, np.zeros((6, 8, 3), np.uint8)), now)
        self.body.receive(EgoState(stamp_ns, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0), now)
        self.stamp_ms += 100

    def plan(self):
        self.picture()
        self.picture()
        if self.word is not None:
            self.body.receive(self.word, self.planner.clock())
        return self.body.plan_once(self.planner.clock())


@pytest.fixture
def drive():
    drive = Drive()
    assert drive.plan().depth == FAST, "nothing is measured yet, so there is no budget"
    return drive


def test_with_leave_and_time_it_thinks_within_what_the_period_leaves(drive):
    assert drive.plan().depth == SLOW
    # 200 ms less 20 margin and 40 before decoding, at 2 ms a pass: 70, of which ten actions and three of overhead.
    assert drive.planner.budgets == [57]
    assert "slow plans: 1, 0 given up; last plan: think" in drive.body.heartbeat(Now(0, 0)).detail


@pytest.mark.parametrize(
    "word",
    [
        None,
        Supervision(0, Mode.REDUCED, math.inf, ""),
        Supervision(0, Mode.FALLBACK, math.inf, ""),
        Supervision(0, Mode.NOMINAL, 1.4, ""),
        Supervision(0, Mode.NOMINAL, math.nan, ""),
    ],
    ids=["silent", "reduced", "fallback", "braking", "unknown"],
)
def test_without_leave_plans_are_fast(drive, word):
    drive.word = word
    drive.planner.now_ms += 400
    assert [drive.plan().depth for _ in range(4)] == [FAST] * 4
    assert drive.planner.budgets == []


@pytest.mark.parametrize("period_s", [0.0, 0.1])
def test_without_time_for_the_least_of_a_text_plans_are_fast(period_s):
    drive = Drive(period_s)
    assert [drive.plan().depth for _ in range(4)] == [FAST] * 4
    assert drive.first.reason == "no_time"


@pytest.mark.parametrize(
    "word",
    [Supervision(0, Mode.REDUCED, math.inf, ""), Supervision(0, Mode.NOMINAL, 1.4, "")],
    ids=["degraded", "braking"],
)
@pytest.mark.parametrize("token", [0, 7, 25])
def test_leave_taken_back_ends_thinking_within_one_token_and_a_fast_plan_follows(drive, word, token):
    def watch(now):
        if now == token:
            drive.body.receive(word, drive.planner.clock())

    drive.planner.at_token = watch
    plan = drive.plan()
    assert (plan.depth, drive.planner.tokens) == (FAST, token)
    assert drive.planner.depths[-2:] == [SLOW, FAST]
    assert drive.first.counts["given up"] == 1


def test_thinking_that_would_end_too_late_is_given_up_as_soon_as_that_shows(drive):
    """Passes take five times what they took, from now on."""
    drive.planner.text = 57

    def slow(token):
        drive.planner.now_ms += 4 * PASS_MS
        if token % 5 == 0:
            drive.body.receive(FREE, drive.planner.clock())

    drive.planner.at_token = slow
    begun_ms = drive.planner.now_ms
    assert drive.plan().depth == FAST
    assert drive.first.counts["given up"] == 1
    # Of 180 ms (200 less the margin) eleven passes of 2 ms are kept for the actions and the text's end.
    assert drive.planner.tokens == (180 - 11 * PASS_MS - BEFORE_MS) // (5 * PASS_MS)
    assert drive.planner.now_ms - begun_ms < PERIOD_MS + BEFORE_MS


def test_thinking_that_takes_all_of_its_budget_at_the_measured_pace_is_not_given_up(drive):
    drive.planner.text = 57

    def heard(token):
        if token % 50 == 0:
            drive.body.receive(FREE, drive.planner.clock())

    drive.planner.at_token = heard
    begun_ms = drive.planner.now_ms
    assert [drive.plan().depth for _ in range(3)] == [SLOW] * 3
    assert drive.planner.now_ms - begun_ms == 3 * (BEFORE_MS + 67 * PASS_MS)


@pytest.mark.parametrize(("step", "late_ms", "depth"), [(0, 5, SLOW), (0, 7, FAST), (8, 5, SLOW), (8, 7, FAST)])
def test_actions_that_would_end_too_late_are_given_up(drive, step, late_ms, depth):
    """At the measured pace the whole budget would leave three passes, 6 ms, before the margin."""
    drive.planner.text = 57

    def delayed(token):
        drive.body.receive(FREE, drive.planner.clock())
        if token == 57 + step:
            drive.planner.now_ms += late_ms

    drive.planner.at_token = delayed
    assert drive.plan().depth == depth


def test_what_was_given_up_counts_as_time_of_the_plan_that_follows_and_as_time_in_which_it_was_late(drive):
    noted, plain = [], drive.plan().stage_ms
    shedding = SimpleNamespace(
        period_s=0.2, left_out=(), reduced=lambda frames, _: frames, note=lambda took_s, _: noted.append(took_s)
    )
    drive.body._shedding = shedding

    def revoke(token):
        if token == 19:
            drive.body.receive(Supervision(0, Mode.FALLBACK, math.inf, ""), drive.planner.clock())

    drive.planner.at_token = revoke
    for _ in range(3):
        begun_ms = drive.planner.now_ms
        stage_ms = drive.plan().stage_ms
        took_ms = drive.planner.now_ms - begun_ms
        assert took_ms == BEFORE_MS + 20 * PASS_MS + BEFORE_MS + 10 * PASS_MS
        assert stage_ms == {"given_up": BEFORE_MS + 20.0 * PASS_MS, "decode": 10.0 * PASS_MS, "total": took_ms}
        assert noted.pop() == pytest.approx(took_ms / 1e3)
    assert "given_up" not in plain
    assert drive.first._times.before_s == pytest.approx(BEFORE_MS / 1e3), "what was given up is not before decoding"


def test_a_planner_that_is_told_to_rest_stops_within_one_token_and_makes_no_other_plan(drive):
    drive.planner.at_token = lambda token: setattr(drive, "resting", token >= 3)
    result = drive.plan()
    assert (result.code, drive.planner.tokens) == (CANCELLED, 3)
    assert drive.planner.depths == [FAST, SLOW]
