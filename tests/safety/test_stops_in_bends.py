"""The in-lane stop from the speed that the model drives at, in bends: in the lane, and within what is known of it."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import FallbackSettings
from onboard_vla.safety.operating_domain import OperationalDesignDomain

from .driven_range import LADDER
from .driving_range import Range, arc_line, codes, simulation_config

ROOM_M = (3.5 - 2.0) / 2
"""The vehicle's side from its lane's edge, in the middle of the lane."""
BENDS = [(100.0, 13.9), (200.0, 19.4), (400.0, 25.0), (650.0, 30.6), (1000.0, 36.0)]
"""Radius, m, and a speed, m/s, at which 2 m/s^2 are felt."""


def in_the_bend(radius, speed, sight_m=200.0, side=1.0):
    """The model drives, in the circle behind the spiral."""
    config = simulation_config(ladder=LADDER, odd=OperationalDesignDomain(speed_max_mps=40.0))
    drive = Range(config, line=arc_line(radius, 1500.0) * np.array([1.0, side]), x=40.0, speed=speed)
    drive.sight_m, drive.limit_mps, drive.plan_speed = sight_m, speed, speed
    drive.engage()
    drive.run(4.0)
    message = drive.published[-1]
    assert (message.mode, message.source) == (Mode.NOMINAL, "model"), codes(message)
    return drive


def offset_m(drive):
    return float(drive.lane.project(np.array([[drive.vehicle.x, drive.vehicle.y]]))[1][0])


def stopped(drive, limit_s=45.0):
    """Until it stands: the farthest it was beside the middle of its lane, the hardest braking, and the modes."""
    first, offsets = len(drive.published), []
    for _ in range(round(limit_s / 0.02)):
        message = drive.step()
        offsets.append(abs(offset_m(drive)))
        if message.mode >= Mode.IN_LANE_STOP and drive.vehicle.speed < 0.05:
            break
    assert drive.vehicle.speed < 0.05
    hardest = -min(row[3] for row in drive.log[first:])
    return max(offsets), hardest, {m.mode for m in drive.published[first:]}


def begin(drive, cause):
    if cause == "stop":
        drive.command("stop")
    else:
        drive.silent.add(cause)


@pytest.mark.parametrize(
    ("bend", "cause"),
    [(BENDS[0], "stop"), (BENDS[1], "objects"), (BENDS[2], "stop"), (BENDS[3], "lanes"), (BENDS[4], "objects")],
)  # fmt: skip
def test_a_stop_from_the_models_driving_stays_in_the_lane(bend, cause):
    drive = in_the_bend(*bend)
    begin(drive, cause)
    aside_m, hardest, modes = stopped(drive)
    assert aside_m <= ROOM_M
    assert hardest <= 4.0
    assert modes <= {Mode.NOMINAL, Mode.IN_LANE_STOP}


def test_where_lanes_go_on_it_brakes_gently_all_the_way():
    drive = in_the_bend(400.0, 25.0, side=-1.0)
    begin(drive, "objects")
    aside_m, hardest, _ = stopped(drive)
    assert hardest < 1.7
    assert aside_m <= ROOM_M


def test_lanes_that_show_less_than_the_plan_does_are_followed_when_they_come():
    drive = in_the_bend(400.0, 20.0, sight_m=60.0)
    begin(drive, "objects")
    aside_m, hardest, modes = stopped(drive)
    assert aside_m <= ROOM_M
    assert hardest <= 4.0
    assert modes <= {Mode.NOMINAL, Mode.IN_LANE_STOP}


@pytest.mark.parametrize(("radius", "speed"), BENDS[1:3])
def test_where_no_lane_goes_on_the_stop_ends_where_the_plan_does(radius, speed):
    """Lanes that end before the plan does, and then come no more."""
    drive = in_the_bend(radius, speed, sight_m=3.5 * speed)
    begin(drive, "lanes")
    aside_m, hardest, modes = stopped(drive)
    followed = drive.supervisor._line.find(None, drive.supervisor._motion(drive.now), FallbackSettings())
    assert followed.line.length == followed.known_m < 5.1 * speed
    assert np.hypot(*(followed.line.points[-1] - [drive.vehicle.x, drive.vehicle.y])) < 0.1
    assert 1.6 < hardest <= 4.0
    assert aside_m <= ROOM_M
    assert modes <= {Mode.NOMINAL, Mode.IN_LANE_STOP}


def test_where_the_known_way_is_too_short_for_the_most_that_l3_may_brake_l4_follows():
    """The last message is short, and nothing confirms it; the model drives as fast as what was seen before allows."""
    drive = in_the_bend(1500.0, 39.0, sight_m=230.0)
    drive.sight_m = 150.0
    drive.run(0.1)
    begin(drive, "lanes")
    aside_m, hardest, modes = stopped(drive)
    assert Mode.EMERGENCY_STOP in modes
    assert hardest > 4.5
    assert aside_m <= ROOM_M
