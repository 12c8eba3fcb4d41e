"""Whom the gate hears whatever the clock does: a live supervisor always, an old message never; and it sends no NaN."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import Engagement
from onboard_vla.core.vehicle_gate import AHEAD_LIMIT_NS, GATE_BRAKING_MPS2
from onboard_vla.ros_nodes.gate_host import GateHost, GateState

from .test_gate_host import FOLLOWING, HOLDING, MS, STOPPING, at, ego, trajectory

HOUR_MS = 3_600_000


def run(gate: GateHost, begin_ms: int, end_ms: int, clock_ms: int = 0, begun_ms: int = 0, **kinds) -> set[GateState]:
    """What it does, the data clock `clock_ms` ahead, under a supervisor that counts its ticks from `begun_ms`."""
    said = set()
    for ms in range(begin_ms, end_ms, 10):
        now = shifted(ms, clock_ms)
        if ms % 20 == 0:
            gate.receive(dataclasses.replace(ego(ms, kinds.get("speed_mps", 8.0)), stamp_ns=now.stamp_ns), now)
            gate.receive(said_at(ms, clock_ms, ms - begun_ms, kinds.get("engagement", Engagement.ENGAGED)), now)
        command = gate.command(now)
        assert math.isfinite(command.control.acceleration_mps2)
        assert math.isfinite(command.control.curvature_per_m)
        said.add(command.state)
    return said


def shifted(ms: int, clock_ms: int) -> Now:
    return Now(at(ms).monotonic_ns, at(ms).stamp_ns + clock_ms * MS)


def said_at(ms: int, clock_ms: int, sequence: int, engagement: Engagement = Engagement.ENGAGED):
    message = trajectory(ms, engagement)
    return dataclasses.replace(message, stamp_ns=shifted(ms, clock_ms).stamp_ns, sequence=sequence)


@pytest.fixture
def driving() -> GateHost:
    gate = GateHost()
    run(gate, 0, 100, engagement=Engagement.STANDBY)
    assert run(gate, 100, 500) == {FOLLOWING}
    return gate


@pytest.mark.parametrize("step_ms", [-HOUR_MS, -500, -100, -10, 10, 500, HOUR_MS])
def test_a_step_of_the_clock_stops_no_live_supervisor(driving, step_ms) -> None:
    assert run(driving, 500, 1500, step_ms) == {FOLLOWING}


@pytest.mark.parametrize("ahead_ms", [0, 300, 999, HOUR_MS])
@pytest.mark.parametrize("sequence", [0, 10**9])
@pytest.mark.parametrize("step_ms", [0, -60_000])
def test_one_message_with_any_stamp_and_number_deafens_nobody(driving, ahead_ms, sequence, step_ms) -> None:
    driving.receive(said_at(490, ahead_ms, sequence), at(490))

    assert run(driving, 500, 1500, step_ms) == {FOLLOWING}


def test_a_message_absurdly_far_ahead_is_not_followed_and_frees_nobody(driving) -> None:
    limit_ms = AHEAD_LIMIT_NS // MS
    driving.receive(said_at(490, limit_ms + 1, 10**9, Engagement.STANDBY), at(490))
    assert driving.command(at(490)).state is FOLLOWING
    driving.receive(said_at(490, limit_ms, 10**9, Engagement.STANDBY), at(490))
    assert driving.command(at(490)).state is HOLDING


@pytest.mark.parametrize("step_ms", [0, -60_000, 60_000])
def test_a_supervisor_that_counts_anew_is_heard_after_its_predecessors_silence(driving, step_ms) -> None:
    assert driving.command(at(1000)).state is STOPPING

    assert run(driving, 1000, 1100, step_ms, begun_ms=990, engagement=Engagement.STANDBY) == {STOPPING}
    standing = run(driving, 1100, 1200, step_ms, begun_ms=990, engagement=Engagement.STANDBY, speed_mps=0.0)
    assert HOLDING in standing
    assert run(driving, 1200, 1300, step_ms, begun_ms=990) == {FOLLOWING}


@pytest.mark.parametrize("copies", [1, 2, 10])
def test_old_messages_again_are_no_sign_of_life(driving, copies) -> None:
    """One repeated, or two old ones in order: a supervisor that lives sends more of them than that."""
    old = [said_at(300, 0, 300)] * copies if copies != 2 else [said_at(300, 0, 300), said_at(320, 0, 320)]
    for message in old:
        driving.receive(message, at(680))

    assert driving.command(at(680)).state is STOPPING


def test_old_messages_between_those_of_a_live_supervisor_count_for_nothing(driving) -> None:
    for ms in range(500, 700, 20):
        driving.receive(ego(ms), at(ms))
        driving.receive(said_at(ms, 0, ms), at(ms))
        driving.receive(said_at(ms - 400, 0, ms - 400, Engagement.STANDBY), at(ms))
        assert driving.command(at(ms)).state is FOLLOWING


@pytest.mark.parametrize("step_ms", [-HOUR_MS, -500, 500, HOUR_MS])
def test_a_step_of_the_clock_between_two_messages_does_not_change_where_the_path_is_read(driving, step_ms) -> None:
    faster = trajectory(500)
    points = faster.points + np.outer(faster.points[:, 0], [0, 0, 0, 0, 1, 1])
    driving.receive(dataclasses.replace(faster, points=points), at(500))
    driving.receive(ego(500), at(500))

    stepped = driving.command(shifted(500, step_ms)).control

    assert stepped.acceleration_mps2 == pytest.approx(driving.command(at(500)).control.acceleration_mps2, abs=1e-9)


@pytest.mark.parametrize("name", ["x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2", "yaw_rate_rps"])
@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_an_ego_state_that_is_not_finite_counts_as_none(driving, name, value) -> None:
    driving.receive(dataclasses.replace(ego(490), **{name: value}), at(490))
    command = driving.command(at(490))
    assert (command.state, command.control.curvature_per_m) == (FOLLOWING, pytest.approx(0.0, abs=1e-9))
    for ms in range(500, 720, 20):
        driving.receive(trajectory(ms), at(ms))
        driving.receive(dataclasses.replace(ego(ms), **{name: value}), at(ms))
        command = driving.command(at(ms))
    assert (command.state, command.reason) == (STOPPING, "no ego state")
    assert command.control.acceleration_mps2 == -GATE_BRAKING_MPS2
    assert math.isfinite(command.control.curvature_per_m)


@pytest.mark.filterwarnings("ignore::RuntimeWarning")
@pytest.mark.parametrize("changes", [{"speed_mps": 1e308, "acceleration_mps2": 1e308}, {"x_m": 1e308, "y_m": -1e308}])
def test_finite_numbers_beyond_reckoning_brake_on_the_last_curvature(driving, changes) -> None:
    driving.receive(dataclasses.replace(ego(490), **changes), at(490))
    control = driving.command(at(490)).control
    assert math.isfinite(control.acceleration_mps2)
    assert math.isfinite(control.curvature_per_m)
