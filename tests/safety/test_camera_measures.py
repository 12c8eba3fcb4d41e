"""The camera guard's measures against plain numpy and against pictures whose values are known."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.safety.camera_guard_config import CameraGuardConfig
from onboard_vla.safety.camera_guard_measures import (
    flat_fraction,
    grey_picture,
    laplacian_variance,
    measure,
    noise_sigma,
)

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


def test_grey_is_a_quarter_red_and_blue_and_half_green_of_every_nth_pixel():
    colours = np.zeros((60, 100, 3), np.uint8)
    colours[:, :, 0], colours[:, :, 1], colours[:, :, 2] = 10, 40, 100
    colours[::2, ::2] = (100, 40, 14)
    assert set(grey_picture(colours, 320)[1::2].ravel()) == {(10 + 80 + 100) // 4}
    assert grey_picture(colours, 320).shape == (60, 100)
    assert grey_picture(colours, 60).shape == (60, 100)
    assert set(grey_picture(colours, 50).ravel()) == {(100 + 80 + 14) // 4}
    assert grey_picture(colours, 33).shape == (20, 34)


def test_entropy_counts_levels_that_show_once():
    assert measure(np.arange(256, dtype=np.int16).reshape(16, 16), CONFIG).entropy_bits == pytest.approx(8.0)


def test_an_even_laplacian_has_no_variance_whatever_its_mean():
    """3 x^2 has the second difference 6 everywhere."""
    grey = np.broadcast_to(3 * np.arange(10) ** 2, (10, 10)).astype(np.int16)
    assert laplacian_variance(grey) == pytest.approx(0.0, abs=1e-9)


@pytest.mark.parametrize(("apart", "flat"), [(1, 1.0), (2, 0.0), (3, 0.0)])
def test_a_block_at_the_limit_of_flatness_is_not_flat(apart, flat):
    """Half of the pixels above 100 and half below, by as much: the standard deviation is that."""
    grey = np.full((16, 16), 100 - apart, np.int16)
    grey[:, 8:] = 100 + apart
    assert flat_fraction(grey, 16, 2.0) == flat


def test_the_mixed_second_difference_of_one_block_is_its_noise():
    """x^2 y^2 has the mixed second difference 2 * 2 everywhere; 10x10 pixels hold 8x8 of them, one block."""
    x = np.arange(10)
    grey = (x[None, :] ** 2 * x[:, None] ** 2).astype(np.int16)
    assert noise_sigma(grey, 8) == pytest.approx(4.0 * np.sqrt(np.pi / 2) / 6)


@pytest.mark.parametrize(("side", "quiet"), [(4, 3), (3, 2)])
def test_noise_is_that_of_the_block_that_a_quarter_of_the_others_are_quieter_than(side, quiet):
    """Block k holds one pixel of height k, whose mixed second differences add up to 16 k over 64 places."""
    grey = np.zeros((8 * side + 2, 8 * side + 2), np.int16)
    for k in range(side * side):
        row, column = divmod(k, side)
        grey[8 * row + 5, 8 * column + 5] = k
    assert noise_sigma(grey, 8) == pytest.approx(quiet / 4 * np.sqrt(np.pi / 2) / 6)
