"""The reference gate: follows, stops when nobody leads, and comes back only through standby."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import SHADOW, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.vehicle_gate import GATE_BRAKING_MPS2, HOLD_BRAKING_MPS2, PERIOD_S
from onboard_vla.ros_nodes.gate_host import GateHost, GateState

MS = 1_000_000
HOLDING, FOLLOWING, STOPPING = GateState.HOLDING, GateState.FOLLOWING, GateState.STOPPING
OVERRIDDEN = GateState.OVERRIDDEN


def at(ms: int) -> Now:
    return Now(10**12 + ms * MS, 10**18 + ms * MS)


def ego(ms: int, speed_mps: float = 8.0) -> EgoState:
    return EgoState(at(ms).stamp_ns, 8.0 * ms / 1e3, 0.0, 0.0, speed_mps, 0.0, 0.0)


def trajectory(ms: int, engagement: Engagement = Engagement.ENGAGED, source: str = "model") -> SafeTrajectory:
    times = np.arange(50) * 0.1
    points = np.stack([times, 8.0 * (ms / 1e3 + times), 0 * times, 0 * times, 8.0 + 0 * times, 0 * times], axis=1)
    standby = engagement in (Engagement.STANDBY, Engagement.DRIVER_OVERRIDE)
    return SafeTrajectory(
        at(ms).stamp_ns, ms, engagement, Mode.NOMINAL, source, 1, (), points[:0] if standby else points, False,
        Takeover.NONE, -1, -1, (), 0, "c",
    )  # fmt: skip


def drive(gate: GateHost, begin_ms: int, end_ms: int, **kinds) -> list[tuple[int, GateState, float]]:
    """Every 20 ms ego and trajectory come; a command goes every period of the gate."""
    said = []
    for ms in range(begin_ms, end_ms, round(PERIOD_S * 1e3)):
        if kinds.get("ego", True) and ms % 20 == 0:
            gate.receive(ego(ms, kinds.get("speed_mps", 8.0)), at(ms))
        if kinds.get("heard", True) and ms % 20 == 0:
            gate.receive(trajectory(ms, kinds.get("engagement", Engagement.ENGAGED)), at(ms))
        command = gate.command(at(ms))
        said.append((ms, command.state, command.control.acceleration_mps2))
    return said


@pytest.fixture
def driving() -> GateHost:
    gate = GateHost()
    drive(gate, 0, 100, engagement=Engagement.STANDBY)
    assert {state for _, state, _ in drive(gate, 100, 500)} == {FOLLOWING}
    return gate


def test_in_standby_the_vehicle_is_held() -> None:
    said = drive(GateHost(), 0, 100, engagement=Engagement.STANDBY)

    assert {(state, demand) for _, state, demand in said} == {(HOLDING, -HOLD_BRAKING_MPS2)}


def test_a_supervisor_that_falls_silent_stops_the_vehicle_within_a_period_of_190_ms_and_it_stays_so(driving) -> None:
    said = drive(driving, 500, 1000, heard=False)

    first = next(ms for ms, state, _ in said if state is STOPPING)
    assert first - 480 == 200
    assert [timer.period_s for timer in driving.timers] == [PERIOD_S]
    assert {demand for ms, _, demand in said if ms >= first} == {-GATE_BRAKING_MPS2}
    # A supervisor that comes back and says that it drives, or that it is latched, is not followed.
    assert {state for _, state, _ in drive(driving, 1000, 1200)} == {STOPPING}
    assert {state for _, state, _ in drive(driving, 1200, 1400, engagement=Engagement.LATCHED)} == {STOPPING}


def test_after_standby_at_standstill_it_follows_again(driving) -> None:
    drive(driving, 500, 1000, heard=False)

    assert drive(driving, 1000, 1100, engagement=Engagement.STANDBY, speed_mps=0.05)[-1][1] is HOLDING
    assert drive(driving, 1100, 1200)[-1][1] is FOLLOWING


@pytest.mark.parametrize("seen", [{"speed_mps": 8.0}, {"speed_mps": 0.2}, {"speed_mps": float("nan")}, {"ego": False}])
def test_a_supervisor_that_comes_back_in_standby_ends_no_stop_before_standstill(driving, seen) -> None:
    drive(driving, 500, 1000, heard=False)

    said = drive(driving, 1000, 1500, engagement=Engagement.STANDBY, **seen)

    assert {(state, demand) for _, state, demand in said} == {(STOPPING, -GATE_BRAKING_MPS2)}
    assert driving.command(at(1500)).reason == "the supervisor is silent"


def test_standby_after_silence_stops_though_no_command_was_due_between(driving) -> None:
    driving.receive(ego(690), at(690))

    driving.receive(trajectory(690, Engagement.STANDBY), at(690))

    assert driving.command(at(690)).state is STOPPING


def test_its_own_stop_is_steered_along_the_path_whatever_the_supervisor_says(driving) -> None:
    drive(driving, 500, 1000, heard=False)
    drive(driving, 1000, 1100, engagement=Engagement.STANDBY)

    driving.receive(dataclasses.replace(ego(1100), y_m=-1.0), at(1100))

    assert driving.command(at(1100)).control.curvature_per_m > 0.01


def test_a_driver_who_takes_over_ends_the_stop_at_any_speed(driving) -> None:
    drive(driving, 500, 1000, heard=False)

    assert drive(driving, 1000, 1100, engagement=Engagement.DRIVER_OVERRIDE)[-1][1:] == (OVERRIDDEN, 0.0)


def test_who_disengages_while_it_follows_has_the_vehicle_at_any_speed(driving) -> None:
    assert drive(driving, 500, 600, engagement=Engagement.STANDBY)[-1][1] is HOLDING


def test_a_gate_that_starts_while_a_person_drives_follows_after_standby_at_any_speed() -> None:
    gate = GateHost()
    drive(gate, 0, 100, engagement=Engagement.STANDBY)

    assert drive(gate, 100, 200)[-1][1] is FOLLOWING


@pytest.mark.parametrize("spoilt", ["older", "not finite"])
def test_the_engagement_of_a_message_that_is_refused_does_not_count(driving, spoilt) -> None:
    standby = trajectory(400 if spoilt == "older" else 500, Engagement.STANDBY)
    if spoilt == "not finite":
        standby = dataclasses.replace(standby, points=np.full((1, 6), np.nan))
    driving.receive(ego(500), at(500))

    driving.receive(standby, at(500))
    assert driving.command(at(500)).state is FOLLOWING

    drive(driving, 510, 1000, heard=False, speed_mps=0.0)
    driving.receive(standby, at(1000))
    assert driving.command(at(1000)).state is STOPPING


def test_a_gate_that_starts_while_the_vehicle_is_driven_stops_it_and_follows_nobody_before_standby() -> None:
    gate = GateHost()

    said = drive(gate, 0, 500)

    assert {(state, demand) for _, state, demand in said} == {(STOPPING, -GATE_BRAKING_MPS2)}
    assert gate.command(at(500)).reason == "started while the vehicle was being driven"
    assert drive(gate, 500, 600, engagement=Engagement.STANDBY)[-1][1] is STOPPING
    assert drive(gate, 600, 700, engagement=Engagement.STANDBY, speed_mps=0.0)[-1][1] is HOLDING


def test_without_an_ego_state_it_stops_on_the_last_curvature(driving) -> None:
    said = drive(driving, 500, 1000, ego=False)

    first = next(ms for ms, state, _ in said if state is STOPPING)
    assert first - 480 == 210
    assert driving.command(at(1000)).reason == "no ego state"
    assert drive(driving, 1000, 1100)[-1][1] is STOPPING


def seen_as(driving: GateHost, stamp_of, end_ms: int = 1000) -> list[GateState]:
    """A supervisor at 50 Hz, and ego states whose stamps are `stamp_of(ms)`."""
    states = []
    for ms in range(500, end_ms, 20):
        driving.receive(dataclasses.replace(ego(ms), stamp_ns=stamp_of(ms)), at(ms))
        driving.receive(trajectory(ms), at(ms))
        states.append(driving.command(at(ms)).state)
    return states


@pytest.mark.parametrize(
    "stamp_of",
    [
        lambda _: at(500).stamp_ns,
        lambda _: 0,
        lambda ms: at(1000 - ms).stamp_ns,
        lambda ms: at(ms - 201).stamp_ns,
        lambda ms: at(ms - 3_600_000).stamp_ns,
    ],
)
def test_an_ego_state_that_stands_or_is_old_counts_as_none_however_often_it_comes(driving, stamp_of) -> None:
    assert seen_as(driving, stamp_of)[-10:] == [STOPPING] * 10
    assert driving.command(at(1000)).reason == "no ego state"


@pytest.mark.parametrize("late_ms", [-3_600_000, 0, 100, 200])
def test_an_ego_state_is_as_old_as_its_stamp_and_its_wait_together(driving, late_ms) -> None:
    assert set(seen_as(driving, lambda ms: at(ms - late_ms).stamp_ns)) == {FOLLOWING}
    limit_ms = 980 + 200 - max(late_ms, 0)
    for ms in (*range(990, limit_ms, 10), limit_ms):
        driving.receive(trajectory(ms), at(ms))
        assert driving.command(at(ms)).state is FOLLOWING
    assert driving.command(at(limit_ms + 1)).reason == "no ego state"


def test_a_clock_of_the_ego_state_put_back_stops_nobody(driving) -> None:
    assert set(seen_as(driving, lambda ms: at(ms if ms < 700 else ms - 150).stamp_ns)) == {FOLLOWING}


def test_what_a_watching_supervisor_says_counts_as_silence_and_frees_nobody(driving) -> None:
    drive(driving, 500, 1000, heard=False)
    watching = dataclasses.replace(trajectory(1000, Engagement.STANDBY), source=SHADOW)

    driving.receive(watching, at(1000))

    assert driving.command(at(1000)).state is STOPPING


def test_a_driver_who_takes_over_is_let(driving) -> None:
    said = drive(driving, 500, 600, engagement=Engagement.DRIVER_OVERRIDE)

    assert {(state, demand) for _, state, demand in said} == {(OVERRIDDEN, 0.0)}


def test_a_driver_is_not_braked_against_while_nothing_is_known_of_the_vehicle(driving) -> None:
    said = drive(driving, 500, 1500, engagement=Engagement.DRIVER_OVERRIDE, ego=False)

    assert {(state, demand) for _, state, demand in said} == {(OVERRIDDEN, 0.0)}


def test_after_the_driver_let_go_it_holds_or_follows_as_the_supervisor_says(driving) -> None:
    drive(driving, 500, 600, engagement=Engagement.DRIVER_OVERRIDE)

    assert drive(driving, 600, 700, engagement=Engagement.STANDBY)[-1][1:] == (HOLDING, -HOLD_BRAKING_MPS2)
    assert drive(driving, 700, 800)[-1][1] is FOLLOWING
