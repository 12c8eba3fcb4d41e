"""No at-fault collision and time to collision, by hand and against commonroad-drivability-checker."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.scoring.contact import (
    EGO_STANDS_MPS,
    no_at_fault_collision,
    overlaps,
    time_to_collision_within_bound,
)
from onboard_vla.core.scoring.motion import STEP_S
from onboard_vla.core.scoring.whereabouts import locate

from .scenes import INSTANTS, VEHICLE, other, road, s_of, straight_on, together


def collision(motion, traffic, area=None):
    return no_at_fault_collision(motion, traffic, locate(motion, area or road(), VEHICLE), VEHICLE)


def in_bound(motion, traffic, area=None, *, beyond_end=False):
    where = locate(motion, area or road(), VEHICLE)
    return time_to_collision_within_bound(motion, traffic, where, VEHICLE, beyond_end=beyond_end)


def merging_from_the_left(speed=10.0):
    """Keeps beside a vehicle of that speed and closes in at a fifth of it from 4 m beside."""
    return other(1.45, 4.0, math.hypot(speed, speed / 5), -math.atan2(1.0, 5.0))


def test_driving_into_a_standing_vehicle_scores_nothing():
    # Rear end at 18 m; the front starts at 3.85 m and does 10 m/s: contact after 1.415 s, first instant 1.5 s.
    assert collision(straight_on(10.0), other(20.0)) == (0.0, pytest.approx(1.5))


def test_driving_into_an_object_that_is_no_agent_scores_half():
    assert collision(straight_on(10.0), other(20.0, agent=False)) == (0.5, pytest.approx(1.5))


def test_driving_into_a_slower_vehicle_ahead_scores_nothing():
    # Rear end at 8 + 2 t m, front at 3.85 + 10 t m: contact after 0.519 s.
    assert collision(straight_on(10.0), other(10.0, speed=2.0)) == (0.0, pytest.approx(0.6))


def test_being_hit_from_behind_is_not_the_vehicles_fault():
    assert overlaps(straight_on(5.0).corners(VEHICLE), other(-10.0, speed=10.0, count=INSTANTS).corners()).any()
    assert collision(straight_on(5.0), other(-10.0, speed=10.0)) == (1.0, math.inf)
    assert collision(straight_on(5.0), other(-10.0, speed=10.0), road(right=0.9)) == (1.0, math.inf)


def test_being_touched_sideways_is_its_fault_only_off_the_drivable_area_or_across_lanes():
    assert collision(straight_on(10.0), merging_from_the_left())[0] == 1.0
    assert collision(straight_on(10.0), merging_from_the_left(), road(right=0.9))[0] == 0.0
    two_lanes = ((-1.75, 0.5), (0.5, 4.0))
    assert collision(straight_on(10.0), merging_from_the_left(), road(lanes=two_lanes))[0] == 0.0


def test_being_hit_while_standing_is_not_the_vehicles_fault():
    coming = other(30.0, speed=-10.0)
    assert collision(straight_on(EGO_STANDS_MPS), coming) == (1.0, math.inf)
    assert collision(straight_on(2 * EGO_STANDS_MPS), coming)[0] == 0.0


def test_contact_at_the_first_instant_is_not_held_against_the_motion():
    assert collision(straight_on(10.0), other(5.0)) == (1.0, math.inf)
    assert in_bound(straight_on(10.0), other(5.0)) == 1.0


def test_contact_that_was_not_its_fault_ends_that_road_users_part_only():
    # The one from behind touches first; had it not been written off, it would count once it is ahead.
    behind = other(-10.0, speed=25.0)
    assert collision(straight_on(5.0), behind)[0] == 1.0
    assert collision(straight_on(5.0), together(behind, other(12.0)))[0] == 0.0


def test_one_who_is_not_there_touches_nobody():
    missing = other(20.0)
    missing.boxes[:, 0] = np.nan
    assert collision(straight_on(10.0), missing) == (1.0, math.inf)
    assert in_bound(straight_on(10.0), missing) == 1.0


def test_projection_hits_a_standing_vehicle_before_contact_does():
    # Front at 43.85 m after 4 s. Rear end at 43.9 m is never touched, but 0.9 s ahead of 3.1 s lies exactly 43.85 m.
    assert in_bound(straight_on(10.0), other(45.9)) == 1.0
    assert in_bound(straight_on(10.0), other(45.8)) == 0.0
    assert collision(straight_on(10.0), other(45.9))[0] == 1.0


def test_version_1_looks_beyond_the_end_and_version_2_does_not():
    assert in_bound(straight_on(10.0), other(52.0), beyond_end=True) == 0.0
    assert in_bound(straight_on(10.0), other(52.0), beyond_end=False) == 1.0
    # After 4 s and 0.9 s of projection the front is at 52.85 m.
    assert in_bound(straight_on(10.0), other(54.8), beyond_end=True) == 0.0
    assert in_bound(straight_on(10.0), other(54.9), beyond_end=True) == 1.0


def test_following_at_equal_speed_keeps_time_to_collision_in_bound():
    assert in_bound(straight_on(10.0), other(8.0, speed=10.0)) == 1.0


def test_one_who_comes_from_behind_or_beside_counts_only_where_the_vehicle_is_astray_or_in_a_crossing():
    assert in_bound(straight_on(1.0), other(-12.0, speed=6.0)) == 1.0
    # The bearing is from the axle now to the other in 0.9 s: a vehicle that is itself fast has passed that place.
    assert in_bound(straight_on(5.0), other(-12.0, speed=10.0)) == 0.0
    assert in_bound(straight_on(3.0), merging_from_the_left(3.0)) == 1.0
    assert in_bound(straight_on(3.0), merging_from_the_left(3.0), road(right=0.9)) == 0.0
    crossing = road(junctions=((s_of(-5.0), s_of(60.0)),))
    assert in_bound(straight_on(3.0), merging_from_the_left(3.0), crossing) == 0.0


def test_a_standing_vehicle_has_no_time_to_collision():
    assert in_bound(straight_on(0.0), other(20.0, speed=-5.0)) == 1.0
    assert in_bound(straight_on(0.01), other(20.0, speed=-5.0)) == 0.0


def test_contacts_equal_those_of_commonroad_drivability_checker():
    pycrcc = pytest.importorskip("commonroad_dc.pycrcc", reason="wheels for x86-64 Linux, Python 3.10 to 3.13")
    rng = np.random.default_rng(21)
    touched = 0
    for _ in range(150):
        motion = straight_on(rng.uniform(1, 15), rng.uniform(-2, 2), heading=rng.uniform(-np.pi, np.pi))
        users = [
            other(*rng.uniform(-25, 25, 2), rng.uniform(-8, 8), rng.uniform(-np.pi, np.pi), *rng.uniform(0.4, 9, 2))
            for _ in range(6)
        ]
        traffic = together(*users)
        found = overlaps(motion.corners(VEHICLE), traffic.corners()[:INSTANTS])
        centres = motion.centres(VEHICLE)
        expected = np.zeros_like(found)
        for t in range(INSTANTS):
            own = pycrcc.RectOBB(VEHICLE.length_m / 2, VEHICLE.width_m / 2, motion.poses[t, 2], *centres[t])
            for n, (x, y, heading, length, width) in enumerate(traffic.boxes[t]):
                expected[t, n] = own.collide(pycrcc.RectOBB(length / 2, width / 2, heading, x, y))
        assert (found == expected).all()
        touched += int(expected.any())
        # Standing road users are always hit by the vehicle's fault: the time of contact is the oracle's.
        standing = together(*(other(*u.boxes[0, 0, :2], 0.0, *u.boxes[0, 0, 2:]) for u in users))
        own_word = no_at_fault_collision(motion, standing, locate(motion, road(), VEHICLE), VEHICLE)
        hits = overlaps(motion.corners(VEHICLE), standing.corners()[:INSTANTS])
        hits = hits[:, ~hits[0]].any(axis=1)
        first = np.argmax(hits) * STEP_S if hits.any() else math.inf
        assert own_word == (0.0 if hits.any() else 1.0, pytest.approx(first))
    assert 30 < touched < 150
