"""A planner that answers the same pictures twice, fast and slow: what the slow answer may do, and what it must not."""

from __future__ import annotations

from collections import Counter
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.plan import FAST, SLOW, Uncertainty
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.thresholds import DRIFT_BLOCKS_MIN, SPREAD_REDUCE
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.plan_guard import PlanGuard

from .driving_range import CORE_HASH, make_plan, make_thresholds, simulation_config, straight_poses
from .plans import STAMP, history
from .test_supervisor import codes, nominal


class TwoAnswers:
    """A drive whose planner thinks again after each of its plans, `late_s` later: `slow` makes that answer.

    `every`: of five plans a second, how many make one.
    """

    def __init__(self, slow, late_s=0.1, every=1):
        self.drive = nominal(8.0)
        self.slow, self.late_s, self.every, self.waiting, self.answered = slow, late_s, every, [], 0
        self.model_plan = self.drive.model_plan
        self.drive.model_plan = self.fast_plan

    def fast_plan(self):
        plan = self.model_plan()
        if plan.plan_id % self.every:
            return None
        plan = replace(plan, plan_id=2 * plan.plan_id)
        self.waiting.append((self.drive.tick + round(self.late_s / 0.02), plan))
        return plan

    def run(self, seconds):
        """Modes."""
        seen = []
        for _ in range(round(seconds / 0.02)):
            while self.waiting and self.waiting[0][0] <= self.drive.tick:
                fast = self.waiting.pop(0)[1]
                if (answer := self.slow(fast)) is not None:
                    self.answered += 1
                    self.drive.send("plans", replace(answer, plan_id=fast.plan_id + 1, depth=SLOW))
            seen.append(self.drive.step().mode)
        return seen

    @property
    def told(self):
        return Counter(code for message in self.drive.published for code in codes(message))

    def followed(self):
        """How many of the newest messages follow a slow answer."""
        return sum(m.source == "model" and m.plan_id % 2 for m in self.drive.published[-50:])


def shifted(left_m):
    def answer(plan):
        share = np.arange(1, 11, dtype=np.float32) / 10
        poses, fine = plan.poses.copy(), plan.fine_poses.copy()
        poses[:, 1] += left_m * share
        fine[:, 1] += left_m * np.arange(1, 51, dtype=np.float32) / 50
        return replace(plan, poses=poses, fine_poses=fine)

    return answer


def broken(plan):
    return replace(plan, poses=plan.poses * np.float32(np.nan))


def reckless(plan):
    """As the fast one for four seconds, then three metres aside at once."""
    poses, fine = plan.poses.copy(), plan.fine_poses.copy()
    poses[8:, 1] += 3.0
    fine[44:, 1] += 3.0
    return replace(plan, poses=poses, fine_poses=fine)


def test_answers_that_agree_drive_from_when_they_come_and_change_no_mode():
    two = TwoAnswers(lambda plan: plan)
    assert set(two.run(4.0)) == {Mode.NOMINAL}
    assert two.answered >= 18
    assert 20 <= two.followed() <= 30


def test_an_answer_that_disagrees_reduces_says_by_how_much_and_is_not_driven():
    two = TwoAnswers(shifted(2.4))
    assert set(two.run(3.0)[-50:]) == {Mode.REDUCED}
    told = next(r for m in two.drive.published for r in m.reasons if r.code == "SLOW_LATERAL")
    # 2.4 m to the side after 5 s: at 2 s from now, 0.1 s after the stamp, 2.1 of the 5.
    assert told.measured == pytest.approx(2.4 * 2.1 / 5.0, abs=0.02)
    assert told.limit == pytest.approx(0.75)
    assert two.followed() == 0
    two.slow = lambda plan: plan
    two.run(1.5)
    two.slow = lambda plan: None
    assert two.run(6.5)[-1] is Mode.NOMINAL


def test_fast_plans_are_not_held_against_the_slow_ones_between_them():
    """Else they would seem to change their minds twice each cycle: refused as swinging, and never steady."""
    two = TwoAnswers(shifted(2.4))
    two.run(4.0)
    assert not {"SWING_LATERAL", "PLAN_CHANGED_LATERAL", "PLANS_REJECTED"} & set(two.told)


