"""Lanes while the vehicle changes from one into the next (F20): who is in which, and which lines are no next lane."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.safety.guards.lane_place import LanePlace
from onboard_vla.safety.guards.route_place import RoutePlace
from onboard_vla.safety.input_config import LaneLimits

from .driving_range import make_ego
from .test_lane_guards import Seen, lane

LIMITS = LaneLimits()
STEP_S = 0.1


def codes_of_a_change(widths, sideways_mps, speed_mps, looks_m=0.0):
    """What is said of ten lane messages a second, each the lane in which the point `looks_m` before the axle is."""
    before_m, after_m = widths
    route, place = RoutePlace(LIMITS), LanePlace(LIMITS)
    x = np.arange(-100.0, 1500.0, 10.0)
    route.take(Route("r", np.stack([x, 0 * x], 1), np.full(len(x), 30.0), ()), None, Now(0, 0))
    y, found = 0.0, []
    for step in range(150):
        now = Now(step * 100_000_000, step * 100_000_000)
        along_m, middle_m = step * STEP_S * speed_mps, (before_m + after_m) / 2
        sideways = sideways_mps if step >= 20 and y < middle_m else 0.0
        y += sideways * STEP_S
        heading = sideways / speed_mps
        crossed = y + looks_m * heading > before_m / 2
        points = np.arange(along_m - 10, along_m + 100.0, 2)
        one = np.ones(len(points))
        centre = np.stack([points, 0 * points + (middle_m if crossed else 0.0)], 1)
        message = LaneObservation(now.stamp_ns, centre, 6 * one, 6 * one, widths[crossed], 30 * one, ())
        ego = make_ego(now.stamp_ns, x_m=along_m, y_m=y, speed_mps=speed_mps, heading_rad=heading)
        fault = place.fault(message, ego, route, now)
        found += [fault.code] if fault else []
    assert crossed
    return found


@pytest.mark.parametrize("widths", [(3.5, 3.5), (3.25, 3.75), (3.5, 3.75), (3.0, 3.5), (3.75, 3.25), (3.5, 2.75)])
@pytest.mark.parametrize("sideways_mps", [0.5, 1.0, 1.5])
def test_who_changes_lanes_is_not_stopped_whatever_their_widths(widths, sideways_mps):
    assert codes_of_a_change(widths, sideways_mps, 25.0) == []


def test_a_lane_may_be_named_by_where_the_front_is():
    assert codes_of_a_change((3.5, 3.5), 0.7, 10.0, looks_m=3.9) == []


@pytest.mark.parametrize(("before", "after", "y", "expected"), [
    (3.5, 2.5, -1.5, None), (3.5, 2.5, -1.625, "LANES_DOUBTED"),  # within the narrow one, but for an edge's noise
    (2.5, 9.0, -1.5, "LANES_DOUBTED"), (3.5, 0.2, -1.5, "LANES_DOUBTED"),  # lanes of no such width lie there
])  # fmt: skip
def test_a_width_in_the_new_message_makes_it_no_easier(before, after, y, expected):
    assert Seen(lane(1.75, width=before)).code(lane(y, width=after)) == expected


@pytest.mark.parametrize("degrees", [8.0, 90.0, 180.0])
def test_past_the_end_of_the_lanes_of_before_a_jump_stands_and_no_line_is_the_next_one(degrees):
    seen = Seen(lane(), speed=20.0)
    for along_m in range(0, 220, 2):
        seen.ego = replace(seen.ego, x_m=float(along_m))
        message = lane(turn=np.radians(degrees))
        code = seen.code(replace(message, centreline=message.centreline + np.array([along_m, 0.0])))
        assert code == ("LANES_JUMP" if along_m else "LANES_DOUBTED"), along_m


@pytest.mark.parametrize(("along_m", "code"), [(68.0, None), (70.0, "LANES_JUMP")])
def test_lanes_of_before_end_a_jump_as_long_as_they_reach_ahead(along_m, code):
    """They end 88 m ahead of where the jump began."""
    seen = Seen(lane(), speed=20.0)
    assert [seen.code(lane(3.0)), seen.code(lane(3.0))] == ["LANES_DOUBTED", "LANES_JUMP"]
    seen.ego = replace(seen.ego, x_m=along_m)
    assert seen.code(replace(lane(), centreline=lane().centreline + np.array([along_m, 0.0]))) == code
