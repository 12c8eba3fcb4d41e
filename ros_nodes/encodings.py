"""The one table of how pictures may come: what `image_codec.py` and `compressed_codec.py` take, and the page tells."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.cameras import JPEG, NV12, UYVY, YUYV
from onboard_vla.ros_nodes.topics import COMPRESSED, RAW

RGB = "rgb8"
"""The only encoding of three bytes a pixel, and what our own nodes send."""


@dataclass(frozen=True)
class Encoding:
    """One value of a message's field, `name`.

    Attributes:
        transport: which message; one of `topics.TRANSPORTS`.
        layout: how our types call it; None: pixels as they are.
        meaning: for people.
    """

    name: str
    transport: str
    layout: str | None
    meaning: str


ENCODINGS = (
    Encoding("jpeg", COMPRESSED, JPEG, "recommended; also after a `;`, as image_transport writes it"),
    Encoding("jpg", COMPRESSED, JPEG, "the same"),
    Encoding(RGB, RAW, None, "8-bit RGB; what our own nodes send"),
    Encoding("uyvy", RAW, UYVY, "YUV 4:2:2, U first; even width"),
    Encoding("yuv422", RAW, UYVY, "the older name of `uyvy`"),
    Encoding("yuyv", RAW, YUYV, "YUV 4:2:2, Y first; even width"),
    Encoding("yuv422_yuy2", RAW, YUYV, "the older name of `yuyv`"),
    Encoding("nv12", RAW, NV12, "YUV 4:2:0, a plane of Y and one of U and V; even width and height"),
)
"""Raw ones are named as in sensor_msgs/image_encodings.hpp; `nv12` is what camera drivers call theirs."""
RAW_LAYOUTS = {encoding.name: encoding.layout for encoding in ENCODINGS if encoding.transport == RAW}
JPEG_WORDS = tuple(encoding.name for encoding in ENCODINGS if encoding.layout == JPEG)
