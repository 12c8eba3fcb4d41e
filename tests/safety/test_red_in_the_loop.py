"""A red light that the fallback can hardly reach: never faster towards it, and braking that has begun goes on."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import Signal
from onboard_vla.safety.leads import BRAKING_MPS2, PASSED_M

from .driving_range import Range

VEHICLE = VehicleGeometry()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m
LIMIT_MPS = 13.9


def approach(ahead_m: float, state: str, seconds: float = 5.0) -> tuple[Range, float]:
    """In L2 at 13 m/s, still gaining speed, as a signal appears so far before the front; the drive and its place."""
    drive = Range(speed=LIMIT_MPS)
    drive.limit_mps = drive.plan_speed = LIMIT_MPS
    drive.silent.add("plans")
    drive.engage(1.0)
    drive.run(2.0)
    place = drive.vehicle.x + FRONT + ahead_m
    drive.signals = (Signal(1, place, 0.0, state),)
    drive.log.clear()
    drive.run(seconds)
    return drive, place


def until_passed(drive: Range, place: float) -> tuple[np.ndarray, np.ndarray]:
    """Speed and acceleration of every tick until the front has passed the stop point."""
    log = np.array(drive.log)
    before = log[:, 1] + FRONT <= place + PASSED_M
    return log[before, 2], log[before, 3]


@pytest.mark.parametrize("ahead_m", [4.0, 10.0, 14.0, 15.5])
def test_out_of_reach_it_is_passed_without_gaining_speed(ahead_m):
    drive, place = approach(ahead_m, "red")
    speed, acceleration = until_passed(drive, place)
    assert speed.max() <= speed[0] + 0.15  # what was in the actuators as it appeared
    assert acceleration.min() > -0.5
    assert drive.vehicle.speed > speed[-1] + 0.3, "behind it the fallback drives on"


@pytest.mark.parametrize("ahead_m", [16.0, 17.0, 18.0, 19.0])
def test_braking_that_has_begun_is_not_let_go_before_the_front_has_passed(ahead_m):
    drive, place = approach(ahead_m, "red")
    speed, acceleration = until_passed(drive, place)
    begun = int(np.argmax(acceleration < -BRAKING_MPS2))
    assert (np.diff(speed[begun:]) <= 0.0).all()
    assert speed[-1] < 0.6 * speed[0]
    assert drive.vehicle.speed == 0.0


def test_amber_that_no_comfortable_braking_reaches_is_passed_as_before():
    for ahead_m in (10.0, 18.0):
        drive, place = approach(ahead_m, "amber")
        speed, acceleration = until_passed(drive, place)
        assert speed[-1] > speed[0]
        assert acceleration.min() > -0.1


@pytest.mark.parametrize("ahead_m", [30.0, 50.0])
def test_within_reach_it_is_stopped_before(ahead_m):
    drive, place = approach(ahead_m, "red", 10.0)
    assert drive.vehicle.speed == 0.0
    assert drive.vehicle.x + FRONT < place
