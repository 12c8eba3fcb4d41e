"""The action-token kernel's reference against hand-made distributions and a slow evaluation in plain Python."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.kernels.reference_actions import action_statistics, second_group

ENDS = np.array([[0.0, 0.0], [1.0, 0.0], [1.1, 0.0], [5.0, 2.0]])
FIRST = 3


def row(*actions, text=-50.0):
    return np.array([text] * FIRST + list(actions) + [text] * 2, np.float32)


def test_all_mass_on_one_action_has_no_spread_and_is_all_near():
    result = action_statistics(row(-80, 20, -80, -80), FIRST, ENDS)
    assert result.best == 1
    assert result.spread_m == pytest.approx(0.0, abs=1e-9)
    assert result.chosen_mass == pytest.approx(1.0)
    assert result.outside_mass == pytest.approx(0.0, abs=1e-12)
    assert result.finite


def test_two_equal_motions_a_metre_apart_spread_half_a_metre():
    assert action_statistics(row(5, 5, -80, -80), FIRST, ENDS).spread_m == pytest.approx(0.5)


def test_near_mass_counts_tokens_within_thirty_centimetres_of_the_chosen_one():
    result = action_statistics(row(math.log(0.4), math.log(0.3), math.log(0.2), math.log(0.1)), FIRST, ENDS, chosen=1)
    assert result.chosen_mass == pytest.approx(0.5)
    assert result.chosen_log_probability == pytest.approx(math.log(0.3))


def test_outside_mass_is_everything_that_is_no_allowed_action():
    logits = np.log(np.array([0.1, 0.0625, 0.0375, 0.4, 0.2, 0.1, 0.05, 0.03, 0.02]))
    assert action_statistics(logits, FIRST, ENDS).outside_mass == pytest.approx(0.25)
    allowed = np.array([True, True, True, False])
    masked = action_statistics(logits, FIRST, ENDS, allowed=allowed)
    assert masked.outside_mass == pytest.approx(0.30)


def test_the_best_action_is_sought_among_allowed_ones_only():
    allowed = np.array([True, True, False, False])
    assert action_statistics(row(1, 2, 3, 4), FIRST, ENDS, allowed=allowed).best == 1


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("place", [0, FIRST + 1])
def test_a_bad_logit_anywhere_is_flagged_and_gives_no_action(bad, place):
    logits = row(1, 2, 3, 4)
    logits[place] = bad
    result = action_statistics(logits, FIRST, ENDS)
    assert not result.finite
    assert result.best == -1
    assert math.isnan(result.spread_m)
    assert math.isnan(result.second_mass)


@settings(max_examples=60, deadline=None)
@given(st.lists(st.floats(-30, 30), min_size=9, max_size=9), st.integers(0, 3))
def test_statistics_equal_a_plain_evaluation(values, chosen):
    result = action_statistics(np.array(values), FIRST, ENDS, chosen)
    weights = [math.exp(v) for v in values]
    p = [w / sum(weights[FIRST:7]) for w in weights[FIRST:7]]
    mean = [sum(p[k] * ENDS[k][axis] for k in range(4)) for axis in range(2)]
    spread = math.sqrt(sum(p[k] * sum((ENDS[k][a] - mean[a]) ** 2 for a in range(2)) for k in range(4)))
    near = sum(p[k] for k in range(4) if math.dist(ENDS[k], ENDS[chosen]) <= 0.3)
    assert result.spread_m == pytest.approx(spread, abs=1e-7)
    assert result.chosen_mass == pytest.approx(near)
    assert result.outside_mass == pytest.approx(1 - sum(weights[FIRST:7]) / sum(weights), abs=1e-9)
    assert result.log_sum_exp == pytest.approx(math.log(sum(weights[FIRST:7])))


GRID = np.stack(np.meshgrid(np.arange(0.0, 12.0, 0.25), np.arange(-2.0, 2.1, 0.25)), axis=-1).reshape(-1, 2)


def blur(x, y, sigma):
    weights = np.exp(-((GRID - [x, y]) ** 2).sum(axis=1) / (2 * sigma**2))
    return weights / weights.sum()


@pytest.mark.parametrize("sigma", [0.05, 0.1, 0.2, 0.5])
def test_a_blur_of_any_width_is_one_group(sigma):
    assert second_group(blur(5.0, 0.0, sigma), GRID) == (0.0, 0.0)


@pytest.mark.parametrize("share", [0.5, 0.3, 0.16])
def test_going_on_and_braking_are_two_groups_with_their_masses_and_distance(share):
    mass, distance = second_group((1 - share) * blur(5.0, 0.0, 0.1) + share * blur(2.0, 0.0, 0.1), GRID)
    assert share - 0.05 <= mass <= share + 1e-6
    assert distance == pytest.approx(3.0, abs=0.02)


def test_what_lies_beyond_the_most_probable_ninety_five_per_cent_is_no_group():
    assert second_group(0.96 * blur(5.0, 0.0, 0.05) + 0.04 * blur(2.0, 0.0, 0.05), GRID) == (0.0, 0.0)


def test_groups_hang_together_over_others_and_the_second_heaviest_counts():
    ends = np.array([[0.0, 0.0], [0.45, 0.0], [0.9, 0.0], [3.0, 0.0], [6.0, 0.0]])
    mass, distance = second_group(np.array([0.2, 0.2, 0.2, 0.15, 0.25]), ends)
    assert mass == pytest.approx(0.25)
    assert distance == pytest.approx(6.0 - 0.45)
    assert second_group(np.array([0.5, 0.0, 0.5, 0.0, 0.0]), ends)[0] == pytest.approx(0.5)


def test_a_flat_distribution_is_bounded_work_and_the_step_carries_the_group():
    mass, distance = second_group(np.full(len(GRID), 1.0 / len(GRID)), GRID)
    assert 0.0 <= mass <= 1.0
    assert distance >= 0.0
    result = action_statistics(row(5.0, -80.0, -80.0, 5.0), FIRST, ENDS)
    assert result.second_mass == pytest.approx(0.5)
    assert result.second_distance_m == pytest.approx(math.hypot(5.0, 2.0))
