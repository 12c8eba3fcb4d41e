"""Lanes against several that are remembered: which are, which of them speak, and what forgives them all (F20)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.safety.guards.lane_place import LanePlace
from onboard_vla.safety.input_config import LaneLimits

from .test_first_lane import bent, of
from .test_lane_guards import Seen, lane
from .test_route_place import rerouted, route, taken

X = np.arange(-10.0, 90.0, 2.0)


def stepped(y, then_y, at_m):
    """A lane that moves aside within 2 m."""
    return replace(lane(), centreline=np.column_stack([X, np.interp(X, [at_m, at_m + 2.0], [y, then_y])]))


def jumped(seen, message):
    """`seen`, where a jump to this lane stands."""
    assert [seen.code(message), seen.code(message)] == ["LANES_DOUBTED", "LANES_JUMP"]
    return seen


@pytest.mark.parametrize(("apart_s", "remembered"), [(0.5, True), (0.375, False)])
def test_a_lane_is_remembered_that_came_half_a_second_after_the_one_before_it(apart_s, remembered):
    seen = Seen(lane(0.0))
    assert [seen.code(lane(0.5), after_s=apart_s), seen.code(lane(0.0))] == [None, None]
    assert seen.figures(lane(-0.5)) == (("LANES_DOUBTED", 1.0, 0.75) if remembered else None)


def test_so_is_the_next_one_half_a_second_later():
    seen = Seen(lane(0.0))
    assert [seen.code(lane(y), after_s=s) for y, s in ((0.0, 0.5), (0.5, 0.5), (0.0, 0.125))] == [None] * 3
    assert seen.code(lane(-0.5)) == "LANES_DOUBTED"


@pytest.mark.parametrize("before", [(0.0, 0.5), (0.5, 0.0)])
def test_what_is_said_of_a_jump_is_of_the_lane_that_it_is_farthest_from(before):
    assert Seen(*map(lane, before)).figures(lane(1.5)) == ("LANES_DOUBTED", 1.5, 0.75)


@pytest.mark.parametrize("first", [0, 1])
def test_farthest_is_meant_of_the_place_where_it_is_farthest(first):
    """From the one that moves aside it is 0.5 m beside the vehicle, and 1.5 m ahead; from the other 1 m."""
    before = [lane(0.0), stepped(0.5, -0.5, 8.0)]
    assert Seen(before[first], before[1 - first]).figures(lane(1.0)) == ("LANES_DOUBTED", 1.5, 0.75)


def test_where_a_jump_stands_the_room_is_that_of_now_however_far_the_vehicle_came():
    """48 m, as far as it comes in 3 s."""
    seen = jumped(Seen(lane(), speed=16.0), lane(turn=0.2))
    for along_m in (0.0, 8.0):
        seen.ego = replace(seen.ego, x_m=along_m)
        assert seen.figures(lane(turn=0.2))[2] == pytest.approx(48.0 * 0.035)


@pytest.mark.parametrize(("y", "ended"), [(5.0, False), (-5.0, False), (5.25, True)])
def test_a_person_has_left_a_lane_who_is_more_than_five_metres_beside_it(y, ended):
    seen = jumped(Seen(lane(0.0)), lane(3.0))
    seen.place.leave(np.array([[40.0, y]]))
    assert seen.code(lane(3.0)) == (None if ended else "LANES_JUMP")


@pytest.mark.parametrize("first", [0, 1])
def test_a_person_has_not_left_the_lanes_while_one_of_them_is_beside_him(first):
    """One ends 58 m ahead, the other one 88 m."""
    long, n = lane(0.0), 35
    short = replace(long, centreline=long.centreline[:n], left_m=long.left_m[:n], right_m=long.right_m[:n])
    before = [long, short]
    seen = jumped(Seen(before[first], before[1 - first]), lane(3.0))
    seen.place.leave(np.array([[70.0, 0.0]]))
    assert seen.code(lane(3.0)) == "LANES_JUMP"
    seen.place.leave(np.array([[90.0, 0.0]]))
    assert seen.code(lane(3.0)) is None


@pytest.mark.parametrize("turn", [0.0, 1.25, np.pi / 2, 2.0, -2.5])
@pytest.mark.parametrize("origin", [(0.0, 0.0), (-300.0, -300.0), (300.0, 300.0)])
@pytest.mark.parametrize(("past_m", "ended"), [(1.0, True), (-1.0, False)])
def test_a_person_has_left_a_lane_that_ended_behind_him_whatever_its_heading(turn, origin, past_m, ended):
    """88 m from where the jump was; he is 2 m to its left."""

    def there(y):
        message = lane(y, turn=turn)
        return replace(message, centreline=message.centreline + np.array(origin))

    seen = jumped(Seen(there(0.0), x_m=origin[0], y_m=origin[1], heading_rad=turn), there(3.0))
    along, left = np.array([np.cos(turn), np.sin(turn)]), np.array([-np.sin(turn), np.cos(turn)])
    seen.place.leave((np.array(origin) + (88.0 + past_m) * along + 2.0 * left)[None])
    assert seen.code(there(3.0)) == (None if ended else "LANES_JUMP")


@pytest.mark.parametrize(
    ("before", "expected"), [([0.0], None), ([0.0, -0.7], "LANES_JUMP"), ([-0.7, 0.0], "LANES_JUMP")]
)
def test_a_new_shape_explains_how_far_it_is_from_every_lane_before_it(before, expected):
    """The road's edges are the same in all of them."""
    seen = Seen(*[lane(y, left=5.0 - y, right=2.0 + y) for y in before])
    wider = lane(1.5, left=3.5, right=3.5, width=6.5)
    assert [seen.code(wider), seen.code(wider)] == ["LANES_DOUBTED", expected]