def test_in_l1_only_fast_plans_are_driven():
    two = TwoAnswers(lambda plan: plan)
    two.drive.bad_cameras.add("back")
    assert two.run(3.0)[-1] is Mode.REDUCED
    assert two.followed() == 0


def test_an_answer_that_is_refused_is_reported_and_costs_no_mode():
    two = TwoAnswers(reckless)
    assert set(two.run(3.0)) == {Mode.NOMINAL}
    assert two.told["JUMP_SIDEWAYS"] == two.answered > 0
    assert two.followed() == 0


def test_an_answer_after_the_next_fast_plan_is_too_late():
    two = TwoAnswers(lambda plan: plan, late_s=0.3)
    assert set(two.run(3.0)) == {Mode.NOMINAL}
    assert two.told["PLAN_REPLAYED"] > 0
    assert two.followed() == 0


def test_a_broken_answer_is_a_broken_planner():
    assert Mode.FALLBACK in TwoAnswers(broken).run(1.0)


def test_thinking_long_is_no_latency():
    """A fast plan a second, thought over for 0.9 s of it: more than what plans that are waited for may take."""
    two = TwoAnswers(lambda plan: plan, late_s=0.9, every=5)
    assert set(two.run(8.0)) == {Mode.NOMINAL}
    assert two.answered >= 6
    assert "PLAN_LATENCY" not in two.told
    assert two.followed() > 0


@pytest.mark.parametrize("camera", ["front", "back"])
def test_with_answers_that_agree_every_mode_is_as_without_them(camera):
    """Through a fault and back: the way back counts plans in a row, and asks whether they are steady."""
    modes = []
    for answer in (lambda plan: plan, lambda plan: None):
        two = TwoAnswers(answer)
        before = two.run(0.5)
        two.drive.bad_cameras.add(camera)
        during = two.run(0.6)
        two.drive.bad_cameras.clear()
        modes.append([*before, *during, *two.run(6.0)])
    assert modes[0] == modes[1]
    assert max(modes[0]) is (Mode.FALLBACK if camera == "front" else Mode.REDUCED)
    assert modes[0][-1] is Mode.NOMINAL


def test_drift_is_watched_on_the_plans_that_are_waited_for():
    reference = tuple(np.linspace(0.05, 0.15, DRIFT_BLOCKS_MIN).tolist())
    thresholds = replace(
        make_thresholds(), drift_reference={SPREAD_REDUCE: reference}, drift_tolerance={SPREAD_REDUCE: 0.0}
    )
    config = simulation_config(thresholds=thresholds)
    guard, inputs, seen = PlanGuard(config, CORE_HASH), Inputs(config), []
    guard._drift.add = lambda stamp_ns, values: seen.append(values[SPREAD_REDUCE])
    inputs.history = history()
    fast = make_plan(STAMP, straight_poses())
    slow = replace(fast, depth=SLOW, uncertainty=Uncertainty.sure(10, 0.3))
    judged = [guard.judge(p, inputs, Motion(0, 0, 0, 10.0, 0.0, 0.0), None, Now(STAMP, STAMP)) for p in (fast, slow)]
    assert [(j.passed, j.second) for j in judged] == [(True, False), (True, True)]
    assert seen == pytest.approx([0.1])


def test_a_slow_plan_on_pictures_of_its_own_is_a_plan_like_any_other():
    guard, inputs = PlanGuard(simulation_config(), CORE_HASH), Inputs(simulation_config())
    inputs.history = history()
    motion = Motion(0, 0, 0, 10.0, 0.0, 0.0)
    for k, depth in enumerate((SLOW, FAST, SLOW)):
        stamp_ns = STAMP - (2 - k) * 100_000_000
        plan = replace(make_plan(stamp_ns, straight_poses()), depth=depth)
        judgement = guard.judge(plan, inputs, motion, None, Now(STAMP, STAMP))
        assert (judgement.passed, judgement.second) == (True, False)
