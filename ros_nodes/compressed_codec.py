"""Pictures as sensor_msgs/CompressedImage: JPEG files, not decoded here."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import Header

from onboard_vla.core.cameras import JPEG, CameraFrame, CompressedFrame
from onboard_vla.core.errors import WireError
from onboard_vla.ros_nodes.encodings import JPEG_WORDS
from onboard_vla.ros_nodes.stamps import from_time, to_time

FORMAT = "rgb8; jpeg compressed bgr8"
"""As image_transport writes it: what the picture was, and what is inside the file."""


class CompressedImageCodec:
    """One camera's pictures. ROS images have no sequence number: the receiver counts what it gets, from 0."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._received = 0

    def pack(self, message: CameraFrame | CompressedFrame) -> dict[str, Any]:
        """A JPEG file in the camera's optical frame (REP-103); a raw picture is compressed.

        Raises:
            WireError: a picture in another format.
        """
        # Who only receives needs no JPEG library here.
        from onboard_vla.runtime.jpeg import encode_frame

        frame = encode_frame(message) if isinstance(message, CameraFrame) else message
        if frame.format != JPEG:
            raise WireError(
                f"camera {self._camera}: cannot send {frame.format!r} as a compressed picture: expected jpeg"
            )
        data = array("B")
        data.frombytes(np.ascontiguousarray(frame.data).data.cast("B"))
        header = Header(stamp=to_time(frame.stamp_ns), frame_id=f"{self._camera}_optical")
        return {"": CompressedImage(header=header, format=FORMAT, data=data)}

    def unpack(self, part: str, received: CompressedImage) -> CompressedFrame:
        """A view into the message's data; whether the file is whole is seen by who looks into it.

        Raises:
            WireError: another format than JPEG, or no data.
        """
        if not is_jpeg(received.format):
            raise WireError(
                f"camera {self._camera}: expected JPEG, found format {received.format!r}: set the driver's "
                "image_transport plugin `compressed` to jpeg"
            )
        if not len(received.data):
            raise WireError(f"camera {self._camera}: a compressed picture without data")
        data = np.frombuffer(received.data, np.uint8)
        sequence = self._received
        self._received += 1
        return CompressedFrame(self._camera, from_time(received.header.stamp), sequence, JPEG, data)


def is_jpeg(words: str) -> bool:
    """Whether a CompressedImage's `format` says JPEG: "jpeg", "jpg", or image_transport's longer form."""
    kind = words.rpartition(";")[2].lower().split()
    return bool(kind) and kind[0] in JPEG_WORDS
