"""Lanes and routes as messages: reason, measured value and limit."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.road import LaneObservation, Route, RouteCommand, Signal
from onboard_vla.safety.guards.lanes import (
    COMMANDS_MAX,
    LANE_POINTS_MAX,
    ROUTE_POINTS_MAX,
    SIGNALS_MAX,
    lanes_fault,
    route_fault,
)

POINTS = np.array([[0.0, 0.0], [10.0, 0.0], [20.0, 0.0]])
NOT_FINITE = ("LANES_NOT_FINITE", 1.0, 0.0)


def figures(reason):
    return None if reason is None else (reason.code, reason.measured, reason.limit)


def lane(count=3, **changes):
    wide = np.full(count, 2.0)
    sound = LaneObservation(0, np.column_stack([np.arange(count), np.zeros(count)]), wide, wide, 3.5, wide * 5, ())
    return replace(sound, **changes)


def with_nan(array, place):
    changed = array.copy()
    changed[place] = math.nan
    return changed


@pytest.mark.parametrize("count", [2, 3, 500])
def test_a_sound_lane_of_two_points_or_more_is_used(count):
    assert lanes_fault(lane(count)) is None
    assert lanes_fault(lane(count, signals=tuple(Signal(1, 0.0, 0.0, s) for s in ("red", "amber", "green")))) is None


@pytest.mark.parametrize("count", [0, 1])
def test_fewer_points_are_no_lane(count):
    assert figures(lanes_fault(lane(count))) == ("LANES_IMPLAUSIBLE", float(count), 2.0)


@pytest.mark.parametrize("name", ["centreline", "left_m", "right_m", "speed_limit_mps"])
@pytest.mark.parametrize("place", [0, -1])
def test_one_number_that_is_not_finite_is_enough(name, place):
    sound = lane()
    assert figures(lanes_fault(replace(sound, **{name: with_nan(getattr(sound, name), place)}))) == NOT_FINITE


@pytest.mark.parametrize("place", [(math.nan, 0.0), (0.0, math.inf)])
def test_a_signal_at_no_place_and_a_width_of_no_size_are_not_finite(place):
    sound = Signal(2, 1.0, 1.0, "green")
    assert figures(lanes_fault(lane(signals=(sound, Signal(1, *place, "red"))))) == NOT_FINITE
    assert figures(lanes_fault(lane(lane_width_m=math.inf))) == NOT_FINITE


@pytest.mark.parametrize("name", ["left_m", "right_m", "speed_limit_mps"])
def test_extents_and_limits_may_be_small_or_zero_but_not_negative_and_not_short(name):
    for least in (0.0, 0.25):
        assert lanes_fault(lane(**{name: np.array([2.0, least, 2.0])})) is None
    for wrong in (np.array([2.0, -0.01, 2.0]), np.array([2.0, 2.0]), np.full((3, 1), 2.0)):
        assert figures(lanes_fault(lane(**{name: wrong}))) == ("LANES_IMPLAUSIBLE", 3.0, 2.0)


@pytest.mark.parametrize(("width", "found"), [(0.25, False), (0.0, True), (-3.5, True)])
def test_a_lane_has_a_width(width, found):
    assert figures(lanes_fault(lane(lane_width_m=width))) == (("LANES_IMPLAUSIBLE", 3.0, 2.0) if found else None)


def test_points_have_two_coordinates_and_signals_a_known_state():
    assert figures(lanes_fault(lane(centreline=np.zeros((3, 3))))) == ("LANES_IMPLAUSIBLE", 3.0, 2.0)
    signals = (Signal(1, 0.0, 0.0, "red"), Signal(2, 0.0, 0.0, "blue"))
    assert figures(lanes_fault(lane(signals=signals))) == ("LANES_IMPLAUSIBLE", 3.0, 2.0)


def test_a_route_is_finite_and_has_a_limit_for_every_point():
    limits, missing = np.full(3, 10.0), ("ROUTE_NOT_FINITE", 1.0, 0.0)
    assert route_fault(Route("r", POINTS, limits, ())) is None
    for place in ((0, 0), (2, 1)):
        assert figures(route_fault(Route("r", with_nan(POINTS, place), limits, ()))) == missing
    assert figures(route_fault(Route("r", POINTS, with_nan(limits, 1), ()))) == missing
    assert figures(route_fault(Route("r", POINTS, limits[:2], ()))) == missing
    assert figures(route_fault(Route("r", POINTS, np.full(4, 10.0), ()))) == missing


def too_many(code, limit):
    return (code, limit + 1.0, float(limit))


@pytest.mark.parametrize("name", ["centreline", "left_m", "right_m", "speed_limit_mps"])
def test_a_lane_has_so_many_points_and_is_not_computed_on_beyond(name):
    assert lanes_fault(lane(LANE_POINTS_MAX)) is None
    longer = getattr(lane(LANE_POINTS_MAX + 1), name)
    fault = lanes_fault(lane(**{name: with_nan(longer, 0)}))
    assert figures(fault) == too_many("LANES_TOO_MANY_POINTS", LANE_POINTS_MAX)


def test_a_lane_has_so_many_signals():
    signals = tuple(Signal(k, 0.0, 0.0, "red") for k in range(SIGNALS_MAX + 1))
    assert lanes_fault(lane(signals=signals[:-1])) is None
    assert figures(lanes_fault(lane(signals=signals))) == too_many("LANES_TOO_MANY_SIGNALS", SIGNALS_MAX)


def test_a_route_has_so_many_points_and_commands():
    points, limits = np.column_stack([np.arange(ROUTE_POINTS_MAX + 1.0)] * 2), np.ones(ROUTE_POINTS_MAX + 1)
    assert route_fault(Route("r", points[1:], limits[1:], ())) is None
    many = too_many("ROUTE_TOO_MANY_POINTS", ROUTE_POINTS_MAX)
    assert figures(route_fault(Route("r", with_nan(points, 0), limits, ()))) == many
    assert figures(route_fault(Route("r", POINTS, limits, ()))) == many
    commands = (RouteCommand(0.0, 1.0, "turn left"),) * (COMMANDS_MAX + 1)
    assert route_fault(Route("r", POINTS, np.ones(3), commands[1:])) is None
    fault = route_fault(Route("r", POINTS, np.ones(3), commands))
    assert figures(fault) == too_many("ROUTE_TOO_MANY_COMMANDS", COMMANDS_MAX)
