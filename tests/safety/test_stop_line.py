"""Which line a stop runs along."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.input_config import LaneLimits
from onboard_vla.safety.stop_line import StopLine, lane_obstacles

LIMITS = LaneLimits()
LINE = np.stack([np.arange(0.0, 60.0, 2.0), np.zeros(30)], axis=1)
WIDE = np.full(30, 5.0)
LANES = LaneObservation(0, LINE, WIDE, WIDE, 3.5, WIDE, ())


def motion(x: float = 10.0, y: float = 0.0, heading: float = 0.0) -> Motion:
    return Motion(x, y, heading, 10.0, 0.0, 0.0)


def test_what_the_system_followed_counts_while_it_has_the_vehicle():
    line, followed = StopLine(LIMITS), Polyline(LINE + 1.0)
    line.follow(followed)
    assert line.find(LANES, motion(y=9.0)) is followed
    line.hand_over()
    line.follow(followed)
    assert line.find(LANES, motion(y=9.0)) is followed


def test_a_system_that_never_drove_stops_along_the_lane_that_it_is_in():
    assert StopLine(LIMITS).find(LANES, motion()) is LANES.line


@pytest.mark.parametrize(("heading", "there"), [(2.0, True), (2.1, True), (-2.0, False), (1.8, False)])
def test_a_lane_may_lie_anywhere_in_the_plane(heading, there):
    turn = np.array([[np.cos(2.0), np.sin(2.0)], [-np.sin(2.0), np.cos(2.0)]])
    turned = replace(LANES, centreline=LINE @ turn)
    x, y = turned.centreline[5]
    at = motion(float(x), float(y), heading)
    assert StopLine(LIMITS).find(turned, at) is (turned.line if there else None)
    assert lane_obstacles(turned, at, LIMITS) == () or not there


@pytest.mark.parametrize(
    "where", [{"y": 1.75}, {"y": -1.75}, {"heading": 0.15}, {"heading": -0.15}, {"x": 0.1}, {"x": 57.9}]
)
def test_after_a_person_had_it_the_lane_that_the_vehicle_is_in_is_kept_when_it_is_seen_no_more(where):
    line = StopLine(LIMITS)
    line.follow(Polyline(LINE + 1.0))
    line.hand_over()
    assert line.find(LANES, motion(**where)) is LANES.line
    assert line.find(None, motion(y=9.0)) is LANES.line
    line.hand_over()
    assert line.find(None, motion(y=9.0)) is None


ELSEWHERE = [{"y": 1.76}, {"y": -1.76}, {"heading": 0.16}, {"heading": -0.16}, {"x": -0.1}, {"x": 58.1}, {"heading": 3}]


@pytest.mark.parametrize("where", ELSEWHERE)
def test_a_lane_that_it_is_not_in_is_none(where):
    assert StopLine(LIMITS).find(LANES, motion(**where)) is None


@pytest.mark.parametrize(
    ("where", "on_it"),
    [({}, True), ({"y": 0.75}, True), ({"y": -0.76}, False), ({"heading": 0.15}, True), ({"heading": 0.16}, False),
     ({"x": 58.1}, False)],
)  # fmt: skip
def test_without_such_a_lane_what_was_followed_before_where_the_vehicle_is_on_it_still(where, on_it):
    line, followed = StopLine(LIMITS), Polyline(LINE)
    line.follow(followed)
    line.hand_over()
    assert line.find(None, motion(**where)) is (followed if on_it else None)
    assert line.find(None, motion()) is (followed if on_it else None)
    assert line.find(LANES, motion(y=1.0)) is LANES.line


@pytest.mark.parametrize(
    ("where", "found"),
    [
        ({"y": 1.75}, {}),
        ({"y": 1.875}, {"NOT_IN_LANE": (1.875, 1.75)}),
        ({"y": -3.5}, {"NOT_IN_LANE": (3.5, 1.75)}),
        ({"heading": -0.15}, {}),
        ({"heading": 3.0}, {"NOT_ALONG_LANE": (3.0, 0.15)}),
        ({"y": -3.5, "heading": -0.25}, {"NOT_IN_LANE": (3.5, 1.75), "NOT_ALONG_LANE": (0.25, 0.15)}),
    ],
)
def test_a_vehicle_engages_within_its_lane_and_along_it(where, found):
    obstacles = lane_obstacles(LANES, motion(**where), LIMITS)
    assert {o.code: (o.measured, o.limit) for o in obstacles} == found


def test_what_is_unknown_is_asked_for_elsewhere():
    assert lane_obstacles(None, motion(), LIMITS) == lane_obstacles(LANES, None, LIMITS) == ()
