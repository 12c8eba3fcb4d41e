"""The route against the vehicle, and what another route allows of the lane (F20)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.road import Route
from onboard_vla.safety.guards.route_place import RoutePlace
from onboard_vla.safety.input_config import LaneLimits

from .driving_range import make_ego
from .test_first_lane import S, bent, of
from .test_lane_guards import Seen, lane

LIMITS = LaneLimits()
HERE = np.zeros((1, 2))


def route(points):
    return Route("r", np.asarray(points, float), np.full(len(points), 9.0), ())


def taken(*routes, speed=8.0):
    place = RoutePlace(LIMITS)
    for k, points in enumerate(routes):
        place.take(route(points), make_ego(0, speed_mps=speed), Now(k, 0))
    return place


@pytest.mark.parametrize("side", [1, -1])
def test_a_route_elsewhere_is_refused(side):
    assert taken([[-10.0, side * 20.0], [90.0, side * 20.0]]).fault(HERE) is None
    fault = taken([[-10.0, side * 20.25], [90.0, side * 20.25]]).fault(HERE)
    assert (fault.code, fault.measured, fault.limit) == ("ROUTE_AWAY", 20.25, 20.0)


def test_distances_are_along_the_normal_of_a_bent_line():
    fault = taken([[-50.0, 0.0], [0.0, 0.0], [0.0, 50.0]]).fault(np.array([[30.0, 20.0]]))
    assert fault.measured == pytest.approx(30.0)


def test_without_a_route_there_is_nothing_to_say():
    assert RoutePlace(LIMITS).fault(HERE) is None


def test_what_is_no_line_is_not_taken():
    place = taken(bent(0.0))
    with pytest.raises(GeometryError):
        place.take(route([[0.0, 0.0], [0.0, 0.0]]), None, Now(5, 0))
    assert len(place.route.points) == len(S)


def changed(place, after_s=0.0):
    found = place.changed(Now(round(after_s * 1e9), 0))
    return None if found is None else (found.code, found.measured, found.limit)


def test_a_route_that_turns_off_near_the_vehicle_is_reported_for_three_seconds():
    """Near: as far as it comes in 3 s, and in another 1.5 s while lanes of before are remembered."""
    place = taken(bent(0.0), bent(0.2, 10.0))
    assert changed(place) == ("ROUTE_CHANGED", pytest.approx(0.2 * (4.5 * 8.0 - 10.0), rel=0.05), 0.75)
    assert changed(place, 3.0) is not None
    assert changed(place, 3.01) is None
    assert changed(taken(bent(0.0), bent(0.2, 30.0))) is not None
    assert changed(taken(bent(0.0), bent(0.2, 40.0))) is None


@pytest.mark.parametrize(
    "again",
    [bent(0.0), bent(0.0)[1:], bent(0.0)[5:-40], bent(0.0)[20:], bent(0.0)[::7], bent(0.0) + np.array([0.0, 0.7])],
)
def test_the_same_way_by_other_points_is_no_other_route(again):
    assert changed(taken(bent(0.0), again)) is None


def test_a_first_route_and_one_while_the_vehicle_is_unknown_are_no_other():
    assert changed(taken(bent(0.2))) is None
    place = RoutePlace(LIMITS)
    place.take(route(bent(0.0)), None, Now(0, 0))
    place.take(route(bent(0.2)), None, Now(0, 0))
    assert changed(place) is None


def test_the_same_points_with_other_commands_are_the_newer_route():
    place = taken(bent(0.0))
    other = replace(route(bent(0.0)), route_id="other")
    place.take(other, make_ego(0), Now(1, 0))
    assert place.route is other


def rerouted(to, speed=8.0):
    """A vehicle on a straight lane of a straight route, after another one."""
    seen = Seen(speed=speed, route=taken(bent(0.0)))
    assert seen.code(lane()) is None
    seen.route.take(route(to), seen.ego, seen.now)
    return seen


@pytest.mark.parametrize("after_s", [0.125, 1.0, 2.875])
def test_a_lane_may_turn_off_ahead_as_the_route_has_turned_off_once(after_s):
    seen = rerouted(bent(0.2, 10.0))
    for _ in range(round((after_s - 0.125) / 0.125)):
        assert seen.code(lane()) is None
    assert seen.code(of(bent(0.2, 10.0))) is None
    assert seen.code(lane()) == "LANES_DOUBTED"


def test_perception_may_follow_the_route_after_three_seconds_no_more():
    seen = rerouted(bent(0.2, 10.0))
    assert seen.code(lane(), after_s=2.0) is None
    assert seen.code(of(bent(0.2, 10.0)), after_s=1.125) == "LANES_DOUBTED"


@pytest.mark.parametrize("other", [bent(-0.2, 10.0), bent(0.5, 10.0), bent(0.2, 2.0), lane(1.5).centreline,
                                   lane().centreline[::-1].copy()])  # fmt: skip
def test_a_lane_that_goes_elsewhere_than_the_route_is_doubted(other):
    assert rerouted(bent(0.2, 10.0)).code(of(other)) == "LANES_DOUBTED"


def test_a_lane_beside_the_route_stays_as_far_beside_it():
    for aside, code in ((3.0, None), (0.0, "LANES_DOUBTED")):
        seen = Seen(lane(3.0), speed=8.0, route=taken(bent(0.0)))
        seen.route.take(route(bent(0.2, 10.0)), seen.ego, seen.now)
        assert seen.code(of(bent(0.2, 10.0) + np.array([0.0, aside]))) == code


def test_beyond_the_end_of_a_route_the_lane_may_not_turn_off():
    short = bent(0.2, 10.0)
    assert rerouted(short[short[:, 0] < 17.0]).code(of(bent(0.2, 10.0))) == "LANES_DOUBTED"


def cut(points, from_m=-20.0, to_m=190.0):
    """The part of a line between two x."""
    s = S.copy()
    x = np.concatenate([[from_m], s[(s > from_m) & (s < to_m)], [to_m]])
    return np.column_stack([x, np.interp(x, points[:, 0], points[:, 1])])


@pytest.mark.parametrize(
    ("old", "new", "code"),
    [({}, {}, None), ({"to_m": 23.5}, {}, "LANES_DOUBTED"), ({}, {"to_m": 23.5}, "LANES_DOUBTED"),
     ({"from_m": 24.5}, {}, "LANES_DOUBTED"), ({}, {"from_m": 24.5}, "LANES_DOUBTED")],
)  # fmt: skip
def test_half_a_metre_beyond_the_end_of_a_route_it_is_no_witness(old, new, code):
    """Only the last of the compared places, 24 m ahead, is beyond its room."""
    away = bent(0.2, 16.0)
    seen = Seen(speed=8.0, route=taken(cut(bent(0.0), **old)))
    assert seen.code(lane()) is None
    seen.route.take(route(away), seen.ego, seen.now)
    seen.route.take(route(cut(away, **new)), seen.ego, seen.now)
    assert seen.code(of(away)) == code


def test_another_route_after_a_jump_ends_it_only_for_the_lane_that_turns_off_with_it():
    seen = Seen(lane(), speed=8.0, route=taken(bent(0.0)))
    turned = lane(turn=0.2)
    seen.code(turned), seen.code(turned)
    seen.route.take(route(bent(0.2, 10.0)), seen.ego, seen.now)
    assert seen.code(turned) == "LANES_JUMP"


@pytest.mark.parametrize("speed", [3.0, 12.0])
def test_a_route_that_is_trimmed_again_and_again_lets_no_lane_turn(speed):
    seen = Seen(speed=speed, route=taken(bent(0.0)))
    for k in range(12):
        if k % 4 == 0:
            seen.route.take(route(bent(0.0)[k // 4 :]), seen.ego, seen.now)
        assert seen.code(lane()) is None
    turned = lane(turn=0.17)
    assert [seen.code(turned), seen.code(turned)] == ["LANES_DOUBTED", "LANES_JUMP"]


def test_a_route_trimmed_after_it_turned_off_still_lets_the_lane_follow():
    seen = rerouted(bent(0.2, 10.0))
    seen.route.take(route(bent(0.2, 10.0)[1:]), seen.ego, seen.now)
    assert seen.code(of(bent(0.2, 10.0))) is None
