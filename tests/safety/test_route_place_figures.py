"""The route's limits to the figure: where it is compared, which way a lane runs along it, and when it turned off."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.guards.lane_shift import Stretch
from onboard_vla.safety.guards.route_place import RoutePlace, _around
from onboard_vla.safety.input_config import LaneLimits

from .test_first_lane import bent
from .test_route_place import changed, route, taken

ALONG_X = np.column_stack([np.arange(-100.0, 101.0), np.zeros(201)])


def course(points, ahead_m, way=ALONG_X):
    """What is said of a lane through these points, the first beside the vehicle. A binary fraction is the limit."""
    place = RoutePlace(LaneLimits(turned_rad=0.125))
    place.take(route(way), None, Now(0, 0))
    fault = place.course_fault(Stretch(np.array(ahead_m), np.array(points)))
    return None if fault is None else (fault.code, fault.measured, fault.limit)


@pytest.mark.parametrize("from_y", [0.0, 1.0, -3.0])
def test_a_lane_may_go_as_far_aside_as_its_room_from_where_it_begins(from_y):
    for aside, expected in ((2.0, None), (-2.0, None), (2.125, ("LANES_OFF_ROUTE", 2.125, 2.0))):
        points = [[0.0, from_y], [8.0, from_y + aside / 2], [16.0, from_y + aside]]
        assert course(points, [0.0, 8.0, 16.0]) == expected


def test_it_is_off_the_route_by_what_it_went_from_its_beginning_not_from_a_later_place():
    assert course([[0.0, 0.0], [8.0, 1.0], [16.0, 2.5]], [0.0, 8.0, 16.0]) == ("LANES_OFF_ROUTE", 2.5, 2.0)


@pytest.mark.parametrize(
    ("points", "ahead_m", "limit_m"),
    [
        ([[0.0, 0.0], [1.0, 0.0], [8.0, 0.0], [8.0, 1.0]], [0.0, 1.0, 8.0, 16.0], 2.0),  # no farther along it
        ([[0.0, 0.0], [16.0, 0.0], [8.0, 0.0]], [0.0, 16.0, 24.0], 3.0),  # back, to ahead of the vehicle
        ([[0.0, 0.0], [-1.0, 0.0]], [0.0, 1.0], 0.75),
        ([[0.0, 0.0], [-8.0, 0.0], [-16.0, 0.0]], [0.0, 8.0, 16.0], 2.0),  # as far back as it is shown
    ],
)
def test_a_lane_that_runs_no_farther_along_the_route_is_off_it_by_all_its_way(points, ahead_m, limit_m):
    assert course(points, ahead_m) == ("LANES_OFF_ROUTE", ahead_m[-1], limit_m)


@pytest.mark.parametrize(
    ("way", "refused"),
    [
        ([[-0.5, 0.0], [60.0, 0.0]], True),
        ([[0.5, 0.0], [60.0, 0.0]], False),  # it begins ahead of the vehicle
        ([[-20.0, 0.0], [0.0, 0.0], [60.0, 0.0]], True),  # of few points
        ([[-20.0, 0.0], [15.5, 0.0]], False),
        ([[-20.0, 0.0], [16.5, 0.0]], True),
    ],
)
def test_a_lane_is_compared_where_the_route_is(way, refused):
    """At the last place it is 4 m aside."""
    found = course([[0.0, 0.0], [8.0, 0.0], [16.0, 4.0]], [0.0, 8.0, 16.0], way)
    assert found == (("LANES_OFF_ROUTE", 4.0, 2.0) if refused else None)


def test_a_lane_that_ends_beside_the_vehicle_before_the_route_begins_is_not_compared():
    assert course([[0.0, 0.0]] * 3, [0.0] * 3, [[5.0, 0.0], [6.0, 0.0], [60.0, 0.0]]) is None


def test_of_a_route_is_compared_the_reach_behind_and_twice_the_reach_ahead_and_no_point_more():
    begin_m, part = _around(Polyline(ALONG_X), np.array([[0.5, 3.0]]), 10.0)
    assert (begin_m, part.points[:, 0].tolist()) == (90.0, list(range(-10, 22)))
    begin_m, part = _around(Polyline([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0]]), np.array([[150.0, 0.0]]), 10.0)
    assert (begin_m, part.points[:, 0].tolist()) == (100.0, [100.0, 200.0])
    begin_m, part = _around(Polyline([[0.0, 0.0], [100.0, 0.0], [200.0, 0.0]]), np.array([[50.0, 0.0]]), 10.0)
    assert (begin_m, part.points[:, 0].tolist()) == (0.0, [0.0, 100.0])


@pytest.mark.parametrize(("x", "covered"), [(-0.25, False), (0.5, True), (50.0, True), (99.5, True), (100.25, False)])
def test_a_lane_turned_off_with_the_route_only_between_the_ends_of_either(x, covered):
    """A quarter of a metre beyond one it would be near enough."""
    place = taken([[0.0, 0.0], [100.0, 0.0]], [[0.0, 1.0], [100.0, 1.0]])
    before, after = np.array([[50.0, 0.0], [x, 0.0]]), np.array([[x, 1.0], [50.0, 1.0]])
    assert place.turned_off_with(before, after, np.full(2, 0.5), Now(2, 0)).tolist() == [covered] * 2


def test_it_lies_as_far_beside_the_route_as_before_within_its_room():
    place = taken([[0.0, 0.0], [100.0, 0.0]], [[0.0, 1.0], [100.0, 1.0]])
    after = np.array([[50.0, y] for y in (0.375, 0.5, 1.5, 1.625)])
    found = place.turned_off_with(np.array([[50.0, 0.0]] * 4), after, np.full(4, 0.5), Now(2, 0))
    assert found.tolist() == [False, True, True, False]


@pytest.mark.parametrize(("aside", "expected"), [(0.75, None), (0.8125, ("ROUTE_CHANGED", 0.8125, 0.75))])
def test_a_route_as_far_aside_as_the_room_is_no_other(aside, expected):
    assert changed(taken(bent(0.0), bent(0.0) + np.array([0.0, aside]))) == expected


@pytest.mark.parametrize(("speed", "turns_m", "other"), [(0.0, 20.0, False), (0.0, 18.0, True), (-3.0, 20.0, False),
                                                         (-3.0, 18.0, True)])  # fmt: skip
def test_of_a_vehicle_that_stands_or_rolls_back_routes_are_compared_for_twenty_metres(speed, turns_m, other):
    assert (changed(taken(bent(0.0), bent(1.0, turns_m), speed=speed)) is not None) == other


@pytest.mark.parametrize(
    ("to", "expected"),
    [
        ([[19.5, 1.0], [60.0, 1.0]], ("ROUTE_CHANGED", 1.0, 0.75)),  # at the last of the places, 20 m ahead
        ([[20.5, 1.0], [60.0, 1.0]], None),
        ([[-20.0, 0.0], [10.0, 0.0]], None),
    ],
)
def test_before_it_begins_and_beyond_its_end_a_route_is_no_other(to, expected):
    assert changed(taken(bent(0.0), to, speed=0.0)) == expected


def test_a_lane_may_follow_for_three_seconds_to_the_nanosecond():
    place, taken_ns = taken(bent(0.0), bent(0.2, 10.0)), 1
    assert place.changed(Now(taken_ns + 3_000_000_000, 0)) is not None
    assert place.changed(Now(taken_ns + 3_000_000_001, 0)) is None
