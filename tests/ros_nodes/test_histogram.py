"""Histograms: exact percentiles with their count, buckets that hold all values."""

from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.ros_nodes.histogram import Histogram, carried

FEWEST = {50: 2, 90: 10, 95: 20, 99: 100, 99.9: 1000}
"""Values of which one is in the tail."""


@given(st.lists(st.floats(-10.0, 1e5), min_size=1, max_size=300))
def test_percentiles_are_observed_and_split_the_values_as_their_name_says(values) -> None:
    histogram = Histogram()
    for value in values:
        histogram.add(value)
    summary = histogram.summary()

    assert summary["n"] == len(values) == sum(count for _, count in summary["buckets"])
    for percent in (50, 90, 95, 99, 99.9):
        assert (f"p{percent:g}" in summary) is (len(values) >= FEWEST[percent])
        if len(values) < FEWEST[percent]:
            continue
        at = summary[f"p{percent:g}"]
        assert at in values
        assert sum(value <= at for value in values) >= percent / 100 * len(values) - 1e-9
        assert sum(value < at for value in values) < percent / 100 * len(values) + 1e-9
    assert summary["min"] == min(values)
    assert summary["max"] == max(values)
    upper = [border for border, _ in summary["buckets"]]
    assert upper == sorted(upper)
    assert upper[-1] >= max(max(values), 0) * 0.999


@pytest.mark.parametrize(("percent", "fewest"), FEWEST.items())
def test_a_percentile_needs_a_value_in_its_tail(percent, fewest) -> None:
    assert carried(percent, fewest)
    assert not carried(percent, fewest - 1)


def test_without_values_there_is_a_count_and_nothing_made_up() -> None:
    assert Histogram().summary() == {"n": 0, "left_out": 0}


def test_what_is_no_number_is_counted_apart() -> None:
    histogram = Histogram()
    for value in (1.0, math.nan, math.inf):
        histogram.add(value)
    assert (histogram.summary()["n"], histogram.summary()["left_out"]) == (1, 2)


@pytest.mark.parametrize(("value", "upper"), [(1.0, 1.0), (1.01, 1.2589), (99.0, 100.0), (100.0, 100.0), (0.0, 0.001)])
def test_a_buckets_border_belongs_to_it(value, upper) -> None:
    histogram = Histogram()
    histogram.add(value)
    assert histogram.summary()["buckets"] == [(upper, 1)]
