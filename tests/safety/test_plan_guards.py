"""Structure, kinematics, consistency, staleness and doubt: both sides of every limit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import PlanRejection, Uncertainty
from onboard_vla.core.road import LaneObservation, Signal
from onboard_vla.safety.config import (
    ConsistencyLimits,
    HandbackLimits,
    KinematicLimits,
    StalenessLimits,
    StopSettings,
    StructureLimits,
    SupervisorConfig,
)
from onboard_vla.safety.ego_history import EgoHistory, Motion
from onboard_vla.safety.guards.consistency import check_agreement, check_consistency, check_steadiness
from onboard_vla.safety.guards.kinematics import check_jumps, check_kinematics, check_smoothed
from onboard_vla.safety.guards.staleness import age_limit, check_age
from onboard_vla.safety.guards.structure import check_structure
from onboard_vla.safety.guards.uncertainty import judge_doubt
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.longitudinal import stop_distance
from onboard_vla.safety.placed_plan import place
from onboard_vla.safety.plan_guard import PlanGuard

from .driving_range import (
    CORE_HASH,
    make_ego,
    make_object,
    make_plan,
    make_thresholds,
    simulation_config,
    straight_poses,
)

STAMP = 20_000_000_000
STRUCTURE, KINEMATICS = StructureLimits(), KinematicLimits()


def found(reasons):
    return {reason.code for reason in reasons if reason is not None}


def history(speed=10.0, heading=0.0, yaw_rate=0.0, origin=(0.0, 0.0)):
    """Two seconds of constant motion that ends at STAMP at `origin`."""
    kept = EgoHistory(2.0, 0.06)
    for k in range(-100, 1):
        t = k * 0.02
        turn, distance = yaw_rate * t, speed * t
        x = origin[0] + distance * math.cos(heading + turn / 2)
        y = origin[1] + distance * math.sin(heading + turn / 2)
        stamp = STAMP + k * 20_000_000
        kept.add(make_ego(stamp, x_m=x, y_m=y, heading_rad=heading + turn, speed_mps=speed, yaw_rate_rps=yaw_rate))
    return kept


def placed(poses, speed=10.0, **changes):
    return place(make_plan(STAMP, poses, **changes), history(speed))


def arc_poses(speed, yaw_rate):
    t = np.arange(1, 11) * 0.5
    turn = yaw_rate * t
    radius = speed / yaw_rate
    return np.column_stack([radius * np.sin(turn), radius * (1 - np.cos(turn)), turn])


class TestStructure:
    def test_a_good_plan_passes(self):
        assert check_structure(make_plan(STAMP, straight_poses()), STRUCTURE, CORE_HASH) == []

    @pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
    @pytest.mark.parametrize("name", ["poses", "fine_poses", "spread_m", "outside_mass", "chosen_mass"])
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
        signals = Uncertainty(*(np.zeros(count, np.float32),) * 3, 0.1)
        assert "PLAN_SHAPE" in found(check_structure(replace(plan, uncertainty=signals), STRUCTURE, CORE_HASH))

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


class TestKinematics:
    def test_smoothing_is_exact_for_constant_acceleration_and_constant_turn(self):
        plan = placed(straight_poses(10.0, 2.0))
        assert plan.acceleration_mps2[3:] == pytest.approx(2.0, abs=1e-4)
        assert plan.speed_mps[3:] == pytest.approx(10.0 + 2.0 * plan.times_s[3:], abs=1e-3)
        turning = place(make_plan(STAMP, arc_poses(10.0, 0.3)), history(10.0, yaw_rate=0.3))
        assert turning.yaw_rate_rps == pytest.approx(0.3, abs=1e-4)
        assert turning.lateral_mps2 == pytest.approx(3.0, rel=0.02)
        assert turning.yaw_acceleration_rps2 == pytest.approx(0.0, abs=1e-4)

    def test_codebook_noise_passes_where_raw_differences_would_not(self):
        rng = np.random.default_rng(3)
        raw = []
        for _ in range(200):
            poses = straight_poses(10.0) + rng.normal(0, [0.03, 0.03, 0.01], (10, 3))
            assert found(check_kinematics(placed(poses), KINEMATICS)) == set()
            raw.append(np.abs(np.diff(poses[:, 1], 2) / 0.25).max())
        assert np.median(raw) > 0.3

    @pytest.mark.parametrize(
        ("poses", "speed", "code"),
        [
            (lambda k: straight_poses(10.0, 3.0 * k), 10.0, "ACCELERATION"),
            (lambda k: straight_poses(35.0, -6.0 * k), 35.0, "DECELERATION"),
        ],
    )
    def test_longitudinal_limits_hold_on_both_sides(self, poses, speed, code):
        assert code not in found(check_smoothed(placed(poses(0.99), speed), KINEMATICS))
        assert code in found(check_smoothed(placed(poses(1.02), speed), KINEMATICS))

    @pytest.mark.parametrize(
        ("speed", "yaw_rate", "code"),
        [
            (10.0, 0.4, "LATERAL_ACCELERATION"),
            (4.0, 0.95, "YAW_RATE"),
            (3.0, 0.6, "CURVATURE"),
        ],
    )
    @pytest.mark.parametrize("side", [1, -1])
    def test_turning_limits_hold_on_both_sides_and_both_directions(self, speed, yaw_rate, code, side):
        def turning(rate):
            return place(make_plan(STAMP, arc_poses(speed, rate)), history(speed, yaw_rate=rate))

        assert code not in found(check_smoothed(turning(side * yaw_rate * 0.98), KINEMATICS))
        assert code in found(check_smoothed(turning(side * yaw_rate * 1.06), KINEMATICS))

    @pytest.mark.parametrize(
        ("name", "code"),
        [
            ("acceleration_mps2", "LONGITUDINAL_JERK"),
            ("lateral_mps2", "LATERAL_JERK"),
            ("yaw_acceleration_rps2", "YAW_ACCELERATION"),
        ],
    )
    def test_rates_of_change_hold_on_both_sides(self, name, code):
        limit = {"LONGITUDINAL_JERK": 8.4, "LATERAL_JERK": 5.0, "YAW_ACCELERATION": 1.93}[code]
        wide = KinematicLimits(acceleration_max_mps2=10.0, lateral_acceleration_mps2=10.0)
        for factor, expected in ((0.99, False), (1.01, True)):
            row = np.zeros(11)
            row[5:] = limit * factor * (1.0 if code == "YAW_ACCELERATION" else 0.5)
            plan = replace(placed(straight_poses()), **{name: row})
            assert (code in found(check_smoothed(plan, wide))) is expected

    def test_jerk_of_braking_is_not_judged(self):
        row = np.zeros(11)
        row[5:] = -6.0
        plan = replace(placed(straight_poses()), acceleration_mps2=row)
        assert "LONGITUDINAL_JERK" not in found(check_smoothed(plan, KINEMATICS))

    @pytest.mark.parametrize(
        ("edit", "code", "inside", "outside"),
        [
            (lambda p, k: p.__setitem__((slice(4, None), 0), p[4:, 0] + k), "JUMP_SPEED_CHANGE", 1.1, 1.2),
            (lambda p, k: p.__setitem__((slice(4, None), 1), p[4:, 1] + k), "JUMP_SIDEWAYS", 0.99, 1.01),
            (lambda p, k: p.__setitem__((slice(4, None), 2), p[4:, 2] + k), "JUMP_HEADING", 0.69, 0.71),
        ],
    )
    def test_jumps_hold_on_both_sides(self, edit, code, inside, outside):
        for amount, expected in ((inside, False), (outside, True)):
            poses = straight_poses(5.0)
            edit(poses, amount * (2 if code == "JUMP_SPEED_CHANGE" else 1))
            assert (code in found(check_jumps(placed(poses, 5.0), KINEMATICS))) is expected, amount

    def test_the_first_step_is_held_against_the_vehicles_speed(self):
        assert "JUMP_SPEED_CHANGE" not in found(check_jumps(placed(straight_poses(14.4), 10.0), KINEMATICS))
        assert "JUMP_SPEED_CHANGE" in found(check_jumps(placed(straight_poses(14.6), 10.0), KINEMATICS))

    def test_top_speed_holds_on_both_sides(self):
        assert "JUMP_SPEED" not in found(check_jumps(placed(straight_poses(44.9), 44.9), KINEMATICS))
        assert "JUMP_SPEED" in found(check_jumps(placed(straight_poses(45.1), 45.1), KINEMATICS))

    def test_driving_backwards_is_rejected(self):
        back = straight_poses(1.0) * [-1, 1, 1]
        assert "JUMP_REVERSE" in found(check_jumps(placed(back * 0.62, 0.0), KINEMATICS))
        assert "JUMP_REVERSE" not in found(check_jumps(placed(back * 0.58, 0.0), KINEMATICS))

    def test_fine_poses_may_not_leave_their_step(self):
        plan = make_plan(STAMP, straight_poses())
        for shift, expected in ((0.49, False), (0.51, True)):
            for column in (1, 2):
                fine = plan.fine_poses.copy()
                fine[22, column] += shift
                reasons = check_jumps(place(replace(plan, fine_poses=fine), history()), KINEMATICS)
                assert ("JUMP_FINE" in found(reasons)) is expected

    def test_values_that_are_not_numbers_fail_every_limit(self):
        plan = replace(placed(straight_poses()), acceleration_mps2=np.full(11, np.nan))
        assert {"ACCELERATION", "DECELERATION"} <= found(check_smoothed(plan, KINEMATICS))

    def test_a_standing_plan_of_a_standing_vehicle_passes(self):
        assert check_kinematics(placed(np.zeros((10, 3)), 0.0), KINEMATICS) == []


class TestConsistency:
    LIMITS = ConsistencyLimits()

    def motion(self, **changes):
        return Motion(**{**dict(x_m=3.0, y_m=0.0, heading_rad=0.0, speed_mps=10.0, acceleration_mps2=0.0,
                                yaw_rate_rps=0.0), **changes})  # fmt: skip

    @pytest.mark.parametrize(
        ("change", "code"),
        [
            (lambda k: {"speed_mps": 10.0 + 2.0 * k, "x_m": 3.0}, "PLAN_SPEED"),
            (lambda k: {"speed_mps": 10.0 - 2.0 * k}, "PLAN_SPEED"),
            (lambda k: {"y_m": 1.0 * k}, "PLAN_LATERAL"),
            (lambda k: {"y_m": -1.0 * k}, "PLAN_LATERAL"),
            (lambda k: {"x_m": 3.0 + 2.0 * k}, "PLAN_LONGITUDINAL"),
            (lambda k: {"x_m": 3.0 - 2.0 * k}, "PLAN_LONGITUDINAL"),
            (lambda k: {"heading_rad": 0.35 * k}, "PLAN_YAW"),
            (lambda k: {"heading_rad": -0.35 * k}, "PLAN_YAW"),
        ],
    )
    def test_limits_hold_on_both_sides_of_either_sign(self, change, code):
        plan = placed(straight_poses())
        now = STAMP + 300_000_000
        assert found(check_consistency(plan, self.motion(**change(0.99)), now, self.LIMITS)) == set()
        assert found(check_consistency(plan, self.motion(**change(1.01)), now, self.LIMITS)) == {code}

    @pytest.mark.parametrize("side", [1, -1])
    def test_the_plans_own_first_speed_is_held_against_the_vehicles(self, side):
        for excess, expected in ((1.95, set()), (2.05, {"PLAN_START_SPEED"})):
            plan = placed(straight_poses(10.0 + side * excess))
            assert found(check_consistency(plan, self.motion(x_m=0.0), STAMP, self.LIMITS)) == expected
        for acceleration in (3.0, -6.0):
            plan = placed(straight_poses(10.0, acceleration))
            assert plan.own_start_speed_mps == pytest.approx(10.0, abs=1e-3)

    def test_standing_vehicles_get_the_bare_longitudinal_limit(self):
        plan = placed(np.zeros((10, 3)), 0.0)
        still = self.motion(speed_mps=0.0, x_m=0.99)
        assert found(check_consistency(plan, still, STAMP, self.LIMITS)) == set()
        assert found(check_consistency(plan, replace(still, x_m=1.01), STAMP, self.LIMITS)) == {"PLAN_LONGITUDINAL"}

    def test_steady_plans_pass_and_changed_ones_name_what_changed(self):
        limits = HandbackLimits()
        first = placed(straight_poses())
        again = replace(first, stamp_ns=STAMP + 200_000_000)
        assert check_steadiness(again, first, limits) == []
        for name, code, level in (
            ("acceleration_mps2", "UNSTEADY_ACCELERATION", 0.7),
            ("yaw_rate_rps", "UNSTEADY_YAW_RATE", 0.1),
            ("yaw_acceleration_rps2", "UNSTEADY_YAW_ACCELERATION", 0.1),
        ):
            base = np.zeros(11)
            first = replace(first, **{name: base})
            assert found(check_steadiness(replace(again, **{name: base + 0.99 * level}), first, limits)) == set()
            assert found(check_steadiness(replace(again, **{name: base + 1.01 * level}), first, limits)) == {code}
        ramp = np.arange(11) * 0.5
        flat = replace(first, acceleration_mps2=ramp * 0)
        loose = HandbackLimits(acceleration_rms_mps2=5.0)
        assert found(check_steadiness(replace(again, acceleration_mps2=ramp * 0.49), flat, loose)) == set()
        assert found(check_steadiness(replace(again, acceleration_mps2=ramp * 0.51), flat, loose)) == {"UNSTEADY_JERK"}

    def test_plans_far_apart_in_time_are_not_steady(self):
        first = placed(straight_poses())
        later = replace(first, stamp_ns=STAMP + 4_900_000_000)
        assert found(check_steadiness(later, first, HandbackLimits())) == {"UNSTEADY_HORIZON"}

    @pytest.mark.parametrize(("column", "limit", "code"), [(2, 0.3, "HANDBACK_LATERAL"), (3, 0.05, "HANDBACK_HEADING"),
                                                           (4, 1.0, "HANDBACK_SPEED")])  # fmt: skip
    def test_handback_agreement_holds_on_both_sides_over_the_first_second(self, column, limit, code):
        t = np.arange(51) * 0.1
        current = np.column_stack([t, 10 * t, 0 * t, 0 * t, 0 * t + 10, 0 * t])
        for factor, expected in ((0.99, set()), (1.01, {code})):
            model = current.copy()
            model[10, column] += factor * limit
            assert found(check_agreement(model, current, HandbackLimits())) == expected
        model = current.copy()
        model[11, column] += 5 * limit
        assert check_agreement(model, current, HandbackLimits()) == []


class TestStaleness:
    LIMITS, STOP = StalenessLimits(), StopSettings()

    @pytest.mark.parametrize(("speed", "accel", "distance", "time"), [(13.889, 0.0, 19.3, 2.6), (8.333, 0.0, 7.7, 1.6),
                                                                      (27.778, 0.0, 71.0, 4.9)])  # fmt: skip
    def test_stop_distance_equals_the_sheet_and_an_integration(self, speed, accel, distance, time):
        assert stop_distance(speed, accel, 6.0, 12.65) == pytest.approx(distance, abs=0.5)
        v, a, s = speed, accel, 0.0
        while v > 0:
            a = max(a - 12.65e-4, -6.0)
            s, v = s + v * 1e-4, v + a * 1e-4
        assert stop_distance(speed, accel, 6.0, 12.65) == pytest.approx(s, abs=0.01)

    @pytest.mark.parametrize("speed", [0.0, 0.3, 1.0, 1.5])
    def test_stop_distance_of_slow_vehicles_equals_an_integration(self, speed):
        for accel in (-6.0, -1.0, 0.0, 1.0):
            v, a, s = speed, accel, 0.0
            while v > 0 or a > 0:
                a = max(a - 12.65e-4, -6.0)
                s, v = s + v * 1e-4, v + a * 1e-4
            assert stop_distance(speed, accel, 6.0, 12.65) == pytest.approx(s, abs=0.01)

    def test_age_limit_follows_the_formula(self):
        plan = placed(straight_poses(30.0), 30.0)
        motion = Motion(0, 0, 0, 30.0, 0.0, 0.0)
        expected = (150.0 - stop_distance(30.0, 0.0, 6.0, 12.65) - 2.0) / 30.0
        short = replace(plan, distance_m=plan.distance_m * 0.75)
        assert age_limit(plan, motion, self.LIMITS, self.STOP) == 1.5
        assert expected > 1.5
        assert age_limit(short, motion, self.LIMITS, self.STOP) == pytest.approx(expected - 37.5 / 30.0, abs=0.01)
        assert age_limit(replace(plan, distance_m=plan.distance_m * 0.1), motion, self.LIMITS, self.STOP) == 0.0

    def test_plans_that_end_at_standstill_and_standing_vehicles_get_the_longest_age(self):
        stopping = placed(straight_poses(10.0, -2.5), 10.0)
        assert stopping.end_speed_mps < 0.5
        assert age_limit(stopping, Motion(0, 0, 0, 10.0, 0.0, 0.0), self.LIMITS, self.STOP) == 1.5
        creeping = placed(straight_poses(0.52), 0.0)
        assert age_limit(creeping, Motion(0, 0, 0, 0.49, 0.0, 0.0), self.LIMITS, self.STOP) == 1.5
        assert age_limit(creeping, Motion(0, 0, 0, 0.5, 0.0, 0.0), self.LIMITS, self.STOP) < 1.5

    def test_age_counts_from_the_oldest_picture(self):
        plan = placed(straight_poses(), oldest_frame_stamp_ns=STAMP - 100_000_000)
        motion = Motion(0, 0, 0, 10.0, 0.0, 0.0)
        assert check_age(plan, motion, STAMP + 1_400_000_000, self.LIMITS, self.STOP) is None
        late = check_age(plan, motion, STAMP + 1_400_000_001, self.LIMITS, self.STOP)
        assert (late.code, late.limit) == ("PLAN_STALE", 1.5)


class TestDoubt:
    def signals(self, spread=0.1, outside=0.0, chosen=1.0):
        row = np.zeros(10, np.float32)
        spreads, outsides, chosens = row + np.float32(0.05), row.copy(), row + 1
        spreads[7], outsides[7], chosens[7] = spread, outside, chosen
        return Uncertainty(spreads, outsides, chosens, 0.1)

    @pytest.mark.parametrize(
        ("change", "reject", "reduce"),
        [
            ({}, set(), set()),
            ({"spread": 0.499}, set(), set()),
            ({"spread": 0.501}, set(), {"SPREAD_RAISED"}),
            ({"spread": 0.999}, set(), {"SPREAD_RAISED"}),
            ({"spread": 1.001}, {"SPREAD"}, {"SPREAD_RAISED"}),
            ({"outside": 0.0499}, set(), set()),
            ({"outside": 0.0501}, {"OUTSIDE_MASS"}, set()),
            ({"chosen": 0.101}, set(), set()),
            ({"chosen": 0.099}, set(), {"CHOSEN_MASS"}),
            ({"spread": -0.01}, {"DOUBT_RANGE"}, set()),
            ({"chosen": 1.01}, {"DOUBT_RANGE"}, set()),
            ({"outside": -0.01}, {"DOUBT_RANGE"}, set()),
        ],
    )
    def test_both_sides_of_every_threshold_at_the_worst_step(self, change, reject, reduce):
        doubt = judge_doubt(self.signals(**change), make_thresholds(), 0.8)
        assert (found(doubt.reject), found(doubt.reduce)) == (reject, reduce)

    def test_calm_begins_below_the_exit_fraction(self):
        assert judge_doubt(self.signals(spread=0.399), make_thresholds(), 0.8).calm
        assert not judge_doubt(self.signals(spread=0.401), make_thresholds(), 0.8).calm

    def test_no_file_may_raise_the_outside_mass_and_none_is_needed_for_it(self):
        limits = tuple(replace(x, value=1.0) if x.signal == "outside_mass" else x for x in make_thresholds().limits)
        generous = replace(make_thresholds(), limits=limits)
        for thresholds in (generous, None):
            assert found(judge_doubt(self.signals(outside=0.06), thresholds, 0.8).reject) == {"OUTSIDE_MASS"}
            assert found(judge_doubt(self.signals(spread=5.0), None, 0.8).reject) == set()


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
