"""The gate hears the driver itself: he has the vehicle while he says that he acts, and nobody else has not for long."""

from __future__ import annotations

import dataclasses
import math

import pytest

from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import DriverState, Engagement
from onboard_vla.core.vehicle_gate import (
    CURVATURE_MAX_PER_M,
    DRIVER_ACTS_NS,
    GATE_BRAKING_MPS2,
    LATERAL_MAX_MPS2,
    SILENCE_LIMIT_NS,
)
from onboard_vla.ros_nodes.gate_host import GateCommand, GateHost

from .test_gate_host import FOLLOWING, HOLDING, MS, OVERRIDDEN, STOPPING, at, drive, ego, trajectory

HEARD_MS, SILENT_MS = DRIVER_ACTS_NS // MS, SILENCE_LIMIT_NS // MS


def acts(gate: GateHost, ms: int, override: bool = True) -> None:
    gate.receive(DriverState(at(ms).stamp_ns, override), at(ms))


def turning(ms: int, speed_mps: float = 8.0, curvature: float = 0.02) -> EgoState:
    return dataclasses.replace(ego(ms, speed_mps), yaw_rate_rps=curvature * speed_mps)


@pytest.fixture
def driving() -> GateHost:
    gate = GateHost()
    drive(gate, 0, 100, engagement=Engagement.STANDBY)
    assert {state for _, state, _ in drive(gate, 100, 500)} == {FOLLOWING}
    return gate


@pytest.mark.parametrize("word", [Engagement.ENGAGED, Engagement.LATCHED])
def test_while_the_driver_says_that_he_acts_nothing_is_asked_for_whatever_the_supervisor_says(driving, word) -> None:
    for ms in range(500, 1500, 100):
        acts(driving, ms)
        assert {(state, demand) for _, state, demand in drive(driving, ms, ms + 100, engagement=word)} == {
            (OVERRIDDEN, 0.0)
        }


def test_a_driver_heard_here_has_the_vehicle_though_the_supervisor_is_dead_and_its_stop_has_begun(driving) -> None:
    assert drive(driving, 500, 1000, heard=False)[-1][1] is STOPPING

    acts(driving, 1000)

    assert {state for _, state, _ in drive(driving, 1000, 1000 + HEARD_MS, heard=False)} == {OVERRIDDEN}
    assert driving.command(at(1000 + HEARD_MS + 1)).state is STOPPING


@pytest.mark.parametrize("heard", [False, True])
@pytest.mark.parametrize("stamp_ns", [at(500).stamp_ns, 0])
def test_one_stamp_said_again_and_again_leaves_the_vehicle_to_him_until_it_ends(driving, stamp_ns, heard) -> None:
    drive(driving, 500, 800, heard=heard)
    for ms in range(800, 2000, 100):
        driving.receive(DriverState(stamp_ns, True), at(ms))
        said = drive(driving, ms, ms + 100, heard=heard)
        assert {(state, demand) for _, state, demand in said} == {(OVERRIDDEN, 0.0)}

    assert driving.command(at(1900 + HEARD_MS)).state is OVERRIDDEN
    assert driving.command(at(1900 + HEARD_MS + 10)).state is STOPPING


def test_a_supervisor_that_drives_on_after_the_driver_acted_is_not_followed(driving) -> None:
    acts(driving, 500)
    drive(driving, 500, 1000)

    command = driving.command(at(1000))

    assert (command.state, command.reason) == (STOPPING, "the driver acted, and the supervisor drove on")
    assert drive(driving, 1000, 1200)[-1][1] is STOPPING


def test_a_driver_whom_supervisor_and_gate_heard_hands_over_to_what_the_supervisor_says(driving) -> None:
    acts(driving, 500)
    drive(driving, 500, 540)
    drive(driving, 540, 1000, engagement=Engagement.DRIVER_OVERRIDE)

    assert drive(driving, 1000, 1100, engagement=Engagement.LATCHED)[0][1] is FOLLOWING


def test_a_person_who_drives_in_standby_is_overridden_while_he_acts_and_then_held_as_before() -> None:
    gate = GateHost()
    drive(gate, 0, 100, engagement=Engagement.STANDBY)
    acts(gate, 100)

    assert drive(gate, 100, 200, engagement=Engagement.STANDBY)[-1][1:] == (OVERRIDDEN, 0.0)
    assert drive(gate, 200, 600, engagement=Engagement.STANDBY)[-1][1] is HOLDING
    assert drive(gate, 600, 700)[-1][1] is FOLLOWING


def stopped_on_its_arc(gate: GateHost, end_ms: int, **said: Engagement) -> GateCommand:
    """Every 20 ms a state on an arc of 50 m and a word without points; the last command."""
    for ms in range(500, end_ms, 20):
        gate.receive(turning(ms), at(ms))
        word = trajectory(ms, said["first"] if ms < 600 else said["then"])
        gate.receive(dataclasses.replace(word, points=word.points[:0]), at(ms))
        command = gate.command(at(ms))
    return command


