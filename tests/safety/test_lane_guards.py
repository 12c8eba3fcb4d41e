"""Lanes and route against the place of the vehicle, and against the lanes taken before (F20)."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.guards.lane_place import LanePlace
from onboard_vla.safety.guards.route_place import RoutePlace
from onboard_vla.safety.input_config import LaneLimits

from .driving_range import make_ego

LIMITS = LaneLimits()
HERE = np.zeros(2)
PERIOD_S = 0.125
"""A binary fraction near 10 Hz, so that figures at the limits are exact."""


def lane(y=0.0, left=5.0, right=2.0, turn=0.0, x0=-10.0, width=3.5):
    """A straight lane whose centreline runs `y` beside the vehicle at (0, 0), all turned about it."""
    x = np.arange(x0, 90.0, 2.0)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    one = np.ones(len(x))
    return LaneObservation(0, np.column_stack([x, 0 * x + y]) @ rotation, left * one, right * one, width, 9 * one, ())


class Seen:
    """A place guard that is shown one message after another, as the inputs do."""

    def __init__(self, *lanes, speed=0.0, route=None, **vehicle):
        self.place, self.route, self.clock_s = LanePlace(LIMITS), route or RoutePlace(LIMITS), 0.0
        self.ego = make_ego(0, speed_mps=speed, **vehicle)
        for message in lanes:
            assert self.figures(message) is None

    def figures(self, message, after_s=PERIOD_S):
        self.clock_s += after_s
        fault = self.place.fault(message, self.ego, self.route, self.now)
        return None if fault is None else (fault.code, pytest.approx(fault.measured), fault.limit)

    @property
    def now(self):
        return Now(round(self.clock_s * 1e9), 0)

    def code(self, message, **how):
        found = self.figures(message, **how)
        return found[0] if found else None


@pytest.mark.parametrize(
    ("before", "after", "doubted"),
    [
        (0.0, 0.7, False),
        (-0.4, 0.36, True),
        (0.0, 1.5, True),  # the vehicle is within the lane still, and would be driven off the road
        (0.0, -3.0, True),
        (1.0, 1.76, True),
        (1.74, -1.74, False),  # a lane change
        (-0.7, 1.74, True),
        (1.7, -1.0, False),  # to a narrower lane
    ],
)
@pytest.mark.parametrize("turn", [0.0, 1.9, -2.8])
def test_a_lane_that_jumps_off_the_vehicle_is_refused_and_stops_it_when_it_comes_again(before, after, doubted, turn):
    seen = Seen(lane(before, turn=turn), heading_rad=turn)
    expected = ("LANES_DOUBTED", abs(after - before), 0.75) if doubted else None
    assert seen.figures(lane(after, turn=turn)) == expected
    assert seen.code(lane(after, turn=turn)) == ("LANES_JUMP" if doubted else None)


@pytest.mark.parametrize(
    ("before", "after", "doubted"),
    [
        (0.5, 1.25, False),
        (0.5, 1.375, True),
        (-1.5, 1.5, False),  # the vehicle has left the lane before, but for the noise of its edge
        (-1.375, 1.5, True),
        (-1.5, 1.125, False),  # moved by three quarters of a lane
        (-1.5, 1.0, True),
        (-2.0, 2.0, False),  # it is within the next one, but for that noise
        (-2.125, 2.125, True),
    ],
)
def test_the_limits_of_a_jump_belong_to_what_is_taken(before, after, doubted):
    assert Seen(lane(before)).code(lane(after)) == ("LANES_DOUBTED" if doubted else None)


def test_one_message_of_a_lane_elsewhere_stops_nobody():
    seen = Seen(lane(0.0), lane(0.0))
    for _ in range(3):
        assert seen.code(lane(1.5)) == "LANES_DOUBTED"
        assert seen.code(lane(0.1)) is None


def test_a_jump_stands_until_the_line_agrees_again():
    seen = Seen(lane(0.0))
    codes = [seen.code(lane(3.0)) for _ in range(20)]
    assert codes == ["LANES_DOUBTED"] + ["LANES_JUMP"] * 19
    assert seen.code(lane(0.75), after_s=60.0) is None
    assert seen.code(lane(3.0)) == "LANES_DOUBTED"


def test_a_jump_that_stands_is_no_new_shape_whatever_follows():
    seen = Seen(lane(0.0))
    seen.code(lane(3.0)), seen.code(lane(3.0))
    split = lane(1.5, left=3.5, right=3.5, width=6.5)
    assert [seen.code(split), seen.code(split)] == ["LANES_JUMP"] * 2


def test_a_person_who_drives_ends_a_jump():
    seen = Seen(lane(0.0))
    seen.code(lane(3.0)), seen.code(lane(3.0))
    seen.place.let_go()
    assert seen.code(lane(3.0)) is None
    assert seen.code(lane(1.0)) == "LANES_DOUBTED"


@pytest.mark.parametrize(("x", "y", "ended"), [(0.0, 0.0, False), (87.0, 0.0, False), (89.0, 0.0, True),
                                               (40.0, 5.0, False), (40.0, -5.5, True)])  # fmt: skip
def test_a_person_who_drives_on_ends_a_jump_where_he_has_left_the_lanes_before_it(x, y, ended):
    """They end 88 m ahead."""
    seen = Seen(lane(0.0), lane(0.1))
    seen.code(lane(3.0)), seen.code(lane(3.0))
    seen.place.leave(np.array([[x, y]]))
    assert seen.code(lane(3.0)) == (None if ended else "LANES_JUMP")


def test_who_drives_on_where_no_jump_stands_leaves_what_is_remembered():
    seen = Seen(lane(0.0))
    seen.place.leave(np.array([[200.0, 0.0]]))
    assert seen.code(lane(1.5)) == "LANES_DOUBTED"


SHAPES = [
    (1.5, 3.5, 4.5, 6.5, None),  # wider to the left, as the road is; its right side stayed
    (-1.5, 4.0, 0.5, 6.5, None),
    (1.5, 3.75, 9.0, 6.5, None),  # the road's edge moved by 0.25 m
    (1.5, 3.875, 9.0, 6.5, "LANES_JUMP"),  # by 0.375 m
    (1.5, 3.25, 9.0, 6.5, None),
    (1.5, 3.125, 9.0, 6.5, "LANES_JUMP"),
    (1.5, 5.0, 3.75, 6.5, None),
    (1.5, 5.0, 3.125, 6.5, "LANES_JUMP"),
    (1.5, 5.0, 2.0, 6.5, "LANES_JUMP"),  # a shifted map, of wider lanes
    (1.5, 3.5, 3.5, 3.5, "LANES_JUMP"),  # another line of the same road
    (1.5, 3.5, 3.5, 6.0, None),  # the lane's side moved by 0.25 m
    (1.5, 3.5, 3.5, 5.75, "LANES_JUMP"),  # by 0.375 m
    (1.5, 3.5, 3.5, 7.0, None),
    (1.5, 3.5, 3.5, 7.25, "LANES_JUMP"),
    (2.0, 3.0, 4.0, 7.5, None),  # by 0.25 m more than half of the lane that it was
    (2.125, 2.875, 4.125, 7.75, "LANES_JUMP"),
]


@pytest.mark.parametrize("turn", [0.0, 2.2])
@pytest.mark.parametrize(("y", "left", "right", "width", "expected"), SHAPES)
def test_a_lane_that_splits_or_widens_shows_it_twice_by_as_much_as_its_width_says(
    y, left, right, width, expected, turn
):
    seen, shape = Seen(lane(turn=turn), heading_rad=turn), lane(y, left, right, turn, width=width)
    assert [seen.code(shape), seen.code(shape)] == ["LANES_DOUBTED", expected]
    if expected is None:
        assert seen.code(lane(y + 0.7, left, right, turn)) is None  # measured from the new shape on


def test_a_wide_lane_that_splits_leaves_one_of_its_sides():
    wide = lane(1.75, left=5.25, right=3.75, width=7.0)
    for y, left, width, expected in ((3.5, 3.5, 3.5, None), (0.0, 7.0, 3.5, None), (3.5, 3.5, 7.0, "LANES_JUMP")):
        seen, half = Seen(wide), lane(y, left, right=y + 2.0, width=width)
        found = [seen.code(half), seen.code(half)]
        assert found == ["LANES_DOUBTED", expected], y


WIDENED = {"left": 3.5, "width": 6.5}


@pytest.mark.parametrize(("again", "expected"), [(1.625, None), (2.375, "LANES_JUMP"), (0.875, "LANES_JUMP")])
def test_a_new_shape_is_explained_by_the_second_message(again, expected):
    seen = Seen(lane())
    assert seen.code(lane(1.5, **WIDENED)) == "LANES_DOUBTED"
    assert seen.code(lane(again, left=5.0 - again, width=6.5)) == expected


@pytest.mark.parametrize(
    ("first", "expected"), [(0.875, None), (2.375, None), (2.5, "LANES_JUMP"), (-1.5, "LANES_JUMP")]
)
def test_a_new_shape_is_the_same_in_both_messages(first, expected):
    """Whatever the first one said of its width."""
    seen = Seen(lane())
    assert seen.code(lane(first)) == "LANES_DOUBTED"
    assert seen.code(lane(1.625, left=3.375, width=6.75)) == expected


def test_a_side_or_an_edge_that_moved_by_as_much_as_its_noise_has_stayed():
    """With a limit that is a binary fraction."""
    limits = LaneLimits(edge_m=0.25)
    for y, left, width, expected in (
        (1.5, 3.75, 6.5, None),
        (1.5, 3.875, 6.5, "LANES_JUMP"),
        (1.5, 3.5, 7.0, None),
        (1.5, 3.5, 6.0, None),
        (1.5, 3.5, 5.875, "LANES_JUMP"),
        (2.0, 3.0, 7.5, None),
    ):
        seen = Seen()
        seen.place = LanePlace(limits)
        shape = lane(y, left, right=9.0, width=width)
        assert [seen.code(lane()), seen.code(shape), seen.code(shape)] == [None, "LANES_DOUBTED", expected]


@pytest.mark.parametrize(("stays", "expected"), [((-9.0, 90.0), None), ((1.0, 90.0), "LANES_JUMP"),
                                                 ((-9.0, 18.0), "LANES_JUMP"), ((-9.0, 22.0), None)])  # fmt: skip
def test_the_roads_edge_stays_beside_the_vehicle_and_ahead(stays, expected):
    """As far as lanes are compared, 20 m here."""
    seen, x = Seen(lane()), np.arange(-10.0, 90.0, 2.0)
    shape = lane(1.5, width=6.5)
    shape.left_m[(x > stays[0]) & (x < stays[1])] = 3.5
    assert [seen.code(shape), seen.code(shape)] == ["LANES_DOUBTED", expected]


@pytest.mark.parametrize("side", [1, -1])
@pytest.mark.parametrize(("step", "messages"), [(0.7, 1), (0.5, 1), (0.25, 3), (0.125, 6), (0.075, 10), (0.0625, None)])
def test_a_lane_that_creeps_faster_than_odometry_drifts_is_a_jump(step, messages, side):
    """After so many messages that are taken; half a metre a second is as much as is believed."""
    seen = Seen(lane(0.0))
    taken = 0
    while taken < 40 and seen.code(lane(side * step * (taken + 1))) is None:
        taken += 1
    assert taken == (40 if messages is None else messages)


@pytest.mark.parametrize("step", [0.5, 0.25, 0.125])
def test_a_lane_that_creeps_on_is_no_new_shape_because_each_step_is_within_noise(step):
    seen, k = Seen(lane(0.0)), 1
    while (code := seen.code(lane(step * k))) is None:
        k += 1
    assert [code, seen.code(lane(step * (k + 1)))] == ["LANES_DOUBTED", "LANES_JUMP"]


def test_what_crept_is_held_against_each_lane_believed_lately():
    """Also where it was shown too fast for each to be remembered."""
    seen = Seen(*[lane(0.02 * k) for k in range(10)])
    for k in range(10, 200):
        seen.clock_s += 0.01 - PERIOD_S
        assert (seen.code(lane(0.02 * k)) is None) == (k <= 37), k
        if k > 37:
            break


def test_a_lane_change_begins_anew():
    assert Seen(lane(1.05), lane(1.75), lane(-1.75)).code(lane(-1.05)) is None


@pytest.mark.parametrize(("after_s", "expected"), [(1.5, "LANES_DOUBTED"), (1.625, None)])
def test_lanes_are_remembered_for_so_long(after_s, expected):
    assert Seen(lane(0.0)).code(lane(1.0), after_s=after_s) == expected


@pytest.mark.parametrize("side", [1, -1])
def test_a_lane_elsewhere_is_refused(side):
    assert Seen().figures(lane(side * 5.0)) is None
    assert Seen().figures(lane(side * 5.25)) == ("LANES_AWAY", 5.25, 5.0)


def test_a_lane_elsewhere_between_two_that_jumped_leaves_the_second_in_doubt():
    seen = Seen(lane(0.0))
    assert [seen.code(lane(y)) for y in (1.5, 9.0, 1.5)] == ["LANES_DOUBTED", "LANES_AWAY", "LANES_DOUBTED"]


@pytest.mark.parametrize(("x0", "expected"), [(4.9, None), (5.1, "LANES_AWAY")])
def test_a_lane_that_begins_ahead_of_the_vehicle_is_elsewhere(x0, expected):
    assert Seen().code(lane(x0=x0)) == expected
