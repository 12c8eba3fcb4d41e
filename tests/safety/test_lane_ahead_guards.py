"""Lanes against the one taken last where the vehicle comes to in the next seconds (F20)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.guards.lane_place import LanePlace
from onboard_vla.safety.guards.route_place import RoutePlace
from onboard_vla.safety.input_config import LaneLimits
from onboard_vla.world.road import Road
from onboard_vla.world.sensors import SensorModel
from onboard_vla.world.world import World

from .driving_range import make_ego
from .test_lane_guards import WIDENED, Seen, lane

LIMITS = LaneLimits()


def degrees(turn, **lane_of):
    return lane(turn=math.radians(turn), **lane_of)


def bent(from_m, slope=1.0):
    """Straight on for so far, then away to the left."""
    message = lane()
    x = message.centreline[:, 0]
    return replace(message, centreline=np.column_stack([x, slope * np.maximum(x - from_m, 0.0)]))


@pytest.mark.parametrize("speed", [0.0, 8.0, 25.0, 50.0])
@pytest.mark.parametrize(("turn", "doubted"), [(2.0, False), (3.0, True), (-3.0, True), (10.0, True), (90.0, True),
                                               (150.0, True), (180.0, True), (-178.0, True)])  # fmt: skip
def test_a_lane_that_turned_is_doubted_and_a_jump_when_it_comes_again(turn, doubted, speed):
    seen = Seen(lane(), speed=speed)
    assert seen.code(degrees(turn)) == ("LANES_DOUBTED" if doubted else None)
    assert seen.code(degrees(turn)) == ("LANES_JUMP" if doubted else None)


@pytest.mark.parametrize(("speed", "ahead_m"), [(0.0, 20.0), (6.5, 20.0), (8.0, 24.0), (25.0, 75.0), (40.0, 88.0)])
def test_it_is_held_against_as_far_as_the_vehicle_comes_in_three_seconds_where_there_is_a_line(speed, ahead_m):
    """The lane of the tests is shown for 88 m ahead."""
    seen = Seen(lane(), speed=speed)
    expected = ("LANES_DOUBTED", pytest.approx(ahead_m * math.sin(math.radians(3.0))), max(0.75, 0.035 * ahead_m))
    found = seen.place.fault(degrees(3.0), seen.ego, seen.route, seen.now)
    assert (found.code, found.measured, found.limit) == (expected[0], expected[1], pytest.approx(expected[2]))
    assert f" {ahead_m:.0f} m ahead" in found.detail


def test_what_is_reported_is_farthest_beyond_its_limit():
    assert Seen(lane(), speed=25.0).figures(lane(1.5)) == ("LANES_DOUBTED", 1.5, 0.75)


@pytest.mark.parametrize(("from_m", "doubted"), [(22.0, True), (24.0, False)])
def test_what_is_farther_ahead_may_be_seen_anew(from_m, doubted):
    assert Seen(lane(), speed=8.0).code(bent(from_m)) == ("LANES_DOUBTED" if doubted else None)
    assert Seen(bent(from_m), speed=8.0).code(lane()) == ("LANES_DOUBTED" if doubted else None)


def test_a_bend_that_was_shown_before_is_no_jump():
    seen = Seen(bent(8.0, 0.5), bent(8.0, 0.5), speed=10.0)
    assert seen.code(bent(8.0, 0.75)) == "LANES_DOUBTED"


def shown(message, rows):
    return replace(message, **{name: getattr(message, name)[rows] for name in
                               ("centreline", "left_m", "right_m", "speed_limit_mps")})  # fmt: skip


def test_where_a_line_has_ended_nothing_is_compared():
    """12 m ahead a turn by 3 degrees has moved it by 0.6 m; 16 m ahead by 0.8 m."""
    until_12_m, until_18_m = slice(0, 12), slice(0, 15)
    assert Seen(lane()).code(shown(degrees(3.0), until_12_m)) is None
    assert Seen(shown(lane(), until_12_m)).code(degrees(3.0)) is None
    assert Seen(lane()).code(shown(degrees(3.0), until_18_m)) == "LANES_DOUBTED"
    assert Seen(shown(lane(), until_18_m)).code(degrees(3.0)) == "LANES_DOUBTED"


def test_beside_the_vehicle_it_is_compared_also_where_it_has_just_ended():
    ends_here = slice(0, 6)
    assert Seen(lane()).code(shown(lane(0.5), ends_here)) is None
    assert Seen(lane()).code(shown(lane(1.0), ends_here)) == "LANES_DOUBTED"
    assert Seen(shown(lane(), ends_here)).code(lane(1.0)) == "LANES_DOUBTED"


def test_a_lane_that_runs_backwards_is_doubted():
    reverse = replace(lane(), centreline=lane().centreline[::-1].copy())
    seen = Seen(lane())
    assert [seen.code(reverse), seen.code(reverse)] == ["LANES_DOUBTED", "LANES_JUMP"]
    assert seen.code(lane()) is None


@pytest.mark.parametrize(("step", "messages"), [(2.0, 1), (0.5, 4), (0.25, 8), (0.1875, 10), (0.125, 40)])
def test_a_lane_that_goes_on_turning_is_a_jump(step, messages):
    """After so many messages that are taken: 2 degrees in a second and a half are believed."""
    seen, taken = Seen(lane(), speed=8.0), 0
    while taken < 40 and seen.code(degrees(step * (taken + 1))) is None:
        taken += 1
    assert taken == messages


def test_a_lane_that_widens_and_turns_away_is_no_new_shape():
    for turn, expected in ((0.0, None), (1.0, None), (6.0, "LANES_JUMP")):
        seen, shape = Seen(lane(), speed=8.0), degrees(turn, y=1.5, **WIDENED)
        assert [seen.code(shape), seen.code(shape)] == ["LANES_DOUBTED", expected], turn


def test_a_new_shape_is_the_same_ahead_in_both_messages():
    seen = Seen(lane(), speed=8.0)
    assert seen.code(degrees(4.0, y=1.5, **WIDENED)) == "LANES_DOUBTED"
    assert seen.code(lane(1.5, **WIDENED)) == "LANES_JUMP"


@pytest.mark.parametrize(("turn", "expected"), [(0.0, None), (1.0, None), (3.0, "LANES_DOUBTED"),
                                                (-5.0, "LANES_DOUBTED"), (180.0, "LANES_DOUBTED")])  # fmt: skip
def test_the_next_lane_is_taken_with_the_vehicle_in_it_where_it_leads_the_same_way(turn, expected):
    assert Seen(lane(1.75)).code(degrees(turn, y=-1.75 if turn != 180 else 1.75)) == expected


@pytest.mark.parametrize("profile", ["urban", "motorway"])
def test_the_declared_noise_of_perception_and_odometry_takes_less_than_half_of_the_room(profile):
    """On a whole road's bends and turns, at the speed that the road allows there."""
    world, sensors = World(2, profile), SensorModel(2)
    road: Road = world.road
    limits = LaneLimits(shift_m=LIMITS.shift_m / 2, turn_rad=LIMITS.turn_rad / 2)
    place, route, ego, s, compared = LanePlace(limits), RoutePlace(limits), None, 30.0, 0
    route.take(world.route, None, Now(0, 0))
    while s < min(road.length_m - 120.0, 900.0):
        speed = float(road.speed_profile[int(s)])
        s += 0.02 * speed
        world.place_ego(s, speed_mps=speed)
        world.time_ns += 20_000_000
        for message in sensors.due(world):
            if not isinstance(message, LaneObservation):
                ego = message if hasattr(message, "heading_rad") else ego
            elif ego is not None:
                assert place.fault(message, ego, route, Now(world.time_ns, 0)) is None
                compared += 1
    assert compared > 200


