"""Stamps of ego, objects and lanes that move against the clock while the messages keep coming (F16)."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.safety.guards.stamp_skew import StampSkew
from onboard_vla.safety.input_config import SkewLimits

MS = 1_000_000


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


def ages(watch, rows):
    """Times of (time ms, age ms) at which the topic counted as skewed."""
    found = []
    for time_ms, age_ms in rows:
        now = 10**12 + round(time_ms * MS)
        if watch.check("lanes", now - round(age_ms * MS), Now(now, now)):
            found.append(time_ms)
    return found


def learnt(**limits):
    """A watch that has learnt 100 ms within exactly its second; the next message is due at 1100 ms."""
    watch = StampSkew(SkewLimits(**limits))
    assert ages(watch, [(k * 100, 100) for k in range(11)]) == []
    return watch


def test_what_is_learnt_is_the_median_of_the_first_second_and_nothing_is_judged_before():
    watch = StampSkew(SkewLimits())
    assert ages(watch, [(k * 100, 100 if k % 5 else 900) for k in range(11)]) == []
    assert ages(watch, [(1100 + k * 100, 180) for k in range(5)]) == [1300, 1400, 1500]
    watch = StampSkew(SkewLimits())
    assert ages(watch, [(k * 100, 100) for k in range(10)]) == []
    assert ages(watch, [(999, 100), (1000, 100), *((1100 + k * 100, 180) for k in range(3))]) == [1300]


def test_every_message_of_the_window_must_be_skewed_and_three_must_be_there():
    assert ages(learnt(), [(1100, 180), (1200, 180)]) == []
    assert ages(learnt(), [(1100, 180), (1200, 180), (1300, 180)]) == [1300]
    assert ages(learnt(), [(1100, 180), (1200, 20), (1300, 180), (1400, 20)]) == []
    assert ages(learnt(), [(1100, 180), (1200, 141), (1300, 180), (1400, 300)]) == []
    assert ages(learnt(), [(1100, 20), (1200, 20), (1300, 20)]) == [1300]


def test_the_window_keeps_what_is_300_ms_old_and_no_older():
    spaced = [(1100, 180), (1250, 180), (1400, 180)]
    assert ages(learnt(), spaced) == [1400]
    assert ages(learnt(), [(1100, 180), (1250, 180), (1401, 180)]) == []


def test_the_learned_age_follows_within_its_tolerance_alone():
    watch = learnt(tracking=0.1)
    ages(watch, [(1100 + 10 * k, 139) for k in range(100)])
    assert ages(watch, [(2200 + 100 * k, 205) for k in range(5)]) == []
    watch = learnt(tracking=0.1)
    ages(watch, [(1100 + 10 * k, 141) for k in range(100)])
    assert ages(watch, [(2200 + 100 * k, 205) for k in range(5)]) != []
