"""Reference of the camera kernel: two pictures of one camera to the patches of one Qwen2.5-VL frame pair.

Crop, resize with Pillow's bicubic filter in uint8, normalise, and cut into patches. Equal to the bit to
`transformers`' `Qwen2VLImageProcessorPil` on the same crop and size, where Pillow resizes across before down.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import FrameError

RESCALE = 1 / 255
"""Pixel values to [0, 1]; multiplied in float64 and rounded to float32, as transformers does."""


def crop_box(width: int, height: int, crop: Sequence[float]) -> tuple[int, int, int, int]:
    """Whole pixels left, top, right, bottom of a crop given as fractions of a picture, each edge rounded to nearest."""
    left, top, right, bottom = crop
    box = round(left * width), round(top * height), round(right * width), round(bottom * height)
    if not (0 <= box[0] < box[2] <= width and 0 <= box[1] < box[3] <= height):
        raise FrameError(f"crop {tuple(crop)} of a {width}x{height} picture leaves no pixels: {box}")
    return box


def crop_and_resize(image: NDArray[np.uint8], crop: Sequence[float], width: int, height: int) -> NDArray[np.uint8]:
    """The crop of `image` (H, W, 3) resized to (height, width, 3), uint8 RGB, Pillow bicubic, across first, then down.

    Pixels outside the crop have no influence. A crop that already has the target size is returned as it is. Two calls
    fix the order: Pillow goes across first up to release 12; release 13 goes down first where that is less work, which
    rounds differently on pictures that shrink more in height than in width.
    """
    from PIL import Image

    left, top, right, bottom = crop_box(image.shape[1], image.shape[0], crop)
    cut = image[top:bottom, left:right]
    if cut.shape[:2] == (height, width):
        return cut
    across = Image.fromarray(np.ascontiguousarray(cut)).resize((width, bottom - top), Image.Resampling.BICUBIC)
    return np.asarray(across.resize((width, height), Image.Resampling.BICUBIC))


def normalisation_table(mean: Sequence[float], std: Sequence[float]) -> NDArray[np.float32]:
    """(channels, 256) float32: the normalised value of each pixel value, in transformers' order of rounding."""
    scaled = (np.arange(256, dtype=np.float64) * RESCALE).astype(np.float32)
    offsets, scales = np.asarray(mean, np.float32)[:, None], np.asarray(std, np.float32)[:, None]
    return np.ascontiguousarray((scaled[None, :] - offsets) / scales)


def patches_of_pair(
    older: NDArray[np.uint8],
    newer: NDArray[np.uint8],
    table: NDArray[np.floating[Any]],
    patch_size: int = 14,
    merge_size: int = 2,
    out: NDArray[np.floating[Any]] | None = None,
) -> NDArray[Any]:
    """Patches (grid_h * grid_w, channels * 2 * patch * patch) float32 of two resized pictures (H, W, 3) uint8.

    Rows go through merge blocks row by row, inside a block row by row; a row holds (channel, frame, row, column).
    `table`: see `normalisation_table`. `out`: where to write, if given.

    Raises:
        FrameError: the pictures differ in size or cannot be cut into merge blocks.
    """
    block = patch_size * merge_size
    height, width, channels = older.shape
    if newer.shape != older.shape or height % block or width % block or channels != len(table):
        raise FrameError(
            f"frame pair of shapes {older.shape} and {newer.shape}: expected equal shapes, "
            f"sides divisible by {block}, {len(table)} channels"
        )
    pair = np.stack([older, newer])
    blocks = pair.reshape(
        2, height // block, merge_size, patch_size, width // block, merge_size, patch_size, channels
    ).transpose(7, 1, 4, 2, 5, 0, 3, 6)
    rows = (height // patch_size) * (width // patch_size)
    if out is None:
        out = np.empty((rows, channels * 2 * patch_size * patch_size), np.float32)
    by_channel: NDArray[Any] = out.reshape(rows, channels, 2 * patch_size * patch_size)
    for channel in range(channels):
        by_channel[:, channel] = table[channel][blocks[channel].reshape(rows, -1)]
    return out
