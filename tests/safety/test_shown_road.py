"""Where what is known of the road ends and stays, an in-lane stop ends: not where lanes show more of it as it goes."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import SHADOW, Mode
from onboard_vla.safety.operating_domain import OperationalDesignDomain
from onboard_vla.safety.supervisor import Supervisor

from .driven_range import LADDER
from .driving_range import Range, codes, simulation_config

VEHICLE = VehicleGeometry()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m
FAST = OperationalDesignDomain(speed_max_mps=40.0)


def asked_for_l4(messages):
    return any("A_REQ" in codes(message) for message in messages)


@pytest.mark.parametrize(("silent", "speed"), [("lanes", 13.9), ("objects", 33.0)])
def test_in_shadow_nobody_comes_to_the_end_of_a_stop_that_nobody_drives(silent, speed):
    drive = Range(simulation_config(authority=SHADOW), speed=speed)
    drive.limit_mps = drive.plan_speed = speed
    drive.vehicle.follow = lambda message: (0.0, 0.0)
    drive.run(2.0)
    drive.silent.add(silent)
    first = len(drive.published)
    drive.run(10.0)
    modes = {message.mode for message in drive.published[first + 30 :]}
    assert modes == {Mode.IN_LANE_STOP}
    assert not asked_for_l4(drive.published)


@pytest.mark.parametrize(("speed", "silent"), [(33.0, "lanes"), (27.8, "nothing")])
def test_a_supervisor_that_comes_back_on_a_fast_vehicle_asks_for_no_emergency_stop(speed, silent):
    drive = Range(simulation_config(odd=FAST), speed=speed)
    drive.sight_m, drive.limit_mps = 90.0, speed
    drive.supervisor = Supervisor(drive.config, died_driving=True)
    drive.silent.add(silent)
    drive.run(3.0)
    assert {message.mode for message in drive.published} == {Mode.STOPPED}
    assert not asked_for_l4(drive.published)
    assert -min(row[3] for row in drive.log) < 4.1


def test_an_end_of_the_road_that_fresh_lanes_show_is_one():
    """More than 4 m/s2 is needed as the stop begins."""
    drive = Range(speed=20.0)
    drive.supervisor = Supervisor(drive.config, died_driving=True)
    end = drive.vehicle.x + FRONT + 47.0

    def cut(lanes):
        kept = lanes.centreline[:, 0] <= end
        rows = {name: getattr(lanes, name)[kept] for name in ("left_m", "right_m", "speed_limit_mps")}
        return replace(lanes, centreline=lanes.centreline[kept], **rows)

    drive.edit[LaneObservation] = cut
    for _ in range(500):
        drive.step()
        if drive.vehicle.speed < 0.05:
            break
    assert asked_for_l4(drive.published)
    assert drive.vehicle.x > end - 20.0


def test_a_lane_that_runs_elsewhere_puts_no_braking_off():
    """The plan's end is 5 s away, 1.6 to 3 m/s2 end there."""
    drive = Range(simulation_config(ladder=LADDER), speed=20.0)
    drive.limit_mps = drive.plan_speed = 20.0
    drive.engage()
    drive.run(4.0)
    drive.edit[LaneObservation] = lambda lanes: replace(
        lanes, centreline=lanes.centreline + np.where(lanes.centreline[:, :1] > drive.vehicle.x + 60.0, [0.0, 4.0], 0.0)
    )
    drive.command("stop")
    demand = drive.run(0.5).points[5, 5]
    assert demand < -1.9
    assert not drive.supervisor._line.shown
