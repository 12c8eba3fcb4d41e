"""Who comes from behind in the next lane, and who is to blame where the vehicle turns into him."""

import math

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline, compose
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.guards.forecast import first_overlap, forecast
from onboard_vla.safety.object_memory import ObjectSet

VEHICLE, LIMITS = VehicleGeometry(), CollisionLimits()
TIMES = np.arange(31) * 0.1
SPEED = 10.0
RADIUS_M = 40.0
TOUCHING_M = VEHICLE.width_m / 2 + LIMITS.lateral_margin_m + 1.9 / 2
FRAMES = [(0.0, 0.0, 0.0), (120.0, -40.0, 2.5)]


def moving_over(side_m):
    """Poses of a vehicle that goes to the side within the three seconds, as a cubic."""
    share = TIMES / TIMES[-1]
    y = side_m * (3 * share**2 - 2 * share**3)
    sideways = side_m * 6 * (share - share**2) / TIMES[-1]
    return np.column_stack([SPEED * TIMES, y, np.arctan2(sideways, SPEED)])


def objects_of(*states):
    states = np.array(states)
    none = np.zeros(len(states), bool)
    return ObjectSet(
        states, np.zeros(len(states), np.int64), none, none, np.full(len(states), 9), np.zeros(len(states))
    )


def found(poses, state, frame=(0.0, 0.0, 0.0), lane=None):
    place = compose(np.array(frame), np.array([state[:3]]))[0]
    speed = np.array([math.cos(place[2]), math.sin(place[2])]) * state[3]
    objects = objects_of([*place, *speed, 4.6, 1.9])
    poses = compose(np.array(frame), poses)
    return first_overlap(poses, forecast(objects, poses[0, :2], SPEED, 3.0, lane, LIMITS), VEHICLE, 0.0)


def straight_lane(frame):
    points = compose(np.array(frame), np.column_stack([np.arange(-10.0, 80.0, 2.0), np.zeros(45), np.zeros(45)]))
    return Polyline(points[:, :2])


def bend():
    """To the left, from 20 m behind the vehicle to 80 m before it."""
    turned = np.arange(-20.0, 80.0, 1.0) / RADIUS_M
    return Polyline(RADIUS_M * np.column_stack([np.sin(turned), 1.0 - np.cos(turned)]))


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("known", [True, False])
@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize("behind_m", [1.0, 3.0, 6.0])
def test_turning_into_who_passes_in_the_next_lane_is_the_plans_fault(frame, known, side, behind_m):
    lane = straight_lane(frame) if known else None
    passing = (-behind_m, 3.0 * side, 0.0, 13.0)
    assert found(moving_over(0.0), passing, frame, lane) is None
    assert found(moving_over(2.0 * side), passing, frame, lane) is not None
    assert found(moving_over(-2.0 * side), passing, frame, lane) is None


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("lane_m", [None, 0.0, 2.5, -2.5])
@pytest.mark.parametrize("side_m", [-0.5, 0.0, 0.5])
def test_who_runs_into_the_rear_is_to_blame_also_while_the_vehicle_moves_a_little(frame, lane_m, side_m):
    """Wherever beside the middle of its lane the vehicle is."""
    lane = None if lane_m is None else straight_lane(compose(np.array(frame), np.array([[0.0, lane_m, 0.0]]))[0])
    assert found(moving_over(side_m), (-9.0, 0.2, 0.0, 14.0), frame, lane) is None


@pytest.mark.parametrize(("outside_m", "fault"), [(-0.01, False), (0.01, True)])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_corridor_is_as_wide_as_the_footprint_with_its_margins(outside_m, fault, side):
    """Going a little aside brings him within the margin anyhow; what counts is whether going on straight would have."""
    passing = (-6.0, side * (TOUCHING_M + outside_m), 0.0, 13.0)
    assert (found(moving_over(0.2 * side), passing) is not None) is fault


@pytest.mark.parametrize(("heading", "fault"), [(0.0, True), (-0.1, False)])
def test_who_cuts_in_from_behind_has_his_corner_in_the_corridor(heading, fault):
    """His middle is outside by a quarter of a metre; turned towards the vehicle his corner is inside at once."""
    passing = (-2.5, TOUCHING_M + 0.25, heading, 11.0)
    assert (found(moving_over(1.0), passing) is not None) is fault


@pytest.mark.parametrize(("offset_m", "side_m", "fault"), [(0.0, 0.0, False), (0.5, 0.0, False),
                                                           (3.0, 2.0, True), (-3.0, -2.0, True)])  # fmt: skip
def test_in_a_bend_the_corridor_follows_the_lane(offset_m, side_m, fault):
    """Who follows in the lane runs into the rear; who passes beside it is turned into."""
    share = TIMES / TIMES[-1]
    own_d = side_m * (3 * share**2 - 2 * share**3)
    turned = SPEED * TIMES / RADIUS_M
    aside = RADIUS_M - own_d
    poses = np.column_stack([aside * np.sin(turned), RADIUS_M - aside * np.cos(turned), turned])
    radius, back = RADIUS_M - offset_m, -8.0 / RADIUS_M
    state = [radius * math.sin(back), RADIUS_M - radius * math.cos(back), back]
    speed = 14.0 * radius / RADIUS_M
    objects = objects_of([*state, speed * math.cos(back), speed * math.sin(back), 4.6, 1.9])
    seen = forecast(objects, poses[0, :2], SPEED, 3.0, bend(), LIMITS)
    assert np.hypot(*(seen.positions[-1, 0] - [0.0, RADIUS_M])) == pytest.approx(radius, abs=0.3)
    assert (first_overlap(poses, seen, VEHICLE, 0.0) is not None) is fault
