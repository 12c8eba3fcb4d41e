"""A red light that appears ahead of the fallback: it stands before the stop point, or passes it without stopping."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import Signal
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.fallback import BRAKING_MPS2
from onboard_vla.safety.leads import PASSED_M

from .driving_range import Mover, Range

VEHICLE = VehicleGeometry()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m
LIMIT_MPS = 13.9


@cache
def settled(cause: str, speed: float) -> Range:
    """In L2, with one of the causes to brake in force, or still gaining speed."""
    drive = Range(speed=speed)
    drive.limit_mps = drive.plan_speed = speed
    drive.silent.add("plans")
    drive.engage(1.0)
    drive.run(2.0)
    if cause == "limit":
        drive.limit_mps = 0.85 * speed
        drive.run(0.6)
    elif cause == "lead":
        drive.movers = [Mover(drive.vehicle.x + 5.0 + 3.0 * speed, 0.0, 0.75 * speed)]
        drive.run(2.0)
    elif cause == "braking lead":
        until_s = 0.02 * drive.tick + 0.6 * speed / 4.0
        law = lambda time_s: -4.0 if time_s < until_s else 0.0  # noqa: E731
        drive.movers = [Mover(drive.vehicle.x + 8.0 + 1.8 * speed, 0.0, speed, law=law)]
        drive.run(1.2)
    return drive


def approach(ahead_m: float, state: str, cause: str = "", speed: float = LIMIT_MPS) -> tuple[Range, float]:
    """The drive, and the stop point's place, as a signal appears so far before the front."""
    drive = copy.deepcopy(settled(cause, speed))
    place = drive.vehicle.x + FRONT + ahead_m
    drive.signals = (Signal(1, place, 0.0, state),)
    drive.log.clear()
    drive.published.clear()
    return drive, place


def past(drive: Range, place: float) -> float:
    """How far the front is behind the stop point, m."""
    return drive.vehicle.x + FRONT - place


def until_passed(drive: Range, place: float) -> tuple[np.ndarray, np.ndarray]:
    """Speed and acceleration of every tick until the front has passed the stop point."""
    log = np.array(drive.log)
    before = log[:, 1] + FRONT <= place + PASSED_M
    return log[before, 2], log[before, 3]


CAUSES = ("", "limit", "lead", "braking lead")


@pytest.mark.parametrize("share", [0.05, 0.3, 0.6, 0.8, 0.9, 1.0, 1.1, 2.0])
@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("speed", [3.3, 8.0, LIMIT_MPS])
def test_it_stands_before_a_red_light_or_passes_it_without_stopping(speed, cause, share):
    """`share`: of the way that the stop takes by which it is seen, with nothing in force: 2.1, 8.4 and 19.9 m."""
    ahead_m = share * (speed**2 / 12 + 0.45 * speed) * (0.9 if speed < LIMIT_MPS else 0.925)
    drive, place = approach(ahead_m, "red", cause, speed)
    begun = drive.vehicle.speed
    while past(drive, place) < 3.0 and drive.vehicle.speed > 0.02 and len(drive.log) < 1000:
        drive.step()
    if drive.vehicle.speed <= 0.02:
        assert past(drive, place) <= PASSED_M
    else:
        speeds, accelerations = until_passed(drive, place)
        assert speeds.max() <= begun + 0.15, "what was in the actuators as it appeared"
        if cause in ("", "limit"):
            assert accelerations.min() > -1.0, "it is not braked for"
        drive.run(1.0)
        assert drive.vehicle.speed > 0.5
        assert max(message.mode for message in drive.published) is Mode.FALLBACK


@pytest.mark.parametrize(
    ("cause", "ahead_m"), [("", 19.5), ("", 25.0), ("limit", 19.0), ("lead", 18.0), ("braking lead", 17.0)]
)
def test_within_reach_it_is_stopped_for(cause, ahead_m):
    drive, place = approach(ahead_m, "red", cause)
    drive.run(8.0)
    assert drive.vehicle.speed == 0.0
    assert past(drive, place) <= PASSED_M


