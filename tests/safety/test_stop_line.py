"""Which line a stop runs along."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.stop_line import StopLine

LINE = np.stack([np.arange(0.0, 60.0, 2.0), np.zeros(30)], axis=1)
WIDE = np.full(30, 5.0)
LANES = LaneObservation(0, LINE, WIDE, WIDE, 3.5, WIDE, ())


def motion(x: float = 10.0, y: float = 0.0, heading: float = 0.0) -> Motion:
    return Motion(x, y, heading, 10.0, 0.0, 0.0)


def test_what_the_system_followed_counts_until_a_person_has_the_vehicle():
    line, followed = StopLine(), Polyline(LINE + 1.0)
    line.follow(followed)
    assert line.find(LANES, motion()) is followed
    line.forget()
    assert line.find(LANES, motion()) is LANES.line
    line.forget()
    assert line.find(None, motion()) is None


@pytest.mark.parametrize("where", [{"y": 1.75}, {"y": -1.75}, {"heading": 1.0}, {"heading": -1.0}, {"x": 0.1}])
def test_the_lane_that_the_vehicle_is_in_is_kept_when_it_is_seen_no_more(where):
    line = StopLine()
    assert line.find(LANES, motion(**where)) is LANES.line
    assert line.find(None, motion()) is LANES.line


@pytest.mark.parametrize(
    "where", [{"y": 1.76}, {"y": -1.76}, {"heading": 1.01}, {"x": -0.1}, {"x": 58.1}, {"heading": 3}]
)
def test_a_lane_that_it_is_not_in_is_none(where):
    assert StopLine().find(LANES, motion(**where)) is None
