"""The margin over RSS: in any frame, on any side, and what it must never say."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline, compose
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.rss import (
    CONSERVATIVE_EGO,
    CONSERVATIVE_OTHER,
    lateral_m,
    opposite_direction_m,
    same_direction_m,
)
from onboard_vla.safety.rss_margin import rss_margins_m

VEHICLE = VehicleGeometry()
ORIGIN = (0.0, 0.0, 0.0)
LENGTH, WIDTH = 4.0, 2.0
NOSE = VEHICLE.centre_offset_m + VEHICLE.length_m / 2
FINITE = {"allow_nan": False, "allow_infinity": False}


def margins(rows, frame=ORIGIN, speed=10.0):
    """Margins to objects given as (x, y, vx, vy) in the vehicle's frame, everything moved to `frame`."""
    rows = np.asarray(rows, np.float64).reshape(-1, 4)
    headings = np.arctan2(rows[:, 3], rows[:, 2])
    poses = compose(np.array(frame), np.column_stack([rows[:, :2], headings]))
    cos, sin = math.cos(frame[2]), math.sin(frame[2])
    velocity = rows[:, 2:] @ np.array([[cos, sin], [-sin, cos]])
    count = len(rows)
    states = np.column_stack([poses, velocity, np.full(count, LENGTH), np.full(count, WIDTH)])
    flags, ones = np.zeros(count, bool), np.ones(count, np.int64)
    objects = ObjectSet(states, ones, flags, flags, ones, np.full(count, np.nan))
    ends = compose(np.array(frame), np.array([[-400.0, 0.0, 0.0], [400.0, 0.0, 0.0]]))[:, :2]
    motion = Motion(*frame, speed, 0.0, 0.0)
    return rss_margins_m(motion, objects, Polyline(ends), VEHICLE)


