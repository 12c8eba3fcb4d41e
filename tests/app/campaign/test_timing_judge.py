"""Reaction times judged again from the recorded modes alone, by an STL monitor that shares no code with ours."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.app.campaign.episode import MONITOR_OFF, MONITOR_ON, Published, Stream
from onboard_vla.app.campaign.fault_case import REACH, FaultCase
from onboard_vla.app.campaign.jobs import Job, Result, run_job
from onboard_vla.app.campaign.outcome import HANDLED, judge
from onboard_vla.app.campaign.table import BY_KEY

rtamt = pytest.importorskip("rtamt", reason="no release for this Python")

PERIOD_MS, BEFORE_MS, AFTER_MS = 20, 400, 6000
MS = 1_000_000
CASE = dataclasses.replace(BY_KEY["F3/black"], camera="")


def holds(modes: tuple[tuple[float, int], ...], case: FaultCase) -> bool:
    """Whether the fault's onset at 0 is followed, within the limit, by a mode at or above the one asked for."""
    limit = int(case.limit_ms // PERIOD_MS) * PERIOD_MS
    times = list(range(-BEFORE_MS, AFTER_MS, PERIOD_MS))
    fault = [float(at >= 0) for at in times]
    mode = [float(([m for t, m in modes if t <= at] or [0])[-1]) for at in times]
    monitor = rtamt.StlDiscreteTimeSpecification()
    monitor.declare_var("fault", "float")
    monitor.declare_var("mode", "float")
    monitor.set_sampling_period(PERIOD_MS, "ms", 0.1)
    monitor.spec = f"always((rise(fault >= 0.5)) implies (eventually[0:{limit}ms](mode >= {case.mode - 0.5})))"
    monitor.parse()
    dataset = {"time": [at + BEFORE_MS for at in times], "fault": fault, "mode": mode}
    return float(monitor.evaluate(dataset)[0][1]) > 0.0


@pytest.fixture(scope="module")
def results() -> list[Result]:
    jobs = (("F3/black", MONITOR_ON), ("F3/black", MONITOR_OFF), ("F13/nothing comes", MONITOR_ON))
    return [run_job(Job(key, monitor, 5.0, 0, 0)) for key, monitor in jobs]


def test_judge_agrees_with_the_campaign_on_recorded_runs(results):
    for result in results:
        case = BY_KEY[f"{result.fault}/{result.variant}"]
        assert case.asks == REACH
        assert holds(result.modes, case) == (result.outcome == HANDLED), result
    assert {result.outcome == HANDLED for result in results} == {True, False}


@settings(max_examples=60, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 60), st.integers(0, 5)), max_size=5))
def test_judge_agrees_on_any_sequence_of_modes(steps):
    changes = tuple((tick * PERIOD_MS, mode) for tick, mode in sorted(steps, key=lambda step: step[0]))
    published = []
    for at in range(-BEFORE_MS, AFTER_MS, PERIOD_MS):
        mode = ([m for t, m in changes if t <= at] or [0])[-1]
        published.append(Published((at + 10_000) * MS, mode, "engaged", "model", 1, True, (), ()))
    stream = Stream(published, [], (AFTER_MS + 10_000) * MS)
    verdict = judge(CASE, stream, 10_000 * MS)
    assert holds(changes, CASE) == (verdict.outcome == HANDLED)
