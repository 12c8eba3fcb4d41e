"""The camera guard: both sides of every limit, and what is never judged wrongly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.safety.camera_guard import CameraGuard, flat_fraction, grey_picture, measure
from onboard_vla.safety.camera_guard_config import CameraGuardConfig

CONFIG = CameraGuardConfig()
PERIOD = 100_000_000


def noise(seed=0, low=60, high=190, shape=(252, 448)):
    grey = np.random.default_rng(seed).integers(low, high, shape, dtype=np.uint8)
    return np.repeat(grey[..., None], 3, axis=2)


def level(value):
    return np.full((252, 448, 3), value, np.uint8)


def show(guard, images, speed=5.0, camera="front", start=0):
    return [guard.check(CameraFrame(camera, (start + i + 1) * PERIOD, start + i, image), speed) for i, image in
            enumerate(images)]  # fmt: skip


def codes(verdict):
    return [reason.code for reason in verdict.reasons]


def test_ordinary_pictures_are_usable():
    verdicts = show(CameraGuard(CONFIG), [noise(i) for i in range(6)])
    assert all(verdict.usable and not verdict.reasons for verdict in verdicts)
    assert (verdicts[2].camera, verdicts[2].stamp_ns, verdicts[2].sequence) == ("front", 3 * PERIOD, 2)


@pytest.mark.parametrize(("value", "code"), [(7, "BLACK"), (8, None), (235, None), (236, "OVEREXPOSED"), (0, "BLACK"),
                                             (255, "OVEREXPOSED")])  # fmt: skip
def test_black_and_white_pictures_are_refused_at_once(value, code):
    verdict = show(CameraGuard(CONFIG), [level(value)])[0]
    assert codes(verdict)[:1] == ([code] if code else [])
    assert verdict.usable is (code is None)


@pytest.mark.parametrize(("share", "usable"), [(0.89, True), (0.91, False)])
def test_mostly_dark_pictures_with_a_bright_rest_are_black(share, usable):
    image = noise(low=120, high=250)
    image.reshape(-1, 3)[: int(share * 252 * 448)] = 5
    verdict = show(CameraGuard(CONFIG), [image])[0]
    assert verdict.usable is usable
    assert codes(verdict) == ([] if usable else ["BLACK"])


@pytest.mark.parametrize(("share", "usable"), [(0.59, True), (0.61, False)])
def test_mostly_white_pictures_are_overexposed(share, usable):
    image = noise(low=10, high=100)
    image.reshape(-1, 3)[: int(share * 252 * 448)] = 250
    assert codes(show(CameraGuard(CONFIG), [image])[0]) == ([] if usable else ["OVEREXPOSED"])


@pytest.mark.parametrize(("columns", "covered"), [(16, False), (17, True)])
def test_covered_pictures_are_refused_at_the_third_in_a_row(columns, covered):
    images = []
    for seed in range(3):
        image = noise(seed)
        image[:, : columns * 16] = 90
        images.append(image)
    verdicts = show(CameraGuard(CONFIG), images)
    assert [verdict.usable for verdict in verdicts] == [True, True, not covered]
    assert codes(verdicts[2]) == (["COVERED"] if covered else [])


@pytest.mark.parametrize(("count", "usable"), [(29, True), (30, False)])
def test_side_cameras_may_be_filled_by_a_vehicle_for_three_seconds(count, usable):
    flat = level(90)
    flat[0, 0] = 120
    verdicts = show(CameraGuard(replace(CONFIG, frozen_standstill_s=3600.0)), [flat] * count, 0.0, "back_left")
    assert verdicts[-1].usable is usable
    assert codes(verdicts[-1]) == ([] if usable else ["COVERED", "BLURRED"])


def test_a_clear_picture_in_between_starts_the_count_anew():
    flat = level(90)
    flat[0, 0] = 120
    guard = CameraGuard(CONFIG)
    assert all(v.usable for v in show(guard, [flat, flat, noise(1)], 0.0))
    assert all(v.usable for v in show(guard, [flat, flat], 0.0, start=3))


def blurred(seed, amplitude):
    """Vertical waves; the Laplacian's variance grows with the amplitude."""
    x = np.arange(448)[None, :] * 0.9 + seed
    grey = 120 + amplitude * np.sin(x) + 0.15 * np.arange(252)[:, None]
    return np.repeat(np.round(grey).astype(np.uint8)[..., None], 3, axis=2)


