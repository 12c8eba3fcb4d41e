"""The in-lane stop never lets go of the braking that it finds: what only the model sees is not overrun by it."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode
from onboard_vla.safety.driving import TIMES_S

from .driven_range import begin_stop, driven_at, until_it_stands
from .driving_range import codes, make_plan, straight_poses

VEHICLE = VehicleGeometry()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m
CAUSES = ["stop", "objects", "lanes"]


def braking_for(place, ahead_m):
    """A model that stops the front at `place`, which nobody else sees; the drive, when it has come so near."""
    drive = driven_at(13.0)
    place += drive.vehicle.x + FRONT

    def plan(planned):
        room, speed = place - FRONT - drive.vehicle.x, drive.vehicle.speed
        needed = speed * speed / (2 * max(room, 0.1))
        braking = -min(needed, 5.0) if needed > 3.0 else 0.0
        return make_plan(planned.stamp_ns, straight_poses(speed, braking), planned.plan_id)

    drive.edit[Plan] = plan
    while place - drive.vehicle.x - FRONT > ahead_m:
        message = drive.step()
        assert message.mode <= Mode.REDUCED, codes(message)
    return drive, place


@pytest.mark.parametrize("cause", CAUSES)
@pytest.mark.parametrize("ahead_m", [22.0, 16.0, 6.0])
def test_a_stop_that_begins_while_the_model_brakes_to_a_stand_ends_where_the_model_would_have(cause, ahead_m):
    drive, place = braking_for(60.0, ahead_m)
    assert drive.published[-1].source == "model"
    begin_stop(drive, cause)
    seen, hardest = until_it_stands(drive)
    assert -2.0 < drive.vehicle.x + FRONT - place < 1.0
    assert {message.mode for message in seen} <= {Mode.NOMINAL, Mode.REDUCED, Mode.IN_LANE_STOP}
    assert hardest <= 4.3


@pytest.mark.parametrize("cause", CAUSES)
def test_a_plan_that_slows_and_drives_on_is_not_overtaken_by_the_stop(cause):
    """From 20 m/s with 2.5 m/s^2 for as long as the plan shows; the stop goes on beyond its end, as it ended."""
    drive = driven_at(20.0)
    drive.edit[Plan] = lambda p: make_plan(p.stamp_ns, straight_poses(drive.vehicle.speed, -2.5), p.plan_id)
    drive.run(1.5)
    start, speed = drive.vehicle.x, drive.vehicle.speed
    assert drive.published[-1].source == "model"
    begin_stop(drive, cause)
    seen, hardest = until_it_stands(drive)
    assert drive.vehicle.x - start < speed**2 / 5.0 + 0.4 * speed
    assert hardest <= 3.3
    assert Mode.EMERGENCY_STOP not in {message.mode for message in seen}


def test_braking_that_the_plan_has_not_begun_yet_comes_when_it_would_have():
    drive = driven_at(15.0)
    times = np.arange(1, 11) * 0.5

    def late(planned):
        way = drive.vehicle.speed * times - 1.5 * np.maximum(times - 2.0, 0.0) ** 2
        return make_plan(planned.stamp_ns, np.column_stack([way, 0 * way, 0 * way]), planned.plan_id)

    drive.edit[Plan] = late
    drive.run(0.4)
    assert drive.published[-1].source == "model"
    drive.command("stop")
    message = drive.step()
    at = np.interp([1.0, 3.2], TIMES_S, message.points[:, 5])
    assert at[0] > -1.6
    assert at[1] == pytest.approx(-3.0, abs=0.3)


def test_a_person_who_drove_since_ends_what_the_model_had_planned():
    drive, _ = braking_for(60.0, 25.0)
    drive.command("stop")
    drive.run(0.2)
    assert drive.published[-1].points[5, 5] < -2.5
    for acts in (True, False):
        for _ in range(40):
            drive.supervisor.receive(DriverState(drive.now.stamp_ns, acts), drive.now)
            message = drive.step()
    assert (message.engagement, message.source) == (Engagement.LATCHED, "stop")
    assert drive.vehicle.speed > 5.0
    assert message.points[:40, 5].min() > -1.7
