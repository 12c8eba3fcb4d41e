"""The fallback's and the slow plan's word on a plan."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.plan import FAST, SLOW
from onboard_vla.safety.config import FallbackSettings
from onboard_vla.safety.driving import plan_path
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.fallback import Trajectory
from onboard_vla.safety.guards.second_opinion import DepthPair, Standby, standby_readings
from onboard_vla.safety.longitudinal import roll
from onboard_vla.safety.placed_plan import place

from .driving_range import make_plan, straight_poses
from .plans import STAMP, history, placed

CAP = FallbackSettings().speed_cap_mps


def standby(speed=10.0, acceleration=0.0, offset=0.0, age_s=0.0, cap=CAP):
    motion = Motion(0.0, offset, 0.0, speed, 0.0, 0.0)
    line = placed(straight_poses(speed), speed)
    path = replace(plan_path(line, motion))
    path = replace(path, y_m=path.y_m + offset)
    profile = roll(speed, acceleration, lambda t, s, v: (acceleration, 1e6))
    return Standby(Trajectory(path, profile, ()), age_s, cap)


class TestStandby:
    @pytest.mark.parametrize("side", [1.0, -1.0])
    def test_the_offset_is_that_from_the_fallbacks_path_two_seconds_from_now(self, side):
        found = standby_readings(placed(straight_poses()), standby(offset=side * 0.6), STAMP)
        assert found["standby_lateral"].value == pytest.approx(0.6)
        poses = straight_poses()
        poses[:, 1] = 0.1 * np.arange(1, 11)
        found = standby_readings(placed(poses), standby(), STAMP + 500_000_000)
        assert found["standby_lateral"].value == pytest.approx(0.5)

    @pytest.mark.parametrize("age_s", [0.0, 0.1])
    def test_speeds_are_compared_at_the_same_instant(self, age_s):
        plan = placed(straight_poses(10.0, 0.5))
        found = standby_readings(plan, standby(10.0, -1.0, age_s=age_s), STAMP)
        assert found["standby_speed"].value == pytest.approx(plan.speed_at(2.0) - (10.0 - (2.0 + age_s)), abs=1e-6)

    def test_above_its_own_cap_the_fallbacks_speed_is_no_opinion(self):
        assert "standby_speed" in standby_readings(placed(straight_poses(13.8), 13.8), standby(13.8), STAMP)
        assert set(standby_readings(placed(straight_poses(14.0), 14.0), standby(14.0), STAMP)) == {"standby_lateral"}

    def test_without_a_fallback_there_is_no_reading(self):
        assert standby_readings(placed(straight_poses()), None, STAMP) == {}


class TestDepths:
    def pair(self, slow_poses, *, slow_first=False, later_ns=0):
        pair = DepthPair()
        fast = placed(straight_poses(), depth=FAST)
        slow = replace(placed(slow_poses, depth=SLOW), stamp_ns=STAMP + later_ns)
        first, second = (slow, fast) if slow_first else (fast, slow)
        assert pair.readings(first, STAMP + later_ns) == {}
        return pair.readings(second, STAMP + later_ns)

    @pytest.mark.parametrize("slow_first", [True, False])
    def test_slow_is_held_against_fast_whichever_comes_first(self, slow_first):
        poses = straight_poses(10.0, -1.0)
        poses[:, 1] = -0.9
        found = self.pair(poses, slow_first=slow_first)
        assert found["slow_lateral"].value == pytest.approx(0.9, abs=1e-6)
        assert found["slow_speed"].value == pytest.approx(2.0, abs=0.05)

    def test_plans_far_apart_in_time_are_no_pair(self):
        assert self.pair(straight_poses(), later_ns=1_500_000_000)
        assert self.pair(straight_poses(), later_ns=1_500_000_001) == {}

    def test_fast_plans_alone_have_no_pair(self):
        pair = DepthPair()
        for _ in range(3):
            assert pair.readings(placed(straight_poses(), depth=FAST), STAMP) == {}


class TestAnywhere:
    FRAME = (30.0, -20.0, 0.7)

    @pytest.mark.parametrize("offset", [0.6, -0.6])
    def test_the_offset_does_not_depend_on_the_frame(self, offset):
        x, y, heading = self.FRAME
        kept = history(10.0, heading=heading, origin=(x, y))
        plan = place(make_plan(STAMP, straight_poses()), kept)
        motion = Motion(x, y, heading, 10.0, 0.0, 0.0)
        path = plan_path(plan, motion)
        moved = replace(path, x_m=path.x_m - offset * np.sin(heading), y_m=path.y_m + offset * np.cos(heading))
        profile = roll(10.0, 0.0, lambda t, s, v: (0.0, 1e6))
        found = standby_readings(plan, Standby(Trajectory(moved, profile, ()), 0.0, CAP), STAMP)
        assert found["standby_lateral"].value == pytest.approx(0.6, abs=1e-3)
        assert found["standby_speed"].value == pytest.approx(0.0, abs=1e-6)

    def test_beside_a_path_that_turns_the_nearest_point_counts(self):
        plan = placed(straight_poses())
        ahead = standby()
        path = ahead.trajectory.path
        turned = np.where(path.s_m < 10.0, 0.0, 0.5)
        y = np.concatenate([[0.0], np.cumsum(np.diff(path.s_m) * np.tan(turned[:-1]))])
        bent = replace(path, y_m=y, heading_rad=turned)
        found = standby_readings(plan, replace(ahead, trajectory=replace(ahead.trajectory, path=bent)), STAMP)
        # 10 m beyond a bend of 0.5 rad, straight on is 10 sin(0.5) beside the new course.
        assert found["standby_lateral"].value == pytest.approx(10.0 * np.sin(0.5), abs=0.3)

    def test_an_old_standby_is_read_at_its_end(self):
        found = standby_readings(placed(straight_poses()), standby(10.0, -1.0, age_s=4.0), STAMP)
        assert found["standby_speed"].value == pytest.approx(5.0, abs=1e-6)

    def test_a_plan_exactly_at_the_cap_is_compared(self):
        plan = placed(straight_poses())
        assert "standby_speed" in standby_readings(plan, standby(cap=plan.speed_at(2.0)), STAMP)


class TestPairInTime:
    def test_each_plan_is_read_at_its_own_age(self):
        pair = DepthPair()
        pair.readings(placed(straight_poses(), depth=FAST), STAMP)
        slow = replace(placed(straight_poses(10.0, -1.0), depth=SLOW), stamp_ns=STAMP + 1_000_000_000)
        found = pair.readings(slow, STAMP + 1_000_000_000)
        assert found["slow_speed"].value == pytest.approx(2.0, abs=0.05)
        poses = straight_poses()
        poses[:, 1] = 0.2 * np.arange(1, 11)
        sideways = replace(placed(poses, depth=SLOW), stamp_ns=STAMP + 1_000_000_000)
        assert pair.readings(sideways, STAMP + 1_000_000_000)["slow_lateral"].value == pytest.approx(0.8, abs=0.02)

    def test_a_plan_that_ends_before_the_instant_is_no_partner(self):
        for extra_ns, there in ((0, True), (1, False)):
            pair = DepthPair()
            pair.readings(placed(straight_poses(), depth=FAST), STAMP)
            found = pair.readings(placed(straight_poses(), depth=SLOW), STAMP + 3_000_000_000 + extra_ns)
            assert (found != {}) is there
            assert isinstance(found, dict)


def test_beside_a_circle_the_nearest_point_counts():
    """20 m ahead along the tangent of a circle of 20 m lies sqrt(800) m from its centre."""
    ahead = standby()
    turn = np.arange(0.0, 1.6, 0.01)
    path = replace(ahead.trajectory.path, x_m=20.0 * np.sin(turn), y_m=20.0 * (1.0 - np.cos(turn)), heading_rad=turn)
    bent = replace(ahead, trajectory=replace(ahead.trajectory, path=path))
    found = standby_readings(placed(straight_poses()), bent, STAMP)
    assert found["standby_lateral"].value == pytest.approx(np.sqrt(800.0) - 20.0, abs=0.01)