def test_blurred_pictures_are_refused_at_the_third_in_a_row():
    grey = grey_picture(blurred(0, 5), CONFIG.width_px)
    variance = measure(grey, CONFIG).laplacian_variance
    for limit, refused in ((variance * 1.01, True), (variance * 0.99, False)):
        guard = CameraGuard(replace(CONFIG, laplacian_min=limit))
        verdicts = show(guard, [blurred(0, 5)] * 3, speed=0.0)
        assert [verdict.usable for verdict in verdicts] == [True, True, not refused]
        assert codes(verdicts[2]) == (["BLURRED"] if refused else [])


def test_measures_equal_plain_numpy():
    image = noise(4, 0, 256)
    grey = grey_picture(image, CONFIG.width_px)
    plain = image[..., 0].astype(float)
    found = measure(grey, CONFIG)
    assert found.mean == pytest.approx(plain.mean())
    assert found.dark_fraction == pytest.approx((plain <= 5).mean())
    assert found.bright_fraction == pytest.approx((plain >= 250).mean())
    laplacian = plain[1:-1, :-2] + plain[1:-1, 2:] + plain[:-2, 1:-1] + plain[2:, 1:-1] - 4 * plain[1:-1, 1:-1]
    assert found.laplacian_variance == pytest.approx(laplacian.var(), rel=1e-4)
    blocks = plain[:240, :448].reshape(15, 16, 28, 16).std(axis=(1, 3))
    assert flat_fraction(grey, 16, 74.0) == pytest.approx((blocks < 74.0).mean())
    assert 0.2 < (blocks < 74.0).mean() < 0.8


def test_large_pictures_are_thinned_and_tiny_ones_judged():
    assert grey_picture(np.zeros((1080, 1920, 3), np.uint8), 320).shape == (180, 320)
    assert show(CameraGuard(CONFIG), [noise(shape=(3, 3))])[0].usable


def test_equal_pictures_are_frozen_at_the_third_while_moving():
    verdicts = show(CameraGuard(CONFIG), [noise(0)] * 4 + [noise(1)], speed=1.01)
    assert [codes(v) for v in verdicts] == [[], [], ["FROZEN"], ["FROZEN"], []]


@pytest.mark.parametrize("speed", [0.0, 1.0])
def test_equal_pictures_at_standstill_are_frozen_after_a_second(speed):
    noisy = replace(CONFIG, frozen_standstill_s=1.0)
    verdicts = show(CameraGuard(noisy), [noise(0)] * 12, speed=speed)
    assert [v.usable for v in verdicts] == [True] * 10 + [False] * 2


def test_a_camera_without_noise_may_show_the_same_picture_while_the_vehicle_stands():
    guard = CameraGuard(CONFIG)
    assert all(v.usable for v in show(guard, [noise(0)] * 40, speed=0.0))
    assert not show(guard, [noise(0)], speed=1.01, start=40)[0].usable


def test_an_unknown_speed_counts_as_moving():
    assert not show(CameraGuard(CONFIG), [noise(0)] * 3, speed=float("nan"))[2].usable


def test_a_change_between_the_sampled_rows_is_noticed_by_whatever_row_moves():
    moved = noise(0)
    moved[16, 0] += 1
    assert all(v.usable for v in show(CameraGuard(CONFIG), [noise(0), noise(0), moved]))


@pytest.mark.parametrize("back", [0, 1, 10**12])
def test_stamps_that_do_not_rise_are_refused_and_block_nothing(back):
    guard = CameraGuard(CONFIG)
    show(guard, [noise(0)])
    verdict = guard.check(CameraFrame("front", PERIOD - back, 1, noise(1)), 5.0)
    assert codes(verdict) == ["STAMP_ORDER"]
    assert guard.check(CameraFrame("front", 2 * PERIOD, 2, noise(2)), 5.0).usable


def test_cameras_do_not_share_their_history():
    guard = CameraGuard(CONFIG)
    show(guard, [noise(0)] * 2)
    assert show(guard, [noise(0)], camera="back")[0].usable


@pytest.mark.parametrize(
    "image",
    [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3), np.float32),
     np.zeros((0, 10, 3), np.uint8), np.zeros((2, 10, 3), np.uint8), None],
)  # fmt: skip
def test_pictures_of_another_shape_are_refused_not_raised_on(image):
    assert codes(CameraGuard(CONFIG).check(CameraFrame("front", 1, 1, image), 0.0)) == ["MALFORMED"]
