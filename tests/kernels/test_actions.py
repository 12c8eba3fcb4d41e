"""The action kernels in every form against float64 references, and to the bit against themselves in reverse order."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from shapely import Polygon

from onboard_vla.kernels.actions import (
    MotionLimits,
    Rectangle,
    Sampling,
    TrajectoryCall,
    action_statistics,
    codebook_table,
    compose,
    dispersion,
    first_contacts,
)
from onboard_vla.kernels.layouts import LIMIT_FLAGS, NONE_ALLOWED, NOT_FINITE
from onboard_vla.kernels.reference_actions import action_statistics as reference_statistics
from onboard_vla.kernels.reference_trajectory import compose_tokens

ACTIONS = 2048
LOG_SUM_EXP_ERROR, ENTROPY_ERROR, SPREAD_ERROR_M = 2e-5, 2e-5, 2e-5
"""Absolute errors of float32 against float64 over these cases; logits reach 60."""
POSITION_ERROR_M, HEADING_ERROR_RAD = 2e-5, 5e-7
"""Of 5 s composed in float32 against float64."""
LENGTH_ERROR = 1.8e-7
"""Of a direction, after any number of tokens: three of float32's last bits."""


def ends(rng):
    return rng.uniform([-5, -4], [15, 4], (ACTIONS, 2)).astype(np.float32)


@pytest.mark.parametrize("case", range(24))
def test_statistics_equal_the_reference_wherever_rows_begin(form, case):
    rng = np.random.default_rng(case)
    vocabulary, rows = int(rng.integers(2100, 4001)) | 1, int(rng.integers(1, 5))
    first, points = int(rng.integers(0, vocabulary - ACTIONS + 1)), ends(rng)
    flat = (rng.standard_normal(rows * vocabulary + 1) * rng.choice([0.5, 3.0, 12.0])).astype(
        np.float16 if case % 2 else np.float32
    )
    logits = flat[1:].reshape(rows, vocabulary)  # of halves only 2-byte aligned, the row length is odd
    allowed = rng.random(ACTIONS) < 0.7 if case % 3 else None

    result = action_statistics(form, logits, first, points, allowed=allowed)

    assert result.tobytes() == action_statistics(form, logits, first, points, allowed=allowed, reverse=True).tobytes()
    for row, found in zip(logits, result, strict=True):
        wanted = reference_statistics(row, first, points.astype(np.float64), allowed=allowed)
        actions = row[first : first + ACTIONS].astype(np.float64)
        masked = actions if allowed is None else np.where(allowed, actions, -np.inf)
        order = np.argsort(-masked, kind="stable")[:8]
        probabilities = np.exp(masked - wanted.log_sum_exp)
        terms = probabilities[probabilities > 0]
        assert found["flags"] == 0
        assert found["best"] == found["choice"] == wanted.best
        np.testing.assert_array_equal(found["top"], order)
        np.testing.assert_array_equal(found["top_logit"], actions[order].astype(np.float32))
        assert found["margin"] == pytest.approx(masked[order[0]] - masked[order[1]], abs=1e-5)
        assert found["log_sum_exp"] == pytest.approx(wanted.log_sum_exp, abs=LOG_SUM_EXP_ERROR)
        assert found["entropy"] == pytest.approx(-(terms * np.log(terms)).sum(), abs=ENTROPY_ERROR)
        assert found["best_probability"] == pytest.approx(probabilities.max(), abs=1e-6)
        assert found["choice_log_probability"] == pytest.approx(wanted.chosen_log_probability, abs=LOG_SUM_EXP_ERROR)
        assert found["spread_m"] == pytest.approx(wanted.spread_m, abs=SPREAD_ERROR_M)
        assert found["near_mass"] == pytest.approx(wanted.chosen_mass, abs=1e-6)
        assert found["outside_mass"] == pytest.approx(wanted.outside_mass, abs=1e-6)


