"""The camera guard's measures against plain numpy and against pictures whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.safety.camera_guard_config import CameraGuardConfig
from onboard_vla.safety.camera_guard_measures import flat_fraction, grey_picture, measure, noise_sigma

CONFIG = CameraGuardConfig()


def random_picture(seed=4):
    grey = np.random.default_rng(seed).integers(0, 256, (252, 448), dtype=np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def test_measures_equal_plain_numpy():
    image = random_picture()
    grey = grey_picture(image, CONFIG.width_px)
    plain = image[..., 0].astype(float)
    found = measure(grey, CONFIG)
    assert found.mean == pytest.approx(plain.mean())
    assert found.dark_fraction == pytest.approx((plain <= 5).mean())
    assert found.bright_fraction == pytest.approx((plain >= 250).mean())
    laplacian = plain[1:-1, :-2] + plain[1:-1, 2:] + plain[:-2, 1:-1] + plain[2:, 1:-1] - 4 * plain[1:-1, 1:-1]
    assert found.laplacian_variance == pytest.approx(laplacian.var(), rel=1e-4)
    _, counts = np.unique(plain, return_counts=True)
    assert found.entropy_bits == pytest.approx(float(-(counts / plain.size * np.log2(counts / plain.size)).sum()))
    blocks = plain[:240, :448].reshape(15, 16, 28, 16).std(axis=(1, 3))
    assert flat_fraction(grey, 16, 74.0) == pytest.approx((blocks < 74.0).mean())
    assert 0.2 < (blocks < 74.0).mean() < 0.8


@pytest.mark.parametrize(("levels", "bits"), [(1, 0.0), (2, 1.0), (16, 4.0), (256, 8.0)])
def test_entropy_counts_the_grey_levels(levels, bits):
    grey = (np.arange(256 * 256) % levels).reshape(256, 256).astype(np.int16)
    assert measure(grey, CONFIG).entropy_bits == pytest.approx(bits)


@pytest.mark.parametrize("sigma", [2.0, 10.0, 40.0])
def test_noise_of_a_known_sigma_is_found_on_a_slanted_plane(sigma):
    rng = np.random.default_rng(2)
    plane = 120.0 + 0.1 * np.arange(448)[None, :] + 0.05 * np.arange(252)[:, None]
    grey = np.round(plane + rng.normal(0.0, sigma, plane.shape)).astype(np.int16)
    assert noise_sigma(grey, 16) == pytest.approx(sigma, rel=0.12)


def test_edges_are_not_noise():
    grey = np.zeros((252, 448), np.int16)
    grey[:, 200:] = 250
    grey[100:, :] += 5
    assert noise_sigma(grey, 16) == 0.0


def test_pictures_smaller_than_a_block_have_no_flat_blocks_and_no_noise():
    grey = np.zeros((15, 400), np.int16)
    assert flat_fraction(grey, 16, 2.0) == 0.0
    assert noise_sigma(grey, 16) == 0.0
