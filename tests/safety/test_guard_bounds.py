"""Guards exactly at, just below and just above their limits, with the figures that they report."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.geometry import compose
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import ConsistencyLimits, HandbackLimits, KinematicLimits, StructureLimits
from onboard_vla.safety.guards.consistency import check_agreement, check_consistency, check_steadiness
from onboard_vla.safety.guards.kinematics import check_jumps, check_kinematics, check_smoothed
from onboard_vla.safety.guards.structure import check_structure
from onboard_vla.safety.guards.worst import exceeds, worst_first

from .driving_range import CORE_HASH, make_plan, straight_poses
from .plans import STAMP, arc_poses, placed

LIMITS, STRUCTURE = KinematicLimits(), StructureLimits()
WHEELBASE = 2.9
TIMES = np.array([0.5, 1.0, 1.5])


def figures(reasons):
    return [(reason.code, reason.measured, reason.limit) for reason in reasons]


class TestWorst:
    def test_a_value_at_the_limit_does_not_exceed_it(self):
        assert exceeds("X", np.array([1.0, 2.0, 0.0]), 2.0, TIMES) is None
        assert exceeds("X", np.array([1.0, np.nextafter(2.0, 3.0), 0.0]), 2.0, TIMES) is not None

    def test_it_names_the_largest_value_and_its_instant(self):
        assert exceeds("X", np.array([3.0, 5.0, 4.0]), 2.0, TIMES) == Reason("X", 5.0, 2.0, "at 1.0 s of the plan")

    def test_what_is_not_a_number_is_worse_than_anything(self):
        found = exceeds("X", np.array([9.0, 1.0, np.nan]), 2.0, TIMES)
        assert math.isnan(found.measured)
        assert found.detail == "at 1.5 s of the plan"
        assert math.isnan(exceeds("X", np.array([np.nan, 1.0, 9.0]), 2.0, TIMES).measured)

    def test_reasons_are_ordered_by_how_often_they_hold_their_limit(self):
        a, b, c = Reason("A", 3.0, 2.0, ""), Reason("B", 20.0, 10.0, ""), Reason("C", 0.1, 0.0, "")
        assert worst_first([a, None, b]) == [b, a]
        assert worst_first([a, c, b]) == [c, b, a]
        assert worst_first([Reason("D", 0.9, 0.5, ""), Reason("E", 3.0, 2.0, "")])[0].code == "D"
        assert worst_first([None]) == []


class TestStructure:
    PLAN = make_plan(STAMP, straight_poses())

    def judge(self, **changes):
        return figures(check_structure(replace(self.PLAN, **changes), STRUCTURE, CORE_HASH))

    def test_figures_of_numbers_that_are_not_finite(self):
        assert self.judge(step_s=math.inf) == [("PLAN_NOT_FINITE", 1.0, 0.0)]
        poses = self.PLAN.poses.copy()
        poses[2:4, 0] = math.nan
        assert self.judge(poses=poses) == [("PLAN_NOT_FINITE", 2.0, 0.0)]

    def test_figures_of_shapes(self):
        assert self.judge(poses=np.float32(1.0) * np.ones(())) == [("PLAN_SHAPE", 0.0, 10.0)]
        assert self.judge(poses=np.zeros((10, 2), np.float32)) == [("PLAN_SHAPE", 10.0, 10.0)]
        assert self.judge(fine_poses=np.zeros((49, 3), np.float32)) == [("PLAN_SHAPE", 49.0, 50.0)]

    def test_figures_of_tokens(self):
        assert self.judge(action_tokens=(5, -3) + (7,) * 8) == [("PLAN_TOKENS", -3.0, 0.0)]
        assert self.judge(action_tokens=(0,) * 10) == []
        assert self.judge(action_tokens=()) == [("PLAN_TOKENS", 0.0, 10.0)]

    @pytest.mark.parametrize(
        ("step_s", "codes"), [(0.5 + 0.9e-6, []), (0.5 + 1.1e-6, ["PLAN_STEP"]), (0.5 - 1.1e-6, ["PLAN_STEP"])]
    )
    def test_the_step_may_differ_by_a_microsecond(self, step_s, codes):
        assert [code for code, _, _ in self.judge(step_s=step_s)] == codes

    def test_figures_of_another_bundle(self):
        assert self.judge(bundle_hash="other") == [("PLAN_BUNDLE", 1.0, 0.0)]

    def test_a_mismatch_of_exactly_the_tolerance_passes(self):
        fine = self.PLAN.fine_poses.copy()
        fine[24, 1] += 0.25
        exact = replace(STRUCTURE, fine_mismatch_m=0.25)
        plan = replace(self.PLAN, fine_poses=fine)
        assert check_structure(plan, exact, CORE_HASH) == []
        assert figures(check_structure(plan, replace(exact, fine_mismatch_m=0.24), CORE_HASH)) == [
            ("PLAN_FINE_MISMATCH", 0.25, 0.24)
        ]


class TestSmoothed:
    """The rows of derivatives are set directly: 11 values, 0.5 s apart."""

    STEADY = placed(straight_poses(10.0))

    def judge(self, **rows):
        zero = np.zeros(11)
        calm = {
            "speed_mps": zero + 10.0, "acceleration_mps2": zero, "lateral_mps2": zero, "yaw_rate_rps": zero,
            "yaw_acceleration_rps2": zero,
        }  # fmt: skip
        plan = replace(self.STEADY, **{**calm, **rows})
        return check_smoothed(plan, LIMITS, WHEELBASE)

    @staticmethod
    def ramp(value):
        """Up to `value` and down again, slowly enough for every limit on changes."""
        return value * np.minimum(np.linspace(0.0, 2.0, 11), np.linspace(2.0, 0.0, 11))

    @pytest.mark.parametrize(
        ("row", "value", "code"),
        [
            ("acceleration_mps2", LIMITS.acceleration_max_mps2, "ACCELERATION"),
            ("acceleration_mps2", -LIMITS.deceleration_max_mps2, "DECELERATION"),
            ("lateral_mps2", LIMITS.lateral_acceleration_mps2, "LATERAL_ACCELERATION"),
            ("lateral_mps2", -LIMITS.lateral_acceleration_mps2, "LATERAL_ACCELERATION"),
            ("yaw_rate_rps", LIMITS.yaw_rate_rps, "YAW_RATE"),
            ("yaw_rate_rps", -LIMITS.yaw_rate_rps, "YAW_RATE"),
            ("yaw_acceleration_rps2", LIMITS.yaw_acceleration_rps2, "YAW_ACCELERATION"),
            ("yaw_acceleration_rps2", -LIMITS.yaw_acceleration_rps2, "YAW_ACCELERATION"),
        ],
    )
    def test_a_row_may_reach_its_limit_and_no_more(self, row, value, code):
        assert self.judge(**{row: self.ramp(value)}) == []
        found = self.judge(**{row: self.ramp(value * 1.001)})
        assert [reason.code for reason in found] == [code]
        assert found[0].measured == pytest.approx(abs(value) * 1.001)
        assert found[0].detail == "at 2.5 s of the plan"

    @pytest.mark.parametrize("side", [1.0, -1.0])
    @pytest.mark.parametrize("begin", [0, 9])
    def test_lateral_jerk_is_the_change_over_one_step_at_either_end(self, side, begin):
        row = np.zeros(11)
        row[begin + 1 :] = side * LIMITS.lateral_jerk_mps3 * 0.5
        assert self.judge(lateral_mps2=row) == []
        found = self.judge(lateral_mps2=row * 1.001)
        assert figures(found) == [("LATERAL_JERK", pytest.approx(5.005), 5.0)]
        assert found[0].detail == f"at {0.5 * (begin + 1):.1f} s of the plan"

    def test_longitudinal_jerk_is_bounded_while_accelerating_alone(self):
        row = np.zeros(11)
        row[5:] = 2.0
        row[:5] = -2.2
        assert self.judge(acceleration_mps2=row) == []
        row[:5] = -2.3
        found = self.judge(acceleration_mps2=row)
        assert figures(found) == [("LONGITUDINAL_JERK", pytest.approx(8.6), 8.4)]
        assert found[0].detail == "at 2.5 s of the plan"
        braking = np.zeros(11)
        braking[5:] = -5.0
        assert self.judge(acceleration_mps2=braking) == []
        released = np.full(11, -5.0)
        released[5:] = 0.0
        assert self.judge(acceleration_mps2=released) == []
        slightly = np.full(11, -4.0)
        slightly[5:] = 0.5
        assert [reason.code for reason in self.judge(acceleration_mps2=slightly)] == ["LONGITUDINAL_JERK"]

    @pytest.mark.parametrize(("speed", "floor"), [(3.0, 3.0), (0.5, 2.0), (2.0, 2.0)])
    def test_curvature_is_yaw_rate_over_speed_above_a_floor(self, speed, floor):
        speeds = np.full(11, speed)
        most = LIMITS.curvature_per_m * floor
        assert self.judge(speed_mps=speeds, yaw_rate_rps=np.full(11, most * 0.999)) == []
        found = self.judge(speed_mps=speeds, yaw_rate_rps=np.full(11, -most * 1.001))
        assert "CURVATURE" in [reason.code for reason in found]
        assert found[0].measured == pytest.approx(LIMITS.curvature_per_m * 1.001)

    def test_steering_is_that_of_a_bicycle(self):
        slight = replace(LIMITS, steering_rad=0.3)
        yaw = np.full(11, math.tan(0.3) / WHEELBASE * 5.0)
        plan = replace(self.STEADY, speed_mps=np.full(11, 5.0), yaw_rate_rps=yaw * 0.999)
        assert "STEERING" not in [r.code for r in check_smoothed(plan, slight, WHEELBASE)]
        plan = replace(plan, yaw_rate_rps=-yaw * 1.01)
        assert "STEERING" in [r.code for r in check_smoothed(plan, slight, WHEELBASE)]


class TestJumps:
    def jump(self, poses, limits=LIMITS, speed=10.0, **changes):
        return figures(check_jumps(placed(poses, speed, **changes), limits))

    def test_a_step_along_a_circle_goes_forward_alone(self):
        """Turn 0.6 rad a step on a chord: no sideways part, and forward the whole chord."""
        poses = arc_poses(3.0, 1.2)
        chord = 2 * (3.0 / 1.2) * math.sin(0.3)
        tight = replace(LIMITS, raw_sideways_m=0.1)
        assert [row for row in self.jump(poses, tight, 3.0) if row[0] == "JUMP_SIDEWAYS"] == []
        low = replace(LIMITS, raw_speed_max_mps=5.0)
        assert self.jump(arc_poses(3.0, 1.2) * [2, 2, 1], low, 6.0)[0] == (
            "JUMP_SPEED", pytest.approx(4 * chord, rel=1e-3), 5.0)  # fmt: skip

    def test_speed_changes_count_from_the_vehicles_own(self):
        poses = straight_poses(10.0)
        assert self.jump(poses, speed=14.4) == []
        assert self.jump(poses, speed=14.6) == [("JUMP_SPEED_CHANGE", pytest.approx(4.6, abs=1e-3), 4.5)]

    @pytest.mark.parametrize(("shift", "codes"), [(0.99, []), (1.01, ["JUMP_SIDEWAYS"])])
    @pytest.mark.parametrize("side", [1, -1])
    def test_sideways_and_backwards_steps(self, shift, codes, side):
        poses = straight_poses(10.0)
        poses[4:, 1] += side * shift
        assert [row[0] for row in self.jump(poses)] == codes

    @pytest.mark.parametrize(("back", "codes"), [(0.29, []), (0.31, ["JUMP_REVERSE"])])
    def test_a_step_back_may_be_as_long_as_the_quantisation(self, back, codes):
        poses = np.zeros((10, 3))
        poses[3:, 0] = -back
        assert [row[0] for row in self.jump(poses, speed=0.0)] == codes

    @pytest.mark.parametrize(("turn", "codes"), [(0.69, []), (0.71, ["JUMP_HEADING"])])
    def test_a_heading_step_ends_at_its_limit(self, turn, codes):
        poses = straight_poses(0.0)
        poses[5:, 2] = -turn
        loose = replace(LIMITS, fine_deviation_m=3.0)
        assert [row[0] for row in self.jump(poses, loose, 0.0)] == codes

    @pytest.mark.parametrize("place", [0, 7, 48])
    def test_fine_poses_are_held_against_their_own_step(self, place):
        plan = make_plan(STAMP, straight_poses(10.0))
        for column, size in ((0, 0.51), (1, -0.51), (2, 0.51)):
            fine = plan.fine_poses.copy()
            fine[place, column] += size
            found = self.jump(straight_poses(10.0), fine_poses=fine)
            assert [(code, limit) for code, _, limit in found] == [("JUMP_FINE", 0.5)]
            assert found[0][1] == pytest.approx(0.51, abs=1e-4)
            fine[place, column] -= size * 0.04
            assert self.jump(straight_poses(10.0), fine_poses=fine) == []

    def test_turning_steps_are_cut_evenly_in_heading_too(self):
        tight = replace(LIMITS, fine_deviation_m=0.05)
        assert [row for row in self.jump(arc_poses(2.0, 0.3), tight, 2.0) if row[0] == "JUMP_FINE"] == []

    def test_jumps_hide_what_smoothing_says_of_them(self):
        poses = straight_poses(10.0)
        poses[4:, 1] += 3.0
        found = [reason.code for reason in check_kinematics(placed(poses), LIMITS, WHEELBASE)]
        assert found
        assert all(code.startswith("JUMP") for code in found)
        assert check_kinematics(placed(straight_poses(10.0, 2.0)), LIMITS, WHEELBASE) == []
        assert check_kinematics(placed(straight_poses(10.0, 3.3)), LIMITS, WHEELBASE)[0].code == "ACCELERATION"

    def test_forward_and_sideways_are_those_of_the_chord(self):
        """At 14 m/s and 1.38 rad/s a step turns by 0.69 rad; its chord is the whole motion."""
        poses = arc_poses(14.0, 1.38)
        limits = replace(LIMITS, raw_sideways_m=0.1, raw_speed_change_mps=1.0, fine_deviation_m=3.0)
        assert self.jump(poses, limits, 14.0) == []
        backwards = poses.copy()
        backwards[1] = backwards[0]
        assert "JUMP_SPEED_CHANGE" in [row[0] for row in self.jump(backwards, limits, 14.0)]


class TestConsistency:
    def test_two_plans_that_share_two_instants_are_compared_and_fewer_are_not(self):
        limits = HandbackLimits()
        first = placed(straight_poses())
        for shift_s, codes in ((4.5, []), (5.0, ["UNSTEADY_HORIZON"]), (4.6, ["UNSTEADY_HORIZON"])):
            later = replace(first, stamp_ns=STAMP + round(shift_s * 1e9))
            reasons = check_steadiness(later, first, limits)
            assert [reason.code for reason in reasons] == codes
            if codes:
                assert (reasons[0].measured, reasons[0].limit) == (1.0, 2.0)

    def test_the_earlier_plan_is_read_at_the_same_instants(self):
        rising = np.arange(11) * 0.25
        first = replace(placed(straight_poses()), yaw_rate_rps=rising)
        later = replace(first, stamp_ns=STAMP + 1_000_000_000, yaw_rate_rps=np.append(rising[2:], [2.75, 3.0]))
        assert check_steadiness(later, first, HandbackLimits()) == []
        assert "UNSTEADY_YAW_RATE" in [
            r.code for r in check_steadiness(replace(later, yaw_rate_rps=rising), first, HandbackLimits())
        ]

    def test_exactly_the_limit_is_steady_and_agrees(self):
        first = placed(straight_poses())
        zero = np.zeros(11)
        before = replace(first, yaw_rate_rps=zero, acceleration_mps2=zero, yaw_acceleration_rps2=zero)
        again = replace(before, stamp_ns=STAMP + 200_000_000, yaw_rate_rps=zero + 0.125)
        assert check_steadiness(again, before, HandbackLimits(yaw_rate_rms_rps=0.125)) == []
        t = np.arange(51) * 0.1
        current = np.column_stack([t, 10 * t, 0 * t, 0 * t, 0 * t + 10, 0 * t])
        model = current.copy()
        model[3, 4] += 0.5
        assert check_agreement(model, current, HandbackLimits(speed_mps=0.5)) == []
        assert [r.code for r in check_agreement(model, current, HandbackLimits(speed_mps=0.49))] == ["HANDBACK_SPEED"]

    def test_agreement_counts_rows_by_the_time_between_them_whenever_they_begin(self):
        t = 7.0 + np.arange(51) * 0.1
        current = np.column_stack([t, 10 * t, 0 * t, 0 * t, 0 * t + 10, 0 * t])
        model = current.copy()
        model[10, 4] += 1.5
        assert [r.code for r in check_agreement(model, current, HandbackLimits())] == ["HANDBACK_SPEED"]
        late = current.copy()
        late[11, 4] += 1.5
        assert check_agreement(late, current, HandbackLimits()) == []

    def test_a_gap_of_exactly_the_limit_fits(self):
        plan = placed(straight_poses(8.0), 8.0)
        motion = replace(plan.start, y_m=1.0)
        assert [r.code for r in check_consistency(plan, motion, STAMP, ConsistencyLimits(lateral_m=1.0))] == []
        assert [r.code for r in check_consistency(plan, motion, STAMP, ConsistencyLimits(lateral_m=0.99))] == [
            "PLAN_LATERAL"
        ]


class TestArcsInStrictLimits:
    """Steps of 5 m along arcs of 0.6 rad to and fro: a chord at half the turn, so nothing of it is sideways."""

    STRICT = KinematicLimits(raw_sideways_m=0.1, raw_speed_change_mps=1.0, raw_heading_step_rad=0.1)

    def arcs(self, chord=5.0, turn=0.6):
        pose, poses = np.zeros(3), []
        for _ in range(5):
            for side in (turn, -turn):
                pose = compose(pose, np.array([chord * math.cos(side / 2), chord * math.sin(side / 2), side]))
                poses.append(pose)
        return np.array(poses)

    @pytest.mark.parametrize("turn", [0.6, -0.6])
    def test_a_chord_is_forward_alone(self, turn):
        found = figures(check_jumps(placed(self.arcs(turn=turn)), self.STRICT))
        assert found == [("JUMP_HEADING", pytest.approx(0.6), 0.1)]

    def test_a_long_chord_is_not_sideways_either(self):
        found = [reason.code for reason in check_jumps(placed(self.arcs(chord=20.0)), self.STRICT)]
        assert "JUMP_HEADING" in found
        assert "JUMP_SIDEWAYS" not in found

    def test_forward_is_the_chord_itself(self):
        found = {r.code: (r.measured, r.detail) for r in check_jumps(placed(self.arcs(chord=5.625)), self.STRICT)}
        assert found["JUMP_SPEED_CHANGE"] == (pytest.approx(1.25), "at 0.5 s of the plan")

    def test_a_fine_pose_beside_its_step_is_named_by_its_own_instant(self):
        plan = placed(straight_poses())
        fine = plan.fine.copy()
        fine[7, 1] += 0.6
        assert check_jumps(replace(plan, fine=fine), LIMITS)[0] == Reason(
            "JUMP_FINE", pytest.approx(0.6), 0.5, "at 0.7 s of the plan"
        )

    def test_steering_that_is_too_fast_is_named_by_the_end_of_its_step(self):
        yaw = np.zeros(11)
        yaw[4:] = 0.4
        plan = replace(placed(straight_poses(2.0), 2.0), speed_mps=np.full(11, 2.0), yaw_rate_rps=yaw)
        found = {r.code: r.detail for r in check_smoothed(plan, LIMITS, WHEELBASE)}
        assert found["STEERING_RATE"] == "at 2.0 s of the plan"

    def test_no_jerk_counts_while_braking_however_strict(self):
        strict = replace(LIMITS, longitudinal_jerk_mps3=0.5)
        plan = replace(placed(straight_poses()), acceleration_mps2=-np.linspace(0.0, 5.0, 11))
        assert check_smoothed(plan, strict, WHEELBASE) == []

    def test_numbers_that_are_not_finite_are_counted_against_none(self):
        broken = np.zeros(11)
        broken[2:4] = math.nan
        plan = replace(placed(straight_poses()), acceleration_mps2=broken)
        assert figures(check_kinematics(plan, LIMITS, WHEELBASE)) == [("MOTION_NOT_FINITE", 2.0, 0.0)]
