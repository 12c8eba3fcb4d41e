"""Whatever comes in whatever order, a rolling vehicle is somebody's: the table of `core/vehicle_gate.py`."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.safe_trajectory import DriverState, Engagement
from onboard_vla.core.vehicle_gate import DRIVER_ACTS_NS, SILENCE_LIMIT_NS
from onboard_vla.ros_nodes.gate_host import EGO_LIMIT_NS, GateHost

from .test_gate_host import FOLLOWING, HOLDING, MS, OVERRIDDEN, STOPPING, at, ego, trajectory

DRIVING = (Engagement.ENGAGED, Engagement.LATCHED)
WORDS = st.none() | st.tuples(st.sampled_from(Engagement), st.booleans())
OWN, STANDING, UNSET = "own", "standing", "unset"
DRIVER = st.none() | st.tuples(st.booleans(), st.sampled_from([OWN, STANDING, UNSET]))
STEPS = st.tuples(st.integers(1, 24), WORDS, DRIVER, st.booleans(), st.sampled_from([8.0, 0.0]))
"""Ticks of 20 ms, what the supervisor says in each (with or without points), the driver with which stamp, an ego state,
its speed."""


@given(st.lists(STEPS, min_size=1, max_size=8))
def test_at_every_instant_exactly_one_has_the_vehicle_and_with_reason(steps) -> None:
    gate = GateHost()
    word, word_ns, led_ns, acted_ns, ego_ns = None, -math.inf, -math.inf, -math.inf, -math.inf
    before, end_ms, standing = None, 0, False
    for ticks, said, driver, seen, speed in steps:
        begin_ms, end_ms = end_ms, end_ms + 20 * ticks
        for ms in range(begin_ms, end_ms, 20):
            now = at(ms)
            if seen:
                gate.receive(ego(ms, speed), now)
                ego_ns, standing = ms * MS, speed == 0.0
            if driver is not None:
                acts, stamp = driver
                stamps_ns = {OWN: now.stamp_ns, STANDING: at(begin_ms).stamp_ns, UNSET: 0}
                gate.receive(DriverState(stamps_ns[stamp], acts), now)
                acted_ns = ms * MS if acts else acted_ns
            if said is not None:
                message = trajectory(ms, said[0])
                if not said[1]:
                    message = type(message)(**{**vars(message), "points": message.points[:0]})
                gate.receive(message, now)
                word, word_ns = said[0], ms * MS
                led_ns = ms * MS if said[0] in DRIVING and said[1] else led_ns
            for later in (ms, ms + 10):
                command = gate.command(at(later))
                state, asked = command.state, command.control
                fresh = later * MS - word_ns <= SILENCE_LIMIT_NS
                acts = later * MS - acted_ns <= DRIVER_ACTS_NS
                acts = acts or (word is Engagement.DRIVER_OVERRIDE and fresh)
                assert (state is OVERRIDDEN) == acts, "the driver has it on fresh evidence, and on nothing else"
                assert (asked.acceleration_mps2 == 0.0) >= acts, "nobody brakes against him"
                if state is FOLLOWING:
                    assert word in DRIVING, "only who drives is followed"
                    assert later * MS - ego_ns <= EGO_LIMIT_NS
                    assert later * MS - led_ns <= SILENCE_LIMIT_NS
                if state is HOLDING:
                    assert word in (None, Engagement.STANDBY), "who was told to drive never just holds"
                if state in (HOLDING, STOPPING):
                    assert asked.acceleration_mps2 <= -2.0
                if state is not before and before is STOPPING:
                    stood = standing and later * MS - ego_ns <= EGO_LIMIT_NS
                    assert state is OVERRIDDEN or (state is HOLDING and stood), "a stop ends at standstill, or by him"
                assert math.isfinite(asked.curvature_per_m)
                before = state
