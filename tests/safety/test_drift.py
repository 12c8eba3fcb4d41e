"""Drift of the planner's doubt: false alarms on correlated nominal scores, detection delay, latching, L1 at most."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.thresholds import DRIFT_BLOCKS_MIN
from onboard_vla.safety.drift import BLOCK_PLANS, THRESHOLD, DriftMonitor, DriftWatch, block_medians

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


def plain_capital(reference, values, seed):
    """The Simple Jumper and its CUSUM in plain Python, without normalising: yields the rise over the least capital."""
    random = np.random.default_rng(seed)
    parts, least = [1 / 3, 1 / 3, 1 / 3], 1.0
    for value in values:
        above, equal = sum(r > value for r in reference), sum(r == value for r in reference)
        p = (above + random.random() * (equal + 1)) / (len(reference) + 1)
        total = sum(parts)
        parts = [
            (0.99 * c + 0.01 * total / 3) * (1 + bet * (p - 0.5)) for c, bet in zip(parts, (-1, 0, 1), strict=True)
        ]
        least = min(least, sum(parts))
        yield math.log(sum(parts) / least)


@pytest.mark.parametrize("shift", [0.0, 1.5, -1.5])
def test_capital_and_alarm_equal_a_plain_evaluation(shift):
    rng = np.random.default_rng(12)
    reference = [float(round(value, 1)) for value in rng.normal(0.0, 1.0, 60)]
    values = [float(round(value, 1)) for value in rng.normal(shift, 1.0, 150)]
    monitor, alarmed = DriftMonitor(tuple(reference), seed=3), False
    for k, (value, rise) in enumerate(zip(values, plain_capital(reference, values, 3), strict=True)):
        monitor.add_block(value)
        assert monitor._log_capital - monitor._least == pytest.approx(rise, abs=1e-9)
        if not alarmed and rise >= math.log(1e4):
            alarmed = True
            assert monitor.alarm.measured == pytest.approx(rise / math.log(10.0))
            assert f"after {k + 1} blocks" in monitor.alarm.detail
        assert (monitor.alarm is not None) is alarmed
    assert alarmed is (shift != 0.0)


def test_the_seed_is_fixed_unless_given():
    runs = [DriftMonitor((1.0,) * 20), DriftMonitor((1.0,) * 20, 0), DriftMonitor((1.0,) * 20, 1)]
    for monitor in runs:
        monitor.add_block(1.0)
    assert runs[0]._log_capital == runs[1]._log_capital != runs[2]._log_capital


class TestMedians:
    TAIL = 8_000_000_000

    def test_the_last_two_seconds_of_each_ten_count_if_five_plans_came(self):
        stamps_ns = [self.TAIL + k for k in range(5)] + [self.TAIL + 10_000_000_000 + k for k in range(4)]
        assert block_medians(stamps_ns, [1.0, 2.0, 3.0, 4.0, 9.0, 7.0, 7.0, 7.0, 7.0]) == (3.0,)

    def test_where_a_tail_begins_and_ends(self):
        inside = [self.TAIL, self.TAIL + 1, self.TAIL + 2, self.TAIL + 3, 9_999_999_999]
        assert block_medians(inside, [1.0] * 5) == (1.0,)
        assert block_medians([self.TAIL - 1, *inside[1:]], [1.0] * 5) == ()
        assert block_medians([*inside[:4], 10_000_000_000], [1.0] * 5) == ()

    def test_the_monitor_takes_the_same_values(self, monkeypatch):
        rng = np.random.default_rng(4)
        row, taken = rng.normal(0.0, 1.0, 500), []
        monitor = DriftMonitor((1.0,) * 20)
        monkeypatch.setattr(monitor, "add_block", taken.append)
        for stamp_ns, score in zip(stamps(500), row, strict=True):
            monitor.add(stamp_ns, float(score))
        assert taken == list(block_medians(stamps(500), row.tolist()))[:4]

    def test_lists_of_different_length_are_refused(self):
        with pytest.raises(ValueError, match="shorter"):
            block_medians([1, 2], [1.0])


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


class TestWatch:
    REFERENCE = tuple(float(k) for k in range(DRIFT_BLOCKS_MIN))

    def feed(self, watch, **values):
        for block in range(60):
            for k in range(BLOCK_PLANS):
                watch.add((10 * block + 8) * 1_000_000_000 + k * 300_000_000, values)

    def test_without_a_reference_nothing_is_watched(self):
        watch = DriftWatch({})
        self.feed(watch, spread_reduce=9.0)
        assert (watch.watches, watch.alarms) == (False, ())

    def test_the_signal_that_drifts_is_named_and_the_others_are_not(self):
        watch = DriftWatch({"spread_reduce": self.REFERENCE, "vision_ood": self.REFERENCE})
        self.feed(watch, spread_reduce=9e9)
        assert [alarm.detail.split()[0] for alarm in watch.alarms] == ["spread_reduce"]

    def test_a_drive_within_the_tolerance_is_no_drift_and_one_beyond_it_is(self):
        rng = np.random.default_rng(11)
        reference = {"vision_ood": tuple(rng.normal(0.6, 0.1, DRIFT_BLOCKS_MIN))}
        found = {}
        for shift in (-0.25, -0.19, 0.0, 0.19, 0.25, 0.5):
            watch = DriftWatch(reference, {"vision_ood": 0.2})
            for monitor, (_, offset, _) in zip(watch._monitors.values(), watch._sources.values(), strict=True):
                for value in np.random.default_rng(7).normal(0.6 + shift, 0.1, 2000 if abs(shift) < 0.2 else 400):
                    monitor.add_block(float(value) + offset)
            found[shift] = [alarm.detail.split(" over")[0] for alarm in watch.alarms]
        assert found[-0.19] == found[0.0] == found[0.19] == []
        assert found[-0.25] == ["vision_ood more than 0.2 below nominal"]
        assert found[0.25] == found[0.5] == ["vision_ood more than 0.2 above nominal"]

    def test_two_signals_share_the_false_alarms_of_one(self):
        both = DriftWatch({"spread_reduce": self.REFERENCE, "vision_ood": self.REFERENCE})
        self.feed(both, spread_reduce=9e9, vision_ood=9e9)
        assert [alarm.limit for alarm in both.alarms] == [pytest.approx(math.log10(2 * THRESHOLD))] * 2
        alone = DriftWatch({"spread_reduce": self.REFERENCE})
        self.feed(alone, spread_reduce=9e9)
        assert alone.alarms[0].limit == pytest.approx(math.log10(THRESHOLD))


def test_the_alarm_counts_from_the_least_capital_which_lies_below_the_first_after_losses():
    """Highest and lowest values in turn: whoever bets on either loses a quarter by every pair."""
    reference = tuple(np.linspace(-1.0, 1.0, 101))
    values = [4.0, -4.0] * 10 + [4.0] * 40
    rises = list(plain_capital(reference, values, 4))
    monitor = DriftMonitor(reference, seed=4, threshold=20.0)
    for value in values[:20]:
        monitor.add_block(value)
    assert monitor._least < -0.5
    first = next(k for k, rise in enumerate(rises) if rise >= math.log(20.0))
    assert blocks_until_alarm(monitor, values[20:]) == first + 1 - 20
    assert monitor.alarm.measured == pytest.approx(rises[first] / math.log(10.0))
    assert monitor.alarm.limit == pytest.approx(math.log10(20.0))
