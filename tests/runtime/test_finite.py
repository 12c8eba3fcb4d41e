"""One value that is not finite is found wherever it stands; numbers whose sum overflows are finite."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from onboard_vla.runtime.finite import all_finite, row_not_finite


@given(arrays.arrays(np.float32, st.tuples(st.integers(0, 5), st.integers(0, 40)), elements=st.floats(width=32)))
def test_it_says_what_asking_each_value_says(values):
    assert all_finite(values) == bool(np.isfinite(values).all())


@pytest.mark.parametrize("pair", [(np.inf, -np.inf), (np.nan, 0.0), (np.inf, 1.0)])
def test_infinities_that_cancel_are_found_without_a_warning(pair):
    values = np.zeros((3, 1000), np.float32)
    values[0, 5], values[2, 7] = pair
    assert not all_finite(values)


def test_a_sum_that_overflows_condemns_no_finite_number():
    assert all_finite(np.full((2, 100), 3e38, np.float32))


@pytest.mark.parametrize("kind", [np.float16, np.float32])
@given(st.integers(0, 2500), st.integers(0, 2), st.sampled_from([np.nan, -np.nan, np.inf, -np.inf]))
def test_the_first_row_that_is_not_finite_is_named(kind, row, column, bad):
    table = np.full((2501, 3), np.finfo(kind).max, kind)
    table[0] = np.finfo(kind).smallest_subnormal, -0.0, np.finfo(kind).min
    assert row_not_finite(table) is None
    table[row, column] = bad
    table[2500, 0] = bad
    assert row_not_finite(table) == row
