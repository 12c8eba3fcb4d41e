"""Slow answers behind fast plans: begun with the supervisor's leave, given up for newer pictures, never a rejection."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import EngineError
from onboard_vla.core.plan import FAST, SLOW, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.road import Route
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.answer_grammar import CANCELLED
from onboard_vla.runtime.depth_policy import DepthLimits
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner_body import PlannerBody
from onboard_vla.runtime.second_answers import SecondAnswers

MS, PERIOD_MS, FAST_MS = 1_000_000, 200, 60
FREE = Supervision(0, Mode.NOMINAL, math.inf, "")
ROUTE = Route("r", np.array([[0.0, 0.0], [100.0, 0.0]]), np.full(2, 10.0), ())
POSES = np.zeros((10, 3), np.float32)


class Thinker:
    """A planner in doubt on a clock of its own: a fast plan takes 60 ms, each token of a slow one 2 ms."""

    def __init__(self):
        self.now_ms, self.at_token, self.refuses, self.given, self.pass_ms = 0, lambda token: None, "", [], 2.0

    def clock(self):
        return Now(self.now_ms * MS, self.now_ms * MS)

    def warm_up(self):
        pass

    def plan(self, frames, ego, command, plan_id):
        self.now_ms += FAST_MS
        stages = {"decode": 10 * self.pass_ms, "total": float(FAST_MS)}
        passes, doubt = PassCount(2, 1, 10), Uncertainty.sure(10)
        return Plan(
            plan_id, frames.stamp_ns, frames.stamp_ns, 0.5, POSES, POSES, (0,) * 10, FAST, 0.9, "", doubt, passes,
            stages, "",
        )  # fmt: skip

    def plan_further(self, first, plan_id, most_reasoning, cancelled):
        self.given.append(most_reasoning)
        if self.refuses == "engine":
            raise EngineError("the engine broke")
        if self.refuses:
            return PlanRejection(plan_id, first.stamp_ns, self.refuses, "")
        for token in range(20):
            if cancelled():
                return PlanRejection(plan_id, first.stamp_ns, CANCELLED, f"at {token}")
            self.now_ms += 2
            self.at_token(token)
        return replace(first, plan_id=plan_id, depth=SLOW, text="so it is")


class Drive:
    """A body whose pictures come every 100 ms, and a supervisor that gives leave unless told otherwise."""

    def __init__(self):
        self.planner = Thinker()
        self.second = SecondAnswers(self.planner, DepthLimits())
        self.body = PlannerBody(self.planner, CameraIngest(("front",), 2, 0.5), second=self.second)
        self.body.receive(ROUTE, Now(0, 0))
        self.word, self.stamp_ms, self.needed = FREE, 0, False
        for _ in range(6):
            self.picture()

    def picture(self):
        stamp_ns = self.stamp_ms * MS
        image = np.zeros((6, 8, 3), np.uint8)
        self.body.receive(CameraFrame("front", stamp_ns, 0, image), self.planner.clock())
        self.body.receive(EgoState(stamp_ns, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0), self.planner.clock())
        self.stamp_ms += 100

    def period(self):
        """What the host does in one period: the plan, and what follows it."""
        self.picture()
        self.picture()
        start_ms = self.planner.now_ms
        if self.word is not None:
            self.body.receive(self.word, self.planner.clock())
        first = self.body.plan_once(self.planner.clock())
        due_ns = (start_ms + PERIOD_MS) * MS
        second = self.body.second_answer(first, due_ns, self.planner.clock, lambda: self.needed)
        self.planner.now_ms = max(self.planner.now_ms, start_ms + PERIOD_MS)
        return first, second


@pytest.fixture
def drive():
    return Drive()


def test_a_plan_in_doubt_is_followed_by_a_slow_one_of_the_same_pictures_with_a_higher_number(drive):
    first, second = [drive.period() for _ in range(2)][-1]
    assert (first.depth, second.depth) == (FAST, SLOW)
    assert (second.stamp_ns, second.plan_id) == (first.stamp_ns, first.plan_id + 1)
    following, none = drive.period()
    assert following.plan_id == second.plan_id + 1
    assert none is None, "it rests for a second"
    assert drive.second.counts == {"answered": 1}


def test_its_budget_is_what_the_period_leaves_at_the_measured_time_a_pass(drive):
    for _ in range(2):
        drive.period()
    # 200 - 60 ms, less 20 ms margin, at 2 ms a pass: 60, of which ten actions and three of overhead.
    assert drive.planner.given == [47]


def test_the_slowest_of_the_last_answers_counts(drive):
    drive.planner.pass_ms = 5.0
    drive.period()
    drive.planner.pass_ms = 1.0
    for _ in range(2):
        assert drive.period()[1] is None
    assert drive.second.reason == "no_time"


def test_work_is_counted_and_the_heartbeat_says_what_became_of_it(drive):
    for _ in range(2):
        drive.period()
    beat = drive.body.heartbeat(Now(0, 0))
    assert (beat.work_started, beat.work_done) == (3, 3)
    assert "1 answered, 0 abandoned, 0 refused" in beat.detail


def at(token, what):
    return lambda now: what() if now == token else None


def test_newer_pictures_take_the_engine_within_one_token_once_the_next_plan_is_due(drive):
    drive.period()
    tokens = []

    def slower(token):
        tokens.append(token)
        drive.planner.now_ms += 10  # 12 ms a token: what was measured does not hold any more
        if token == 3:
            drive.picture()

    drive.planner.at_token = slower
    assert drive.period()[1] is None
    # After 60 ms and twelve tokens of 12 ms the next plan is due; the picture of before waits.
    assert len(tokens) == math.ceil((PERIOD_MS - FAST_MS) / 12)
    assert drive.second.counts == {"abandoned": 1}


def test_without_newer_pictures_nobody_needs_the_engine_and_it_thinks_to_the_end(drive):
    drive.period()
    drive.planner.at_token = lambda token: setattr(drive.planner, "now_ms", drive.planner.now_ms + 10)
    assert drive.period()[1] is not None


@pytest.mark.parametrize(
    "word",
    [Supervision(0, Mode.REDUCED, math.inf, ""), Supervision(0, Mode.NOMINAL, 1.4, "")],
    ids=["degraded", "braking"],
)
@pytest.mark.parametrize("token", [0, 7, 19])
def test_when_the_supervisor_takes_its_leave_back_thinking_ends_within_one_token(drive, word, token):
    drive.period()
    asked = []

    def watch(now):
        asked.append(now)
        if now == token:
            drive.body.receive(word, drive.planner.clock())

    drive.planner.at_token = watch
    assert drive.period()[1] is None
    assert asked[-1] == token
    assert drive.second.counts == {"abandoned": 1}


def test_a_planner_that_is_told_to_rest_stops_thinking(drive):
    drive.period()
    drive.planner.at_token = at(2, lambda: setattr(drive, "needed", True))
    assert drive.period()[1] is None
    assert drive.second.counts == {"abandoned": 1}


@pytest.mark.parametrize("code", ["too_few_actions", "engine"])
def test_an_answer_that_is_none_is_counted_and_nobody_is_told(drive, code):
    drive.period()
    drive.planner.refuses = code
    assert drive.period()[1] is None
    assert drive.second.counts == {"refused": 1}
    drive.planner.refuses = ""
    assert isinstance(drive.period()[0], Plan)


@pytest.mark.parametrize(
    "word", [None, Supervision(0, Mode.FALLBACK, math.inf, ""), Supervision(0, Mode.NOMINAL, math.nan, "")]
)
def test_without_leave_there_are_fast_plans_alone(drive, word):
    drive.word = word
    assert [drive.period()[1] for _ in range(8)] == [None] * 8
    assert drive.planner.given == []


def test_a_supervisor_that_falls_silent_gives_no_leave(drive):
    drive.period()
    drive.word = None
    drive.planner.now_ms += 300
    assert drive.period()[1] is None
    assert drive.second.reason == "unsupervised"


def test_a_body_without_second_answers_gives_none():
    planner = Thinker()
    body = PlannerBody(planner, CameraIngest(("front",), 2, 0.5))
    body.receive(FREE, Now(0, 0))
    first = planner.plan(type("Frames", (), {"stamp_ns": 0}), None, "", 1)
    assert body.second_answer(first, 10**12, planner.clock, lambda: False) is None


def test_where_thinking_is_left_out_there_are_no_second_answers_and_they_tell_what_else_is(drive):
    drive.period()
    drive.picture()
    first = drive.body.plan_once(drive.planner.clock())
    due_ns = drive.planner.clock().monotonic_ns + PERIOD_MS * MS
    without = replace(first, shed=("history", "depth"))
    assert drive.body.second_answer(without, due_ns, drive.planner.clock, lambda: False) is None
    assert drive.planner.given == []
    second = drive.body.second_answer(replace(first, shed=("history",)), due_ns, drive.planner.clock, lambda: False)
    assert second.shed == ("history",)
