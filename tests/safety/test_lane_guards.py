"""Lanes and route against the place of the vehicle, and against the message before (F20)."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.guards.lanes import lanes_place_fault, route_place_fault
from onboard_vla.safety.input_config import LaneLimits

LIMITS = LaneLimits()


def line(y=0.0, turn=0.0, x0=-10.0):
    x = np.arange(x0, 90.0, 2.0)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return Polyline(np.column_stack([x, 0 * x + y]) @ rotation)


def code(fault):
    return fault.code if fault else None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0.0, 0.7, None),
        (-0.4, 0.34, None),
        (-0.4, 0.36, "LANES_JUMP"),
        (0.0, 1.5, "LANES_JUMP"),  # the vehicle is within the lane still, and would be driven off the road
        (0.0, 1.8, "LANES_JUMP"),
        (0.0, -3.0, "LANES_JUMP"),
        (1.0, 1.74, None),
        (1.0, 1.76, "LANES_JUMP"),
        (1.74, -1.74, None),  # a lane change
        (1.3, -1.3, "LANES_JUMP"),
        (1.7, -1.0, None),  # to a narrower lane
        (1.0, -2.0, "LANES_JUMP"),
    ],
)
@pytest.mark.parametrize("turn", [0.0, 1.9, -2.8])
def test_a_lane_that_jumps_off_the_vehicle_is_refused(before, after, expected, turn):
    fault = lanes_place_fault(line(after, turn), 3.5, line(before, turn), np.zeros(2), LIMITS)
    assert code(fault) == expected


@pytest.mark.parametrize(("away", "expected"), [(4.99, None), (5.01, "LANES_AWAY"), (-5.01, "LANES_AWAY")])
def test_a_lane_elsewhere_is_refused(away, expected):
    assert code(lanes_place_fault(line(away), 3.5, None, np.zeros(2), LIMITS)) == expected


@pytest.mark.parametrize(("x0", "expected"), [(4.9, None), (5.1, "LANES_AWAY")])
def test_a_lane_that_begins_ahead_of_the_vehicle_is_elsewhere(x0, expected):
    assert code(lanes_place_fault(line(x0=x0), 3.5, None, np.zeros(2), LIMITS)) == expected


@pytest.mark.parametrize(("away", "expected"), [(19.9, None), (20.1, "ROUTE_AWAY"), (-20.1, "ROUTE_AWAY")])
def test_a_route_elsewhere_is_refused(away, expected):
    assert code(route_place_fault(line(away), np.zeros(2), LIMITS)) == expected
