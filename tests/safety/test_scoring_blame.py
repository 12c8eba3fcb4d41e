"""Whom a proposal is to blame for: the guards' rule, on whoever comes from behind."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.guards.forecast import first_overlap, forecast
from onboard_vla.safety.proposals import Rollouts
from onboard_vla.safety.scoring import CONTACT_MARGIN_M

from .test_scoring import TIMES, VEHICLE, S, judged, lanes, objects, path, steady, worth

NEVER_S = 99.0
TOUCHING_M = VEHICLE.width_m / 2 + CONTACT_MARGIN_M + 1.0
"""Between the middles of the vehicle and of a car beside it that is 2 m wide."""


def car(x, y, vx, heading=0.0):
    return [x, y, heading, vx, 0.0, 4.0, 2.0]


def moving_over(side_m, within_m=20.0):
    """A path that goes to the side within the first metres, as a cubic."""
    share = np.minimum(S / within_m, 1.0)
    beside = side_m * (3 * share**2 - 2 * share**3)
    along = path(offset=beside)
    along.heading_rad = np.arctan(side_m * 6 * (share - share**2) / within_m)
    return along


def first_contact(*others, along=None, **road):
    """Of the fastest proposal, 10 m/s all the time."""
    return judged(paths=[along or path()], others=objects(*others), **road).contact_s[0]


@pytest.mark.parametrize(
    ("x", "vx", "fault"),
    [
        (-0.5, 10.5, False),  # behind the own middle, and faster: it runs into the vehicle
        (-0.5, 10.0, True),  # no faster
        (-0.5, 9.0, True),
        (0.75, 12.0, False),
        (1.0, 12.0, True),  # level with the own middle
        (1.25, 12.0, True),
    ],
)
def test_who_is_behind_the_middle_and_faster_in_the_own_lane_runs_into_the_vehicle(x, vx, fault):
    """The own middle is 1 m ahead of the rear axle, the rear end 1 m behind it."""
    assert bool(first_contact(car(x, 1.5, vx)) == 0.0) is fault


@pytest.mark.parametrize("side", [-1, 1])
@pytest.mark.parametrize(("behind_m", "vx"), [(3.0, 13.0), (6.0, 13.0), (9.0, 13.0), (2.0, 10.3), (1.5, 10.1)])
def test_moving_over_into_who_passes_in_the_next_lane_is_a_fault(behind_m, vx, side):
    """3 m beside the vehicle and faster: alongside a vehicle that keeps its lane, into one that does not."""
    passing = car(-behind_m, 3.0 * side, vx)

    assert first_contact(passing) == NEVER_S
    assert first_contact(passing, along=moving_over(2.0 * side)) < 3.9
    assert first_contact(passing, along=moving_over(-2.0 * side)) == NEVER_S


def test_a_proposal_that_keeps_away_from_who_passes_is_chosen_before_one_that_moves_over():
    found = judged(
        steady(2), [path(), moving_over(1.0)], targets=(0.0, 1.0), others=objects(car(-4.0, TOUCHING_M + 0.5, 13.0))
    )

    assert found.total[:5].max() > found.total[5:].max()
    assert found.contact_s[0] == NEVER_S > found.contact_s[5]


@pytest.mark.parametrize("side_m", [-0.5, 0.0, 0.5])
def test_who_follows_in_the_lane_is_to_blame_also_while_the_vehicle_moves_a_little(side_m):
    """And stays so when, in the prediction, it has gone on through the vehicle to beyond its middle."""
    assert first_contact(car(-9.0, 0.2, 16.0), along=moving_over(side_m)) == NEVER_S


def test_who_runs_into_the_vehicle_makes_no_proposal_close():
    assert judged(others=objects(car(-9.0, 0.2, 16.0))).total[0] == pytest.approx(worth())


@pytest.mark.parametrize(("margin_m", "moved_m"), [(CONTACT_MARGIN_M, 0.35), (0.0, 1.5)])
@pytest.mark.parametrize(("outside_m", "fault"), [(-0.01, False), (0.01, True)])
@pytest.mark.parametrize("side", [-1, 1])
def test_the_corridor_is_the_vehicles_own_as_wide_as_its_footprint(outside_m, fault, side, margin_m, moved_m):
    """Whoever stands against the middle of the lane: it is the vehicle's place now that counts.

    Of the footprint with its margin where that alone touches, of the bare one where the vehicle itself does.
    """
    own = (0.0, 0.3 * side)
    passing = car(-7.0, own[1] + side * (2.0 + margin_m + outside_m), 13.0)
    found = judged(paths=[moving_over(moved_m * side)], others=objects(passing), own=own)
    assert bool(found.contact_s[0] < 3.9) is fault


@pytest.mark.parametrize("vx", [0.0, 5.0])
def test_driving_away_from_who_touches_the_rear_already_is_no_fault(vx):
    """Its middle is behind the rear end: driving on parts the two, and braking would not."""
    assert first_contact(car(-2.9, 0.1, vx)) == NEVER_S
    assert first_contact(car(-1.1, 0.1, vx)) == NEVER_S
    assert first_contact(car(-0.9, 0.1, vx)) == 0.0


def test_swinging_the_side_into_a_slower_one_beside_the_rear_is_a_fault():
    """It touches later than at once, and from the next lane."""
    assert first_contact(car(-2.0, TOUCHING_M + 0.02, 9.9), along=moving_over(1.5, within_m=10.0)) < 3.9


def test_each_object_is_judged_by_its_own_first_touch():
    follower, ahead = car(-9.0, 0.2, 16.0), car(25.0, 0.0, 0.0)
    assert first_contact(follower, ahead) == first_contact(ahead) == pytest.approx(2.1)


@pytest.mark.parametrize("frame", [0.0, 2.0, -1.1])
@pytest.mark.parametrize("seed", range(40))
def test_guards_and_scoring_blame_alike(frame, seed):
    """Random cars beside and behind a vehicle that moves over; margins and instants of both are made the same."""
    random = np.random.default_rng(seed)
    side, behind, speed = random.uniform(-2, 2), random.uniform(-12, 1), random.uniform(5, 16)
    row = car(behind, random.uniform(-4, 4), speed)
    c, s = math.cos(frame), math.sin(frame)
    turned = [c * row[0] - s * row[1], s * row[0] + c * row[1], frame, c * speed, s * speed, 4.0, 2.0]
    along = moving_over(side)
    x, y, heading = along.x_m.copy(), along.offset_m.copy(), along.heading_rad.copy()
    along.x_m, along.y_m, along.heading_rad = c * x - s * y, s * x + c * y, heading + frame
    road = lanes()
    line = np.column_stack([c * np.arange(201), s * np.arange(201)])
    road = type(road)(0, line, road.left_m, road.right_m, 3.5, road.speed_limit_mps, ())
    tenth = np.full((5, 41), 10.0)
    scored = judged(Rollouts(tenth * TIMES, tenth, 0 * tenth), [along], others=objects(turned), road=road).contact_s[0]

    at = 10.0 * np.arange(0.0, 3.91, 0.1)
    poses = np.column_stack([np.interp(at, S, v) for v in (along.x_m, along.y_m, along.heading_rad)])
    limits = CollisionLimits(lateral_margin_m=CONTACT_MARGIN_M)
    seen = forecast(objects(turned), poses[0, :2], 10.0, 3.9, Polyline(line), limits)
    hit = first_overlap(poses, seen, VEHICLE, 0.0)

    if scored < NEVER_S:
        assert hit is not None, "what scoring blames the vehicle for, the guards do"
        assert hit.time_s <= scored + 1e-9
