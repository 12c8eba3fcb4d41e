"""Kernel 1's second group of motions and its score of given actions, in every form against the float64 reference."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.kernels.actions import Sampling, action_statistics
from onboard_vla.kernels.layouts import NO_ACTION
from onboard_vla.kernels.reference_actions import GROUPED_TOKENS, second_group
from onboard_vla.kernels.reference_actions import action_statistics as reference_statistics

ACTIONS = 2048
MASS_ERROR, DISTANCE_ERROR_M, LOG_ERROR = 2e-6, 2e-5, 2e-5
"""Absolute errors of float32 against float64; logits reach 60."""


def motions(rng, count):
    """Logits with `count` preferred end points among ACTIONS random ones, and the end points."""
    ends = rng.uniform([-2, -4], [15, 4], (ACTIONS, 2)).astype(np.float32)
    centres, widths = rng.uniform([0, -3], [14, 3], (count, 2)), rng.uniform(0.1, 0.8, count)
    squares = ((ends[None] - centres[:, None]) ** 2).sum(axis=2) / (2 * widths[:, None] ** 2)
    density = (rng.uniform(0.2, 1.0, (count, 1)) * np.exp(-squares)).sum(axis=0)
    return np.log(density + 1e-20).astype(np.float32), ends


@pytest.mark.parametrize("case", range(16))
def test_groups_and_scores_equal_the_reference_wherever_rows_begin(form, case):
    rng = np.random.default_rng(case)
    values, ends = motions(rng, 1 + case % 4)
    rows, vocabulary = 3, 2301
    flat = rng.standard_normal(rows * vocabulary + 1).astype(np.float16 if case % 2 else np.float32)
    logits = flat[1:].reshape(rows, vocabulary)
    logits[:, 100 : 100 + ACTIONS] = values + 0.05 * rng.standard_normal((rows, ACTIONS))
    allowed = rng.random(ACTIONS) < 0.8 if case % 3 else None
    chosen = rng.choice(np.arange(ACTIONS) if allowed is None else np.flatnonzero(allowed), rows)

    found = action_statistics(form, logits, 100, ends, None, allowed, None, chosen)

    again = action_statistics(form, logits, 100, ends, None, allowed, None, chosen, reverse=True)
    assert again.tobytes() == found.tobytes()
    assert list(found["choice"]) == list(chosen)
    for row, result, action in zip(logits, found, chosen, strict=True):
        wanted = reference_statistics(row, 100, ends.astype(np.float64), int(action), allowed)
        assert result["flags"] == 0
        assert result["best"] == wanted.best
        assert result["choice_log_probability"] == pytest.approx(wanted.chosen_log_probability, abs=LOG_ERROR)
        assert result["near_mass"] == pytest.approx(wanted.chosen_mass, abs=MASS_ERROR)
        assert result["second_mass"] == pytest.approx(wanted.second_mass, abs=MASS_ERROR)
        assert result["second_distance_m"] == pytest.approx(wanted.second_distance_m, abs=DISTANCE_ERROR_M)


def test_those_cases_have_one_group_and_several():
    masses = []
    for case in range(16):
        values, ends = motions(np.random.default_rng(case), 1 + case % 4)
        probabilities = np.exp(values.astype(np.float64))
        masses.append(second_group(probabilities / probabilities.sum(), ends.astype(np.float64))[0])
    assert sum(mass == 0.0 for mass in masses) >= 3
    assert sum(mass > 0.1 for mass in masses) >= 5


def row_of(form, points, weights, sampling=None):
    """Statistics where the first points have these weights and all others next to none."""
    ends = np.full((ACTIONS, 2), 50.0, np.float32)
    logits = np.full((1, ACTIONS), -80.0, np.float32)
    ends[: len(points)], logits[0, : len(points)] = points, np.log(weights)
    return action_statistics(form, logits, 0, ends, sampling)[0]


@pytest.mark.parametrize(("gap_m", "mass"), [(0.499, 0.0), (0.501, 0.4)])
def test_end_points_are_one_group_within_half_a_metre_and_two_beyond(form, gap_m, mass):
    found = row_of(form, [[3.0, 0.0], [3.0 + gap_m, 0.0]], [0.6, 0.4])
    assert found["second_mass"] == pytest.approx(mass, abs=1e-6)
    assert found["second_distance_m"] == pytest.approx(gap_m if mass else 0.0, abs=1e-6)


def test_groups_hang_together_over_others_and_the_second_heaviest_counts(form):
    chain = [[0.0, 0.0], [0.45, 0.0], [0.9, 0.0], [3.0, 0.0], [6.0, 0.0]]
    found = row_of(form, chain, [0.2, 0.2, 0.2, 0.15, 0.25])
    assert found["second_mass"] == pytest.approx(0.25, abs=1e-6)
    assert found["second_distance_m"] == pytest.approx(6.0 - 0.45, abs=1e-5)


def test_a_long_chain_is_one_group_whatever_its_order(form):
    """250 links: a label has far to go from its lowest member."""
    order, all_of_them = np.random.default_rng(0).permutation(250), Sampling(grouped_mass=1.0 - 1e-6)
    points, weights = np.stack([0.45 * order, np.full(250, 100.0)], axis=1), np.linspace(2.0, 1.0, 250)
    assert row_of(form, points, weights, all_of_them)["second_mass"] == 0.0
    points[order > 150, 0] += 0.2
    broken = row_of(form, points, weights, all_of_them)["second_mass"]
    assert broken == pytest.approx(weights[order > 150].sum() / weights.sum(), abs=1e-5)


@pytest.mark.parametrize(("share", "mass"), [(0.04, 0.0), (0.06, 0.06)])
def test_what_lies_beyond_the_most_probable_ninety_five_per_cent_is_no_group(form, share, mass):
    found = row_of(form, [[5.0, 0.0], [1.0, 0.0]], [1.0 - share, share])
    assert found["second_mass"] == pytest.approx(mass, abs=1e-6)


def test_a_flat_distribution_links_no_more_actions_than_the_reference(form):
    ends = np.random.default_rng(1).uniform([-2, -4], [15, 4], (ACTIONS, 2)).astype(np.float32)
    found = action_statistics(form, np.zeros((1, ACTIONS), np.float32), 0, ends)[0]
    wanted = second_group(np.full(ACTIONS, 1.0 / ACTIONS), ends.astype(np.float64))
    assert 0.0 < wanted[0] < GROUPED_TOKENS / ACTIONS
    assert (found["second_mass"], found["second_distance_m"]) == pytest.approx(wanted, abs=1e-5)


def test_no_groups_are_sought_where_none_are_asked_for(form):
    two = [[5.0, 0.0], [1.0, 0.0]]
    assert row_of(form, two, [0.5, 0.5], Sampling(grouped_mass=0.0))["second_mass"] == 0.0
    assert row_of(form, two, [0.5, 0.5], replace(Sampling(), link_m=4.1))["second_mass"] == 0.0
    assert row_of(form, two, [0.5, 0.5])["second_mass"] == pytest.approx(0.5)


@pytest.mark.parametrize("action", [-1, ACTIONS, 7])
def test_a_given_action_that_is_none_is_flagged_and_its_row_says_nothing(form, action):
    rng, allowed = np.random.default_rng(0), np.ones(ACTIONS, bool)
    allowed[7] = False
    logits = rng.standard_normal((3, ACTIONS)).astype(np.float32)

    found = action_statistics(form, logits, 0, np.zeros((ACTIONS, 2)), None, allowed, None, np.array([3, action, 4]))

    assert list(found["flags"]) == [0, NO_ACTION, 0]
    assert list(found["choice"]) == [3, -1, 4]
    assert all(np.isnan(found[1][name]) for name in ("second_mass", "near_mass", "choice_log_probability"))