@pytest.mark.parametrize(
    ("before", "expected"), [([0.7], None), ([0.0, 0.7], "LANES_DOUBTED"), ([0.7, 0.0], "LANES_DOUBTED")]
)
def test_a_lane_turns_off_with_the_route_from_every_lane_before_it(before, expected):
    """It begins 0.3 m from one of them, and 1 m from the other."""
    seen = Seen(*map(lane, before), speed=8.0, route=taken(bent(0.0)))
    seen.route.take(route(bent(0.2, 10.0)), seen.ego, seen.now)
    assert seen.code(of(bent(0.2, 10.0) + np.array([0.0, 1.0]))) == expected


def test_a_lane_may_turn_off_from_the_next_place_on():
    """At 16 m/s that is 8 m ahead; it has gone 1.2 m aside there."""
    assert rerouted(bent(0.2, 2.0), speed=16.0).code(of(bent(0.2, 2.0))) is None


def test_a_lane_that_is_elsewhere_beside_the_vehicle_turned_off_nowhere_though_the_route_moved_as_far():
    aside = bent(0.0) + np.array([0.0, 1.0])
    assert rerouted(aside).code(of(aside)) == "LANES_DOUBTED"


def test_a_lane_that_comes_back_ahead_turned_off_nowhere_though_the_route_does_the_same():
    """One metre beside the lane before it, the other way."""
    back = np.array([[-20.0, 0.0], [6.0, 0.0], [8.0, -4.0], [30.0, -4.0], [30.0, 1.0], [7.0, 1.0]])
    seen = rerouted(back)
    assert seen.route.changed(seen.now) is not None
    assert seen.code(of(back)) == "LANES_DOUBTED"


def test_a_first_lane_may_be_turned_by_as_much_as_the_limit():
    """A binary fraction."""
    for heading, code in ((0.125, None), (-0.125, None), (0.12500001, "LANES_TURNED")):
        seen = Seen(heading_rad=heading)
        seen.place = LanePlace(LaneLimits(turned_rad=0.125))
        assert seen.code(lane()) == code


def test_the_vehicle_may_be_as_far_out_of_the_next_lane_as_an_edge_is_wrong():
    """It left the one before by 1.25 m, and is 1.5 m from the centre of the next one. A binary fraction."""
    for edge_m, code in ((0.25, None), (0.24, "LANES_DOUBTED")):
        seen = Seen()
        seen.place = LanePlace(LaneLimits(edge_m=edge_m))
        assert [seen.code(lane(1.5)), seen.code(lane(-1.5))] == [None, code]


def test_the_next_lane_is_known_by_where_it_is_beside_the_vehicle():
    """2.5 m is too near; 3 m ahead of it would not be."""
    assert Seen(lane(1.25)).code(stepped(-1.25, -1.75, 0.0)) == "LANES_DOUBTED"


@pytest.mark.parametrize(("ahead", "code"), [(-2.25, None), (-2.375, "LANES_DOUBTED")])
def test_the_next_lane_is_parallel_within_the_room(ahead, code):
    assert Seen(lane(1.5)).code(stepped(-1.5, ahead, 0.0)) == code
