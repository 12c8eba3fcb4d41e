"""Post-encroachment time where both are at one place for a single sample each: every figure by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.guards.collision import check_encroachment
from onboard_vla.safety.guards.forecast import Forecast
from onboard_vla.safety.object_memory import ObjectSet

LIMITS = CollisionLimits(pet_ego_first_s=0.6, pet_object_first_s=0.3)
VEHICLE = VehicleGeometry(length_m=4.0, width_m=2.0, wheelbase_m=2.5, rear_overhang_m=1.0)
LONG = VehicleGeometry(length_m=12.0, width_m=2.5, wheelbase_m=6.0, rear_overhang_m=3.0)
SAMPLES, CROSS = 31, math.pi / 2


def encroachment(own, other, place=(0.0, 0.0), vehicle=VEHICLE, heading=CROSS, **what):
    """The footprint's middle is at the origin at sample `own` alone, the object at `place` at sample `other` alone."""
    size, velocity = what.get("size", (2.0, 1.0)), what.get("velocity", (2.0, 0.0))
    first_heading, own_first = what.get("first_heading", heading), what.get("own_first", 0.0)
    poses = np.zeros((SAMPLES, 3))
    poses[:, 0] = 1000.0 + 100.0 * np.arange(SAMPLES)
    poses[own] = (-vehicle.centre_offset_m, 0.0, 0.0)
    poses[0, 2] = own_first
    positions = np.full((SAMPLES, 1, 2), -1000.0)
    positions[other, 0] = place
    headings = np.full((SAMPLES, 1), heading)
    headings[0] = first_heading
    states = np.array([[*place, heading, *velocity, *size]])
    none = np.zeros(1, bool)
    objects = ObjectSet(states, np.zeros(1, np.int64), none, none, np.full(1, 9), np.zeros(1))
    still = np.zeros((SAMPLES, 1, 2))
    seen = Forecast(np.arange(SAMPLES) * 0.1, objects, positions, headings, still, np.zeros(1), poses[0, :2], None)
    reason = check_encroachment(poses, seen, vehicle, LIMITS)
    return None if reason is None else (reason.code, pytest.approx(reason.measured), reason.limit)


@pytest.mark.parametrize(
    ("own", "other", "expected"),
    [
        (10, 17, None),  # 0.7 s later, less one sample: at the limit
        (10, 16, ("PET_BEFORE", 0.5, 0.6)),
        (10, 11, ("PET_BEFORE", 0.0, 0.6)),
        (10, 10, ("PET_BEFORE", 0.0, 0.6)),
        (16, 12, None),  # 0.4 s after the object, less one sample: at the limit
        (15, 12, ("PET_AFTER", 0.2, 0.3)),
        (13, 12, ("PET_AFTER", 0.0, 0.3)),
    ],
)
def test_the_time_between_both_less_one_sample_counts_below_its_limit(own, other, expected):
    assert encroachment(own, other) == expected


@pytest.mark.parametrize(("velocity", "found"), [((1.0, 0.0), False), ((1.0625, 0.0), True), ((0.0, -1.0625), True),
                                                 ((-2.0, 0.0), True), ((0.0, 1.0), False)])  # fmt: skip
def test_objects_slower_than_a_metre_a_second_cross_nothing(velocity, found):
    assert (encroachment(10, 12, velocity=velocity) is not None) is found


@pytest.mark.parametrize(("sine", "found"), [(0.45, False), (0.55, True), (-0.45, False), (-0.55, True)])
@pytest.mark.parametrize("reverse", [False, True])
def test_paths_that_meet_at_less_than_thirty_degrees_do_not_cross(sine, found, reverse):
    heading = math.asin(sine) if not reverse else math.pi - math.asin(sine)
    assert (encroachment(10, 12, heading=heading) is not None) is found


def test_who_crosses_the_course_of_any_moment_is_looked_at():
    assert encroachment(10, 12, own_first=CROSS) is not None
    assert encroachment(10, 12, heading=CROSS, first_heading=0.0, own_first=CROSS) is not None


def test_the_angle_of_the_meeting_itself_counts():
    """Crossing the course at the beginning alone, side by side at the place itself."""
    assert encroachment(10, 12, heading=0.0, first_heading=CROSS) is None


@pytest.mark.parametrize(
    ("vehicle", "place", "size", "found"),
    [
        (VEHICLE, (0.0, 5.9), (10.0, 1.0), True),  # its end reaches 0.1 m into the flank
        (VEHICLE, (0.0, 6.1), (10.0, 1.0), False),
        (VEHICLE, (2.4, 5.9), (10.0, 1.0), True),
        (VEHICLE, (2.6, 5.9), (10.0, 1.0), False),
        (LONG, (6.4, 1.7), (1.0, 1.0), True),  # the corner of a long vehicle
        (LONG, (6.6, 1.7), (1.0, 1.0), False),
        (VEHICLE, (2.9, 1.9), (2.0, 2.0), True),
    ],
)
def test_bare_footprints_are_held_against_each_other(vehicle, place, size, found):
    assert (encroachment(10, 12, place, vehicle, size=size) is not None) is found
