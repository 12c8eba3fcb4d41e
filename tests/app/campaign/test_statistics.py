"""Exact bounds against SciPy."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats

from onboard_vla.app.campaign.golden import exceeds
from onboard_vla.app.campaign.statistics import clopper_pearson, poisson_upper, times_of


@settings(deadline=None)
@given(st.integers(1, 1500).flatmap(lambda n: st.tuples(st.integers(0, n), st.just(n))))
def test_clopper_pearson_is_the_beta_quantile(counts):
    events, trials = counts
    low, high = clopper_pearson(events, trials)
    expected_low = 0.0 if events == 0 else stats.beta.ppf(0.025, events, trials - events + 1)
    expected_high = 1.0 if events == trials else stats.beta.ppf(0.975, events + 1, trials - events)
    assert low == pytest.approx(expected_low, abs=1e-9)
    assert high == pytest.approx(expected_high, abs=1e-9)


@settings(deadline=None)
@given(st.integers(0, 200))
def test_poisson_bound_is_the_chi_square_quantile(events):
    assert poisson_upper(events) == pytest.approx(stats.chi2.ppf(0.95, 2 * events + 2) / 2, rel=1e-9)


@settings(deadline=None)
@given(st.integers(0, 60), st.floats(0.01, 50.0))
def test_too_many_events_are_those_with_a_poisson_tail_below_five_percent(events, expected):
    tail = stats.poisson.sf(events - 1, expected)
    if abs(tail - 0.05) > 1e-9:
        assert exceeds(events, expected) == (tail < 0.05)


@pytest.mark.parametrize(("events", "trials"), [(-1, 5), (6, 5), (0, 0)])
def test_impossible_counts_are_refused(events, trials):
    with pytest.raises(ValueError, match="not a share"):
        clopper_pearson(events, trials)


def test_percentiles_are_values_that_occurred():
    times = times_of([None, *map(float, range(1, 101))])
    assert times is not None
    assert (times.n, times.p50, times.p95, times.largest) == (100, 50.0, 95.0, 100.0)
    assert times_of([None]) is None
