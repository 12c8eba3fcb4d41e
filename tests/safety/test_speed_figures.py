"""Single figures of the speed guards: reason, measured value and limit on both sides of every threshold."""

from __future__ import annotations

import math

import pytest

from onboard_vla.core.ego import WheelSpeed
from onboard_vla.safety.config import EgoLimits
from onboard_vla.safety.ego_history import EgoHistory
from onboard_vla.safety.guards.speed import SpeedComparison, ego_contradiction, ego_fault, wheel_fault
from onboard_vla.safety.input_config import WheelLimits

from .driving_range import make_ego

LIMITS = EgoLimits()
T0, SECOND = 50_000_000_000, 1_000_000_000


def figures(reason):
    return None if reason is None else (reason.code, reason.measured, reason.limit)


def history(*rows):
    """States of (seconds, changes); the times are multiples of 1/8 s, so that sums over them are exact."""
    kept = EgoHistory(2.0, 0.06)
    for seconds, changes in rows:
        kept.add(make_ego(T0 + round(seconds * SECOND), **changes))
    return kept


NOTHING = history()


class TestOneMessage:
    @pytest.mark.parametrize("name", ["x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2", "yaw_rate_rps"])
    def test_one_number_that_is_not_finite_is_enough(self, name):
        fault = ego_fault(make_ego(T0, **{name: math.nan}), NOTHING, LIMITS)
        assert figures(fault) == ("EGO_NOT_FINITE", 1.0, 0.0)
        assert figures(wheel_fault(WheelSpeed(T0, math.inf), None, LIMITS)) == ("WHEEL_NOT_FINITE", 1.0, 0.0)

    @pytest.mark.parametrize("sign", [1, -1])
    def test_the_yaw_rate_may_be_at_its_limit(self, sign):
        assert ego_fault(make_ego(T0, yaw_rate_rps=sign * 3.0), NOTHING, LIMITS) is None
        fault = ego_fault(make_ego(T0, yaw_rate_rps=sign * 3.25), NOTHING, LIMITS)
        assert figures(fault) == ("EGO_IMPLAUSIBLE", 3.25, 3.0)

    @pytest.mark.parametrize(
        ("speed", "limit"), [(-2.0, None), (50.0, None), (-2.25, -2.0), (50.25, 50.0), (-60.0, -2.0)]
    )
    def test_a_speed_may_be_at_either_end_of_its_range(self, speed, limit):
        for code, fault in (
            ("EGO_IMPLAUSIBLE", ego_fault(make_ego(T0, speed_mps=speed), NOTHING, LIMITS)),
            ("WHEEL_IMPLAUSIBLE", wheel_fault(WheelSpeed(T0, speed), None, LIMITS)),
        ):
            assert figures(fault) == (None if limit is None else (code, speed, limit))

    @pytest.mark.parametrize(("change", "found"), [(8.5, False), (-8.5, False), (8.75, True), (-8.75, True)])
    def test_half_a_second_makes_eight_and_a_half_metres_a_second(self, change, found):
        """12 m/s^2 times 0.5 s, and 2.5 m/s beside."""
        before = history((0.0, {"speed_mps": 20.0}))
        ego = ego_fault(make_ego(T0 + SECOND // 2, speed_mps=20.0 + change), before, LIMITS)
        wheel = wheel_fault(WheelSpeed(T0 + SECOND // 2, 20.0 + change), WheelSpeed(T0, 20.0), LIMITS)
        assert figures(ego) == (("EGO_JUMP", 8.75, 8.5) if found else None)
        assert figures(wheel) == (("WHEEL_JUMP", 8.75, 8.5) if found else None)


class TestComparison:
    def compared(self, *gaps, state_s=0.0):
        watch, ego = SpeedComparison(WheelLimits()), history((state_s, {"speed_mps": 10.0}))
        return [figures(watch.check(WheelSpeed(T0, 10.0 + gap), ego)) for gap in gaps]

    def test_three_in_a_row_are_apart_and_the_third_says_so(self):
        assert self.compared(2.5, -2.5, 2.25) == [None, None, ("SPEED_SOURCES_APART", 2.25, 2.0)]

    @pytest.mark.parametrize("at_the_limit", [2.0, -2.0])
    def test_a_gap_at_the_limit_counts_from_the_beginning(self, at_the_limit):
        found = self.compared(2.5, 2.5, at_the_limit, 2.5, 2.5, 2.5)
        assert found == [None] * 5 + [("SPEED_SOURCES_APART", 2.5, 2.0)]

    def test_without_a_state_at_the_stamp_nothing_is_compared(self):
        assert self.compared(5.0, 5.0, 5.0, 5.0, state_s=0.5) == [None] * 4


def moving(speed, travelled, heading=0.0, origin=(0.0, 0.0), span_s=0.5):
    """States every 1/8 s that say `speed` while the place moves by `travelled` a second."""
    c, s = round(math.cos(heading)), round(math.sin(heading))
    rows = []
    for k in range(round(span_s * 8) + 1):
        distance = travelled * k / 8
        rows.append((k / 8, {"speed_mps": speed, "x_m": origin[0] + c * distance, "y_m": origin[1] + s * distance}))
    return history(*rows)


class TestDisplacement:
    LIMITS = EgoLimits(speed_sources_window_s=0.5)

    @pytest.mark.parametrize("heading", [0.0, math.pi / 2])
    @pytest.mark.parametrize("origin", [(0.0, 0.0), (64.0, -32.0)])
    @pytest.mark.parametrize(("travelled", "gap"), [(8.0, None), (12.0, None), (7.75, 2.25), (12.25, 2.25)])
    def test_speed_against_displacement_whatever_the_place(self, travelled, gap, heading, origin):
        fault = ego_contradiction(moving(10.0, travelled, heading, origin), self.LIMITS)
        assert figures(fault) == (None if gap is None else ("EGO_SPEED_SOURCES", gap, 2.0))

    def test_half_of_the_speeds_at_both_ends_is_what_counts(self):
        kept = history((0.0, {"speed_mps": 4.0}), (0.5, {"speed_mps": 8.0, "x_m": 1.5}))
        assert figures(ego_contradiction(kept, self.LIMITS)) == ("EGO_SPEED_SOURCES", 3.0, 2.0)

    def test_a_shorter_history_says_nothing(self):
        assert ego_contradiction(moving(10.0, 0.0625, span_s=0.25), EgoLimits(pose_stuck_s=0.5)) is None

    def test_nothing_contradicts_itself_without_a_state(self):
        assert ego_contradiction(NOTHING, self.LIMITS) is None


class TestStuckPose:
    LIMITS = EgoLimits(pose_stuck_s=0.25)

    @pytest.mark.parametrize(("speed", "found"), [(0.5, False), (-0.5, False), (0.75, True), (-0.75, True)])
    def test_from_half_a_metre_a_second_on(self, speed, found):
        fault = ego_contradiction(moving(speed, 0.0, span_s=0.25), self.LIMITS)
        assert figures(fault) == (("EGO_POSE_STUCK", 0.75, 0.5) if found else None)

    @pytest.mark.parametrize("name", ["x_m", "y_m", "heading_rad"])
    def test_a_pose_that_differs_in_one_number_is_not_stuck(self, name):
        assert ego_contradiction(history((0.0, {name: 1e-9}), (0.125, {}), (0.25, {})), self.LIMITS) is None
        assert ego_contradiction(history((0.0, {}), (0.125, {name: 1e-9}), (0.25, {})), self.LIMITS) is None

    def test_a_shorter_history_says_nothing(self):
        assert ego_contradiction(history((0.0, {}), (0.125, {})), self.LIMITS) is None


def gaining(first, speeds, rates, **changes):
    """A history of one second in quarters, moving on as it says: speeds at the quarters, accelerations beside."""
    x, rows = 0.0, []
    for k, (speed, rate) in enumerate(zip(speeds, rates, strict=True)):
        x += (speed + (speeds[k - 1] if k else speed)) / 8
        rows.append((first + k / 4, {"speed_mps": speed, "acceleration_mps2": rate, "x_m": x}))
    return ego_contradiction(history(*rows), EgoLimits(gain_window_s=1.0, **changes))


class TestGain:
    """Quarters of a second: the sum of the mean accelerations over a quarter each is what must have been gained."""

    @pytest.mark.parametrize(("rate", "gap"), [(1.5, None), (-1.5, None), (1.75, 1.75), (-1.75, 1.75)])
    def test_speed_that_was_not_gained(self, rate, gap):
        fault = gaining(0.0, (10.0, 10.25, 10.0, 10.25, 10.0), (rate,) * 5)
        assert figures(fault) == (None if gap is None else ("EGO_ACCELERATION", gap, 1.5))

    def test_the_whole_window_counts_and_both_ends_of_every_quarter_by_half(self):
        """(8+0)/2 + (0+4)/2 + (4+0)/2 + (0+2)/2, a quarter of a second each: 2.25 m/s, of which 0.5 are there."""
        fault = gaining(0.0, (10.0, 11.0, 10.0, 11.0, 10.5), (8.0, 0.0, 4.0, 0.0, 2.0))
        assert figures(fault) == ("EGO_ACCELERATION", 1.75, 1.5)

    def test_the_first_speed_of_the_window_is_the_one_compared(self):
        assert figures(gaining(0.0, (8.0, 10.0, 10.0, 10.0, 10.0), (0.0,) * 5)) == ("EGO_ACCELERATION", 2.0, 1.5)

    def test_less_than_a_window_says_nothing(self):
        assert gaining(0.0, (10.0, 10.0, 10.0), (4.0,) * 3) is None
        assert gaining(0.0, (10.0, 10.0, 10.0, 10.0, 10.0), (4.0,) * 5) is not None

    @pytest.mark.parametrize(("speed", "found"), [(0.5, False), (-0.5, False), (0.75, True), (-0.75, True)])
    def test_a_vehicle_that_may_stand_is_not_stuck(self, speed, found):
        fault = gaining(0.0, (speed,) * 5, (1.0,) * 5)
        assert figures(fault) == (("EGO_SPEED_STUCK", 1.0, 0.5) if found else None)

    @pytest.mark.parametrize(("rate", "found"), [(0.5, False), (-0.5, False), (0.75, True), (-0.75, True)])
    def test_a_steady_speed_is_stuck_beyond_half_a_metre_a_second_of_gain(self, rate, found):
        fault = gaining(0.0, (10.0,) * 5, (rate,) * 5)
        assert figures(fault) == (("EGO_SPEED_STUCK", 0.75, 0.5) if found else None)

    @pytest.mark.parametrize(("spread", "found"), [(0.0625, True), (-0.0625, True), (0.125, False), (-0.125, False)])
    @pytest.mark.parametrize("place", [0, 2, 4])
    def test_the_spread_of_a_stuck_speed_may_be_at_its_limit(self, spread, found, place):
        speeds = [10.0] * 5
        speeds[place] += spread
        fault = gaining(0.0, tuple(speeds), (1.0,) * 5, stuck_spread_mps=0.0625)
        assert figures(fault) == (("EGO_SPEED_STUCK", 1.0, 0.5) if found else None)
