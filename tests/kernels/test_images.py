"""The camera kernel in every form: to the bit the reference (which is to the bit transformers' Pillow processor)."""

from __future__ import annotations

import threading
import time

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from onboard_vla.core.errors import FrameError
from onboard_vla.kernels.images import ROW, PatchKernel, PictureLayout
from onboard_vla.kernels.reference_images import crop_and_resize, normalisation_table, patches_of_pair
from onboard_vla.kernels.resize_tables import resize_axis, undistortion_map

TABLE = normalisation_table((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def noise(height, width, seed=0, channels=3):
    return np.random.default_rng(seed).integers(0, 256, (height, width, channels), np.uint8)


def expected(pair, layout):
    left, top, right, bottom = layout.crop
    whole = (0.0, 0.0, 1.0, 1.0)
    resized = [crop_and_resize(p[top:bottom, left:right], whole, layout.out_width, layout.out_height) for p in pair]
    return patches_of_pair(*resized, TABLE)


def by_blocks(form, kernel, pairs, dtype=np.float32, reverse=False):
    """The block program, the form that a GPU runs."""
    out = np.full((kernel.rows, ROW), np.nan, dtype)
    kernel.point_at(pairs, out)
    form.run("patches", kernel.arguments, kernel.rows, reverse=reverse)
    return out


def by_rows(kernel, pairs, dtype=np.float32, threads=1):
    out = np.full((kernel.rows, ROW), np.nan, dtype)
    kernel.run(pairs, out, threads)
    return out


def test_a_camera_that_fails_is_told_when_no_other_is_worked_on_any_more():
    failed, ended = threading.Event(), []

    class Form:
        def keep(self, constant):
            pass

        def patches_by_rows(self, arguments, first, last):
            if first == 0:
                failed.set()
                raise FrameError("of the first camera")
            assert failed.wait(10.0)
            time.sleep(0.1)  # far longer than a caller takes to use its pictures again
            ended.append(first)

    kernel = PatchKernel(Form(), [PictureLayout(56, 56, (0, 0, 56, 56), 28, 28)] * 2, TABLE)
    with pytest.raises(FrameError, match="first camera"):
        by_rows(kernel, [(noise(56, 56),) * 2] * 2, threads=2)
    assert ended == [1]


sizes = st.tuples(st.integers(30, 200), st.integers(30, 200))


@settings(max_examples=40, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(sizes, st.integers(1, 5), st.integers(1, 5), st.randoms(use_true_random=False))
def test_patches_equal_the_reference_to_the_bit_at_any_size_and_crop(form, size, across, down, random):
    width, height = size
    left, top = random.randrange(width - 8), random.randrange(height - 8)
    crop = (left, top, random.randrange(left + 4, width + 1), random.randrange(top + 4, height + 1))
    layout = PictureLayout(width, height, crop, 28 * across, 28 * down)
    pair = noise(height, width, 1), noise(height, width, 2)
    kernel = PatchKernel(form, [layout], TABLE)

    result = by_rows(kernel, [pair])

    np.testing.assert_array_equal(result, expected(pair, layout))
    np.testing.assert_array_equal(by_blocks(form, kernel, [pair]), result)
    np.testing.assert_array_equal(by_blocks(form, kernel, [pair], reverse=True), result)


@pytest.mark.parametrize("threads", [1, 2])
def test_six_cameras_of_different_sizes_fill_their_rows_in_order(form, threads):
    front, side = (
        PictureLayout(448, 252, (56, 63, 392, 244), 168, 112),
        PictureLayout(400, 300, (0, 0, 400, 300), 84, 84),
    )
    layouts = [front, side, side, side, side, side]
    pairs = [(noise(la.height, la.width, 2 * i), noise(la.height, la.width, 2 * i + 1)) for i, la in enumerate(layouts)]
    kernel = PatchKernel(form, layouts, TABLE)

    result = by_rows(kernel, pairs, threads=threads)

    np.testing.assert_array_equal(
        result, np.concatenate([expected(pair, layout) for pair, layout in zip(pairs, layouts, strict=True)])
    )


def test_a_single_picture_fills_both_frames(form):
    picture, layout = noise(120, 160), PictureLayout(160, 120, (0, 0, 160, 120), 84, 56)
    kernel = PatchKernel(form, [layout], TABLE)

    np.testing.assert_array_equal(by_rows(kernel, [(picture, picture)]), expected((picture, picture), layout))
    np.testing.assert_array_equal(by_blocks(form, kernel, [(picture, picture)]), expected((picture,) * 2, layout))


def test_halves_are_the_rounded_floats(form):
    layout = PictureLayout(160, 120, (0, 0, 160, 120), 84, 56)
    pair, kernel = (noise(120, 160, 1), noise(120, 160, 2)), PatchKernel(form, [layout], TABLE)

    floats = by_rows(kernel, [pair])

    np.testing.assert_array_equal(by_rows(kernel, [pair], np.float16), floats.astype(np.float16))
    np.testing.assert_array_equal(by_blocks(form, kernel, [pair], np.float16), floats.astype(np.float16))


def test_bgr_and_rows_with_padding_give_the_same_patches(form):
    pair = noise(120, 160, 1), noise(120, 160, 2)
    rgb = by_rows(PatchKernel(form, [PictureLayout(160, 120, (8, 4, 150, 118), 84, 56)], TABLE), [pair])
    kernel = PatchKernel(form, [PictureLayout(160, 120, (8, 4, 150, 118), 84, 56, "bgr8")], TABLE)
    wide = [np.zeros((120, 192, 3), np.uint8) for _ in pair]
    for padded, picture in zip(wide, pair, strict=True):
        padded[:, :160] = picture[..., ::-1]

    np.testing.assert_array_equal(by_rows(kernel, [tuple(padded[:, :160] for padded in wide)]), rgb)


def bt601(y, u, v):
    """Studio-swing ITU-R BT.601 in real numbers."""
    luma, u, v = 1.164383 * (y.astype(float) - 16).clip(0), u.astype(float) - 128, v.astype(float) - 128
    rgb = np.stack([luma + 1.596027 * v, luma - 0.391762 * u - 0.812968 * v, luma + 2.017232 * u], axis=-1)
    return rgb.clip(0, 255)


@pytest.mark.parametrize("pixel_format", ["nv12", "uyvy", "yuyv"])
def test_yuv_pictures_are_within_one_level_of_the_formula(form, pixel_format):
    y, u, v = (noise(56, 84, seed, 1)[..., 0] for seed in range(3))
    if pixel_format == "nv12":
        chroma = np.stack([u[::2, ::2], v[::2, ::2]], axis=-1).reshape(28, 84)
        picture = np.concatenate([y, chroma])
        u, v = (np.repeat(np.repeat(c[::2, ::2], 2, 0), 2, 1) for c in (u, v))
    else:
        pairs = np.stack([u[:, ::2], v[:, ::2]], axis=-1).reshape(56, 84)
        picture = np.stack([pairs, y] if pixel_format == "uyvy" else [y, pairs], axis=-1)
        u, v = np.repeat(u[:, ::2], 2, 1), np.repeat(v[:, ::2], 2, 1)
    levels = np.tile(np.arange(256, dtype=np.float32), (3, 1))
    kernel = PatchKernel(form, [PictureLayout(84, 56, (0, 0, 84, 56), 84, 56, pixel_format)], levels)

    result = by_rows(kernel, [(picture, picture)])

    exact = bt601(y, u, v)
    blocks = patches_of_pair(*[np.rint(exact).astype(np.uint8)] * 2, levels)
    assert np.abs(result - blocks).max() <= 1.0
    np.testing.assert_array_equal(by_blocks(form, kernel, [(picture, picture)]), result)


def test_an_undistortion_map_moves_blends_and_is_black_outside(form):
    picture = noise(60, 90)
    y, x = np.mgrid[:56, :84].astype(float)
    levels = np.tile(np.arange(256, dtype=np.float32), (3, 1))

    def through(map_x, map_y):
        layout = PictureLayout(90, 60, (2, 1, 86, 57), 84, 56, map=undistortion_map(map_x, map_y))
        kernel = PatchKernel(form, [layout], levels)
        result = by_rows(kernel, [(picture, picture)])
        np.testing.assert_array_equal(by_blocks(form, kernel, [(picture, picture)]), result)
        return result

    def plain(pixels):
        return patches_of_pair(pixels, pixels, levels)

    np.testing.assert_array_equal(through(x + 5, y + 3), plain(picture[3:59, 5:89]))
    left, right = picture[:56, :84].astype(int), picture[:56, 1:85].astype(int)
    np.testing.assert_array_equal(through(x + 0.5, y), plain(((left + right + 1) // 2).astype(np.uint8)))
    shifted = np.zeros((56, 84, 3), np.uint8)
    shifted[:, 10:] = picture[:56, :74]
    np.testing.assert_array_equal(through(x - 10, y), plain(shifted))


def test_equal_sizes_pass_through_and_weights_sum_to_one():
    assert (resize_axis(84, 84).coefficients == 1 << 22).all()
    for source, target in ((900, 224), (60, 168), (1600, 420)):
        sums = resize_axis(source, target).coefficients.sum(axis=1)
        assert np.abs(sums - (1 << 22)).max() <= resize_axis(source, target).taps


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"pixel_format": "rgba8"}, "rgba8"),
        ({"crop": (0, 0, 0, 56)}, "crop"),
        ({"crop": (0, 0, 200, 56)}, "crop"),
        ({"out_width": 80}, "multiples of 28"),
        ({"width": 85, "crop": (0, 0, 84, 56), "pixel_format": "nv12"}, "even sides"),
        ({"height": 3000, "crop": (0, 0, 84, 3000), "out_height": 56}, "source rows"),
        ({"map": np.zeros((2, 2, 2), np.int32)}, "map"),
    ],
)
def test_a_layout_that_cannot_be_is_refused(change, says):
    fields = {"width": 84, "height": 56, "crop": (0, 0, 84, 56), "out_width": 84, "out_height": 56, **change}
    with pytest.raises(FrameError, match=says):
        PictureLayout(**fields)


@pytest.mark.parametrize(
    "picture",
    [
        noise(56, 80),
        noise(56, 84).astype(np.float32),
        noise(56, 168)[:, ::2],
        noise(112, 84)[..., :2],
    ],
)
def test_a_picture_that_is_not_as_declared_is_refused(form, picture):
    kernel = PatchKernel(form, [PictureLayout(84, 56, (0, 0, 84, 56), 84, 56)], TABLE)
    with pytest.raises(FrameError):
        by_rows(kernel, [(picture, picture)])


def test_an_output_that_does_not_fit_is_refused(form):
    kernel = PatchKernel(form, [PictureLayout(84, 56, (0, 0, 84, 56), 84, 56)], TABLE)
    with pytest.raises(FrameError, match="output"):
        kernel.run([(noise(56, 84),) * 2], np.zeros((kernel.rows - 1, ROW), np.float32))