@pytest.mark.parametrize("ahead_m", [4.0, 10.0, 14.0, 17.5])
def test_out_of_reach_it_is_passed_without_gaining_speed(ahead_m):
    drive, place = approach(ahead_m, "red")
    drive.run(5.0)
    speed, acceleration = until_passed(drive, place)
    assert speed.max() <= speed[0] + 0.15
    assert acceleration.min() > -0.5
    assert drive.vehicle.speed > speed[-1] + 0.3, "behind it the fallback drives on"


@pytest.mark.parametrize("ahead_m", [19.5, 24.0])
@pytest.mark.parametrize("noise_m", [0.0, 1.0])
def test_braking_that_has_begun_for_it_is_not_let_go_when_its_place_is_seen_nearer(ahead_m, noise_m):
    drive, place = approach(ahead_m, "red")
    for k in range(250):
        shown = place - (noise_m if k // 5 % 2 else 0.0)
        drive.signals = (Signal(1, shown, 0.0, "red"),)
        drive.step()
    speed, acceleration = until_passed(drive, place)
    begun = int(np.argmax(acceleration < -BRAKING_MPS2))
    assert (np.diff(speed[begun:]) <= 0.0).all()
    assert drive.vehicle.speed == 0.0
    assert past(drive, place) <= PASSED_M + noise_m


def test_braking_that_has_begun_for_one_light_does_not_brake_for_another_out_of_reach():
    drive, _ = approach(29.0, "red")
    drive.run(0.5)
    assert drive.published[-1].points[0, 5] < -1.0
    begun = drive.vehicle.speed
    near = Signal(2, drive.vehicle.x + FRONT + 2.0, 0.0, "red")
    drive.signals = (near,)
    drive.run(2.0)
    assert drive.vehicle.speed > 0.5 * begun
    assert max(message.mode for message in drive.published) is Mode.FALLBACK


@pytest.mark.parametrize("messages", [1, 3, 4, 6])
def test_a_red_misread_out_of_reach_is_no_reason_to_stop(messages):
    drive, place = approach(8.0, "red", "limit")
    drive.run(0.1 * messages)
    drive.signals = (Signal(1, place, 0.0, "green"),)
    drive.run(3.0)
    assert np.array(drive.log)[:, 3].min() > -1.0
    assert {message.mode for message in drive.published} == {Mode.FALLBACK}


@pytest.mark.parametrize("before", ["model", "person"])
def test_who_drove_before_has_begun_no_braking_for_it(before):
    """Braking gently, but not for the red light, until it is out of reach; then the fallback drives."""
    drive = Range(speed=LIMIT_MPS)
    drive.limit_mps, drive.plan_speed = LIMIT_MPS, 4.0
    if before == "model":
        drive.engage(3.0)
        drive.run(0.6)
        ahead_m = 9.5
    else:
        drive.vehicle.follow = lambda message: (-1.0, 0.0)
        drive.run(1.5)
        ahead_m = 30.0
    place = drive.vehicle.x + FRONT + ahead_m
    drive.signals = (Signal(1, place, 0.0, "red"),)
    if before == "model":
        assert drive.step().source == "model"
        assert drive.vehicle.acceleration < -0.5
        while drive.published[-1].source == "model":
            drive.step()  # it refuses the plans that pass the light
    else:
        while past(drive, place) < -4.0:
            drive.step()
        del drive.vehicle.follow
        drive.silent.add("plans")
        drive.command("engage")
        assert drive.step().source == "fallback"
    assert -14.0 < past(drive, place) < 0.0
    drive.log.clear()
    drive.published.clear()
    drive.run(3.0)
    speeds, _ = until_passed(drive, place)
    assert speeds[-1] > 0.7 * speeds[0]
    assert max(message.mode for message in drive.published) <= Mode.FALLBACK


def test_amber_that_no_comfortable_braking_reaches_is_passed_as_before():
    for ahead_m in (10.0, 18.0):
        drive, place = approach(ahead_m, "amber")
        drive.run(5.0)
        speed, acceleration = until_passed(drive, place)
        assert speed[-1] > speed[0]
        assert acceleration.min() > -0.1


@pytest.mark.parametrize("ahead_m", [30.0, 50.0])
def test_far_enough_ahead_it_is_stopped_before(ahead_m):
    drive, place = approach(ahead_m, "red")
    drive.run(10.0)
    assert drive.vehicle.speed == 0.0
    assert past(drive, place) < 0.0
