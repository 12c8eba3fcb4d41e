"""Slow plans without a fast one before them: leave and budget are those of second answers; in time, or fast."""

from __future__ import annotations

import math
from collections import Counter
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

MS, PERIOD_MS, MARGIN_MS, BEFORE_MS, PASS_MS, TEXT = 1_000_000, 200, 20, 40, 2, 20
FREE = Supervision(0, Mode.NOMINAL, math.inf, "")
POSES = np.zeros((10, 3), np.float32)


class Thinker:
    """A planner that thinks unless told to be fast: 40 ms for pictures and prompt, 2 ms for each token.

    What is given up costs one more pass for the fast prefix, in which the first action is there.
    """

    def __init__(self):
        self.now_ms, self.at_token, self.depths, self.tokens = 0.0, lambda token: None, [], 0
        self.text, self.text_ms, self.action_ms = TEXT, PASS_MS, PASS_MS

    def clock(self):
        now_ns = round(self.now_ms * MS)
        return Now(now_ns, now_ns)

    def warm_up(self):
        pass

    def plan(self, frames, ego, command, plan_id, *, depth=None, cancelled=lambda: False, act_now=lambda _: False):
        self.depths.append(depth or SLOW)
        self.now_ms += BEFORE_MS
        begun_ms, passes = self.now_ms, 10
        if depth != FAST:
            depth, passes = SLOW, self.text + 10
            for token in range(self.text + 10):
                if cancelled():
                    return PlanRejection(plan_id, frames.stamp_ns, CANCELLED, f"at {token}")
                if act_now(token < self.text):
                    depth, passes = FAST, token + 10
                    break
                self.at_token(token)
                self.tokens = token + 1
                self.now_ms += self.text_ms if token < self.text else self.action_ms
        if depth == FAST:
            self.now_ms += 10 * self.action_ms
        decode_ms = float(self.now_ms - begun_ms)
        return Plan(
            plan_id, frames.stamp_ns, frames.stamp_ns, 0.5, POSES, POSES, (0,) * 10, depth, 0.9, "",
            Uncertainty.sure(10), PassCount(2, 1, passes), {"decode": decode_ms, "total": decode_ms + BEFORE_MS}, "",
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

    def timed(self):
        """A plan's depth, and after how many ms it is there."""
        begun_ms = self.planner.now_ms
        return self.plan().depth, self.planner.now_ms - begun_ms

    def before_tokens(self, late_ms):
        """Stall before tokens by `late_ms(token)`; the supervisor is heard all the time."""

        def stall(token):
            self.planner.now_ms += late_ms(token)
            self.body.receive(FREE, self.planner.clock())

        self.planner.at_token = stall


@pytest.fixture
def drive():
    drive = Drive()
    assert drive.plan().depth == FAST, "nothing is measured yet, so there is no budget"
    return drive


def test_with_leave_and_time_it_thinks(drive):
    assert drive.timed() == (SLOW, BEFORE_MS + (TEXT + 10) * PASS_MS)
    assert "slow plans: 1, 0 given up; last plan: think" in drive.body.heartbeat(Now(0, 0)).detail


def test_a_text_that_does_not_end_takes_what_the_period_leaves_and_the_plan_is_fast_and_in_time(drive):
    drive.planner.text = 10**6
    # 200 ms less 20 margin and 40 before decoding, at 2 ms a pass: 70, of which ten for the actions.
    assert drive.timed() == (FAST, BEFORE_MS + (60 + 10) * PASS_MS)
    assert drive.planner.tokens == 60
    assert "slow plans: 0, 1 given up; last plan: no_time" in drive.body.heartbeat(Now(0, 0)).detail


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
    assert set(drive.planner.depths) == {FAST}


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
    assert drive.timed() == (FAST, BEFORE_MS + (token + 1 + 10) * PASS_MS), "pictures and prompt are read once"
    assert drive.planner.tokens == token + 1
    assert drive.first.counts["given up"] == 1
    assert drive.first.reason == ("degraded" if word.mode is Mode.REDUCED else "braking")


@pytest.mark.parametrize("text_ms", [2.5, 4.0, 10.0])
def test_a_text_that_is_slower_than_measured_is_given_up_while_there_is_time_to_act(drive, text_ms):
    """From now on all passes are slower; its own count, not those measured before."""
    drive.planner.text, drive.planner.text_ms, drive.planner.action_ms = 60, text_ms, text_ms
    drive.before_tokens(lambda token: 0)
    depth, took_ms = drive.timed()
    assert depth == FAST
    assert PERIOD_MS - MARGIN_MS - text_ms < took_ms <= PERIOD_MS - MARGIN_MS


@pytest.mark.parametrize(("text", "depth"), [(57, SLOW), (60, SLOW), (61, FAST)])
def test_what_is_in_time_at_the_measured_pace_is_not_given_up(drive, text, depth):
    drive.planner.text = text
    drive.before_tokens(lambda token: 0)
    assert [drive.timed() for _ in range(3)] == [(depth, BEFORE_MS + (min(text, 60) + 10) * PASS_MS)] * 3


@pytest.mark.parametrize("stall_ms", [8, 30, 100])
@pytest.mark.parametrize("at", [0, 5, 30, 45])
def test_a_stall_costs_a_text_no_more_than_the_tokens_for_which_it_left_no_time(drive, at, stall_ms):
    drive.planner.text = 10**6
    drive.before_tokens(lambda token: stall_ms if token == at else 0)
    depth, took_ms = drive.timed()
    assert depth == FAST
    assert drive.planner.tokens == max(60 - stall_ms // PASS_MS, at + 1)
    if drive.planner.tokens > at + 1:
        assert took_ms <= PERIOD_MS - MARGIN_MS
    else:
        assert took_ms == BEFORE_MS + (at + 1 + 10) * PASS_MS + stall_ms, "it acts at once"


@pytest.mark.parametrize("step", [0, 4, 8, 9])
@pytest.mark.parametrize("late_ms", [5, 7, 30, 300])
def test_actions_once_begun_are_finished_for_nothing_would_come_sooner(drive, step, late_ms):
    drive.planner.text = 57
    drive.before_tokens(lambda token: late_ms if token == 57 + step else 0)
    assert drive.timed() == (SLOW, BEFORE_MS + 67 * PASS_MS + late_ms)


@pytest.mark.parametrize("slower", [1.01, 1.04, 1.1, 1.25, 1.5, 2.0])
@pytest.mark.parametrize("text", [30, 40, 10**6])
def test_over_many_plans_the_pace_of_texts_is_learnt_no_plan_is_late_and_what_fits_is_thought_to_its_end(text, slower):
    """Text passes are slower than those of fast plans, from which the first budget comes."""
    drive = Drive()
    drive.planner.text, drive.planner.text_ms = text, PASS_MS * slower
    drive.before_tokens(lambda token: 0)
    plans = [drive.timed() for _ in range(200)]
    assert max(took_ms for _, took_ms in plans) <= PERIOD_MS - MARGIN_MS
    needed_ms = BEFORE_MS + (text + 10) * PASS_MS * slower
    if needed_ms <= PERIOD_MS - MARGIN_MS:
        assert Counter(depth for depth, _ in plans) == {FAST: 1, SLOW: 199}
    measured_s = drive.first._times.pass_s
    assert PASS_MS < measured_s * 1e3 <= PASS_MS * slower, "also by answers that were given up"


@pytest.mark.parametrize("calm_ms", [PASS_MS, 3.0])
def test_a_pace_that_comes_and_goes_starves_no_thinking(drive, calm_ms):
    drive.planner.text, drive.planner.text_ms = 30, 10.0
    drive.before_tokens(lambda token: 0)
    assert [drive.plan().depth for _ in range(10)] == [FAST] * 10
    drive.planner.text_ms = calm_ms
    assert [drive.plan().depth for _ in range(200)][-100:] == [SLOW] * 100


def test_time_spent_on_a_text_that_was_given_up_is_time_of_the_plan_by_which_load_shedding_goes(drive):
    noted = []
    drive.body._shedding = SimpleNamespace(
        period_s=0.2, left_out=(), reduced=lambda frames, _: frames, note=lambda took_s, _: noted.append(took_s)
    )

    def revoke(token):
        if token == 19:
            drive.body.receive(Supervision(0, Mode.FALLBACK, math.inf, ""), drive.planner.clock())

    drive.planner.at_token = revoke
    for _ in range(3):
        depth, took_ms = drive.timed()
        assert (depth, took_ms) == (FAST, BEFORE_MS + 30 * PASS_MS)
        assert noted.pop() == pytest.approx(took_ms / 1e3)


def test_a_planner_that_is_told_to_rest_stops_within_one_token_and_makes_no_other_plan(drive):
    drive.planner.at_token = lambda token: setattr(drive, "resting", token >= 3)
    result = drive.plan()
    assert (result.code, drive.planner.tokens) == (CANCELLED, 4)
    assert drive.planner.depths == [FAST, SLOW]
