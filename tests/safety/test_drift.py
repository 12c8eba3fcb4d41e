"""Drift of the planner's doubt: false alarms on correlated nominal scores, detection delay, latching, L1 at most."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.thresholds import DRIFT_BLOCKS_MIN
from onboard_vla.safety.drift import BLOCK_PLANS, DriftMonitor, block_medians

RATE_HZ = 10
HOUR_BLOCKS = 360


def scores(rng, blocks, rho=0.98, shift=0.0):
    """Spread of `blocks` x 10 s at 10 Hz: AR(1), standard deviation 1 about 5, drifting by `shift` deviations."""
    count = blocks * 10 * RATE_HZ
    noise = rng.normal(0.0, math.sqrt(1 - rho**2), count)
    value, row = rng.normal(), np.empty(count)
    for k in range(count):
        value = rho * value + noise[k]
        row[k] = value
    return 5.0 + row + shift


def stamps(count):
    return [round(k * 1e9 / RATE_HZ) for k in range(count)]


def medians(rng, blocks, **more):
    row = scores(rng, blocks, **more)
    return block_medians(stamps(len(row)), row.tolist())


def independent(rng, blocks, shift=0.0):
    return rng.normal(shift, 1.0, blocks)


def blocks_until_alarm(monitor, values):
    for k, value in enumerate(values):
        monitor.add_block(float(value))
        if monitor.alarm is not None:
            return k + 1
    return None


def test_correlated_nominal_scores_raise_no_alarm_over_twenty_drives_of_an_hour():
    rng = np.random.default_rng(5)
    alarms = 0
    for _ in range(20):
        monitor = DriftMonitor(medians(rng, DRIFT_BLOCKS_MIN))
        alarms += blocks_until_alarm(monitor, medians(rng, HOUR_BLOCKS)) is not None
    assert alarms == 0


def test_the_same_scores_without_blocks_would_raise_it():
    """Why there are blocks: at the planner's rate the values are far from independent."""
    rng = np.random.default_rng(6)
    reference = tuple(scores(rng, 20))
    alarms = sum(blocks_until_alarm(DriftMonitor(reference), scores(rng, 60)) is not None for _ in range(10))
    assert alarms >= 5


def test_the_martingale_keeps_its_promise_on_exchangeable_values():
    """Ville: P(capital ever reaches c) <= 1/c; with a reference so large that it hardly counts as drawn."""
    rng = np.random.default_rng(7)
    reached = 0
    for seed in range(200):
        monitor = DriftMonitor(tuple(rng.normal(0.0, 1.0, 5000)), seed)
        highest = 0.0
        for value in rng.normal(0.0, 1.0, 100):
            monitor.add_block(float(value))
            highest = max(highest, monitor._log_capital)
        reached += highest >= math.log(20.0)
    assert 0 < reached <= 16


@pytest.mark.parametrize(("shift", "median_blocks"), [(1.0, 70), (2.0, 40)])
def test_a_shift_is_seen_within_the_stated_delay(shift, median_blocks):
    """1 standard deviation of the block medians: half of the drives within 12 minutes; 2: within 7."""
    rng = np.random.default_rng(8)
    delays = []
    for _ in range(30):
        monitor = DriftMonitor(tuple(independent(rng, DRIFT_BLOCKS_MIN)))
        assert blocks_until_alarm(monitor, independent(rng, 60)) is None
        delays.append(blocks_until_alarm(monitor, independent(rng, HOUR_BLOCKS, shift)) or math.inf)
    assert np.median(delays) <= median_blocks
    assert min(delays) > 10


def test_a_slow_drift_is_seen_within_fifteen_minutes_of_its_end():
    """F28's shape: the score climbs by two deviations over ten minutes and stays."""
    rng = np.random.default_rng(9)
    delays = []
    for _ in range(30):
        monitor = DriftMonitor(tuple(independent(rng, DRIFT_BLOCKS_MIN)))
        climb = np.concatenate([np.linspace(0.0, 2.0, 60), np.full(90, 2.0)])
        delays.append(blocks_until_alarm(monitor, independent(rng, 150) + climb) or math.inf)
    assert np.percentile(delays, 95) <= 90


def test_scores_below_the_reference_are_seen_too():
    rng = np.random.default_rng(10)
    monitor = DriftMonitor(tuple(independent(rng, DRIFT_BLOCKS_MIN)))
    assert blocks_until_alarm(monitor, independent(rng, 200, -2.0)) is not None


class TestBlocks:
    def test_one_value_per_ten_seconds_from_enough_plans(self):
        monitor = DriftMonitor((1.0,) * 20)
        for k in range(5 * 50):
            monitor.add(round(k * 0.2e9), 1.0)
        assert monitor.blocks == 4
        sparse = DriftMonitor((1.0,) * 20)
        for block in range(10):
            for k in range(100):
                sparse.add(block * 10_000_000_000 + k, 1.0)
            for k in range(BLOCK_PLANS - 1):
                sparse.add(block * 10_000_000_000 + 8_000_000_000 + k, 1.0)
        assert sparse.blocks == 0

    def test_memory_is_bounded_whatever_the_rate(self):
        monitor = DriftMonitor((1.0,) * 20)
        for k in range(3000):
            monitor.add(9_000_000_000 + k, 1.0)
        assert len(monitor._scores) == 1000

    def test_equal_scores_are_no_drift_and_replays_are_equal(self):
        runs = []
        for _ in range(2):
            monitor = DriftMonitor((1.0,) * 50)
            assert blocks_until_alarm(monitor, np.ones(300)) is None
            runs.append(monitor._log_capital)
        assert runs[0] == runs[1]

    def test_without_a_reference_nothing_is_watched(self):
        monitor = DriftMonitor(())
        for k in range(100):
            monitor.add(k * 1_000_000_000, 9.0)
        assert (monitor.watches, monitor.blocks, monitor.alarm) == (False, 0, None)
