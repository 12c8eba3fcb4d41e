"""JPEG pictures: equal to the bit with another decoder, refused when damaged, decoded only when asked for."""

from __future__ import annotations

import io

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from onboard_vla.core.cameras import JPEG, CameraFrame, CompressedFrame
from onboard_vla.core.errors import FrameError
from onboard_vla.runtime.jpeg import FACTORS, decode_frame, decode_jpeg, encode_frame, open_compressed

RNG = np.random.default_rng(3)
SMOOTH = RNG.integers(40, 220, (12, 16, 3), np.uint8)
PICTURE = np.asarray(Image.fromarray(SMOOTH).resize((200, 120), Image.Resampling.BICUBIC))
FRAME = encode_frame(CameraFrame("front", 7, 3, PICTURE))
FILE = FRAME.data.tobytes()


def compressed(data: bytes, kind: str = JPEG) -> CompressedFrame:
    return CompressedFrame("front", 7, 3, kind, np.frombuffer(data, np.uint8))


def test_pixels_are_those_that_pillow_decodes() -> None:
    np.testing.assert_array_equal(decode_jpeg(FILE), np.asarray(Image.open(io.BytesIO(FILE))))


@pytest.mark.parametrize("factor", FACTORS)
def test_a_reduced_picture_is_the_one_pillow_drafts_and_close_to_block_means(factor) -> None:
    drafted = Image.open(io.BytesIO(FILE))
    drafted.draft("RGB", (200 // factor, 120 // factor))
    small = decode_jpeg(FILE, factor)

    assert small.shape == (120 // factor, 200 // factor, 3)
    np.testing.assert_array_equal(small, np.asarray(drafted))
    means = decode_jpeg(FILE).reshape(120 // factor, factor, 200 // factor, factor, 3).mean(axis=(1, 3))
    assert np.abs(small - means).mean() < 1.5


def test_a_frame_survives_encoding_with_its_names_and_nearly_its_pixels() -> None:
    back = decode_frame(FRAME)

    assert (back.camera, back.stamp_ns, back.sequence) == ("front", 7, 3)
    assert np.abs(back.image.astype(int) - PICTURE).mean() < 2.0
    assert not back.image.flags.writeable


def test_opening_decodes_nothing_and_knows_the_size() -> None:
    picture = open_compressed(compressed(FILE[: len(FILE) // 2] + FILE[-2:]))

    assert picture.shape == (120, 200, 3)
    with pytest.raises(FrameError, match="damaged"):
        picture.pixels()
    assert picture.damaged


def test_zeros_behind_the_end_are_no_damage() -> None:
    padded = open_compressed(compressed(FILE + b"\0" * 100)).pixels()
    np.testing.assert_array_equal(padded, decode_jpeg(FILE))


@settings(max_examples=80, deadline=None)
@given(st.integers(0, len(FILE) - 1))
def test_a_file_cut_anywhere_is_refused_when_it_arrives(length) -> None:
    with pytest.raises(FrameError, match="front: JPEG"):
        open_compressed(compressed(FILE[:length]))


@settings(max_examples=150, deadline=None)
@given(st.data())
def test_damage_inside_is_refused_or_still_gives_a_picture_of_the_size_that_was_announced(data) -> None:
    """A flipped bit may stay a valid file; no other exception, and never a picture of another shape."""
    bad = bytearray(FILE)
    for _ in range(data.draw(st.integers(1, 4))):
        bad[data.draw(st.integers(0, len(bad) - 1))] ^= 1 << data.draw(st.integers(0, 7))

    try:
        picture = open_compressed(compressed(bytes(bad)))
        pixels = picture.pixels()
    except FrameError:
        return
    assert pixels.shape == picture.shape


def test_a_hole_in_the_file_is_refused_not_filled_with_grey() -> None:
    """Most decoders give a picture with a grey lower half and a warning."""
    with pytest.raises(FrameError, match="damaged"):
        decode_jpeg(FILE[: len(FILE) // 2] + FILE[-2:])


def test_another_format_is_refused() -> None:
    with pytest.raises(FrameError, match=r"expected a picture of format jpeg, or .*found 'png'"):
        open_compressed(compressed(FILE, "png"))
