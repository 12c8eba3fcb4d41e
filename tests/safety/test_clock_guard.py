"""Steps of the data clock: found, asked about, and survived without losing the inputs."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.safety.guards.clock import ClockWatch
from onboard_vla.safety.guards.clock_step import restated_by
from onboard_vla.safety.input_config import ClockLimits

MS = 1_000_000


def steps_of(offsets_ms, period_ms=20.0):
    """What the watch finds in these offsets of the data clock, one per reading."""
    watch = ClockWatch(ClockLimits())
    found = []
    for k, offset in enumerate(offsets_ms):
        now = Now(10**12 + round(k * period_ms * MS), 2 * 10**18 + round((k * period_ms + offset) * MS))
        step = watch.step_ns(now)
        if step:
            found.append((k, round(step / MS, 3), [int(r.level) for r in watch.requests(now)]))
    return found


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize(
    ("ms", "levels"), [(19.9, None), (20.1, [2]), (99.9, [2]), (100.1, [3]), (500.0, [3]), (3.6e6, [3])]
)
def test_steps_are_found_at_the_second_reading_on_both_sides_of_the_limits(sign, ms, levels):
    found = steps_of([0.0] * 10 + [sign * ms] * 10)
    assert found == ([] if levels is None else [(11, sign * ms, levels)])


def test_one_reading_that_was_interrupted_is_no_step():
    assert steps_of([0.0, 0.0, 300.0, 0.0, -200.0, 0.0, 0.0]) == []


def test_jitter_and_the_slew_of_a_time_service_are_no_step():
    rng = np.random.default_rng(1)
    assert steps_of(rng.uniform(-5, 5, 500)) == []
    assert steps_of(0.0005 * 20.0 * np.arange(5000)) == []


def test_a_fast_slew_adds_up_to_a_step():
    assert steps_of(0.08 * 20.0 * np.arange(100))


def test_the_fault_is_held_and_then_gone():
    watch = ClockWatch(ClockLimits(hold_s=2.0))
    for k in range(10):
        watch.step_ns(Now(k * 20 * MS, k * 20 * MS + (50 * MS if k > 5 else 0)))
    assert [r.reason.code for r in watch.requests(Now(2120 * MS, 0))] == ["CLOCK_STEP"]
    assert watch.requests(Now(2161 * MS, 0)) == []


def test_stamps_are_restated_unless_they_are_on_the_new_clock_already():
    forward = restated_by(500, 10_000)
    assert [forward(stamp) for stamp in (9_000, 9_500, 9_501, 10_000)] == [9_500, 10_000, 9_501, 10_000]
    back = restated_by(-500, 10_000)
    assert [back(stamp) for stamp in (10_500, 10_400, 9_000)] == [10_000, 9_900, 8_500]


def test_a_step_in_two_readings_apart_is_none_and_exact_limits_belong_to_the_milder_side():
    assert steps_of([0.0, 300.0, 0.0, 300.0, 0.0]) == []
    assert steps_of([0.0] + [20.0] * 5) == []
    assert steps_of([0.0] + [100.0] * 5) == [(2, 100.0, [3])]
    watch = ClockWatch(ClockLimits())
    assert [watch.step_ns(Now(k, k)) for k in range(3)] == [0, 0, 0]
    assert watch.requests(Now(5, 5)) == []


def test_after_a_step_the_new_offset_is_the_one_that_counts():
    assert steps_of([0.0] * 3 + [300.0] * 20 + [0.0] * 10) == [(4, 300.0, [3]), (24, -300.0, [3])]


def test_a_reading_that_may_be_a_step_is_none_yet_and_the_limit_of_the_hold_still_asks():
    watch = ClockWatch(ClockLimits(hold_s=2.0))
    readings = [Now(k * 20 * MS, k * 20 * MS + (50 * MS if k > 2 else 0)) for k in range(6)]
    assert [watch.step_ns(now) for now in readings] == [0, 0, 0, 0, 50 * MS, 0]
    at_ms = 4 * 20 + 2000
    for ms, asks in ((at_ms, True), (at_ms + 1, False)):
        assert [(r.reason.measured, r.reason.limit) for r in watch.requests(Now(ms * MS, 0))] == [(0.05, 0.02)] * asks


def test_after_a_step_another_one_must_be_confirmed_again():
    assert steps_of([0.0, 300.0, 300.0, 600.0, 300.0, 300.0]) == [(2, 300.0, [3])]
