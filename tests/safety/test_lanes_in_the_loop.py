"""Lanes that split, widen, wobble, creep and jump while the model drives."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode

from .driving_range import codes
from .test_input_guards_in_the_loop import nominal


def edited(drive, change):
    """The lane's messages go through `change`, which is also given their number, from 0."""
    count = iter(range(10**6))
    drive.edit[LaneObservation] = lambda lanes: change(lanes, next(count))


def aside(lanes, metres):
    return replace(lanes, centreline=lanes.centreline + np.array([0.0, metres]))


def widened(lanes, metres):
    """To the left: the centreline moves half of it, and the right edge stays."""
    half = metres / 2
    wider = replace(lanes, left_m=lanes.left_m + half, right_m=lanes.right_m + half)
    return aside(replace(wider, lane_width_m=lanes.lane_width_m + metres), half)


def test_a_lane_that_widens_stops_nobody_and_is_followed_from_its_second_message_on():
    drive = nominal()
    edited(drive, lambda lanes, _: widened(lanes, 2.0))
    seen = [codes(drive.step()) for _ in range(150)]
    assert max(message.mode for message in drive.published[-150:]) <= Mode.REDUCED
    assert sum("LANES_DOUBTED" in found for found in seen) == 5  # 100 ms
    assert drive.supervisor._inputs.lanes.centreline[0, 1] == pytest.approx(1.0)


@pytest.mark.parametrize("metres", [0.8, 1.5, 3.0, -3.0])
def test_one_message_of_a_lane_elsewhere_changes_nothing(metres):
    drive = nominal()
    edited(drive, lambda lanes, k: aside(lanes, metres) if k == 1 else lanes)
    seen = set()
    for _ in range(50):
        message = drive.step()
        seen.update(codes(message))
        assert message.mode is Mode.NOMINAL, codes(message)
    assert seen == {"LANES_DOUBTED"}


def test_a_lane_that_wobbles_stops_nobody():
    drive = nominal()
    edited(drive, lambda lanes, k: aside(lanes, 0.35 * (-1) ** k))
    assert max(drive.step().mode for _ in range(100)) is Mode.NOMINAL


def test_a_lane_that_creeps_into_the_next_one_is_refused_before_the_vehicle_follows_it():
    drive = nominal(10.0)
    edited(drive, lambda lanes, k: aside(lanes, min(0.7 * (k + 1), 3.0)))
    begun = drive.tick
    while drive.step().mode is not Mode.IN_LANE_STOP:
        assert (drive.tick - begun) * 0.02 <= 0.35
    assert "LANES_JUMP" in codes(drive.published[-1])
    farthest = max(abs(drive.vehicle.y) for _ in range(500) if drive.step())
    assert farthest < 1.0


def test_a_shifted_map_is_refused_as_long_as_it_is_and_nobody_re_arms_before_a_person_drove():
    drive = nominal()
    edited(drive, lambda lanes, _: aside(lanes, 3.0))
    drive.run(9.0)
    message = drive.published[-1]
    assert message.engagement is Engagement.LATCHED
    assert "LANES_JUMP" in codes(message)
    drive.command("rearm")
    drive.run(0.2)
    assert drive.published[-1].engagement is Engagement.LATCHED
    drive.send("driver", DriverState(drive.now.stamp_ns, True))
    drive.run(1.0)
    assert "LANES_JUMP" not in codes(drive.published[-1])
    drive.send("driver", DriverState(drive.now.stamp_ns, False))
    drive.run(0.5)
    drive.command("rearm")
    drive.run(0.2)
    assert drive.published[-1].engagement is Engagement.STANDBY
