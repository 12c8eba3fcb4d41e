"""YUV pictures: RGB by BT.601, shrunk by means, refused where size and bytes disagree, planned on like others."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.cameras import CameraFrame, CompressedFrame
from onboard_vla.core.errors import FrameError
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.jpeg import decode_frame, open_compressed

LAYOUTS = ("uyvy", "yuyv", "nv12")
# ITU-R BT.601, 8 bits, limited range, rounded: white, black, grey, and the saturated primaries.
COLOURS = {
    (235, 128, 128): (255, 255, 255),
    (16, 128, 128): (0, 0, 0),
    (126, 128, 128): (128, 128, 128),
    (81, 90, 240): (255, 0, 0),
    (145, 54, 34): (0, 255, 0),
    (41, 240, 110): (0, 0, 255),
}


def packed(layout, y, u, v):
    """Bytes of planes at full (y) and the layout's own chroma resolution, by another route than the decoder's."""
    if layout == "nv12":
        return np.concatenate([y.ravel(), np.dstack([u, v]).ravel()])
    pairs = [(u, y[:, 0::2], v, y[:, 1::2]), (y[:, 0::2], u, y[:, 1::2], v)][layout == "yuyv"]
    return np.dstack(pairs).ravel()


def frame(layout, y, u, v):
    height, width = y.shape
    return CompressedFrame("front", 7, 3, f"{layout} {width}x{height}", packed(layout, y, u, v))


def even(layout, colour, height=8, width=8):
    y, u, v = (
        np.full(shape, level, np.uint8) for shape, level in zip(shapes(layout, height, width), colour, strict=True)
    )
    return frame(layout, y, u, v)


def shapes(layout, height, width):
    chroma = (height // 2 if layout == "nv12" else height), width // 2
    return (height, width), chroma, chroma


def formula(y, u, v):
    """BT.601 in real numbers."""
    luma, cb, cr = (y - 16) * 255 / 219, (u - 128) * 255 / 224, (v - 128) * 255 / 224
    rgb = luma + 1.402 * cr, luma - 0.344136 * cb - 0.714136 * cr, luma + 1.772 * cb
    return np.clip(np.stack(rgb, axis=-1), 0, 255)


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("colour", COLOURS, ids=str)
def test_published_colours(layout, colour):
    pixels = decode_frame(even(layout, colour)).image
    assert pixels.shape == (8, 8, 3)
    assert np.abs(pixels.astype(int) - COLOURS[colour]).max() <= 2


@pytest.mark.parametrize("layout", LAYOUTS)
@given(st.integers(0, 2**32 - 1))
def test_pixels_are_those_of_the_formula_with_chroma_repeated(layout, seed):
    rng = np.random.default_rng(seed)
    y, u, v = (rng.integers(16, 236, shape, np.uint8) for shape in shapes(layout, 4, 6))
    spread = [plane.repeat(2 if layout == "nv12" else 1, axis=0).repeat(2, axis=1) for plane in (u, v)]
    wanted = formula(y.astype(float), *(plane.astype(float) for plane in spread))
    assert np.abs(decode_frame(frame(layout, y, u, v)).image - wanted).max() <= 3.0


@pytest.mark.parametrize("layout", LAYOUTS)
@pytest.mark.parametrize("factor", [2, 4, 8])
def test_shrunk_ones_are_means_of_blocks(layout, factor):
    rng = np.random.default_rng(0)
    y, u, v = (rng.integers(16, 236, shape, np.uint8) for shape in shapes(layout, 16, 32))
    small = open_compressed(frame(layout, y, u, v)).pixels(factor)
    spread = [plane.repeat(2 if layout == "nv12" else 1, axis=0).repeat(2, axis=1) for plane in (u, v)]
    means = [p.reshape(16 // factor, factor, 32 // factor, factor).mean(axis=(1, 3)) for p in (y, *spread)]
    assert small.shape == (16 // factor, 32 // factor, 3)
    assert np.abs(small - formula(*means)).max() <= 3.0


@pytest.mark.parametrize(
    ("form", "size"),
    [
        ("uyvy 8x8", 127),
        ("uyvy 8x8", 129),
        ("uyvy 7x8", 112),
        ("nv12 8x7", 84),
        ("nv12 8x8", 128),
        ("uyvy", 128),
        ("uyvy 8x8 ", 128),
        ("uyvy 0x8", 0),
        ("rgba 8x8", 256),
        ("png", 10),
    ],
)
def test_what_is_not_of_its_size_or_unknown_is_refused(form, size):
    with pytest.raises(FrameError, match="front: "):
        open_compressed(CompressedFrame("front", 7, 3, form, np.zeros(size, np.uint8)))


@pytest.mark.parametrize("layout", LAYOUTS)
def test_frame_sets_take_them_like_other_pictures(layout):
    ingest = CameraIngest(("front",), 2, 0.5)
    for tick in range(6):
        sent = even(layout, (81, 90, 240))
        assert ingest.add(CompressedFrame("front", tick * 100_000_000, tick, sent.format, sent.data))
    images = ingest.frame_set().images["front"]
    assert [picture.shape for picture in images] == [(8, 8, 3)] * 2
    assert np.abs(images[1].pixels().astype(int) - (255, 0, 0)).max() <= 2
    with pytest.raises(FrameError):
        ingest.add(CompressedFrame("front", 10**9, 6, "uyvy 8x8", sent.data[:-1]))
    assert ingest.counts.damaged == 1
    assert ingest.add(CameraFrame("front", 10**9, 6, np.zeros((8, 8, 3), np.uint8)))
