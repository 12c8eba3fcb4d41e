"""The camera guard: both sides of every limit, and what is never judged wrongly."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.safety.camera_guard import MEASURE_LIMITS, CameraGuard
from onboard_vla.safety.camera_guard_config import NOISE_FREE_STANDSTILL_S, CameraGuardConfig
from onboard_vla.safety.camera_guard_measures import grey_picture, measure

CONFIG = CameraGuardConfig()
PERIOD = 100_000_000


def scene(seed=0, low=60, high=190):
    """Patches of 8x8 pixels: sharp edges, all grey levels, no noise."""
    patches = np.random.default_rng(seed).integers(low, high, (32, 56), dtype=np.uint8)
    grey = np.kron(patches, np.ones((8, 8), np.uint8))[:252]
    return np.repeat(grey[..., None], 3, axis=2)


def level(value):
    return np.full((252, 448, 3), value, np.uint8)


def show(guard, images, speed=5.0, camera="front", start=0):
    stamps = [(start + i + 1) * PERIOD for i in range(len(images))]
    return [guard.check(CameraFrame(camera, stamp, start + i, image), speed, Now(stamp, stamp))
            for i, (stamp, image) in enumerate(zip(stamps, images, strict=True))]  # fmt: skip


def codes(verdict):
    return [reason.code for reason in verdict.reasons]


def test_ordinary_pictures_are_usable():
    verdicts = show(CameraGuard(CONFIG, ""), [scene(i) for i in range(6)])
    assert all(verdict.usable and not verdict.reasons for verdict in verdicts)
    assert (verdicts[2].camera, verdicts[2].stamp_ns, verdicts[2].sequence) == ("front", 3 * PERIOD, 2)


@pytest.mark.parametrize(
    ("value", "code", "usable"),
    [(7, "BLACK", False), (8, "DARK", True), (19, "DARK", True), (20, None, True), (215, None, True),
     (216, "BRIGHT", True), (235, "BRIGHT", True), (236, "OVEREXPOSED", False), (0, "BLACK", False),
     (255, "OVEREXPOSED", False)],
)  # fmt: skip
def test_brightness_warns_and_refuses_at_once(value, code, usable):
    verdict = show(CameraGuard(CONFIG, ""), [level(value)])[0]
    assert codes(verdict)[:1] == ([code] if code else [])
    assert verdict.usable is usable
    if code:
        assert verdict.reasons[0].measured == value


@pytest.mark.parametrize(("share", "found"), [(0.49, []), (0.51, ["DARK"]), (0.89, ["DARK"]), (0.91, ["BLACK"])])
def test_mostly_dark_pictures_with_a_bright_rest_are_black(share, found):
    image = scene(low=140, high=240)
    image.reshape(-1, 3)[: int(share * 252 * 448)] = 5
    verdict = show(CameraGuard(CONFIG, ""), [image])[0]
    assert codes(verdict) == found
    assert verdict.usable is (found != ["BLACK"])


@pytest.mark.parametrize(
    ("share", "found"), [(0.34, []), (0.36, ["BRIGHT"]), (0.59, ["BRIGHT"]), (0.61, ["OVEREXPOSED"])]
)
def test_mostly_white_pictures_are_overexposed(share, found):
    image = scene(low=10, high=100)
    image.reshape(-1, 3)[: int(share * 252 * 448)] = 250
    assert codes(show(CameraGuard(CONFIG, ""), [image])[0]) == found


@pytest.mark.parametrize(
    ("columns", "found"),
    [(9, []), (10, ["PARTLY_COVERED"]), (11, ["PARTLY_COVERED"]), (12, ["COVERED"]), (16, ["COVERED", "DULL"])],
)
def test_covered_pictures_count_at_the_third_in_a_row(columns, found):
    images = [scene(seed) for seed in range(3)]
    for image in images:
        image[:, : columns * 16] = 90
    verdicts = show(CameraGuard(CONFIG, ""), images)
    assert [codes(verdict) for verdict in verdicts] == [[], [], found]
    assert verdicts[2].usable is ("COVERED" not in found)


HAZY = 120 + (scene(3).astype(float) - 120) * 0.1
NOISED = scene(5) + np.random.default_rng(1).normal(0, 20, (252, 448, 1))


@pytest.mark.parametrize("row", MEASURE_LIMITS, ids=lambda row: row.error_limit)
@pytest.mark.parametrize("kind", ["error", "warning"])
def test_every_measure_is_judged_on_both_sides_of_both_limits(row, kind):
    image = np.clip(NOISED if row.measure == "noise_sigma" else HAZY, 0, 255).astype(np.uint8)
    image[:16] = 0 if row.measure == "dark_fraction" else 255 if row.measure == "bright_fraction" else image[:16]
    image[:64, :64] = 100
    value = getattr(measure(grey_picture(image, CONFIG.width_px), CONFIG), row.measure)
    assert value > 0.0
    others = {name: 0.0 if not r.upper else 255.0 if "noise" in name or "mean" in name else 1.0
              for r in MEASURE_LIMITS for name in (r.error_limit, r.warning_limit)}  # fmt: skip
    others["flat_fraction_max"] = others["noise_max"] = 1.0 if row.measure != "noise_sigma" else 255.0
    others.update({name: 255.0 for name in ("noise_max", "noise_warn")}, flat_fraction_max=1.0)
    name, code = (row.error_limit, row.error) if kind == "error" else (row.warning_limit, row.warning)
    first = 0 if row.at_once else CONFIG.frames - 1
    for factor, beyond in ((1.001, not row.upper), (0.999, row.upper)):
        config = CameraGuardConfig(**{**others, name: value * factor}, frozen_standstill_s=NOISE_FREE_STANDSTILL_S)
        found = [codes(v) for v in show(CameraGuard(config, ""), [image] * 4, speed=0.0)]
        assert found == ([[]] * first + [[code]] * (4 - first) if beyond else [[]] * 4)


@pytest.mark.parametrize(("count", "usable"), [(29, True), (30, False)])
def test_side_cameras_may_be_filled_by_a_vehicle_for_three_seconds(count, usable):
    flat = level(90)
    flat[0, 0] = 120
    verdicts = show(CameraGuard(CONFIG, ""), [flat] * count, 5.0, "back_left")
    assert all(v.usable for v in verdicts[:-1])
    assert verdicts[-1].usable is usable
    assert codes(verdicts[-1]) == ([] if usable else ["COVERED", "BLURRED", "LOW_ENTROPY"])


def test_a_clear_picture_in_between_starts_the_count_anew():
    flat = level(90)
    flat[0, 0] = 120
    guard = CameraGuard(CONFIG, "")
    assert all(v.usable for v in show(guard, [flat, flat, scene(1)], 0.0))
    assert all(v.usable for v in show(guard, [flat, flat], 0.0, start=3))


def test_blurred_pictures_are_refused_at_the_third_in_a_row():
    x = np.arange(448)[None, :] * 0.3
    waves = [np.repeat((120 + 40 * np.sin(x + k) + 0.15 * np.arange(252)[:, None])[..., None], 3, 2) for k in range(3)]
    verdicts = show(CameraGuard(CONFIG, ""), [wave.astype(np.uint8) for wave in waves])
    assert [codes(v) for v in verdicts] == [[], [], ["BLURRED"]]


def test_strong_noise_is_refused_at_the_third_picture():
    rng = np.random.default_rng(7)
    noisy = [np.clip(scene(k) + rng.normal(0, 40, (252, 448, 1)), 0, 255).astype(np.uint8) for k in range(3)]
    assert codes(show(CameraGuard(CONFIG, ""), noisy)[2]) == ["NOISE"]


def test_large_pictures_are_thinned_and_tiny_ones_judged():
    assert grey_picture(np.zeros((1080, 1920, 3), np.uint8), 320).shape == (180, 320)
    assert show(CameraGuard(CONFIG, ""), [scene(2)[:3, :3]])[0].usable


def test_equal_pictures_are_frozen_at_the_third_while_moving():
    verdicts = show(CameraGuard(CONFIG, ""), [scene(0)] * 4 + [scene(1)], speed=1.01)
    assert [codes(v) for v in verdicts] == [[], [], ["FROZEN"], ["FROZEN"], []]


@pytest.mark.parametrize(("changed", "frozen"), [(0.04, True), (0.06, False)])
def test_a_codec_does_not_hide_a_frozen_picture(changed, frozen):
    images = []
    for k in range(3):
        image = scene(0)
        image.reshape(-1, 3)[k :: round(2 / changed)] += 1
        images.append(image)
    assert show(CameraGuard(CONFIG, ""), images)[2].usable is not frozen


def test_a_picture_without_structure_is_covered_not_frozen():
    flat = level(90)
    assert codes(show(CameraGuard(CONFIG, ""), [flat] * 4)[3]) == ["COVERED", "BLURRED", "LOW_ENTROPY"]
    assert all(v.usable for v in show(CameraGuard(CONFIG, ""), [flat] * 4, camera="back_left"))


@pytest.mark.parametrize("speed", [0.0, 1.0, -1.0])
def test_equal_pictures_at_standstill_are_frozen_after_a_second(speed):
    verdicts = show(CameraGuard(CONFIG, ""), [scene(0)] * 12, speed=speed)
    assert [v.usable for v in verdicts] == [True] * 10 + [False] * 2


def test_a_camera_without_noise_may_show_the_same_picture_while_the_vehicle_stands():
    guard = CameraGuard(replace(CONFIG, frozen_standstill_s=NOISE_FREE_STANDSTILL_S), "")
    assert all(v.usable for v in show(guard, [scene(0)] * 40, speed=0.0))
    assert not show(guard, [scene(0)], speed=1.01, start=40)[0].usable


def test_an_unknown_speed_counts_as_moving():
    assert not show(CameraGuard(CONFIG, ""), [scene(0)] * 3, speed=float("nan"))[2].usable


@pytest.mark.parametrize("back", [0, 1, 10**12])
def test_stamps_that_do_not_rise_are_refused_and_block_nothing(back):
    guard = CameraGuard(CONFIG, "")
    show(guard, [scene(0)])
    verdict = guard.check(CameraFrame("front", PERIOD - back, 1, scene(1)), 5.0, Now(PERIOD, PERIOD))
    assert codes(verdict) == ["STAMP_ORDER"]
    assert show(guard, [scene(2)], start=2)[0].usable


def test_cameras_do_not_share_their_history():
    guard = CameraGuard(CONFIG, "")
    show(guard, [scene(0)] * 2)
    assert show(guard, [scene(0)], camera="back")[0].usable


@pytest.mark.parametrize(
    "image",
    [np.zeros((10, 10), np.uint8), np.zeros((10, 10, 4), np.uint8), np.zeros((10, 10, 3), np.float32),
     np.zeros((0, 10, 3), np.uint8), np.zeros((2, 10, 3), np.uint8), None],
)  # fmt: skip
def test_pictures_of_another_shape_are_refused_not_raised_on(image):
    assert codes(show(CameraGuard(CONFIG, ""), [image])[0]) == ["MALFORMED"]


@pytest.mark.parametrize("step_s", [-3600.0, -0.5, 0.5, 3600.0])
def test_a_step_of_the_clock_costs_two_pictures_at_most(step_s):
    guard = CameraGuard(CONFIG, "")
    show(guard, [scene(k) for k in range(30)])
    found = []
    for k in range(30, 60):
        monotonic = (k + 1) * PERIOD
        stamp = monotonic + round(step_s * 1e9)
        found.append(guard.check(CameraFrame("front", stamp, k, scene(k)), 5.0, Now(monotonic, stamp)).usable)
    assert sum(found) >= 28
    assert all(found[2:])


def test_a_difference_at_the_limit_is_a_change_and_flat_blocks_at_the_limit_are_structure():
    """Measured values that equal their limit: not frozen by the one, still judged by the other."""
    first, second = scene(0), scene(0)
    second.reshape(-1, 3)[::20] += 1
    difference = float(np.abs(grey_picture(second, 320) - grey_picture(first, 320)).mean())
    config = replace(CONFIG, frozen_difference=difference)
    assert all(v.usable for v in show(CameraGuard(config, ""), [first, second, first]))
    half = scene(0)
    half[:, :224] = 90
    share = measure(grey_picture(half, CONFIG.width_px), CONFIG).flat_fraction
    found = show(CameraGuard(replace(CONFIG, flat_fraction_max=share), ""), [half] * 3)
    assert "FROZEN" in codes(found[2])


def test_each_refusal_names_its_figures():
    guard = CameraGuard(CONFIG, "")
    show(guard, [scene(0), scene(1)])
    again = guard.check(CameraFrame("front", 2 * PERIOD, 2, scene(2)), 5.0, Now(2 * PERIOD, 2 * PERIOD))
    assert [(r.code, r.measured, r.limit) for r in again.reasons] == [("STAMP_ORDER", 0.0, 0.0)]
    back = guard.check(CameraFrame("front", PERIOD, 3, scene(3)), 5.0, Now(2 * PERIOD, 2 * PERIOD))
    assert [(r.code, r.measured, r.limit) for r in back.reasons] == [("STAMP_ORDER", -0.1, 0.0)]
    torn = show(CameraGuard(CONFIG, ""), [None])[0]
    assert [(r.code, r.measured, r.limit) for r in torn.reasons] == [("MALFORMED", 1.0, 0.0)]


def test_after_a_step_of_the_clock_the_order_of_the_stamps_still_counts():
    guard, step = CameraGuard(CONFIG, ""), 3600 * 10 * PERIOD
    show(guard, [scene(k) for k in range(5)])
    verdicts = []
    for k, stamp in ((5, 6), (6, 7), (7, 7)):
        now = Now((k + 1) * PERIOD, (k + 1) * PERIOD + step)
        verdicts.append(guard.check(CameraFrame("front", stamp * PERIOD + step, k, scene(k)), 5.0, now))
    assert [codes(verdict) for verdict in verdicts][2] == ["STAMP_ORDER"]
