"""Raw jumps and smoothed derivatives: both sides of every limit, either direction."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.safety.config import KinematicLimits
from onboard_vla.safety.guards.kinematics import check_jumps, check_kinematics, check_smoothed, kinematic_warnings
from onboard_vla.safety.placed_plan import place

from .driving_range import make_plan, straight_poses
from .plans import STAMP, arc_poses, found, history, placed

KINEMATICS, WHEELBASE = KinematicLimits(), 2.9


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
            assert found(check_kinematics(placed(poses), KINEMATICS, WHEELBASE)) == set()
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
        assert code not in found(check_smoothed(placed(poses(0.99), speed), KINEMATICS, WHEELBASE))
        assert code in found(check_smoothed(placed(poses(1.02), speed), KINEMATICS, WHEELBASE))

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

        assert code not in found(check_smoothed(turning(side * yaw_rate * 0.98), KINEMATICS, WHEELBASE))
        assert code in found(check_smoothed(turning(side * yaw_rate * 1.06), KINEMATICS, WHEELBASE))

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
            assert (code in found(check_smoothed(plan, wide, WHEELBASE))) is expected

    def test_jerk_of_braking_is_not_judged(self):
        row = np.zeros(11)
        row[5:] = -6.0
        plan = replace(placed(straight_poses()), acceleration_mps2=row)
        assert "LONGITUDINAL_JERK" not in found(check_smoothed(plan, KINEMATICS, WHEELBASE))

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
        assert {"ACCELERATION", "DECELERATION"} <= found(check_smoothed(plan, KINEMATICS, WHEELBASE))

    def test_a_standing_plan_of_a_standing_vehicle_passes(self):
        assert check_kinematics(placed(np.zeros((10, 3)), 0.0), KINEMATICS, WHEELBASE) == []

    @pytest.mark.parametrize("row", ["poses", "fine", "distance_m", "speed_mps", "acceleration_mps2", "lateral_mps2",
                                     "yaw_rate_rps", "yaw_acceleration_rps2"])  # fmt: skip
    @pytest.mark.parametrize("value", [np.nan, np.inf, -np.inf])
    def test_anything_not_finite_comes_first_and_alone(self, row, value):
        plan = placed(straight_poses())
        broken = getattr(plan, row).copy()
        broken.flat[-1] = value
        reasons = check_kinematics(replace(plan, **{row: broken}), KINEMATICS, WHEELBASE)
        assert [(reason.code, reason.measured) for reason in reasons] == [("MOTION_NOT_FINITE", 1.0)]

    @pytest.mark.parametrize("side", [1.0, -1.0])
    @pytest.mark.parametrize(("angle", "expected"), [(0.59, False), (0.61, True)])
    def test_the_steering_angle_is_that_of_a_bicycle(self, side, angle, expected):
        rate = side * 3.0 * np.tan(angle) / WHEELBASE
        plan = replace(placed(straight_poses(3.0), 3.0), speed_mps=np.full(11, 3.0), yaw_rate_rps=np.full(11, rate))
        assert ("STEERING" in found(check_smoothed(plan, KINEMATICS, WHEELBASE))) is expected

    @pytest.mark.parametrize("side", [1.0, -1.0])
    @pytest.mark.parametrize(("step", "expected"), [(0.245, False), (0.255, True)])
    def test_the_steering_rate_holds_on_both_sides(self, side, step, expected):
        rate = np.where(np.arange(11) < 5, 0.0, side * 3.0 * np.tan(step) / WHEELBASE)
        plan = replace(placed(straight_poses(3.0), 3.0), speed_mps=np.full(11, 3.0), yaw_rate_rps=rate)
        assert ("STEERING_RATE" in found(check_smoothed(plan, KINEMATICS, WHEELBASE))) is expected

    @pytest.mark.parametrize(
        ("row", "value", "code"),
        [
            ("acceleration_mps2", 2.4, "ACCELERATION_HARD"),
            ("acceleration_mps2", -4.05, "DECELERATION_HARD"),
            ("lateral_mps2", 3.0, "LATERAL_ACCELERATION_HARD"),
            ("lateral_mps2", -3.0, "LATERAL_ACCELERATION_HARD"),
        ],
    )
    def test_warnings_hold_on_both_sides_and_reject_nothing(self, row, value, code):
        for factor, expected in ((0.99, set()), (1.01, {code})):
            plan = replace(placed(straight_poses()), **{row: np.full(11, value * factor)})
            assert found(kinematic_warnings(plan, KINEMATICS)) == expected
            assert code.removesuffix("_HARD") not in found(check_smoothed(plan, KINEMATICS, WHEELBASE))