def seen_from(x, error_m):
    """A straight lane as it is perceived by a vehicle at (x, 0), with an error (m) that hangs on the distance (m)."""
    ahead, one = np.arange(-10.0, 121.0, 2.0), np.ones(66)
    y = np.where(ahead > 0.0, error_m(ahead), 0.0)
    return LaneObservation(0, np.column_stack([x + ahead, y]), 5 * one, 5 * one, 3.5, 30 * one, ())


@pytest.mark.parametrize("speed", [12.0, 25.0, 36.0])
@pytest.mark.parametrize(
    "error_m",
    [lambda d: 0.01 * d, lambda d: -0.02 * d, lambda d: 0.015 * d * d / 120.0, lambda d: 4e-4 * d * d / 2],
    ids=["1 %", "2 %", "bends by 1.5 %", "1.1 m at 75 m"],
)
def test_an_error_of_perception_that_is_the_same_in_every_message_is_no_jump_however_long_it_lasts(speed, error_m):
    place, route = LanePlace(LIMITS), RoutePlace(LIMITS)
    for k in range(600):
        x = speed * 0.1 * k
        ego = make_ego(0, x_m=x, speed_mps=speed)
        fault = place.fault(seen_from(x, error_m), ego, route, Now(k * 100_000_000, 0))
        assert fault is None, (k, fault)


@pytest.mark.parametrize(("speed", "after_s"), [(12.0, 1.1), (25.0, 2.0)])
def test_a_lane_that_creeps_beside_a_vehicle_on_the_move_is_refused(speed, after_s):
    """By 1 m/s; at 36 m/s that is within 2 degrees of the way, and believed."""
    place, route = LanePlace(LIMITS), RoutePlace(LIMITS)
    for k in range(100):
        x = speed * 0.1 * k
        ego = make_ego(0, x_m=x, speed_mps=speed)
        fault = place.fault(seen_from(x, lambda d, y=0.1 * k: y + 0 * d), ego, route, Now(k * 100_000_000, 0))
        if fault is not None:
            break
    assert fault.code == "LANES_DOUBTED"
    assert 0.1 * k <= after_s
