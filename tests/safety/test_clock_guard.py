"""Steps of the data clock: found, asked about, and survived without losing the inputs."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.guards.clock import ClockWatch
from onboard_vla.safety.input_config import ClockLimits

from .driving_range import START_NS, TICK_NS, Range, codes, simulation_config

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


class SteppedRange(Range):
    """The data clock of all messages and of the supervisor steps at a tick; the monotonic clock does not."""

    step_ms, step_tick = 0.0, 10**9

    @property
    def now(self):
        offset = round(self.step_ms * MS) if self.tick >= self.step_tick else 0
        return Now(START_NS + self.tick * TICK_NS, START_NS + self.tick * TICK_NS + offset)


QUICK = LadderSettings(clear_s=0.5, dwell_s=0.4, handback_clear_s=0.4, shadow_passes=3)


@pytest.mark.parametrize("ms", [-3000.0, -100.0, -50.0, 50.0, 100.0, 3000.0])
def test_a_step_is_a_fault_of_its_own_and_no_input_is_lost_by_it(ms):
    drive = SteppedRange(simulation_config(ladder=QUICK), speed=8.0)
    drive.limit_mps = drive.plan_speed = 8.0
    drive.engage(0.7)
    drive.run(2.2)
    assert drive.published[-1].mode is Mode.NOMINAL
    drive.step_ms, drive.step_tick = ms, drive.tick
    seen, begun = {}, drive.tick
    for k in range(100):
        message = drive.step()
        for code in codes(message):
            seen.setdefault(code, k)
    expected = Mode.FALLBACK if abs(ms) < 100.0 else Mode.IN_LANE_STOP
    assert seen["CLOCK_STEP"] <= 2
    assert drive.published[-1].mode is expected
    assert not any("SILENT" in code or "MISSING" in code for code in seen if code != "PLAN_MISSING")
    assert "EGO_LOST" not in seen
    assert max(m.mode for m in drive.published[begun:]) <= expected


def test_after_a_small_step_the_model_drives_again():
    drive = SteppedRange(simulation_config(ladder=QUICK), speed=8.0)
    drive.limit_mps = drive.plan_speed = 8.0
    drive.engage(0.7)
    drive.run(2.2)
    drive.step_ms, drive.step_tick = -60.0, drive.tick
    drive.run(6.0)
    assert drive.published[-1].mode is Mode.NOMINAL
    assert (drive.published[-1].source, codes(drive.published[-1])) == ("model", [])
