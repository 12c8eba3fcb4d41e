"""Stamps of ego, objects and lanes that move against the clock while the messages keep coming (F16)."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.guards.stamp_skew import StampSkew
from onboard_vla.safety.input_config import SkewLimits

from .driving_range import Range, codes, simulation_config

MS = 1_000_000
QUICK = LadderSettings(clear_s=0.5, dwell_s=0.4, shadow_passes=3)


class Stream:
    """One topic at a rate; ages on arrival of 120 ms and whatever a test adds."""

    def __init__(self, period_ms=100, jitter_ms=0.0):
        self.watch, self.k, self.period_ms, self.jitter_ms = StampSkew(SkewLimits()), 0, period_ms, jitter_ms
        self.rng = np.random.default_rng(1)

    def run(self, seconds, late_ms=lambda k: 0.0):
        """Times since the start of this run at which the topic counted as skewed."""
        found = []
        for k in range(round(seconds * 1000 / self.period_ms)):
            arrival = 10**12 + self.k * self.period_ms * MS
            age = 120.0 + late_ms(k) + self.rng.uniform(-self.jitter_ms, self.jitter_ms)
            if self.watch.check("objects", arrival - round(age * MS), Now(arrival, arrival)):
                found.append(k * self.period_ms / 1000)
            self.k += 1
        return found


@pytest.mark.parametrize("period_ms", [20, 100])
@pytest.mark.parametrize(
    ("ms", "found"),
    [(10, False), (40, False), (69.9, False), (70.1, True), (100, True), (500, True), (-69.9, False), (-100, True)],
)
def test_a_skew_is_found_within_half_a_second_on_both_sides_of_its_limit(period_ms, ms, found):
    stream = Stream(period_ms)
    assert stream.run(3.0) == []
    seen = stream.run(3.0, lambda k: ms)
    assert bool(seen) is found
    if found:
        assert seen[0] <= 0.4
        assert seen[-1] == pytest.approx(3.0 - period_ms / 1000)
        assert stream.run(1.0) == []


@pytest.mark.parametrize("period_ms", [20, 100])
def test_jitter_and_single_late_messages_are_no_skew(period_ms):
    stream = Stream(period_ms, jitter_ms=60.0)
    assert stream.run(60.0) == []
    stream = Stream(period_ms)
    assert stream.run(30.0, lambda k: 400.0 if k % 3 else 0.0) == []


def test_slow_drift_is_followed():
    stream = Stream(20)
    stream.run(2.0)
    assert stream.run(120.0, lambda k: 0.002 * k) == []


@pytest.mark.parametrize(
    ("kind", "code", "mode"),
    [(EgoState, "EGO_SKEWED", Mode.IN_LANE_STOP), (ObjectList, "OBJECTS_SKEWED", Mode.FALLBACK),
     (LaneObservation, "LANES_SKEWED", Mode.FALLBACK)],
)  # fmt: skip
def test_a_skewed_input_is_named_and_asks_for_its_mode_within_half_a_second(kind, code, mode):
    drive = Range(simulation_config(ladder=QUICK), speed=6.0)
    drive.limit_mps = drive.plan_speed = 6.0
    drive.engage(0.7)
    drive.run(2.2)
    assert drive.published[-1].mode is Mode.NOMINAL
    drive.edit[kind] = lambda message: replace(message, stamp_ns=message.stamp_ns - 100 * MS)
    for _ in range(25):
        if code in codes(drive.step()):
            break
    assert code in codes(drive.published[-1])
    assert drive.published[-1].mode >= mode
