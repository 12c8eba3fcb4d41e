"""Uncompressed YUV pictures, as cameras send them: kept as they are, made RGB when their pixels are needed.

Luma and chroma of ITU-R BT.601 with limited range (16 to 235, 16 to 240), as OpenCV and ROS's image_pipeline take them
to be. Pillow does the arithmetic; a channel is within three steps of the formula's 255.
"""

from __future__ import annotations

import re
from functools import partial

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import NV12, UYVY, YUV_LAYOUTS, YUYV, CompressedFrame, EncodedPicture
from onboard_vla.core.errors import FrameError

_FORMAT = re.compile(rf"({'|'.join(YUV_LAYOUTS)}) ([1-9][0-9]{{0,4}})x([1-9][0-9]{{0,4}})")
_LEVELS = np.arange(256)
_LUMA = np.clip(np.rint((_LEVELS - 16) * 255 / 219), 0, 255).astype(np.uint8)
_CHROMA = np.clip(np.rint(128 + (_LEVELS - 128) * 255 / 224), 0, 255).astype(np.uint8)
"""Limited range to the full one, which Pillow's conversion is for."""
_PACKED = {UYVY: (1, 0, 2), YUYV: (0, 1, 3)}
"""Where in four bytes, which are two pixels, the first luma, U and V stand."""

Plane = NDArray[np.uint8]


def open_yuv(frame: CompressedFrame) -> EncodedPicture:
    """A picture that will be made RGB when it is used; its bytes are copied.

    Raises:
        FrameError: another format, or the data is not of its size.
    """
    match = _FORMAT.fullmatch(frame.format)
    if match is None:
        raise FrameError(
            f"{frame.camera}: expected a picture of format jpeg, or {' or '.join(YUV_LAYOUTS)} with its size as in "
            f"'uyvy 1280x720', found {frame.format!r}"
        )
    layout, width, height = match[1], int(match[2]), int(match[3])
    rows = height * 3 // 2 if layout == NV12 else height * 2
    if width % 2 or (layout == NV12 and height % 2) or len(frame.data) != width * rows:
        raise FrameError(f"{frame.camera}: {frame.format}: {len(frame.data)} bytes do not fit that size")
    return EncodedPicture(frame.data.tobytes(), height, width, partial(_rgb, layout, width, height), layout)


def _rgb(layout: str, width: int, height: int, data: bytes, factor: int = 1) -> NDArray[np.uint8]:
    """The picture (H / factor, W / factor, 3) uint8 RGB, read-only: means of blocks, coarser chroma repeated."""
    from PIL import Image

    y, u, v = _planes(layout, width, height, np.frombuffer(data, np.uint8))
    down = 2 if layout == NV12 else 1
    shrunk = [_scaled(y, factor, factor), *(_scaled(plane, factor / down, factor / 2) for plane in (u, v))]
    full = [Image.fromarray(table[plane]) for table, plane in zip((_LUMA, _CHROMA, _CHROMA), shrunk, strict=True)]
    pixels: NDArray[np.uint8] = np.asarray(Image.merge("YCbCr", full).convert("RGB"))
    pixels.flags.writeable = False
    return pixels


def _planes(layout: str, width: int, height: int, flat: Plane) -> tuple[Plane, Plane, Plane]:
    if layout == NV12:
        chroma = flat[width * height :].reshape(height // 2, width // 2, 2)
        return flat[: width * height].reshape(height, width), chroma[:, :, 0], chroma[:, :, 1]
    first, u, v = _PACKED[layout]
    packed = flat.reshape(height, width // 2, 4)
    return packed[:, :, first::2].reshape(height, width), packed[:, :, u], packed[:, :, v]


def _scaled(plane: Plane, down: float, across: float) -> Plane:
    """Means of blocks of `down` x `across`, rounded; a half repeats each row or column."""
    rows, columns = max(int(down), 1), max(int(across), 1)
    if rows * columns > 1:
        height, width = plane.shape
        blocks = plane.reshape(height // rows, rows, width // columns, columns)
        sums = blocks.sum(axis=(1, 3), dtype=np.uint32)
        plane = ((sums + rows * columns // 2) // (rows * columns)).astype(np.uint8)
    plane = plane.repeat(2, axis=0) if down < 1 else plane
    return plane.repeat(2, axis=1) if across < 1 else plane
