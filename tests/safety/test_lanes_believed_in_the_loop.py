"""Which lanes a whole supervisor believes: first ones, after a person's touch, under a route that is sent again."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation, Route, RouteCommand
from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode

from .driving_range import Range, arc_line, codes, simulation_config
from .test_input_guards_in_the_loop import nominal
from .test_lanes_in_the_loop import aside, edited
from .test_lanes_of_other_places_in_the_loop import refused_and_stopped_in_lane, turned


def about_the_vehicle(drive, degrees, stays=True):
    """Turned about the vehicle: about where it is now, or (a heading that errs) about where it is in each message."""
    c, s = math.cos(math.radians(degrees)), math.sin(math.radians(degrees))
    begun = np.array([drive.vehicle.x, drive.vehicle.y])

    def change(lanes, _):
        pivot = begun if stays else np.array([drive.vehicle.x, drive.vehicle.y])
        return replace(lanes, centreline=pivot + (lanes.centreline - pivot) @ np.array([[c, s], [-s, c]]))

    return change


def driver(drive, acts):
    drive.send("driver", DriverState(drive.now.stamp_ns, acts))


def aside_m(drive):
    return abs(float(drive.lane.project(np.array([[drive.vehicle.x, drive.vehicle.y]]))[1][0]))


@pytest.mark.parametrize("degrees", [3.0, 10.0])
@pytest.mark.parametrize("line", [None, arc_line(60.0)])
def test_a_drivers_touch_after_a_jump_does_not_make_the_refused_lane_the_line_of_the_stop(degrees, line):
    drive = nominal(10.0, line=line)
    drive.run(3.0 if line is not None else 0.0)
    edited(drive, about_the_vehicle(drive, degrees))
    while drive.step().mode is not Mode.IN_LANE_STOP:
        pass
    driver(drive, True)
    drive.step()
    driver(drive, False)
    farthest, seen = 0.0, []
    while drive.vehicle.speed > 0.05:
        drive.step()
        seen.append(codes(drive.published[-1]))
        farthest = max(farthest, aside_m(drive))
        assert len(seen) < 800
        if len(seen) % 5 == 0:
            driver(drive, False)
    assert drive.published[-1].engagement is Engagement.LATCHED
    assert farthest < 0.6
    assert all({"LANES_JUMP", "LANES_AWAY"} & set(found) for found in seen)
    drive.run(1.2)
    drive.command("rearm")
    drive.step()
    assert {"LANES_JUMP", "LANES_AWAY"} & {reason.code for reason in drive.published[-1].refusals}


@pytest.mark.parametrize(("degrees", "after_s"), [(3.0, 0.5), (8.0, 1.0)])
def test_nor_does_it_become_so_by_the_way_that_the_vehicle_goes_on(degrees, after_s):
    drive = nominal(20.0)
    edited(drive, about_the_vehicle(drive, degrees, stays=False))
    while drive.step().mode is not Mode.IN_LANE_STOP:
        pass
    drive.run(after_s)
    driver(drive, True)
    while drive.vehicle.speed > 0.05:
        drive.step()
        assert drive.tick < 1500
        if drive.tick % 5 == 0:
            driver(drive, False)
        assert {"LANES_JUMP", "LANES_AWAY"} & set(codes(drive.published[-1]))
        assert aside_m(drive) < 0.3


@pytest.mark.parametrize("degrees", [3.0, -10.0])
def test_a_route_that_is_trimmed_twice_a_second_lets_no_lane_turn(degrees):
    drive = nominal(12.0)
    points, sense = drive.route().points, drive.sense

    def trimming():
        if drive.tick % 25 == 0:
            rest = points[drive.tick // 25 :]
            drive.send("route", Route("r", rest, np.full(len(rest), 12.0), ()))
        sense()

    drive.sense = trimming
    drive.run(2.0)
    assert drive.published[-1].mode is Mode.NOMINAL
    edited(drive, turned(degrees, drive))
    assert refused_and_stopped_in_lane(drive) < 0.3
    assert not any("ROUTE_CHANGED" in codes(message) for message in drive.published)


def engaged_with(drive):
    """What stands against engaging."""
    message = drive.engage()
    assert (message.engagement is Engagement.ENGAGED) is (not message.refusals)
    return {reason.code for reason in message.refusals}


@pytest.mark.parametrize("degrees", [10.0, -10.0, 90.0, 180.0])
def test_a_lane_that_is_turned_from_the_first_message_on_is_refused_by_name_and_nobody_engages(degrees):
    drive = Range()
    edited(drive, about_the_vehicle(drive, degrees))
    assert "LANES_TURNED" in engaged_with(drive)
    drive.edit.clear()
    drive.run(0.2)
    assert engaged_with(drive) == set()


def test_a_lane_that_leaves_the_route_ahead_from_the_first_message_on_is_refused_by_name():
    drive = Range()
    edited(drive, lambda lanes, _: replace(lanes, centreline=np.column_stack(
        [lanes.centreline[:, 0], 0.3 * np.maximum(lanes.centreline[:, 0] - 6.0, 0.0)])))  # fmt: skip
    assert "LANES_OFF_ROUTE" in engaged_with(drive)


@pytest.mark.parametrize(
    ("where", "against"),
    [({"y": 1.7}, set()), ({"y": -1.8}, {"NOT_IN_LANE"}), ({"y": 3.4}, {"NOT_IN_LANE"}), ({"heading": 0.1}, set())],
)
def test_a_vehicle_engages_within_its_lane(where, against):
    assert engaged_with(Range(**where)) == against


def test_a_vehicle_that_was_parked_askew_engages_when_it_has_been_driven_straight():
    drive = Range(heading=0.4)
    assert "LANES_TURNED" in engaged_with(drive)
    drive.vehicle.heading = 0.3
    drive.run(0.2)
    assert "LANES_TURNED" in engaged_with(drive)
    drive.vehicle.heading = 0.05
    drive.run(0.2)
    assert engaged_with(drive) == set()


def test_a_vehicle_that_turns_aside_after_its_first_lane_does_not_engage():
    drive = Range()
    drive.run(0.5)
    drive.vehicle.heading = 0.3
    assert engaged_with(drive) == {"NOT_ALONG_LANE"}


@pytest.mark.parametrize("commanded", [True, False])
def test_in_a_junctions_turn_a_vehicle_engages_and_drives_without_a_doubt(commanded):
    line = arc_line(12.0, 50.0 + 30.0 + 12.0 * math.pi / 2)
    end = line[-1] - line[-2]
    line = np.concatenate([line, line[-1] + np.arange(1.0, 400.0)[:, None] * end])
    drive = Range(line=line, speed=3.0)
    turn = (RouteCommand(60.0, 160.0, "turn left"),) if commanded else ()
    drive.route = lambda: Route("r", line[::10], np.full(len(line[::10]), 3.0), turn)
    drive.limit_mps = drive.plan_speed = 3.0
    at = drive.lane.at(135.0)
    drive.vehicle.x, drive.vehicle.y = float(at[0]), float(at[1])
    drive.vehicle.heading, drive.vehicle.curvature = float(Polyline(line).heading_at(135.0)), 1 / 12.0
    assert engaged_with(drive) == set()
    drive.run(8.0)
    assert aside_m(drive) < 0.5
    named = {code for message in drive.published for code in codes(message)}
    assert not {code for code in named if code.startswith("LANES_") and code != "LANES_MISSING"}


def test_a_lane_that_jumps_and_comes_back_with_every_other_message_is_unsteady():
    drive = nominal(8.0)
    begun = drive.tick
    edited(drive, lambda lanes, k: aside(lanes, 3.0) if k % 2 else lanes)
    while "LANES_UNSTEADY" not in codes(drive.step()):
        assert (drive.tick - begun) * 0.02 <= 0.7
    assert drive.published[-1].mode is Mode.FALLBACK
    drive.run(3.0)
    assert (drive.published[-1].mode, drive.published[-1].source) == (Mode.FALLBACK, "fallback")
    assert abs(drive.vehicle.y) < 0.3
    drive.edit.clear()
    drive.run(5.0)
    assert drive.published[-1].mode is Mode.NOMINAL


def test_a_route_that_turns_off_near_the_vehicle_is_reported():
    drive = nominal(8.0)
    points = drive.route().points
    away = points + np.column_stack([0 * points[:, 0], 0.3 * np.maximum(points[:, 0] - drive.vehicle.x - 15.0, 0.0)])
    drive.send("route", Route("other", away, np.full(len(away), 8.0), ()))
    seen = [("ROUTE_CHANGED" in codes(drive.step())) for _ in range(200)]
    assert sum(seen) == 151
    assert seen[0]


def test_a_route_is_held_against_the_vehicle_after_settings_have_changed():
    drive = Range()
    drive.run(0.5)
    drive.supervisor.reconfigure(simulation_config(), drive.now)
    edited(drive, lambda lanes, _: aside(lanes, 40.0))
    drive.vehicle.y = 40.0
    drive.edit[LaneObservation] = lambda lanes: replace(lanes, centreline=lanes.centreline + np.array([0.0, 40.0]))
    drive.run(0.5)
    assert "ROUTE_AWAY" in codes(drive.published[-1])


def test_a_person_who_drove_on_after_a_jump_is_stopped_in_the_lane_that_he_is_in():
    """Rolling all the while, past the end of the lanes that were believed."""
    drive = nominal(12.0)
    edited(drive, lambda lanes, _: aside(lanes, 3.0))
    while drive.step().mode is not Mode.IN_LANE_STOP:
        pass
    drive.edit.clear()
    drive.silent.add("lanes")
    for _ in range(60):
        driver(drive, True)
        for _ in range(10):
            drive.sense()
            drive.supervisor.tick(drive.now)
            drive.vehicle.x, drive.vehicle.y = drive.vehicle.x + 0.24, 3.0
            drive.vehicle.speed, drive.vehicle.acceleration, drive.tick = 12.0, 0.0, drive.tick + 1
        if drive.vehicle.x > 140.0:
            drive.silent.clear()
            drive.edit[LaneObservation] = lambda lanes: aside(lanes, 3.0)
    driver(drive, False)
    drive.run(2.0)
    assert drive.published[-1].engagement is Engagement.LATCHED
    assert drive.supervisor._line._lane is not None
    assert float(drive.supervisor._line._lane.line.points[0, 1]) == pytest.approx(3.0)
