"""All guards together: each has its say, replays and future stamps, placement."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import SLOW, PlanRejection
from onboard_vla.core.road import LaneObservation, Signal
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.plan_guard import PlanGuard

from .driving_range import CORE_HASH, make_object, make_plan, simulation_config, straight_poses
from .plans import STAMP, arc_poses, found, history


class TestPlanGuard:
    def judge(self, plan, now_ns=STAMP, config: SupervisorConfig | None = None, speed=10.0):
        config = config or simulation_config()
        guard = PlanGuard(config, CORE_HASH)
        inputs = Inputs(config)
        inputs.history = history(speed)
        motion = Motion(speed * (now_ns - STAMP) / 1e9, 0, 0, speed, 0.0, 0.0)
        return guard, guard.judge(plan, inputs, motion, None, Now(now_ns, now_ns)), inputs, motion

    def test_a_good_plan_passes_with_its_placement(self):
        _, judgement, _, _ = self.judge(make_plan(STAMP, straight_poses()))
        assert judgement.passed
        assert judgement.shadow
        assert judgement.placed.poses[0] == pytest.approx([0, 0, 0], abs=1e-9)

    def test_stamps_in_the_future_are_a_hard_fault_and_block_nothing(self):
        guard, judgement, inputs, motion = self.judge(make_plan(STAMP + 5_000_001, straight_poses()))
        assert (judgement.passed, judgement.hard, found(judgement.reasons)) == (False, True, {"PLAN_FROM_FUTURE"})
        good = make_plan(STAMP, straight_poses())
        assert guard.judge(good, inputs, motion, None, Now(STAMP, STAMP)).passed
        _, tolerated, _, _ = self.judge(make_plan(STAMP + 5_000_000, straight_poses()))
        assert tolerated.passed

    def test_replays_and_older_plans_are_ignored(self):
        guard, _, inputs, motion = self.judge(make_plan(STAMP, straight_poses()))
        for stamp in (STAMP, STAMP - 1):
            assert guard.judge(make_plan(stamp, straight_poses()), inputs, motion, None, Now(STAMP, STAMP)) is None

    def test_the_slow_plan_of_the_same_pictures_is_judged_once_and_held_against_the_fast_one(self):
        guard, _, inputs, motion = self.judge(make_plan(STAMP, straight_poses()))
        poses = straight_poses()
        poses[:, 1] = 0.2 * np.arange(1, 11)
        slow = replace(make_plan(STAMP, poses), depth=SLOW)
        judgement = guard.judge(slow, inputs, motion, None, Now(STAMP, STAMP))
        told = {reason.code: reason.measured for reason in judgement.doubt.reduce}
        assert told["SLOW_LATERAL"] > 0.75
        for again in (slow, make_plan(STAMP, straight_poses())):
            assert guard.judge(again, inputs, motion, None, Now(STAMP, STAMP)) is None

    def test_a_planners_own_rejection_is_a_soft_one(self):
        _, judgement, _, _ = self.judge(PlanRejection(3, STAMP, "TOKEN_COUNT", "9 tokens"))
        assert (judgement.passed, judgement.hard, judgement.plan_id) == (False, False, 3)
        assert "TOKEN_COUNT" in judgement.reasons[0].detail

    def test_a_plan_from_before_the_history_is_rejected(self):
        _, judgement, _, _ = self.judge(make_plan(STAMP - 2_500_000_000, straight_poses()))
        assert found(judgement.reasons) == {"PLAN_UNPLACED"}

    def test_the_plan_is_placed_where_the_vehicle_was_not_where_it_is(self):
        now = STAMP + 300_000_000
        _, judgement, _, _ = self.judge(make_plan(STAMP, straight_poses()), now)
        assert judgement.passed
        assert judgement.placed.pose_at(0.3)[0] == pytest.approx(3.0, abs=1e-6)

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            ({"poses": lambda: arc_poses(10.0, 0.45)}, "LATERAL_ACCELERATION"),
            ({"poses": lambda: straight_poses(3.0)}, "JUMP_SPEED_CHANGE"),
            ({"poses": lambda: straight_poses(13.0)}, "PLAN_START_SPEED"),
            ({"speed": 12.5}, "PLAN_SPEED"),
            (
                {"poses": lambda: straight_poses() + [0, 2.5, 0] * np.minimum(np.arange(1, 11), 8)[:, None] / 8},
                "OFF_ROAD",
            ),
            ({"signals": (Signal(1, 25.0, 0.0, "red"),)}, "RED_SIGNAL"),
            ({"object_x": 25.0}, "COLLISION"),
            ({"object_x": 24.0}, "REQUIRED_DECELERATION"),
            ({"spread": 1.1}, "SPREAD"),
            ({"stale_ns": 1_600_000_000}, "PLAN_STALE"),
        ],
    )
    def test_every_guard_has_its_say(self, change, code):
        config = simulation_config()
        guard, inputs = PlanGuard(config, CORE_HASH), Inputs(config)
        stale_ns = change.get("stale_ns", 0)
        now = Now(STAMP + stale_ns, STAMP + stale_ns)
        inputs.history = history()
        x = np.arange(-10.0, 90.0, 2.0)
        wide = np.full(len(x), 2.0)
        lanes = LaneObservation(
            now.stamp_ns, np.column_stack([x, 0 * x]), wide, wide, 3.5, wide * 7, change.get("signals", ())
        )
        inputs.receive(lanes, now)
        for age_ns in (100_000_000, 0):
            rows = (make_object(change["object_x"], 0.3),) if "object_x" in change else ()
            inputs.receive(ObjectList(now.stamp_ns - age_ns, rows), now)
        plan = make_plan(STAMP, change["poses"]() if "poses" in change else straight_poses())
        if "spread" in change:
            spread = np.full(10, change["spread"], np.float32)
            plan = replace(plan, uncertainty=replace(plan.uncertainty, spread_m=spread))
        motion = Motion(10.0 * stale_ns / 1e9, 0, 0, change.get("speed", 10.0), 0.0, 0.0)
        judgement = guard.judge(plan, inputs, motion, None, now)
        assert not judgement.passed
        assert judgement.placed is None
        assert not judgement.hard
        assert code in found(judgement.reasons)

    @pytest.mark.parametrize(("gap_ns", "shadow"), [(1_500_000_000, False), (1_500_000_001, True)])
    def test_plans_that_saw_bad_front_pictures_do_not_count_for_handback(self, gap_ns, shadow):
        config = simulation_config()
        guard, inputs = PlanGuard(config, CORE_HASH), Inputs(config)
        inputs.history = history()
        motion = Motion(0, 0, 0, 10.0, 0.0, 0.0)
        plan = make_plan(STAMP, straight_poses())
        judgement = guard.judge(plan, inputs, motion, STAMP - gap_ns, Now(STAMP, STAMP))
        assert (judgement.passed, judgement.shadow) == (True, shadow)
