"""The rig's vehicle follows what is published: otherwise the supervisor sees brakes that do not answer."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.app.straight_road.stand_in_planner import CHANGE_MPS2, covered_m
from onboard_vla.app.straight_road.vehicle import DELAY_S, FollowingVehicle
from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.vehicle_gate import GATE_BRAKING_MPS2, SILENCE_LIMIT_NS
from onboard_vla.world.vehicle import DRIVE_LAG_S

TICK_NS, BEGIN_NS = 20_000_000, 10**9
SPEED_MPS = 8.0


def at(tick: int) -> Now:
    return Now(BEGIN_NS + tick * TICK_NS, BEGIN_NS + tick * TICK_NS)


def published(now: Now, x_m: float, engagement: Engagement, braking_mps2: float) -> SafeTrajectory:
    times = np.arange(41) * 0.1
    speed = np.maximum(SPEED_MPS - braking_mps2 * times, 0.0)
    x = x_m + np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * 0.1)])
    zero = np.zeros_like(times)
    points = np.stack([times, x, zero, zero, speed, np.full_like(times, -braking_mps2)], axis=1)
    return SafeTrajectory(
        now.stamp_ns, 0, engagement, Mode.NOMINAL, "model", 0, (), points, False, Takeover.NONE, NO_STAMP, NO_STAMP,
        (), 0, "",
    )  # fmt: skip


def drive(vehicle: FollowingVehicle, ticks: int, engagement: Engagement | None, braking_mps2: float = 0.0):
    """States of so many ticks, in which this is published, or nothing."""
    states = []
    for tick in range(ticks):
        state = vehicle.state(at(tick))
        states.append(state)
        if engagement is not None:
            vehicle.hear(published(at(tick), state.x_m, engagement, braking_mps2), at(tick))
        vehicle.command(state, at(tick))
    return states


def test_a_person_holds_the_speed_until_the_supervisor_drives() -> None:
    states = drive(FollowingVehicle(SPEED_MPS, at(0)), 100, Engagement.STANDBY)

    assert {state.speed_mps for state in states} == {SPEED_MPS}
    assert states[-1].x_m == pytest.approx(99 * 0.02 * SPEED_MPS)


def test_braking_that_is_published_comes_after_delay_and_lag() -> None:
    states = drive(FollowingVehicle(SPEED_MPS, at(0)), 50, Engagement.ENGAGED, braking_mps2=2.0)

    begun = round(DELAY_S / 0.02)
    assert [state.acceleration_mps2 for state in states[: begun + 1]] == [0.0] * (begun + 1)
    assert states[begun + 1].acceleration_mps2 < 0.0
    lagged = states[begun + round(3 * DRIVE_LAG_S / 0.02)].acceleration_mps2
    assert lagged == pytest.approx(-2.0 * (1 - np.exp(-3)), abs=0.35), "the gate adds feedback of its own"


def test_silence_of_a_supervisor_that_drove_is_braked_by_the_gate() -> None:
    vehicle = FollowingVehicle(SPEED_MPS, at(0))
    vehicle.hear(published(at(0), 0.0, Engagement.ENGAGED, 0.0), at(0))
    states = drive(vehicle, 100, None)

    silent = SILENCE_LIMIT_NS // TICK_NS
    assert all(state.acceleration_mps2 >= -0.1 for state in states[:silent])
    assert states[80].acceleration_mps2 == pytest.approx(-GATE_BRAKING_MPS2, rel=0.01)
    assert states[-1].speed_mps < SPEED_MPS - GATE_BRAKING_MPS2
    assert vehicle.stopping_since == at(silent + 1)
    vehicle.hear(published(at(100), 0.0, Engagement.ENGAGED, 0.0), at(100))
    vehicle.command(states[-1], at(100))
    assert vehicle.stopping_since is None


def test_a_rig_that_was_late_holds_the_last_command_meanwhile() -> None:
    on_time, late = (FollowingVehicle(SPEED_MPS, at(0)) for _ in range(2))
    for vehicle in (on_time, late):
        drive(vehicle, 50, Engagement.ENGAGED, braking_mps2=2.0)
    for tick in range(50, 76):
        state = on_time.state(at(tick))

    assert late.state(at(75)) == state


def test_the_stand_in_comes_to_the_routes_speed_at_its_own_rate() -> None:
    times = np.linspace(0.0, 6.0, 601)
    for speed, wanted in ((2.0, 8.0), (8.0, 5.0), (8.0, 8.0)):
        way = covered_m(speed, wanted, times)
        driven = np.gradient(way, times)[1:-1]
        expected = speed + np.sign(wanted - speed) * np.minimum(CHANGE_MPS2 * times, abs(wanted - speed))[1:-1]
        assert driven == pytest.approx(expected, abs=0.01)
