"""Lanes and route against the place of the vehicle, and against the message before (F20)."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.guards.lanes import lanes_place_fault, route_place_fault
from onboard_vla.safety.input_config import LaneLimits

from .driving_range import Range, arc_line, codes, simulation_config

LIMITS = LaneLimits()
QUICK = LadderSettings(clear_s=0.5, dwell_s=0.4, handback_clear_s=0.4, shadow_passes=3)


def line(y=0.0, turn=0.0, x0=-10.0):
    x = np.arange(x0, 90.0, 2.0)
    rotation = np.array([[np.cos(turn), np.sin(turn)], [-np.sin(turn), np.cos(turn)]])
    return Polyline(np.column_stack([x, 0 * x + y]) @ rotation)


def code(fault):
    return fault.code if fault else None


@pytest.mark.parametrize(
    ("before", "after", "expected"),
    [
        (0.0, 1.0, None),
        (-0.4, 1.09, None),
        (-0.6, 1.2, None),
        (0.0, 1.8, "LANES_JUMP"),
        (0.0, -3.0, "LANES_JUMP"),
        (1.0, 2.4, None),
        (1.0, 2.6, "LANES_JUMP"),
        (1.74, -1.74, None),
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


def nominal(**vehicle):
    drive = Range(simulation_config(ladder=QUICK), **{"speed": 8.0, **vehicle})
    drive.limit_mps = drive.plan_speed = 8.0
    drive.engage(0.7)
    drive.run(2.2)
    assert drive.published[-1].mode is Mode.NOMINAL, codes(drive.published[-1])
    return drive


def moved(lanes: LaneObservation, shift):
    return LaneObservation(lanes.stamp_ns, lanes.centreline + shift, lanes.left_m, lanes.right_m, lanes.lane_width_m,
                           lanes.speed_limit_mps, lanes.signals)  # fmt: skip


@pytest.mark.parametrize("shift", [(0.0, 3.0), (0.0, -3.0), (500.0, 900.0)])
def test_an_offset_map_or_another_frame_stops_the_vehicle_within_200_ms_in_its_lane(shift):
    drive = nominal()
    drive.edit[LaneObservation] = lambda lanes: moved(lanes, np.array(shift))
    begun = drive.tick
    while drive.step().mode is not Mode.IN_LANE_STOP:
        assert (drive.tick - begun) * 0.02 <= 0.2
    assert {"LANES_JUMP", "LANES_AWAY"} & set(codes(drive.published[-1]))
    drive.run(12.0)
    assert drive.vehicle.speed < 0.05
    assert abs(drive.vehicle.y) < 0.3
    headings = np.array([m.points[1, 3] - m.points[0, 3] for m in drive.published[begun:] if len(m.points)])
    assert np.abs(headings).max() < 0.02


@pytest.mark.parametrize("route", [np.array([[0.0, 500.0], [900.0, 500.0]]), np.zeros((0, 2)), np.zeros((2, 2))])
def test_a_route_that_is_lost_empty_or_elsewhere_stops_the_vehicle(route):
    drive = nominal()
    drive.send("route", Route("other", route, np.full(len(route), 8.0), ()))
    for _ in range(10):
        drive.step()
    assert drive.published[-1].mode is Mode.IN_LANE_STOP


def test_a_curve_and_noise_of_the_lane_ask_for_nothing():
    rng = np.random.default_rng(3)
    drive = Range(simulation_config(ladder=QUICK), line=arc_line(40.0, 400.0), speed=6.0)
    drive.limit_mps = drive.plan_speed = 6.0
    drive.edit[LaneObservation] = lambda lanes: moved(lanes, rng.normal(0, 0.1, 2))
    drive.engage(0.7)
    for _ in range(1000):
        found = codes(drive.step())
        assert not {"LANES_JUMP", "LANES_AWAY", "ROUTE_AWAY"} & set(found)
