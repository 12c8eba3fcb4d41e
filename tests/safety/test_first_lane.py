"""A lane without one before it is held against the vehicle's heading and the course of the route (F20)."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.road import LaneObservation, Route, RouteCommand
from onboard_vla.safety.guards.route_place import RoutePlace
from onboard_vla.safety.input_config import LaneLimits

from .driving_range import make_ego
from .test_lane_guards import Seen, lane

LIMITS = LaneLimits()
S = np.arange(-20.0, 200.0, 2.0)


def placed(points, commands=()):
    place = RoutePlace(LIMITS)
    place.take(Route("r", np.asarray(points, float), np.full(len(points), 9.0), tuple(commands)), None, Now(0, 0))
    return place


def bent(slope, from_m=0.0):
    return np.column_stack([S, slope * np.maximum(S - from_m, 0.0)])


def arc(radius_m, offset_m=0.0, step_m=2.0):
    """To the left through the origin, where it runs along x; moved aside."""
    turned = np.arange(-min(20.0, abs(radius_m)), min(100.0, 2.6 * abs(radius_m)), step_m) / radius_m
    r = radius_m - offset_m
    return np.column_stack([r * np.sin(turned), radius_m - r * np.cos(turned)])


def of(points):
    one = np.ones(len(points))
    return LaneObservation(0, points, 5 * one, 5 * one, 3.5, 9 * one, ())


@pytest.mark.parametrize("frame", [0.0, 2.9, -3.1])
@pytest.mark.parametrize(("degrees", "refused"), [(0, False), (8, False), (-8, False), (9, True), (-10, True),
                                                  (90, True), (180, True), (-170, True)])  # fmt: skip
def test_a_first_lane_leads_where_the_vehicle_heads(degrees, refused, frame):
    turn = math.radians(degrees)
    found = Seen(heading_rad=frame).figures(lane(turn=turn + frame))
    assert found == (("LANES_TURNED", abs(turn), 0.15) if refused else None)


def test_it_stays_refused_however_often_it_is_shown_and_a_sound_one_is_taken_at_once():
    seen = Seen()
    assert [seen.code(lane(turn=1.0)) for _ in range(30)] == ["LANES_TURNED"] * 30
    assert seen.code(lane(turn=0.02)) is None
    assert seen.code(lane(turn=0.12)) == "LANES_DOUBTED"


def test_while_there_is_a_lane_before_it_the_vehicle_may_be_askew():
    seen = Seen(lane())
    seen.ego = make_ego(0, heading_rad=0.5)
    assert seen.code(lane()) is None


def test_after_a_jump_that_a_person_ended_the_next_lane_is_a_first_one():
    seen = Seen(lane())
    seen.code(lane(turn=0.2)), seen.code(lane(turn=0.2))
    seen.place.let_go()
    assert seen.code(lane(turn=0.2)) == "LANES_TURNED"


@pytest.mark.parametrize("radius_m", [10.0, -10.0, 30.0, 200.0])
@pytest.mark.parametrize("offset_m", [0.0, 3.0, -3.0])
def test_in_a_curve_it_leads_where_the_vehicle_heads_and_as_the_route_does_on_any_lane(radius_m, offset_m):
    for step_m in (0.5, 2.0, 8.0):
        seen = Seen(speed=8.0, route=placed(arc(radius_m, step_m=step_m)))
        assert seen.figures(of(arc(radius_m, math.copysign(offset_m, radius_m)))) is None


def test_a_direction_is_that_of_four_metres_not_of_two_points():
    x = np.arange(-10.0, 60.0, 0.2)
    assert Seen().figures(of(np.column_stack([x, 0.05 * np.where(np.arange(len(x)) % 2, 1.0, -1.0)]))) is None


@pytest.mark.parametrize("speed", [0.0, 12.0])
@pytest.mark.parametrize(
    ("slope", "refused"), [(0.0, False), (0.12, False), (-0.12, False), (0.25, True), (-0.25, True)]
)
def test_a_first_lane_leads_ahead_as_the_route_does(slope, refused, speed):
    """From 6 m ahead on, where the vehicle's heading says nothing of it."""
    reach_m = max(20.0, 3.0 * speed)
    found = Seen(speed=speed, route=placed(bent(0.0))).figures(of(bent(slope, 6.0)))
    expected = ("LANES_OFF_ROUTE", abs(slope) * (reach_m - 6.0) / math.hypot(1.0, slope), pytest.approx(0.15 * reach_m))
    assert found == (expected if refused else None)


