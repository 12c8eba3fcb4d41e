"""F28: what counts as seen in time, what spoils plans on their way, and a short drive in which nothing may be said."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from onboard_vla.app.campaign import slow_drift
from onboard_vla.app.campaign.figures import FAIL, PASS, verdict_of
from onboard_vla.app.campaign.slow_drift import (
    DEVIATION_M,
    DRIFTS,
    NOMINAL_M,
    PLANS_PER_S,
    QUICK,
    Drift,
    DriftJob,
    DriftResult,
    drift_jobs,
    judge_drift,
    nominal,
    run_drift,
)
from onboard_vla.core.thresholds import SPREAD_REDUCE
from onboard_vla.safety.drift import DriftMonitor

JOB = DriftJob("x", 0)
SEEN_BY_300 = Drift(60.0, 8.0, 330.0, 300.0)


@pytest.mark.parametrize(
    ("alarm_s", "highest", "held"), [(300.0, 1, True), (300.1, 1, False), (None, 0, False), (200.0, 2, False)]
)
def test_held_is_an_alarm_in_time_and_no_more_than_l1(alarm_s, highest, held):
    result = judge_drift(JOB, SEEN_BY_300, alarm_s, highest)
    assert result.held is held
    assert verdict_of([], None, [], 0, drifts=[result]).outcome == (PASS if held else FAIL)
    assert DriftResult.of_content(dataclasses.asdict(result)) == result


def test_without_a_drift_no_alarm_may_come():
    calm = dataclasses.replace(SEEN_BY_300, deviations=0.0, limit_s=None)
    assert judge_drift(JOB, calm, None, 0).held
    assert not judge_drift(JOB, calm, 100.0, 1).held


def test_nominal_spread_has_the_declared_moments_and_correlation():
    values = nominal(3, 20_000.0)
    assert values.mean() == pytest.approx(NOMINAL_M, abs=0.002)
    assert values.std() == pytest.approx(DEVIATION_M, rel=0.1)
    lag = round(5.0 * PLANS_PER_S)
    centred = values - values.mean()
    assert (centred[lag:] * centred[:-lag]).mean() / values.var() == pytest.approx(math.exp(-1.0), abs=0.08)


@pytest.mark.parametrize("name", [name for name, drift in DRIFTS.items() if drift.limit_s is not None])
def test_the_monitor_alone_sees_each_drift_within_its_limit(name):
    drift, limits = DRIFTS[name], []
    for seed in range(5):
        monitor = DriftMonitor(slow_drift._thresholds().drift_reference[SPREAD_REDUCE])
        values = nominal(seed, drift.watched_s)
        for k, value in enumerate(values.tolist()):
            time_s = k / PLANS_PER_S
            monitor.add(round(time_s * 1e9), value + DEVIATION_M * drift.deviations * min(time_s / drift.ramp_s, 1.0))
            if monitor.alarm is not None:
                limits.append(time_s)
                break
    assert len(limits) == 5
    assert np.max(limits) <= drift.limit_s


def test_a_drive_of_a_minute_is_in_l0_and_says_nothing(monkeypatch):
    monkeypatch.setitem(DRIFTS, "short", Drift(60.0, 0.0, 40.0, None))
    result = run_drift(DriftJob("short", 0))
    assert (result.held, result.alarm_s, result.highest) == (True, None, 0)


def test_quick_has_the_short_drift_and_all_has_every_one_on_several_seeds():
    assert [job.variant for job in drift_jobs(quick=True)] == [QUICK]
    assert {job.variant for job in drift_jobs(quick=False)} == set(DRIFTS)