def test_a_lead_has_the_gap_less_the_distance_of_definition_one():
    gap = 50.0 - LENGTH / 2 - NOSE
    required = float(same_direction_m(10.0, 8.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
    assert margins([50.0, 0.0, 8.0, 0.0])[0] == pytest.approx(gap - required)


def test_who_comes_towards_the_vehicle_needs_the_sum_of_both():
    gap = 150.0 - LENGTH / 2 - NOSE
    required = float(opposite_direction_m(10.0, 8.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
    assert margins([150.0, 0.0, -8.0, 0.0])[0] == pytest.approx(gap - required)


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_who_is_beside_needs_room_to_the_side(side):
    beside = 4.0 - WIDTH / 2 - VEHICLE.width_m / 2
    still = float(lateral_m(0.0, 0.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
    assert margins([1.0, side * 4.0, 10.0, 0.0])[0] == pytest.approx(beside - still, abs=1e-6)
    closer = margins([1.0, side * 4.0, 10.0, -side * 0.5])[0]
    away = margins([1.0, side * 4.0, 10.0, side * 0.5])[0]
    assert closer < beside - still < away


def test_the_rear_one_keeps_the_distance_but_overlap_always_counts():
    assert margins([-20.0, 0.0, 25.0, 0.0])[0] == np.inf
    assert margins([0.5, 0.5, 10.0, 0.0])[0] < 0.0
    assert margins([-0.5, 0.0, 10.0, 0.0])[0] < 0.0


def test_unknown_is_never_safe_and_nobody_is_nothing():
    assert not margins([np.nan, 0.0, 8.0, 0.0])[0] >= 0.0
    assert not margins([50.0, 0.0, np.nan, 0.0])[0] >= 0.0
    assert margins(np.zeros((0, 4))).shape == (0,)


ROW = st.tuples(
    st.floats(-100, 150, **FINITE), st.floats(-8, 8, **FINITE), st.floats(-25, 25, **FINITE), st.floats(-2, 2, **FINITE)
)


@settings(max_examples=300, deadline=None)
@given(
    rows=st.lists(ROW, min_size=1, max_size=8),
    frame=st.tuples(st.floats(-5e3, 5e3), st.floats(-5e3, 5e3), st.floats(-math.pi, math.pi)),
    speed=st.floats(0, 40),
)
def test_turning_and_moving_the_whole_scene_changes_nothing(rows, frame, speed):
    here, there = margins(rows, ORIGIN, speed), margins(rows, frame, speed)
    x, y, vx, _ = np.asarray(rows).T
    # Which side, ahead or behind, with or against: at a tie, rounding decides.
    clear = (np.abs(y) > 1e-6) & (np.abs(x - VEHICLE.centre_offset_m) > 1e-6) & (np.abs(vx) > 1e-6)
    assert there[clear] == pytest.approx(here[clear], abs=1e-6)


@settings(max_examples=300, deadline=None)
@given(row=ROW, speed=st.floats(0, 40), faster=st.floats(0, 10))
def test_driving_faster_never_adds_margin_to_what_is_ahead(row, speed, faster):
    ahead = (abs(row[0]) + NOSE + LENGTH, *row[1:])
    assert margins(ahead, speed=speed + faster)[0] <= margins(ahead, speed=speed)[0] + 1e-9


class TestWhereTheLaneIs:
    """Everything counts along and across the lane, wherever the vehicle is on it and however it and they are turned."""

    LANE = Polyline(np.array([[-400.0, 0.0], [400.0, 0.0]]))

    def margin(self, row, vehicle=(0.0, 0.0, 0.0), speed=10.0):
        """To one object (x, y, heading, vx, vy)."""
        states = np.array([[*row, LENGTH, WIDTH]])
        none, one = np.zeros(1, bool), np.ones(1, np.int64)
        objects = ObjectSet(states, one, none, none, one, np.full(1, np.nan))
        return float(rss_margins_m(Motion(*vehicle, speed, 0.0, 0.0), objects, self.LANE, VEHICLE)[0])

    @pytest.mark.parametrize("turned", [0.5, -0.5, 2.0])
    def test_a_turned_object_is_as_long_as_it_reaches_along_the_lane(self, turned):
        reach = abs(math.cos(turned)) * LENGTH / 2 + abs(math.sin(turned)) * WIDTH / 2
        required = float(same_direction_m(10.0, 0.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
        assert self.margin((60.0, 0.0, turned, 0.0, 0.0)) == pytest.approx(60.0 - reach - NOSE - required)

    @pytest.mark.parametrize("turned", [0.5, -0.5, 2.0])
    @pytest.mark.parametrize("side", [1.0, -1.0])
    def test_and_as_wide_as_it_reaches_across_it(self, turned, side):
        reach = abs(math.sin(turned)) * LENGTH / 2 + abs(math.cos(turned)) * WIDTH / 2
        required = float(lateral_m(0.0, 0.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
        swapped = float(lateral_m(0.0, 0.0, CONSERVATIVE_OTHER, CONSERVATIVE_EGO))
        beside = 9.0 - reach - VEHICLE.width_m / 2
        found = self.margin((10.0, side * 9.0, turned, 0.0, 0.0))
        assert found == pytest.approx(beside - (swapped if side > 0 else required))

    @pytest.mark.parametrize("offset", [3.0, -3.0])
    def test_a_vehicle_beside_the_lanes_line_is_as_far_from_others_as_it_is(self, offset):
        there = self.margin((10.0, 9.0 + offset, 0.0, 0.0, 0.0), (0.0, offset, 0.0))
        assert there == pytest.approx(self.margin((10.0, 9.0, 0.0, 0.0, 0.0)))

    def test_a_turned_vehicle_counts_its_own_reach_and_its_speed_along_the_lane(self):
        turn = 0.6
        middle = VEHICLE.centre_offset_m * math.cos(turn)
        reach = math.cos(turn) * VEHICLE.length_m / 2 + math.sin(turn) * VEHICLE.width_m / 2
        required = float(same_direction_m(10.0 * math.cos(turn), 0.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
        expected = 60.0 - LENGTH / 2 - middle - reach - required
        assert self.margin((60.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, turn)) == pytest.approx(expected)

    def test_a_vehicle_across_the_lane_has_no_speed_along_it(self):
        found = self.margin((60.0, 0.0, 0.0, 0.0, 0.0), (0.0, 0.0, 2.0))
        middle, reach = VEHICLE.centre_offset_m * math.cos(2.0), abs(math.cos(2.0)) * VEHICLE.length_m / 2
        reach += math.sin(2.0) * VEHICLE.width_m / 2
        required = float(same_direction_m(0.0, 0.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
        assert found == pytest.approx(60.0 - LENGTH / 2 - middle - reach - required)

    def test_who_stands_is_met_in_the_same_direction_and_who_creeps_back_in_the_opposite_one(self):
        gap = 150.0 - LENGTH / 2 - NOSE
        for speed, required in (
            (0.0, same_direction_m(10.0, 0.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER)),
            (-0.5, opposite_direction_m(10.0, 0.5, CONSERVATIVE_EGO, CONSERVATIVE_OTHER)),
        ):
            assert self.margin((150.0, 0.0, 0.0, speed, 0.0)) == pytest.approx(gap - float(required))

    def test_half_a_metre_a_second_counts_as_it_is(self):
        gap = 80.0 - LENGTH / 2 - NOSE
        required = float(same_direction_m(0.4, 0.5, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
        assert self.margin((80.0, 0.0, 0.0, 0.5, 0.0), speed=0.4) == pytest.approx(gap - required)

    @pytest.mark.parametrize("side", [1.0, -1.0])
    def test_speeds_towards_each_other_across_the_lane_count_for_their_side(self, side):
        found = self.margin((5.0, side * 12.0, 0.0, 10.0, -side * 1.5))
        between = 12.0 - WIDTH / 2 - VEHICLE.width_m / 2
        if side > 0:
            required = lateral_m(-1.5, 0.0, CONSERVATIVE_OTHER, CONSERVATIVE_EGO)
        else:
            required = lateral_m(0.0, 1.5, CONSERVATIVE_EGO, CONSERVATIVE_OTHER)
        assert found == pytest.approx(between - float(required))
