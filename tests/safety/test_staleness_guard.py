"""How old a plan may be: the formula, both sides, and the stop that it leaves room for."""

from __future__ import annotations

from dataclasses import replace

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.safety.config import StalenessLimits, StopSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.staleness import age_limit, check_age
from onboard_vla.safety.longitudinal import stop_distance

from .driving_range import straight_poses
from .plans import STAMP, placed


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

    @settings(max_examples=200, deadline=None)
    @given(st.floats(1.0, 40.0), st.floats(-5.0, 2.5), st.floats(-4.0, 2.5))
    def test_a_plan_followed_until_its_limit_leaves_an_emergency_stop_and_the_margin(self, speed, acceleration, own):
        """F15: whatever the speed, at A_max the plan's rest is no shorter than the stop begun then, and 2 m."""
        plan = placed(straight_poses(speed, acceleration), speed)
        age = age_limit(plan, Motion(0, 0, 0, speed, own, 0.0), self.LIMITS, self.STOP)
        assert 0.0 <= age <= 1.5
        if plan.end_speed_mps <= 0.5 or age == 0.0:
            return
        braking = stop_distance(speed, own, 6.0, 12.65)
        assert plan.length_m - speed * age >= braking + 2.0 - 1e-9
        if age < 1.5:
            assert plan.length_m - speed * (age + 0.01) < braking + 2.0
