"""JPEG pictures: looked at when they arrive, decoded when their pixels are needed.

libjpeg-turbo through simplejpeg: 1 MB installed, decodes to the same bits as OpenCV and Pillow and faster than both
(`benchmarks/jpeg.py`), and refuses what the others repair silently.
"""

from __future__ import annotations

import numpy as np
import simplejpeg
from numpy.typing import NDArray

from onboard_vla.core.cameras import JPEG, CameraFrame, CompressedFrame, EncodedPicture
from onboard_vla.core.errors import FrameError
from onboard_vla.runtime.yuv import open_yuv

FACTORS = (1, 2, 4, 8)
"""By how much the decoder can shrink a picture on the way, from 8 x 8 coefficients a block."""
MAX_PIXELS = 64_000_000
"""A picture with more is no camera's: its header is damaged."""
QUALITY = 90
"""Of the pictures that we write; compression then costs less accuracy than the resize does."""
_BEGIN, _END = b"\xff\xd8\xff", b"\xff\xd9"


def open_compressed(frame: CompressedFrame) -> EncodedPicture:
    """A picture that will be decoded when it is used, JPEG or YUV; its file is copied.

    Raises:
        FrameError: another format, or the file has no readable header or no end. What is damaged in between shows when
            the picture is decoded.
    """
    if frame.format != JPEG:
        return open_yuv(frame)
    data = frame.data.tobytes()
    # Some cameras fill their buffer's rest with zeros.
    if not data.startswith(_BEGIN) or not data.rstrip(b"\0").endswith(_END):
        raise FrameError(f"{frame.camera}: JPEG of {len(data)} bytes has no beginning or no end: damaged on its way")
    try:
        height, width, *_ = simplejpeg.decode_jpeg_header(data)
    except ValueError as error:
        raise FrameError(f"{frame.camera}: JPEG header is damaged: {error}") from None
    if not 0 < height * width <= MAX_PIXELS:
        raise FrameError(f"{frame.camera}: JPEG says {width}x{height}: expected at most {MAX_PIXELS} pixels")
    return EncodedPicture(data, height, width, decode_jpeg)


def decode_jpeg(data: bytes, factor: int = 1) -> NDArray[np.uint8]:
    """The picture (H / factor, W / factor, 3) uint8 RGB, rounded up, read-only.

    Raises:
        FrameError: the file is damaged; a picture that the library would repair with a warning is refused, too.
    """
    pixels: NDArray[np.uint8]
    try:
        if factor == 1:
            pixels = simplejpeg.decode_jpeg(data, "RGB")
        else:
            height, width, *_ = simplejpeg.decode_jpeg_header(data)
            least = {"min_height": -(-height // factor), "min_width": -(-width // factor)}
            pixels = simplejpeg.decode_jpeg(data, "RGB", min_factor=factor, **least)
    except ValueError as error:
        raise FrameError(f"JPEG of {len(data)} bytes is damaged: {error}") from None
    pixels.flags.writeable = False
    return pixels


def decode_frame(frame: CompressedFrame) -> CameraFrame:
    """A compressed frame with its pixels, all of them.

    Raises:
        FrameError: another format, or the file is damaged.
    """
    return CameraFrame(frame.camera, frame.stamp_ns, frame.sequence, open_compressed(frame).pixels())


def encode_frame(frame: CameraFrame, quality: int = QUALITY) -> CompressedFrame:
    """A frame as JPEG."""
    return CompressedFrame(frame.camera, frame.stamp_ns, frame.sequence, JPEG, encode_jpeg(frame.image, quality))


def encode_jpeg(image: NDArray[np.uint8], quality: int = QUALITY) -> NDArray[np.uint8]:
    """A file (N,) uint8 of a picture (H, W, 3) uint8 RGB, colours at half resolution as cameras do."""
    data = simplejpeg.encode_jpeg(np.ascontiguousarray(image), quality, "RGB", "420")
    return np.frombuffer(data, np.uint8)
