"""The gate's watchdog: what 220 ms are made of, and that it stops in them whenever the supervisor falls silent.

And its tracker: what it asks for at most.
"""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.clock import Now, nanoseconds
from onboard_vla.core.control import Control
from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.vehicle_gate import (
    CURVATURE_MAX_PER_M,
    FEEDBACK_MAX_MPS2,
    FEEDBACK_MIN_MPS2,
    GATE_BRAKING_MPS2,
    LATERAL_MAX_MPS2,
    PERIOD_S,
    REACTION_NS,
    SCHEDULING_NS,
    SILENCE_LIMIT_NS,
    VehicleGate,
    drivable,
)
from onboard_vla.safety.config import FreshnessLimits
from onboard_vla.safety.supervisor_host import TICK_PERIOD_S

MS = 1_000_000
EGO = EgoState(0, 0.0, 0.0, 0.0, 8.0, 0.0, 0.0)


def following(at_ns: int) -> VehicleGate:
    """A gate that heard a trajectory at this instant."""
    gate = VehicleGate()
    hear(gate, at_ns)
    return gate


def hear(gate: VehicleGate, at_ns: int) -> None:
    times = np.arange(51) * 0.1
    zero = np.zeros_like(times)
    points = np.column_stack([times, 8.0 * times, zero, zero, np.full_like(times, 8.0), zero])
    gate.follow(
        SafeTrajectory(
            at_ns, 0, Engagement.ENGAGED, Mode.NOMINAL, "model", 0, (), points, False, Takeover.NONE, NO_STAMP,
            NO_STAMP, (), 0, "",
        ),
        Now(at_ns, at_ns),
    )  # fmt: skip


def stops(gate: VehicleGate, at_ns: int) -> bool:
    return gate.control(EGO, Now(at_ns, at_ns)).acceleration_mps2 == -GATE_BRAKING_MPS2


def test_the_reaction_asked_for_leaves_silence_a_period_and_room_for_scheduling() -> None:
    assert REACTION_NS == 220 * MS
    assert SILENCE_LIMIT_NS + nanoseconds(PERIOD_S) + SCHEDULING_NS == REACTION_NS
    assert SILENCE_LIMIT_NS <= 200 * MS, "safety sheet 1: missing for 200 ms at most"
    # What a supervisor reports of its own ticks, and what it stops for itself.
    assert nanoseconds(FreshnessLimits().tick_gap_s - TICK_PERIOD_S) == SCHEDULING_NS
    assert nanoseconds(FreshnessLimits().tick_gap_stop_s) == SILENCE_LIMIT_NS


@pytest.mark.parametrize(("age_ns", "expected"), [(SILENCE_LIMIT_NS, False), (SILENCE_LIMIT_NS + 1, True)])
def test_silence_stops_the_vehicle_when_it_is_longer_than_the_limit(age_ns: int, expected: bool) -> None:
    assert stops(following(0), age_ns) is expected
    assert stops(following(0), 10 * SILENCE_LIMIT_NS)


@given(
    phase_ns=st.integers(0, nanoseconds(PERIOD_S)),
    late_ns=st.lists(st.integers(0, SCHEDULING_NS), min_size=40, max_size=40),
)
def test_whenever_the_last_message_comes_the_gate_brakes_within_its_reaction(phase_ns: int, late_ns: list[int]) -> None:
    gate = following(0)
    due = itertools.count(phase_ns, nanoseconds(PERIOD_S))
    commands = [at + late for at, late in zip(due, late_ns, strict=False)]

    braked = min(at for at in commands if stops(gate, at))

    assert SILENCE_LIMIT_NS < braked <= REACTION_NS


@given(st.lists(st.integers(0, SILENCE_LIMIT_NS - nanoseconds(TICK_PERIOD_S)), min_size=2, max_size=30))
def test_a_live_supervisor_is_never_stopped_for_ticks_that_are_late(late_ns: list[int]) -> None:
    gate = following(0)
    at = 0
    for late in late_ns:
        at += nanoseconds(TICK_PERIOD_S) + late
        assert not stops(gate, at)
        hear(gate, at)


def control(speed_mps: float = 8.0, asked_mps2: float = 0.0, aside_m: float = 0.0, wanted_mps: float = 8.0) -> Control:
    """Of a gate on a straight path that has just been heard."""
    gate, times = VehicleGate(), np.arange(51) * 0.1
    zero = np.zeros_like(times)
    points = np.column_stack([times, 8.0 * times, zero, zero, wanted_mps + zero, asked_mps2 + zero])
    gate.follow(
        SafeTrajectory(
            0, 0, Engagement.ENGAGED, Mode.NOMINAL, "model", 0, (), points, False, Takeover.NONE, NO_STAMP, NO_STAMP,
            (), 0, "",
        ),
        Now(0, 0),
    )  # fmt: skip
    return gate.control(EgoState(0, 0.0, aside_m, 0.0, speed_mps, 0.0, 0.0), Now(0, 0))


@pytest.mark.parametrize(
    ("speed_mps", "asked_mps2", "expected"),
    [
        (8.0, 0.0, 0.0),
        (10.0, 0.0, -2.4),
        (38.0, 0.0, FEEDBACK_MIN_MPS2),
        (0.0, 0.0, FEEDBACK_MAX_MPS2),
        (38.0, -8.0, -8.0),
        (10.0, -6.0, FEEDBACK_MIN_MPS2),
        (0.0, 3.0, 3.0),
    ],
)
def test_feedback_is_bounded_and_what_the_trajectory_asks_for_is_not(speed_mps, asked_mps2, expected) -> None:
    assert control(speed_mps, asked_mps2).acceleration_mps2 == pytest.approx(expected)


@given(speed=st.floats(0.0, 60.0), aside=st.floats(-10.0, 10.0))
def test_no_arc_is_steered_that_a_car_cannot_drive(speed: float, aside: float) -> None:
    curvature = control(speed, aside_m=aside).curvature_per_m
    assert abs(curvature) <= CURVATURE_MAX_PER_M
    assert abs(curvature) * speed**2 <= LATERAL_MAX_MPS2 * (1 + 1e-9)
    assert aside * curvature <= 0.0


def test_what_a_car_can_drive_is_left_as_it_is() -> None:
    assert drivable(0.04, 10.0) == 0.04
    assert drivable(-0.2, 5.0) == -0.2
    assert drivable(-0.3, 2.0) == -CURVATURE_MAX_PER_M
    assert drivable(0.2, -10.0) == 0.06
    assert drivable(0.2, 1e200) == 0.0