def test_a_small_spread_far_from_the_origin_does_not_drown(form):
    points = np.zeros((ACTIONS, 2), np.float32)
    points[:2] = [[15.0, 4.0], [15.02, 4.0]]
    logits = np.full((1, ACTIONS), -80, np.float32)
    logits[0, :2] = 3.0

    assert action_statistics(form, logits, 0, points)[0]["spread_m"] == pytest.approx(0.01, rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("place", [0, 700, 2100])
def test_a_bad_logit_anywhere_is_flagged_and_gives_no_action(form, bad, place):
    logits = np.zeros((3, 2101), np.float32)
    logits[1, place] = bad

    result = action_statistics(form, logits, 20, np.zeros((ACTIONS, 2), np.float32))

    assert list(result["flags"]) == [0, NOT_FINITE, 0]
    reverse = action_statistics(form, logits, 20, np.zeros((ACTIONS, 2), np.float32), reverse=True)
    assert reverse.tobytes() == result.tobytes()
    assert result[1]["best"] == result[1]["choice"] == -1
    assert np.isnan(result[1]["spread_m"])
    assert set(result[1]["top"]) == {-1}


def test_a_mask_that_allows_nothing_is_flagged(form):
    logits, nothing = np.zeros((1, ACTIONS), np.float32), np.zeros(ACTIONS, bool)

    result = action_statistics(form, logits, 0, np.zeros((ACTIONS, 2), np.float32), allowed=nothing)

    assert (result[0]["flags"], result[0]["choice"]) == (NONE_ALLOWED, -1)


def test_few_allowed_tokens_leave_the_rest_of_the_top_list_empty(form):
    rng, allowed = np.random.default_rng(0), np.zeros(ACTIONS, bool)
    allowed[[5, 900]] = True

    row = action_statistics(form, rng.standard_normal((1, ACTIONS)).astype(np.float32), 0, ends(rng), None, allowed)[0]

    assert set(row["top"][:2]) == {5, 900}
    assert list(row["top"][2:]) == [-1] * 6


def test_equal_logits_give_the_lowest_index(form):
    row = action_statistics(form, np.zeros((1, ACTIONS), np.float32), 0, np.zeros((ACTIONS, 2), np.float32))[0]

    assert row["best"] == 0
    assert list(row["top"]) == list(range(8))
    assert row["margin"] == 0.0


@pytest.mark.parity
def test_the_repetition_penalty_is_that_of_transformers(form):
    torch = pytest.importorskip("torch")
    from transformers import RepetitionPenaltyLogitsProcessor

    rng = np.random.default_rng(1)
    logits = rng.standard_normal((4, ACTIONS)).astype(np.float32)
    before = rng.integers(0, ACTIONS, (4, 300))
    seen = np.zeros((4, ACTIONS), bool)
    np.put_along_axis(seen, before, True, axis=1)
    wanted = RepetitionPenaltyLogitsProcessor(1.4)(torch.tensor(before), torch.tensor(logits)).numpy()

    result = action_statistics(form, logits, 0, ends(rng), Sampling(repetition_penalty=1.4), seen=seen)

    np.testing.assert_array_equal(result["best"], wanted.argmax(axis=1))
    np.testing.assert_array_equal(result["top_logit"][:, 0], wanted.max(axis=1))


def test_draws_follow_the_distribution_and_the_seed(form):
    rng = np.random.default_rng(2)
    row, points = (2 * rng.standard_normal(64)).astype(np.float32), np.zeros((64, 2), np.float32)
    logits = np.broadcast_to(row, (100_000, 64))
    logits = np.ascontiguousarray(logits)

    draws = action_statistics(form, logits, 0, points, Sampling(1.3, seed=7, step=3))["choice"]

    wanted = np.exp(row.astype(np.float64) / 1.3)
    wanted *= len(draws) / wanted.sum()
    chi_squared = ((np.bincount(draws, minlength=64) - wanted) ** 2 / wanted).sum()
    assert chi_squared / 63 < 1.5  # beyond 5 standard deviations of chi squared with 63 degrees of freedom
    again = action_statistics(form, logits[:500], 0, points, Sampling(1.3, seed=7, step=3))["choice"]
    np.testing.assert_array_equal(again, draws[:500])
    for other in (Sampling(1.3, seed=8, step=3), Sampling(1.3, seed=7, step=4)):
        assert (action_statistics(form, logits[:500], 0, points, other)["choice"] != draws[:500]).any()


@pytest.fixture
def steps():
    rng = np.random.default_rng(3)
    return np.cumsum(rng.uniform([0, -0.1, -0.05], [2, 0.1, 0.05], (ACTIONS, 5, 3)), axis=1)


@pytest.mark.parametrize("count", [1, 10, 32])
def test_trajectories_equal_the_reference(form, steps, count):
    tokens = np.random.default_rng(4).integers(0, ACTIONS, (50, count)).astype(np.int32)

    result = compose(form, tokens, codebook_table(steps))

    assert not result.invalid.any()
    for row, poses, fine in zip(tokens, result.poses, result.fine, strict=True):
        wanted, wanted_fine = compose_tokens(row, steps)
        scale = max(1.0, count / 10)
        np.testing.assert_allclose(poses[:, :2], wanted[:, :2], atol=POSITION_ERROR_M * scale)
        np.testing.assert_allclose(fine[:, :2], wanted_fine[:, :2], atol=POSITION_ERROR_M * scale)
        turned = np.angle(np.exp(1j * (fine[:, 2] - wanted_fine[:, 2])))
        assert np.abs(turned).max() <= HEADING_ERROR_RAD * scale
        np.testing.assert_allclose(fine[:, 3], np.cos(wanted_fine[:, 2]), atol=1e-6 * scale)
        np.testing.assert_allclose(np.hypot(*fine[:, 3:].T.astype(np.float64)), 1.0, atol=LENGTH_ERROR)
        assert (np.abs(fine[:, 2]) <= np.float32(np.pi)).all()
    reverse = compose(form, tokens, codebook_table(steps), reverse=True)
    assert reverse.fine.tobytes() == result.fine.tobytes()
    assert reverse.poses.tobytes() == result.poses.tobytes()


def test_a_call_on_standing_memory_composes_what_lies_there_now(form, steps):
    table = codebook_table(steps)
    call = TrajectoryCall(form, table, 1, 10)
    for seed in (5, 6):
        tokens = np.random.default_rng(seed).integers(0, ACTIONS, (1, 10)).astype(np.int32)
        call.tokens[:] = tokens
        call()
        once = compose(form, tokens, table)
        assert call.poses.tobytes() == once.poses.tobytes()
        assert call.fine.tobytes() == once.fine.tobytes()
        assert not call.invalid.any()


@pytest.mark.parametrize("token", [-1, ACTIONS])
def test_a_token_that_is_no_action_makes_its_sample_invalid_and_no_other(form, steps, token):
    tokens = np.zeros((3, 10), np.int32)
    tokens[1, 4] = token

    result = compose(form, tokens, codebook_table(steps))

    assert list(result.invalid) == [False, True, False]
    assert np.isnan(result.fine[1]).all()
    assert np.isnan(result.poses[1]).all()
    assert np.isfinite(result.fine[[0, 2]]).all()


LIMITS = MotionLimits(0.5, 5.0, 30.0, 3.0, 6.0, 8.4, 0.95, 4.0, 0.3)


def straight(speeds):
    x = np.cumsum(np.asarray(speeds, np.float32) * 0.5)
    return np.stack([x, np.zeros_like(x), np.zeros_like(x)], axis=-1).astype(np.float32)


@pytest.mark.parametrize("samples", [1, 2, 7, 64, 256])
def test_dispersion_equals_a_plain_evaluation(form, samples):
    rng = np.random.default_rng(samples)
    poses = rng.normal(0, 3, (samples, 10, 3)).astype(np.float32)
    poses[samples // 2, 3, 1] = np.nan if samples > 2 else 0.0
    good = np.isfinite(poses).all(axis=(1, 2))

    result = dispersion(form, poses, LIMITS)

    points = poses[good, :, :2].astype(np.float64)
    np.testing.assert_allclose(result.mean, points.mean(axis=0), atol=1e-5)
    covariance = np.stack(
        [np.cov(points[:, t].T, bias=True) if len(points) > 1 else np.zeros((2, 2)) for t in range(10)]
    )
    np.testing.assert_allclose(result.covariance, covariance[:, [0, 0, 1], [0, 1, 1]], rtol=1e-4, atol=1e-5)
    distances = np.linalg.norm(points[:, None] - points[None], axis=-1).mean(axis=-1)
    np.testing.assert_allclose(result.pairwise[np.ix_(good, good)], distances, atol=1e-5)
    assert np.isnan(result.pairwise[~good]).all()
    mean_distance = distances.sum(axis=1) / max(len(points) - 1, 1)
    np.testing.assert_allclose(result.mean_distance[good], mean_distance, atol=1e-5)
    assert result.medoid == np.flatnonzero(good)[np.argmin(np.round(mean_distance, 5))]
    again = dispersion(form, poses, LIMITS, reverse=True)
    for name in ("mean", "covariance", "pairwise", "mean_distance", "flags"):
        assert getattr(again, name).tobytes() == getattr(result, name).tobytes()


@pytest.mark.parametrize(
    ("speeds", "flags"),
    [
        ([5] * 10, set()),
        ([6.4] + [6.4] * 9, set()),
        ([6.6] + [6.6] * 9, {"acceleration"}),
        ([2.1] + [2.1] * 9, set()),
        ([1.9] + [1.9] * 9, {"deceleration"}),
        ([5, 5] + [29] * 8, {"acceleration"}),
        ([5, 5] + [31] * 8, {"speed", "acceleration"}),
        ([-1] * 10, {"deceleration", "reverse"}),
        ([0.0, -0.5] + [0] * 8, {"deceleration"}),
    ],
)
def test_limits_are_told_by_name_on_both_sides(form, speeds, flags):
    result = dispersion(form, straight(speeds)[None], replace(LIMITS, jerk_max_mps3=1e3))

    assert {name for name, bit in LIMIT_FLAGS.items() if result.flags[0] & bit} == flags


@pytest.mark.parametrize(("speed", "flags"), [(6.0, 0), (6.2, LIMIT_FLAGS["jerk"])])
def test_jerk_is_limited_from_the_second_step_on(form, speed, flags):
    poses = straight([5, speed] + [speed + 0.5 * 2 * (speed - 5)] * 8)[None]

    assert dispersion(form, poses, replace(LIMITS, jerk_max_mps3=4.4)).flags[0] & LIMIT_FLAGS["jerk"] == flags


@pytest.mark.parametrize(("rate", "speed", "flags"), [(0.9, 3.9, 0), (1.0, 3.9, 32), (0.6, 6.4, 0), (0.6, 6.9, 64)])
def test_turning_is_limited_by_rate_and_by_lateral_acceleration(form, rate, speed, flags):
    heading = 0.5 * rate * np.arange(1, 11)
    middle = heading - 0.25 * rate
    steps = 0.5 * speed * np.stack([np.cos(middle), np.sin(middle)], axis=-1)
    poses = np.concatenate([np.cumsum(steps, axis=0), heading[:, None]], axis=1).astype(np.float32)
    poses[:, 2] = (poses[:, 2] + np.pi) % (2 * np.pi) - np.pi

    result = dispersion(form, poses[None], MotionLimits(0.5, speed, 30.0, 3.0, 6.0, 8.4, 0.95, 4.0, 0.3))

    assert result.flags[0] == flags


def test_no_finite_sample_has_no_medoid(form):
    result = dispersion(form, np.full((4, 10, 3), np.nan, np.float32), LIMITS)

    assert result.medoid == -1
    assert set(result.flags) == {1}
    assert np.isnan(result.mean).all()


def rectangle(x, y, heading, half_length, half_width):
    corners = np.array([[1, 1], [1, -1], [-1, -1], [-1, 1]]) * [half_length, half_width]
    turn = np.array([[np.cos(heading), -np.sin(heading)], [np.sin(heading), np.cos(heading)]])
    return Polygon(corners @ turn.T + [x, y])


def test_first_contacts_equal_polygons_that_intersect(form):
    rng = np.random.default_rng(5)
    vehicle, step_s, decided = Rectangle(2.4, 1.0, 1.4, 0.3), 0.1, 0
    for _ in range(40):
        heading = rng.uniform(-np.pi, np.pi) + np.cumsum(rng.uniform(-0.1, 0.1, (3, 20)), axis=1)
        xy = np.cumsum(rng.uniform(-0.5, 1.5, (3, 20, 2)), axis=1)
        fine = np.concatenate([xy, heading[..., None], np.cos(heading)[..., None], np.sin(heading)[..., None]], -1)
        turn, count = rng.uniform(-np.pi, np.pi, 6), 6
        boxes = np.stack(
            [
                *rng.uniform(-5, 25, (2, count)), np.cos(turn), np.sin(turn),
                *rng.uniform(0.3, 3, (2, count)), *rng.uniform(-4, 4, (2, count)),
            ],
            axis=-1,
        )  # fmt: skip
        contact, box = first_contacts(form, fine.astype(np.float32), boxes.astype(np.float32), vehicle, step_s)
        again = first_contacts(form, fine.astype(np.float32), boxes.astype(np.float32), vehicle, step_s, reverse=True)
        np.testing.assert_array_equal(again, (contact, box))
        for candidate in range(3):
            wanted, which, gap = 20, -1, np.inf
            for step in range(20):
                x, y, angle = fine[candidate, step, :3]
                own = rectangle(x + 1.4 * np.cos(angle), y + 1.4 * np.sin(angle), angle, 2.7, 1.3)
                for index, b in enumerate(boxes):
                    moved = b[:2] + b[6:] * (step + 1) * step_s
                    other = rectangle(*moved, np.arctan2(b[3], b[2]), b[4], b[5])
                    distance = own.distance(other)
                    gap = min(gap, distance if distance > 0 else own.intersection(other).area)
                    if distance == 0 and wanted == 20:
                        wanted, which = step, index
            if gap < 1e-4:
                continue  # touching to within rounding: either answer is right
            decided += 1
            assert (contact[candidate], box[candidate]) == (wanted, which)
    assert decided > 100


def test_a_pose_or_box_that_is_not_finite_is_no_clear_way(form):
    fine = np.zeros((2, 5, 5), np.float32)
    fine[..., 3] = 1.0
    fine[1, 4, 0] = np.nan
    far = np.array([[50, 0, 1, 0, 2, 1, 0, 0]], np.float32)
    vehicle = Rectangle(2.4, 1.0, 1.4, 0.3)

    assert list(first_contacts(form, fine, far, vehicle, 0.1)[0]) == [5, -1]
    far[0, 7] = np.inf
    assert list(first_contacts(form, fine, far, vehicle, 0.1)[0]) == [-1, -1]
