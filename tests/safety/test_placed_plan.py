"""A placed plan's motion against closed forms: straight, circle, spiral, anywhere, with and without a past."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.geometry import compose
from onboard_vla.safety.ego_history import EgoHistory
from onboard_vla.safety.placed_plan import path_through, place

from .driving_range import make_ego, make_plan, straight_poses
from .plans import STAMP, arc_poses, history, placed

FRAME = (120.0, -35.0, 2.9)


def moving(speed_at, seconds=2.0, frame=(0.0, 0.0, 0.0), distance_at=None):
    """A past on a straight line with this speed over time, that ends at STAMP at `frame`."""
    kept = EgoHistory(2.0, 0.06)
    for k in range(-round(seconds / 0.02), 1):
        t = k * 0.02
        x, y, heading = compose(np.array(frame), np.array([distance_at(t), 0.0, 0.0]))
        kept.add(make_ego(STAMP + k * 20_000_000, x_m=x, y_m=y, heading_rad=heading, speed_mps=speed_at(t)))
    return kept


class TestStraight:
    @pytest.mark.parametrize("acceleration", [0.0, 1.2, -1.0])
    @pytest.mark.parametrize("frame", [(0.0, 0.0, 0.0), FRAME])
    def test_constant_acceleration_comes_out_exactly(self, acceleration, frame):
        past = moving(
            lambda t: 10 + acceleration * t, frame=frame, distance_at=lambda t: 10 * t + acceleration * t**2 / 2
        )
        plan = place(make_plan(STAMP, straight_poses(10.0, acceleration)), past)
        t = np.arange(11) * 0.5
        assert plan.times_s == pytest.approx(t)
        # The past is interpolated between states of 20 ms, and poses are single precision.
        assert plan.speed_mps == pytest.approx(10 + acceleration * t, abs=1e-3)
        assert plan.acceleration_mps2 == pytest.approx(np.full(11, acceleration), abs=1e-3)
        assert plan.distance_m == pytest.approx(10 * t + acceleration * t**2 / 2, abs=1e-4)
        for zero in (plan.lateral_mps2, plan.yaw_rate_rps, plan.yaw_acceleration_rps2):
            assert zero == pytest.approx(np.zeros(11), abs=1e-3)
        assert plan.length_m == pytest.approx(50 + 12.5 * acceleration, abs=1e-4)
        assert plan.end_speed_mps == pytest.approx(10 + 5 * acceleration, abs=1e-3)
        assert plan.poses[0] == pytest.approx(frame)
        assert plan.stamp_ns == STAMP
        assert plan.start.pose == pytest.approx(frame)

    def test_the_past_leads_in(self):
        """A plan that goes on at 8 m/s behind a vehicle that came at 10: the first speeds lie between."""
        plan = placed(straight_poses(8.0), 10.0)
        assert 8.0 < plan.speed_mps[0] < 10.0
        assert plan.acceleration_mps2[0] < -0.5
        assert plan.speed_mps[5:] == pytest.approx(np.full(6, 8.0), abs=1e-3)

    def test_its_own_first_speed_leaves_the_past_out(self):
        assert placed(straight_poses(8.0), 10.0).own_start_speed_mps == pytest.approx(8.0, abs=1e-4)
        plan = placed(straight_poses(8.0, 1.0), 10.0)
        assert plan.own_start_speed_mps == pytest.approx(8.0, abs=1e-4)

    def test_without_a_past_the_present_motion_is_taken_to_have_lasted(self):
        kept = EgoHistory(2.0, 0.06)
        kept.add(make_ego(STAMP, x_m=FRAME[0], y_m=FRAME[1], heading_rad=FRAME[2]))
        plan = place(make_plan(STAMP, straight_poses()), kept)
        assert plan.speed_mps == pytest.approx(np.full(11, 10.0), abs=1e-3)
        assert plan.acceleration_mps2 == pytest.approx(np.zeros(11), abs=1e-3)

    def test_before_the_history_there_is_no_place(self):
        kept = EgoHistory(2.0, 0.06)
        kept.add(make_ego(STAMP + 1))
        assert place(make_plan(STAMP, straight_poses()), kept) is None


class TestSmoothing:
    def test_one_pose_that_is_off_is_spread_over_five_as_a_quadratic_fit_does(self):
        """Savitzky and Golay (1964), five points: (2, -1, -2, -1, 2) / 7 and (-2, -1, 0, 1, 2) / 10 a step."""
        off, step_s = 0.03, 0.5
        poses = straight_poses()
        poses[5, 0] += off  # 3 s
        plan = placed(poses)
        second, first = np.zeros(11), np.zeros(11)
        second[4:9] = np.array([2.0, -1.0, -2.0, -1.0, 2.0]) / 7 * off / step_s**2
        first[4:9] = np.array([2.0, 1.0, 0.0, -1.0, -2.0]) / 10 * off / step_s
        # The last two rows share the window of the third-last.
        assert plan.acceleration_mps2[:9] == pytest.approx(second[:9], abs=1e-3)
        assert plan.speed_mps[:9] == pytest.approx(10.0 + first[:9], abs=1e-3)

    def test_the_last_pose_is_fitted_with_the_four_before_it(self):
        poses = straight_poses()
        poses[9, 0] += 0.03
        plan = placed(poses)
        ends = np.array([2.0, -1.0, -2.0, -1.0, 2.0]) / 7 * 0.03 / 0.25
        assert plan.acceleration_mps2[8:] == pytest.approx(np.full(3, ends[-1]), abs=1e-3)
        assert plan.acceleration_mps2[:8] == pytest.approx(np.zeros(8), abs=1e-3)


class TestTurning:
    @pytest.mark.parametrize("rate", [0.2, -0.2])
    @pytest.mark.parametrize("frame", [(0.0, 0.0, 0.0), FRAME])
    def test_a_circle_has_its_yaw_rate_and_centripetal_acceleration(self, rate, frame):
        kept = history(10.0, heading=frame[2], yaw_rate=rate, origin=frame[:2])
        plan = place(make_plan(STAMP, arc_poses(10.0, rate)), kept)
        chord = 10.0 * np.sinc(rate * 0.25 / np.pi)  # along the chord of half a second
        assert plan.yaw_rate_rps == pytest.approx(np.full(11, rate), abs=1e-4)
        assert plan.speed_mps[1:] == pytest.approx(np.full(10, chord), abs=0.01)
        assert plan.lateral_mps2 == pytest.approx(np.full(11, chord * rate), abs=0.02)
        assert plan.acceleration_mps2 == pytest.approx(np.zeros(11), abs=0.02)
        assert plan.yaw_acceleration_rps2 == pytest.approx(np.zeros(11), abs=1e-3)

    def test_without_a_past_the_present_turn_is_taken_to_have_lasted(self):
        kept = EgoHistory(2.0, 0.06)
        kept.add(make_ego(STAMP, heading_rad=FRAME[2], yaw_rate_rps=0.2))
        plan = place(make_plan(STAMP, arc_poses(10.0, 0.2)), kept)
        assert plan.yaw_rate_rps == pytest.approx(np.full(11, 0.2), abs=1e-4)
        assert plan.lateral_mps2 == pytest.approx(np.full(11, 2.0), abs=0.02)
        assert plan.acceleration_mps2 == pytest.approx(np.zeros(11), abs=0.02)

    def test_a_growing_turn_has_its_yaw_acceleration(self):
        t = np.arange(1, 11) * 0.5
        poses = np.stack([10 * t, 0 * t, 0.02 * t**2], axis=1)
        plan = placed(poses)
        assert plan.yaw_acceleration_rps2[3:] == pytest.approx(np.full(8, 0.04), abs=1e-4)
        assert plan.yaw_rate_rps[3:] == pytest.approx(0.04 * np.arange(3, 11) * 0.5, abs=1e-4)

    def test_drifting_aside_counts_as_lateral_acceleration(self):
        t = np.arange(1, 11) * 0.5
        plan = placed(np.stack([10 * t, 0.3 * t**2, 0 * t], axis=1))
        assert plan.lateral_mps2[3:] == pytest.approx(np.full(8, 0.6), abs=1e-3)
        assert placed(np.stack([10 * t, -0.3 * t**2, 0 * t], axis=1)).lateral_mps2[5] == pytest.approx(-0.6, abs=1e-3)


class TestBetween:
    def test_poses_are_interpolated_on_the_fine_motion_and_held_at_the_ends(self):
        plan = placed(straight_poses())
        assert plan.fine_times_s == pytest.approx(np.arange(51) * 0.1)
        assert plan.pose_at(0.05) == pytest.approx([0.5, 0.0, 0.0], abs=1e-5)
        assert plan.pose_at(np.array([-1.0, 9.0]))[:, 0] == pytest.approx([0.0, 50.0], abs=1e-5)

    def test_headings_are_interpolated_the_short_way_round(self):
        """Turning left through south-west: headings go from just below half a turn to just above minus half a turn."""
        kept = history(10.0, heading=3.0, yaw_rate=0.2)
        plan = place(make_plan(STAMP, arc_poses(10.0, 0.2)), kept)
        for t in (0.65, 0.7, 0.75, 3.0):
            assert math.remainder(plan.pose_at(t)[2] - 3.0 - 0.2 * t, 2 * math.pi) == pytest.approx(0.0, abs=1e-4)
            assert -math.pi <= plan.pose_at(t)[2] <= math.pi

    def test_speed_and_acceleration_between_the_poses(self):
        plan = placed(straight_poses(10.0, -1.0))
        assert plan.speed_at(3.25) == pytest.approx((plan.speed_mps[6] + plan.speed_mps[7]) / 2)
        assert plan.acceleration_at(0.25) == pytest.approx(plan.acceleration_mps2[:2].mean())
        assert plan.speed_at(99.0) == plan.end_speed_mps

    def test_its_first_speed_takes_the_change_of_its_own_into_account(self):
        plan = placed(straight_poses(8.0, 2.0), 10.0)
        assert plan.own_start_speed_mps == pytest.approx(8.0, abs=1e-4)

    def test_everything_that_is_limited_is_looked_at(self):
        plan = placed(straight_poses())
        assert len(plan.motion_rows) == 8
        for name in ("poses", "fine", "distance_m", "speed_mps", "acceleration_mps2", "lateral_mps2"):
            assert any(getattr(plan, name) is row for row in plan.motion_rows), name
        for name in ("yaw_rate_rps", "yaw_acceleration_rps2"):
            assert any(getattr(plan, name) is row for row in plan.motion_rows), name


class TestPath:
    def test_points_closer_than_the_spacing_are_left_out(self):
        x = np.array([0.0, 0.29, 0.3, 0.59, 0.61, 2.0])
        line = path_through(np.stack([x, 0 * x, 0 * x], axis=1))
        assert line.points[:, 0] == pytest.approx([0.0, 0.3, 0.61, 2.0])

    def test_a_step_back_is_no_part_of_the_path(self):
        poses = np.array([[0.0, 0.0, 2.0], [0.0, 1.0, 2.0], [0.0, 0.5, 2.0], [0.0, 2.0, 2.0]])
        assert path_through(poses).points[:, 1] == pytest.approx([0.0, 1.0, 2.0])

    @pytest.mark.parametrize("heading", [0.0, 2.0])
    def test_standing_still_looks_straight_ahead(self, heading):
        line = path_through(np.tile([3.0, 4.0, heading], (6, 1)))
        assert line.points == pytest.approx(
            np.array([[3.0, 4.0], [3.0 + 0.3 * math.cos(heading), 4.0 + 0.3 * math.sin(heading)]])
        )