def test_a_lane_that_turns_back_ahead_is_off_the_route():
    u_turn = np.array([[-20.0, 0.0], [8.0, 0.0], [8.0, 3.0], [-40.0, 3.0]])
    assert Seen(route=placed(bent(0.0))).code(of(u_turn)) == "LANES_OFF_ROUTE"


@pytest.mark.parametrize(("end_m", "refused"), [(7.0, False), (60.0, True)])
def test_beyond_the_routes_end_nothing_is_compared(end_m, refused):
    code = Seen(route=placed([[-20.0, 0.0], [end_m, 0.0]])).code(of(bent(0.4, 6.0)))
    assert code == ("LANES_OFF_ROUTE" if refused else None)


def test_before_the_routes_beginning_nothing_is_compared():
    assert Seen(route=placed([[2.0, 0.0], [60.0, 0.0]])).code(of(bent(0.4, 6.0))) is None


@pytest.mark.parametrize(
    ("begin_m", "command", "refused"),
    [(25.0, "turn left", False), (35.0, "turn left", True), (60.0, "turn left", True), (25.0, "keep forward", True)],
)
@pytest.mark.parametrize("behind_m", [20.0, 500.0])
def test_where_the_route_turns_by_command_and_beyond_nothing_is_compared(begin_m, command, refused, behind_m):
    """Arc lengths on the route; the vehicle is at `behind_m`."""
    begin_m += behind_m - 20.0
    points = np.column_stack([np.arange(-behind_m, 100.0, 2.0), np.zeros(round(behind_m / 2) + 50)])
    route = placed(points, [RouteCommand(begin_m, begin_m + 6.0, command)])
    assert Seen(route=route).code(of(bent(0.4, 6.0))) == ("LANES_OFF_ROUTE" if refused else None)


def test_a_route_that_comes_by_again_much_later_is_compared_where_the_vehicle_is():
    """Back the other way, 4 m aside, after a loop."""
    x = np.arange(-20.0, 400.0, 2.0)
    back = np.column_stack([x[::-1], 0 * x + 4.0])
    assert Seen(route=placed(np.concatenate([np.column_stack([x, 0 * x]), back]))).code(of(bent(0.14, 6.0))) is None


def test_without_a_route_the_vehicles_heading_is_the_only_witness():
    assert Seen().code(of(bent(0.4, 6.0))) is None


def test_three_doubts_within_a_second_are_unsteady_until_the_first_is_a_second_old():
    seen = Seen(lane())
    for k, y in enumerate((1.5, 0.0, 1.5, 0.0, 1.5)):
        assert seen.place.unsteady(seen.now) is None
        assert seen.code(lane(y)) == (None if k % 2 else "LANES_DOUBTED")
    found = seen.place.unsteady(seen.now)
    assert (found.code, found.measured, found.limit) == ("LANES_UNSTEADY", 3.0, 3.0)
    first_ns = 250_000_000
    assert seen.place.unsteady(Now(first_ns + 1_000_000_000, 0)) is not None
    assert seen.place.unsteady(Now(first_ns + 1_000_000_001, 0)) is None


def test_doubts_that_are_farther_apart_are_not_unsteady():
    seen = Seen(lane())
    for _ in range(9):
        seen.code(lane(1.5)), seen.code(lane(0.0), after_s=0.5)
        assert seen.place.unsteady(seen.now) is None
