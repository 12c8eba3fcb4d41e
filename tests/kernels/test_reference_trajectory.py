"""The trajectory kernel's reference against step-by-step composition and the codebook's own decoding."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.codebook import Codebook, box_contours
from onboard_vla.core.geometry import compose
from onboard_vla.kernels.reference_trajectory import compose_tokens


@pytest.fixture
def codebook():
    rng = np.random.default_rng(0)
    ends = np.stack([rng.uniform(-2, 15, 64), rng.uniform(-1, 1, 64), rng.uniform(-0.9, 0.9, 64)], -1)
    return Codebook(box_contours(ends[:, None] * (np.arange(1, 6) / 5)[:, None], 4.8, 2.0).astype(np.float32))


def test_ten_tokens_give_ten_poses_and_fifty_fine_poses(codebook):
    poses, fine = compose_tokens(range(10), codebook.fine_deltas)
    assert poses.shape == (10, 3)
    assert fine.shape == (50, 3)
    np.testing.assert_array_equal(fine[4::5], poses)


def test_poses_equal_repeated_composition(codebook):
    tokens = np.random.default_rng(1).integers(0, 64, 10)
    poses, _ = compose_tokens(tokens, codebook.fine_deltas)
    reached = np.zeros(3)
    for token, pose in zip(tokens, poses, strict=True):
        reached = compose(reached, codebook.deltas[token])
        np.testing.assert_allclose(pose, reached, atol=1e-12)


def test_poses_equal_the_codebooks_decoding(codebook):
    rng = np.random.default_rng(2)
    for _ in range(50):
        tokens = rng.integers(0, 64, 10)
        poses, fine = compose_tokens(tokens, codebook.fine_deltas)
        expected_poses, expected_fine = codebook.decode(tokens)
        np.testing.assert_allclose(poses, expected_poses, atol=1e-5)
        np.testing.assert_allclose(fine, expected_fine, atol=1e-5)


def test_headings_stay_within_half_a_turn(codebook):
    turning = int(np.argmax(codebook.deltas[:, 2]))
    poses, fine = compose_tokens([turning] * 10, codebook.fine_deltas)
    assert (np.abs(poses[:, 2]) <= np.pi).all()
    assert (np.abs(fine[:, 2]) <= np.pi).all()
