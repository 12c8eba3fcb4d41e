"""The in-lane stop ends before a red light that it can reach, and takes no notice of one that it cannot."""

from __future__ import annotations

import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.plan import Plan
from onboard_vla.core.road import AMBER, GREEN, RED, Signal
from onboard_vla.core.safe_trajectory import Mode

from .driven_range import begin_stop, driven_at, until_it_stands
from .driving_range import make_plan, straight_poses

VEHICLE = VehicleGeometry()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m


def show(drive, ahead_m, state=RED, y=0.0):
    """A signal, so far before the front."""
    place = drive.vehicle.x + FRONT + ahead_m
    drive.signals = (Signal(1, place, y, state),)
    return place


def stopped(drive):
    """Until it stands: the modes, and the hardest braking."""
    seen, hardest = until_it_stands(drive)
    return {message.mode for message in seen}, hardest


@pytest.mark.parametrize("cause", ["stop", "objects"])
@pytest.mark.parametrize(("ahead_m", "state"), [(32.0, RED), (45.0, RED), (40.0, AMBER)])
def test_it_ends_before_a_red_light_that_braking_within_its_cap_reaches(cause, ahead_m, state):
    drive = driven_at(13.0)
    place = show(drive, ahead_m, state)
    begin_stop(drive, cause)
    modes, hardest = stopped(drive)
    assert -1.6 < drive.vehicle.x + FRONT - place < 0.0
    assert Mode.EMERGENCY_STOP not in modes
    assert hardest < 4.2


def test_the_lights_of_the_last_lanes_count_when_lanes_come_no_more():
    drive = driven_at(13.0)
    place = show(drive, 45.0)
    drive.run(0.12)
    drive.silent.add("lanes")
    stopped(drive)
    assert -1.6 < drive.vehicle.x + FRONT - place < 0.0


@pytest.mark.parametrize("ahead_m", [4.0, 12.0, 24.0])
def test_one_that_it_would_pass_all_the_same_changes_nothing(ahead_m):
    drive = driven_at(13.0)
    drive.command("stop")
    drive.step()
    show(drive, ahead_m)
    modes, hardest = stopped(drive)
    assert modes == {Mode.IN_LANE_STOP}
    assert hardest < 1.6


def test_amber_that_takes_more_than_comfort_is_passed():
    drive = driven_at(13.0)
    drive.command("stop")
    drive.step()
    show(drive, 25.0, AMBER)
    assert stopped(drive)[1] < 1.6


@pytest.mark.parametrize("ahead_m", [27.8, 28.5])
def test_braking_for_one_that_was_just_within_reach_is_not_let_go(ahead_m):
    """By delay and lag it is no longer, soon after; it then stands little past the stop point."""
    drive = driven_at(13.0)
    drive.command("stop")
    drive.step()
    place = show(drive, ahead_m)
    modes, hardest = stopped(drive)
    assert drive.vehicle.x + FRONT - place < 2.5
    assert 3.3 < hardest < 4.2
    assert modes == {Mode.IN_LANE_STOP}


def test_one_that_turns_green_is_braked_for_no_more():
    drive = driven_at(13.0)
    place = show(drive, 35.0)
    drive.command("stop")
    drive.run(0.8)
    assert drive.published[-1].points[5, 5] < -2.3
    drive.signals = (Signal(1, place, 0.0, GREEN),)
    drive.run(1.5)
    assert drive.published[-1].points[5, 5] > -1.6


def test_the_light_of_another_lane_is_none():
    drive = driven_at(13.0)
    show(drive, 35.0, y=4.0)
    drive.command("stop")
    assert stopped(drive)[1] < 1.6


def test_the_models_braking_for_a_red_light_is_not_let_go():
    drive = driven_at(13.0)
    place = show(drive, 70.0)

    def plan(planned):
        room, speed = place - FRONT - 2.0 - drive.vehicle.x, drive.vehicle.speed
        needed = speed * speed / (2 * max(room, 0.1))
        return make_plan(planned.stamp_ns, straight_poses(speed, -needed if needed > 2.0 else 0.0), planned.plan_id)

    drive.edit[Plan] = plan
    while place - drive.vehicle.x - FRONT > 18.0:
        drive.step()
    assert drive.published[-1].source == "model"
    drive.command("stop")
    stopped(drive)
    assert -3.5 < drive.vehicle.x + FRONT - place < -0.5
