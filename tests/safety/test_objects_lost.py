"""When the object lists end, who was there is taken to brake: a stop that trusts an old speed hits a stopping lead."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.objects import ObjectList
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.object_memory import ObjectMemory

from .driving_range import Mover, Range, make_object, simulation_config

FRONT = 4.8 - 0.95
SECOND = 10**9


def confirmed(vx, kind):
    memory = ObjectMemory(CollisionLimits())
    for k in range(3):
        memory.add(ObjectList(k * SECOND // 10, (make_object(vx * k / 10, 0.0, vx=vx, kind=kind),)))
    return memory.confirmed


def test_braking_moves_by_the_closed_form_and_ends_at_standstill():
    seen = confirmed(12.0, "vehicle")
    start = seen.states[0, 0]

    soon, late = (seen.braking_to(2 * SECOND // 10 + t, 6.0) for t in (SECOND, 5 * SECOND))

    assert soon.states[0, 0] - start == pytest.approx(12.0 - 3.0)
    assert soon.states[0, 3] == pytest.approx(6.0)
    assert late.states[0, 0] - start == pytest.approx(12.0**2 / 12.0)
    assert late.states[0, 3] == 0.0


def test_people_on_foot_are_taken_to_walk_on():
    seen = confirmed(1.5, "pedestrian")

    assert seen.braking_to(2 * SECOND // 10 + SECOND, 6.0).states[0, 3] == pytest.approx(1.5)
    np.testing.assert_allclose(seen.braking_to(SECOND, 0.0).states, seen.at(SECOND).states)


@pytest.mark.parametrize("speed", [5.0, 15.0, 25.0])
def test_a_lead_that_brakes_unseen_is_not_hit(speed):
    drive = Range(simulation_config(), speed=speed)
    drive.limit_mps = drive.plan_speed = speed
    gap_m = 2.0 + 1.8 * speed
    drive.movers = [Mover(drive.vehicle.x + FRONT + gap_m + 2.3, vx=speed)]
    drive.engage(1.0)
    drive.movers[0].x = drive.vehicle.x + FRONT + gap_m + 2.3
    drive.run(1.5)
    drive.silent.add("objects")
    drive.run(0.2)
    drive.movers[0].law = lambda _time: -5.0

    least = np.inf
    for _ in range(round(20.0 / 0.02)):
        drive.step()
        least = min(least, drive.movers[0].x - 2.3 - drive.vehicle.x - FRONT)
        if drive.vehicle.speed == 0.0:
            break

    assert least > 0.0
    assert drive.vehicle.speed == 0.0
    assert drive.published[-1].mode >= Mode.IN_LANE_STOP
