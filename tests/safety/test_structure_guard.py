"""The shape of a plan: both sides of every limit, and nothing is ever padded."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.plan import Uncertainty
from onboard_vla.safety.config import StructureLimits
from onboard_vla.safety.guards.structure import check_structure

from .driving_range import CORE_HASH, make_plan, straight_poses
from .plans import STAMP, found

STRUCTURE = StructureLimits()


class TestStructure:
    def test_a_good_plan_passes(self):
        assert check_structure(make_plan(STAMP, straight_poses()), STRUCTURE, CORE_HASH) == []

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize(
        "name", ["poses", "fine_poses", "spread_m", "outside_mass", "chosen_mass", "second_mass", "second_distance_m"]
    )
    def test_values_that_are_not_finite_come_first_and_are_fatal(self, name, value):
        plan = make_plan(STAMP, straight_poses())
        owner = plan if name in ("poses", "fine_poses") else plan.uncertainty
        array = getattr(owner, name).copy()
        array.flat[-1] = value
        changed = replace(owner, **{name: array})
        plan = changed if owner is plan else replace(plan, uncertainty=changed)
        reasons = check_structure(plan, STRUCTURE, CORE_HASH)
        assert [(r.code, r.measured, r.limit) for r in reasons] == [("PLAN_NOT_FINITE", 1.0, 0.0)]
        assert name in reasons[0].detail

    def test_a_cameras_figure_must_be_finite(self):
        plan = make_plan(STAMP, straight_poses())
        for value, codes in ((3.0, set()), (math.nan, {"PLAN_NOT_FINITE"})):
            changed = replace(plan, uncertainty=replace(plan.uncertainty, vision_ood={"front": 1.0, "back": value}))
            assert found(check_structure(changed, STRUCTURE, CORE_HASH)) == codes

    @pytest.mark.parametrize(
        ("depth", "codes"), [("fast", set()), ("slow", set()), ("", {"PLAN_DEPTH"}), ("FAST", {"PLAN_DEPTH"})]
    )
    def test_a_plan_is_fast_or_slow(self, depth, codes):
        assert found(check_structure(make_plan(STAMP, straight_poses(), depth=depth), STRUCTURE, CORE_HASH)) == codes

    def test_step_and_likelihood_must_be_finite(self):
        plan = make_plan(STAMP, straight_poses(), step_s=math.nan)
        assert found(check_structure(plan, STRUCTURE, CORE_HASH)) == {"PLAN_NOT_FINITE"}
        plan = make_plan(STAMP, straight_poses())
        plan = replace(plan, uncertainty=replace(plan.uncertainty, negative_log_likelihood=math.inf))
        assert found(check_structure(plan, STRUCTURE, CORE_HASH)) == {"PLAN_NOT_FINITE"}

    @pytest.mark.parametrize("count", [0, 1, 9, 11, 100])
    def test_any_other_number_of_poses_or_tokens_is_refused_never_padded(self, count):
        plan = make_plan(STAMP, straight_poses())
        poses = np.zeros((count, 3), np.float32)
        assert "PLAN_SHAPE" in found(check_structure(replace(plan, poses=poses), STRUCTURE, CORE_HASH))
        fine = np.zeros((count * 5, 3), np.float32)
        assert "PLAN_SHAPE" in found(check_structure(replace(plan, fine_poses=fine), STRUCTURE, CORE_HASH))
        tokens = replace(plan, action_tokens=tuple(range(count)))
        reasons = check_structure(tokens, STRUCTURE, CORE_HASH)
        assert [(r.code, r.measured, r.limit) for r in reasons] == [("PLAN_TOKENS", float(count), 10.0)]
        signals = Uncertainty.sure(count)
        assert "PLAN_SHAPE" in found(check_structure(replace(plan, uncertainty=signals), STRUCTURE, CORE_HASH))

    @pytest.mark.parametrize(("steps", "codes"), [(10, set()), (1, set()), (0, {"PLAN_SHAPE"}), (9, {"PLAN_SHAPE"})])
    def test_the_mass_outside_is_of_every_step_or_of_the_first_alone(self, steps, codes):
        plan = make_plan(STAMP, straight_poses())
        for shape, expected in (((steps,), codes), ((steps, 1), {"PLAN_SHAPE"})):
            signals = replace(plan.uncertainty, outside_mass=np.zeros(shape, np.float32))
            assert found(check_structure(replace(plan, uncertainty=signals), STRUCTURE, CORE_HASH)) == expected

    def test_negative_tokens_are_refused(self):
        plan = make_plan(STAMP, straight_poses(), action_tokens=(-1,) + (0,) * 9)
        assert found(check_structure(plan, STRUCTURE, CORE_HASH)) == {"PLAN_TOKENS"}

    def test_another_step_is_refused(self):
        plan = make_plan(STAMP, straight_poses(), step_s=0.4)
        assert found(check_structure(plan, STRUCTURE, CORE_HASH)) == {"PLAN_STEP"}

    def test_another_bundle_is_refused_where_thresholds_name_one(self):
        plan = make_plan(STAMP, straight_poses(), bundle_hash="other")
        assert found(check_structure(plan, STRUCTURE, CORE_HASH)) == {"PLAN_BUNDLE"}
        assert check_structure(plan, STRUCTURE, None) == []

    @pytest.mark.parametrize(
        ("skew_ns", "codes"),
        [(0, set()), (300_000_000, set()), (300_000_001, {"PLAN_FRAME_SKEW"}), (-1, {"PLAN_FRAME_SKEW"})],
    )
    def test_the_oldest_picture_lies_at_most_the_skew_before_the_anchor(self, skew_ns, codes):
        plan = make_plan(STAMP, straight_poses(), oldest_frame_stamp_ns=STAMP - skew_ns)
        assert found(check_structure(plan, STRUCTURE, CORE_HASH)) == codes

    @pytest.mark.parametrize(("shift", "codes"), [(0.019, set()), (0.021, {"PLAN_FINE_MISMATCH"})])
    def test_fine_poses_must_end_at_the_poses(self, shift, codes):
        plan = make_plan(STAMP, straight_poses())
        fine = plan.fine_poses.copy()
        fine[24, 1] += shift
        assert found(check_structure(replace(plan, fine_poses=fine), STRUCTURE, CORE_HASH)) == codes