@pytest.mark.parametrize("word", [Engagement.LATCHED, Engagement.ENGAGED])
def test_a_supervisor_without_points_ends_an_override_and_the_gate_stops_on_the_arc_of_that_instant(
    driving, word
) -> None:
    assert stopped_on_its_arc(driving, 600, first=Engagement.DRIVER_OVERRIDE, then=word).state is OVERRIDDEN

    command = stopped_on_its_arc(driving, 640, first=Engagement.DRIVER_OVERRIDE, then=word)

    assert command.state is STOPPING
    assert command.control.acceleration_mps2 == -GATE_BRAKING_MPS2
    way_m = 8.0 * 0.04 - GATE_BRAKING_MPS2 / 2 * 0.04**2
    assert command.control.curvature_per_m == pytest.approx(0.02 * math.exp(-way_m / 8.0))
    assert command.reason == "the supervisor has no trajectory"


def test_an_override_that_the_supervisor_does_not_say_again_ends_with_the_silence_limit_on_the_arc(driving) -> None:
    driving.receive(trajectory(500, Engagement.DRIVER_OVERRIDE), at(500))
    for ms in range(500, 800, 10):
        driving.receive(turning(ms), at(ms))
        command = driving.command(at(ms))
        assert (command.state is OVERRIDDEN) == (ms <= 500 + SILENT_MS)
    assert command.state is STOPPING
    assert 0.017 < command.control.curvature_per_m < 0.02


def test_who_is_told_to_drive_without_points_while_the_driver_acts_stops_when_he_lets_go() -> None:
    gate = GateHost()
    acts(gate, 0)
    drive(gate, 0, HEARD_MS - 40, engagement=Engagement.STANDBY)
    latched = trajectory(HEARD_MS - 40, Engagement.LATCHED)
    gate.receive(dataclasses.replace(latched, points=latched.points[:0]), at(HEARD_MS - 40))
    assert gate.command(at(HEARD_MS)).state is OVERRIDDEN

    assert gate.command(at(HEARD_MS + 10)).state is STOPPING


def test_no_arc_is_tighter_than_a_vehicle_can_drive(driving) -> None:
    driving.receive(trajectory(500, Engagement.DRIVER_OVERRIDE), at(500))
    driving.receive(turning(500, 4.0, curvature=-5.0), at(500))
    assert driving.command(at(500)).control.curvature_per_m == -CURVATURE_MAX_PER_M

    driving.receive(turning(520, 10.0, curvature=5.0), at(520))
    assert driving.command(at(520)).control.curvature_per_m == LATERAL_MAX_MPS2 / 10.0**2


@pytest.mark.parametrize("seen", [True, False])
def test_let_go_in_a_swerve_it_straightens_as_the_supervisors_stop_without_a_lane(driving, seen) -> None:
    """A path of curvature k exp(-s / v) over s = v² / 8 m turns by k v (1 - exp(-v / 8)), not by k v² / 8."""
    driving.receive(trajectory(500, Engagement.DRIVER_OVERRIDE), at(500))
    driving.receive(turning(500, 10.0, 0.05), at(500))
    driving.command(at(500))
    speed, heading, ms = 10.0, 0.0, 500
    while speed > 0.0:
        ms += 10
        if seen:
            driving.receive(dataclasses.replace(ego(ms, speed), yaw_rate_rps=0.05 * speed), at(ms))
        command = driving.command(at(ms))
        if command.state is STOPPING:
            heading += command.control.curvature_per_m * speed * 0.01
            speed = max(speed - GATE_BRAKING_MPS2 * 0.01, 0.0)
    late_m = 0.0 if seen else 10.0 * 0.2  # on the arc since it was last seen
    most = 0.05 * 10.0 * (1 - math.exp(-10.0 / 8))
    assert most - 0.05 * late_m - 0.01 < heading < most + 0.005


@pytest.mark.parametrize("word", [Engagement.ENGAGED, Engagement.LATCHED])
def test_a_gate_that_starts_in_motion_stops_along_the_trajectory_that_it_hears(word) -> None:
    gate = GateHost()
    gate.receive(dataclasses.replace(ego(0), y_m=-1.0), at(0))
    gate.receive(trajectory(0, word), at(0))

    command = gate.command(at(0))

    assert command.state is STOPPING
    assert command.control.curvature_per_m > 0.01


def test_a_gate_that_starts_in_motion_under_a_supervisor_without_points_stops_then_along_the_first_that_come() -> None:
    gate = GateHost()
    first = trajectory(0, Engagement.LATCHED)
    gate.receive(dataclasses.replace(ego(0), y_m=-1.0), at(0))
    gate.receive(dataclasses.replace(first, points=first.points[:0]), at(0))
    assert (gate.command(at(0)).state, gate.command(at(0)).control.curvature_per_m) == (STOPPING, 0.0)

    gate.receive(trajectory(20, Engagement.LATCHED), at(20))

    assert gate.command(at(20)).state is STOPPING
    assert gate.command(at(20)).control.curvature_per_m > 0.01


@pytest.mark.parametrize("changes", [{"x_m": 2e7}, {"y_m": -2e7}, {"heading_rad": 2e3}, {"x_m": 1e308}])
def test_a_pose_that_is_nowhere_on_earth_is_none(driving, changes) -> None:
    for ms in range(500, 720, 20):
        driving.receive(trajectory(ms), at(ms))
        driving.receive(dataclasses.replace(ego(ms), **changes), at(ms))
    assert (driving.command(at(720)).state, driving.command(at(720)).reason) == (STOPPING, "no ego state")
