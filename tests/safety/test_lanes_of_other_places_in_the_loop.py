"""Lanes that pass beside the vehicle and lead elsewhere: turned, bent away ahead, or the neighbour's."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.road import Route
from onboard_vla.core.safe_trajectory import Mode

from .driving_range import Mover, codes
from .test_input_guards_in_the_loop import nominal
from .test_lanes_in_the_loop import aside, edited, widened


def turned(degrees, drive, per_s=math.inf):
    """The lane turned about where the vehicle is when the fault begins, at once or at so many degrees a second."""
    pivot, begun = np.array([drive.vehicle.x, 0.0]), drive.tick

    def change(lanes, _):
        angle = math.radians(min(abs(degrees), per_s * (drive.tick - begun) * 0.02 if per_s < math.inf else math.inf))
        c, s = math.cos(angle), math.copysign(math.sin(angle), degrees)
        return replace(lanes, centreline=pivot + (lanes.centreline - pivot) @ np.array([[c, s], [-s, c]]))

    return change


def bent_away(drive, from_m, metres=3.5):
    """To the left from so far ahead on, within 15 m."""
    begin_m = drive.vehicle.x + from_m

    def change(lanes, _):
        share = np.clip((lanes.centreline[:, 0] - begin_m) / 15.0, 0.0, 1.0)
        return replace(lanes, centreline=lanes.centreline + np.column_stack([0 * share, metres * share]))

    return change


def refused_and_stopped_in_lane(drive, limit_s=0.2):
    begun = drive.tick
    while drive.step().mode is not Mode.IN_LANE_STOP:
        assert (drive.tick - begun) * 0.02 <= limit_s
    assert "LANES_JUMP" in codes(drive.published[-1])
    farthest = 0.0
    for _ in range(500):
        drive.step()
        farthest = max(farthest, abs(drive.vehicle.y))
        if drive.vehicle.speed < 0.05:
            return farthest
    raise AssertionError(f"still {drive.vehicle.speed:.1f} m/s after 10 s")


@pytest.mark.parametrize(
    ("degrees", "speed", "planner"),
    [(3.0, 3.0, True), (3.0, 8.0, False), (-3.0, 12.0, True), (10.0, 12.0, False), (179.0, 8.0, True)],
)
def test_a_lane_that_turned_about_the_vehicle_is_doubted_at_once_and_stops_it_in_its_lane(degrees, speed, planner):
    drive = nominal(speed)
    if not planner:
        drive.silent.add("planner")
        drive.run(1.0)
    edited(drive, turned(degrees, drive))
    assert refused_and_stopped_in_lane(drive) < 0.3


@pytest.mark.parametrize("from_m", [8.0, 20.0])
def test_a_lane_that_bends_away_ahead_is_refused_before_the_vehicle_is_there(from_m):
    drive = nominal(12.0)
    edited(drive, bent_away(drive, from_m))
    assert refused_and_stopped_in_lane(drive) < 0.3


def test_a_lane_that_goes_on_turning_is_refused_before_the_vehicle_is_off_its_lane():
    drive = nominal(12.0)
    edited(drive, turned(10.0, drive, per_s=10.0))
    assert refused_and_stopped_in_lane(drive, limit_s=0.5) < 0.3


def test_a_lane_that_creeps_in_small_steps_is_refused_before_the_vehicle_is_off_its_lane():
    drive = nominal(12.0)
    edited(drive, lambda lanes, k: aside(lanes, min(0.15 * (k + 1), 3.0)))
    assert refused_and_stopped_in_lane(drive, limit_s=1.2) < 1.3


def test_a_lane_that_runs_backwards_is_refused():
    drive = nominal(8.0)
    edited(drive, lambda lanes, _: replace(lanes, centreline=lanes.centreline[::-1].copy()))
    assert refused_and_stopped_in_lane(drive) < 0.3


def two_lanes(lanes, metres):
    """A road from 2 m on the right to 5.5 m on the left, whichever of its lines is shown."""
    one = np.ones(len(lanes.left_m))
    return aside(replace(lanes, left_m=(5.5 - metres) * one, right_m=(2.0 + metres) * one), metres)


@pytest.mark.parametrize(("metres", "planner"), [(1.2, True), (3.5, True), (3.5, False)])
def test_another_line_of_the_same_road_is_refused_though_the_roads_edges_stay(metres, planner):
    drive = nominal(10.0)
    edited(drive, lambda lanes, _: two_lanes(lanes, 0.0))
    drive.run(1.0)
    if not planner:
        drive.silent.add("planner")
        drive.run(1.0)
    drive.movers.append(Mover(x=drive.vehicle.x + 60.0, y=3.5, vx=-6.0))
    edited(drive, lambda lanes, _: two_lanes(lanes, metres))
    assert refused_and_stopped_in_lane(drive) < 0.3


def test_lines_of_the_same_road_that_climb_aside_by_pairs_are_refused():
    drive = nominal(10.0)
    edited(drive, lambda lanes, _: two_lanes(lanes, 0.0))
    drive.run(1.0)
    edited(drive, lambda lanes, k: two_lanes(lanes, min(1.4 * (k // 2 + 1), 4.2)))
    assert refused_and_stopped_in_lane(drive) < 0.3


def test_a_centre_that_moves_as_if_the_lane_had_widened_which_it_has_not_is_refused():
    drive = nominal(10.0)
    edited(drive, lambda lanes, _: replace(widened(lanes, 2.0), lane_width_m=3.5))
    assert refused_and_stopped_in_lane(drive) < 0.3


def test_a_new_route_that_turns_off_ahead_is_followed_by_its_lane():
    drive = nominal(8.0)
    points = drive.route().points
    away = points + np.column_stack([0 * points[:, 0], 0.3 * np.maximum(points[:, 0] - drive.vehicle.x - 15.0, 0.0)])
    drive.send("route", Route("other", away, np.full(len(away), 8.0), ()))
    edited(drive, bent_away(drive, 15.0, 6.0))
    seen = {code for _ in range(40) for code in codes(drive.step())}
    assert not {"LANES_DOUBTED", "LANES_JUMP"} & seen
    assert drive.supervisor._inputs.lanes.centreline[:, 1].max() == pytest.approx(6.0)
