"""Slow answers behind fast ones in closed loop and virtual time: when they come, what the supervisor makes of them."""

from __future__ import annotations

import dataclasses

import numpy as np

from onboard_vla.app.closed_loop import Scene
from onboard_vla.app.faults import MILLISECOND_NS
from onboard_vla.app.lockstep import DECLARED_PASS_S, run_lockstep
from onboard_vla.app.lockstep_parts import make_guard, make_supervisor, planner_without_model
from onboard_vla.app.lockstep_planners import GeometricBody
from onboard_vla.core.plan import FAST, SLOW, PassCount
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.depth_policy import DepthLimits
from onboard_vla.runtime.second_answers import SecondAnswers

from .test_lockstep import PatchPictures, settings

PASSES = PassCount(0, 1, 24)


class DoubtfulExpert(GeometricBody):
    """The expert, in doubt about every plan; its second answer goes `aside_m` to the left of the first."""

    def __init__(self, scene, bundle_hash, aside_m):
        super().__init__(lambda ego: np.asarray(scene.driver.plan().fine, np.float64), bundle_hash)
        self.aside_m, self.second = aside_m, SecondAnswers(self, DepthLimits(), DECLARED_PASS_S)

    def receive(self, message, now):
        super().receive(message, now)
        if isinstance(message, Supervision):
            self.second.observe(message, now)

    def plan_once(self, now):
        plan = super().plan_once(now)
        return None if plan is None else dataclasses.replace(plan, slow_probability=0.9)

    def second_answer(self, first, due_ns, clock, needed):
        tokens = self.second.room(first, due_ns, clock())
        if not tokens:
            return None
        self._count += 1
        return self.second.answer(first, self._count, tokens, clock, needed)

    def plan_further(self, first, plan_id, most_reasoning, cancelled):
        assert not cancelled()
        aside = np.linspace(0.0, self.aside_m, 51, dtype=np.float32)[1:]
        fine = first.fine_poses.copy()
        fine[:, 1] += aside
        return dataclasses.replace(
            first, plan_id=plan_id, depth=SLOW, fine_poses=fine, poses=fine[4::5].copy(), passes=PASSES
        )


def drive(aside_m, seconds=9.0):
    run = settings(seconds)
    _, thresholds = planner_without_model("expert")
    scene = Scene.build(run.seed, run.profile, run.sensor, PatchPictures())
    factory = lambda scene: DoubtfulExpert(scene, thresholds.core_hash, aside_m)  # noqa: E731
    return run_lockstep(run, factory, make_supervisor(thresholds), make_guard(), scene)


def test_a_second_answer_comes_behind_the_first_and_before_the_next_once_a_second():
    record = drive(0.0)
    slow = [(place, plan) for place, plan in enumerate(record.plans) if plan.depth == SLOW]
    assert len(slow) >= 3
    for place, plan in slow:
        first, following = record.plans[place - 1], record.plans[place + 1]
        assert (first.depth, following.depth) == (FAST, FAST)
        assert first.stamp_ns == plan.stamp_ns < following.stamp_ns
        assert first.plan_id < plan.plan_id < following.plan_id
        thinking_ns = round((PASSES.prefill + PASSES.decode) * DECLARED_PASS_S * 1e9)
        assert 0 <= plan.received_ns - first.received_ns - thinking_ns < 20 * MILLISECOND_NS
    begun = [plan.stamp_ns for _, plan in slow]
    assert min(np.diff(begun)) >= 1000 * MILLISECOND_NS


def test_answers_that_disagree_reduce_the_mode_and_in_that_mode_nobody_thinks():
    record = drive(2.4)
    reasons = {reason.code for published in record.published for reason in published.reasons}
    assert "SLOW_LATERAL" in reasons
    slow = [plan.received_ns for plan in record.plans if plan.depth == SLOW]
    modes = [(published.received_ns, published.mode) for published in record.published]
    reduced_ns = next(received for received, mode in modes if mode == Mode.REDUCED and received >= slow[0])
    assert len([received for received in slow if received > reduced_ns + 200 * MILLISECOND_NS]) == 0
