"""The camera kernel's reference: crops, patch order, and equality with transformers to the bit."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.errors import FrameError
from onboard_vla.kernels.reference_images import crop_and_resize, crop_box, normalisation_table, patches_of_pair

MEAN, STD = (0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711)
WHOLE = (0.0, 0.0, 1.0, 1.0)
TABLE = normalisation_table(MEAN, STD)


def noise(height, width, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (height, width, 3), np.uint8)


def test_crop_edges_are_rounded_to_the_nearest_pixel():
    assert crop_box(448, 252, (0.125, 0.25, 0.875, 0.97)) == (56, 63, 392, 244)


@pytest.mark.parametrize("crop", [(0.5, 0.0, 0.5, 1.0), (0.0, 0.0, 1.2, 1.0), (0.0, 0.0, 0.0001, 1.0), (-0.1, 0, 1, 1)])
def test_a_crop_without_pixels_or_outside_the_picture_is_refused(crop):
    with pytest.raises(FrameError, match="crop"):
        crop_box(448, 252, crop)


def test_pixels_outside_the_crop_have_no_influence():
    image, crop = noise(120, 200), (0.25, 0.2, 0.75, 0.8)
    left, top, right, bottom = crop_box(200, 120, crop)
    other = np.zeros_like(image)
    other[top:bottom, left:right] = image[top:bottom, left:right]
    np.testing.assert_array_equal(crop_and_resize(image, crop, 56, 56), crop_and_resize(other, crop, 56, 56))


def test_a_picture_of_the_right_size_is_neither_changed_nor_copied():
    image = noise(56, 84)
    assert np.shares_memory(crop_and_resize(image, WHOLE, 84, 56), image)


def test_patch_rows_walk_through_merge_blocks_and_a_row_holds_channel_frame_row_column():
    older, newer = noise(56, 84, 1), noise(56, 84, 2)
    patches = patches_of_pair(older, newer, TABLE).reshape(-1, 3, 2, 14, 14)
    grid_w = 84 // 14
    row = 0
    for block_y in range(2):
        for block_x in range(3):
            for y in (2 * block_y, 2 * block_y + 1):
                for x in (2 * block_x, 2 * block_x + 1):
                    for channel in range(3):
                        expected = TABLE[channel][newer[y * 14 : y * 14 + 14, x * 14 : x * 14 + 14, channel]]
                        np.testing.assert_array_equal(patches[row, channel, 1], expected)
                    row += 1
    assert row == len(patches) == 4 * grid_w


def test_patches_are_written_where_they_are_wanted():
    out = np.zeros((24, 1176), np.float32)
    assert np.shares_memory(patches_of_pair(noise(56, 84), noise(56, 84, 1), TABLE, out=out), out)
    np.testing.assert_array_equal(out, patches_of_pair(noise(56, 84), noise(56, 84, 1), TABLE))


@pytest.mark.parametrize("shapes", [((56, 84), (56, 56)), ((50, 84), (50, 84))])
def test_pictures_that_cannot_be_a_pair_are_refused(shapes):
    with pytest.raises(FrameError, match="frame pair"):
        patches_of_pair(noise(*shapes[0]), noise(*shapes[1]), TABLE)


@pytest.mark.parity
@pytest.mark.parametrize(
    ("source", "pixels"), [((900, 1600), 109760), ((252, 448), 100352), ((60, 90), 4704), ((333, 501), 50176)]
)
def test_patches_equal_those_of_transformers_to_the_bit(source, pixels):
    pytest.importorskip("torch")
    from transformers.models.qwen2_vl.image_processing_pil_qwen2_vl import Qwen2VLImageProcessorPil, smart_resize

    height, width = smart_resize(*source, factor=28, min_pixels=pixels, max_pixels=pixels)
    processor = Qwen2VLImageProcessorPil(size={"shortest_edge": pixels, "longest_edge": pixels})
    older, newer = noise(*source, 1), noise(*source, 2)
    # transformers' processor makes a pair of every single picture; its halves are put together here.
    single = processor([older, newer], return_tensors="np")["pixel_values"].reshape(2, -1, 3, 2, 196)
    expected = np.stack([single[0, :, :, 0], single[1, :, :, 0]], axis=2).reshape(-1, 1176)
    resized = [crop_and_resize(image, WHOLE, width, height) for image in (older, newer)]
    np.testing.assert_array_equal(patches_of_pair(*resized, TABLE), expected)
