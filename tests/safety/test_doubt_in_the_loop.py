"""Spikes and lasting doubt in the closed loop (F27), slow plans (F15): which mode, and how soon."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import Mode

from .test_supervisor import codes, nominal, until


def doubtful(spread_m):
    def edit(plan):
        row = plan.uncertainty.spread_m * 0 + np.float32(spread_m)
        return replace(plan, uncertainty=replace(plan.uncertainty, spread_m=row))

    return edit


def same(plan):
    return plan


def at_a_plan(drive):
    while drive.tick % 10:
        drive.step()
    return drive


def modes_with(drive, pattern, seconds):
    """Modes while plans are edited in turn by `pattern`, then left alone."""
    edits = iter(pattern)
    drive.edit[Plan] = lambda plan: next(edits, same)(plan)
    return [drive.step().mode for _ in range(round(seconds / 0.02))]


class TestSpikes:
    def test_one_spike_reduces_for_as_long_as_it_is_remembered_and_never_falls_back(self):
        drive = at_a_plan(nominal(8.0))
        seen = modes_with(drive, [doubtful(1.2)], 3.0)
        assert max(seen) is Mode.REDUCED
        assert seen[0] is Mode.REDUCED
        assert seen[-1] is Mode.NOMINAL

    @pytest.mark.parametrize("pattern", [(1, 1), (1, 0, 1)])
    def test_two_of_three_fall_back_within_two_cycles(self, pattern):
        drive = at_a_plan(nominal(8.0))
        seen = modes_with(drive, [doubtful(1.2) if bad else same for bad in pattern], 1.0)
        first = seen.index(Mode.FALLBACK)
        assert first == (len(pattern) - 1) * 10

    def test_lasting_doubt_falls_back_and_stops_after_thirty_seconds(self):
        drive = at_a_plan(nominal(8.0))
        drive.edit[Plan] = doubtful(1.2)
        assert until(drive, lambda m: m.mode is Mode.FALLBACK) <= 0.22
        waited = until(drive, lambda m: m.mode >= Mode.IN_LANE_STOP, 40.0)
        assert 29.5 <= waited <= 30.5
        assert "FALLBACK_TOO_LONG" in codes(drive.published[-1])


@pytest.mark.parametrize(
    ("late_s", "worst", "code"),
    [(0.6, Mode.NOMINAL, None), (0.9, Mode.REDUCED, "PLAN_LATENCY"), (1.6, Mode.FALLBACK, "PLAN_STALE")],
)
def test_plans_of_a_slow_engine_reduce_then_fall_back_and_are_never_driven_beyond_their_age(late_s, worst, code):
    drive = at_a_plan(nominal(10.0))
    queue = []

    def late(plan):
        queue.append((drive.tick + round(late_s / 0.02), plan))

    drive.edit[Plan] = late
    seen, told = [], set()
    for _ in range(200):
        while queue and queue[0][0] <= drive.tick:
            drive.supervisor.receive(queue.pop(0)[1], drive.now)
        message = drive.step()
        seen.append(message.mode)
        told |= set(codes(message))
        if message.source == "model":
            accepted = drive.supervisor._accepted.placed.plan
            assert message.plan_id == accepted.plan_id
            assert (message.stamp_ns - accepted.oldest_frame_stamp_ns) / 1e9 <= 1.5
    assert max(seen) is worst
    assert code is None or code in told
