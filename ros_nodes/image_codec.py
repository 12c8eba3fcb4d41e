"""Pictures as sensor_msgs/Image: encoding rgb8, and YUV as it is."""

from __future__ import annotations

from array import array
from typing import Any

import numpy as np
from sensor_msgs.msg import Image
from std_msgs.msg import Header

from onboard_vla.core.cameras import NV12, CameraFrame, CompressedFrame
from onboard_vla.core.errors import WireError
from onboard_vla.ros_nodes.encodings import RAW_LAYOUTS, RGB
from onboard_vla.ros_nodes.stamps import from_time, to_time

CHANNELS = 3


class ImageCodec:
    """One camera's pictures. ROS images have no sequence number: the receiver counts what it gets, from 0."""

    def __init__(self, camera: str) -> None:
        self._camera = camera
        self._received = 0

    def pack(self, message: CameraFrame) -> dict[str, Any]:
        """The picture in the camera's optical frame (REP-103)."""
        height, width, channels = message.image.shape
        # Assigning an array is 700 times faster than assigning a NumPy array of a 1600x900 picture.
        data = array("B")
        data.frombytes(np.ascontiguousarray(message.image).data.cast("B"))
        header = Header(stamp=to_time(message.stamp_ns), frame_id=f"{self._camera}_optical")
        image = Image(
            header=header,
            height=height,
            width=width,
            encoding=RGB,
            is_bigendian=0,
            step=width * channels,
            data=data,
        )
        return {"": image}

    def unpack(self, part: str, received: Image) -> CameraFrame | CompressedFrame:
        """A view into the message's data, rows without their padding; of YUV no pixel is converted here.

        Raises:
            WireError: another encoding, or a size that does not fit the data.
        """
        width, height, step = int(received.width), int(received.height), int(received.step)
        if received.encoding not in RAW_LAYOUTS:
            known = ", ".join(RAW_LAYOUTS)
            raise WireError(f"camera {self._camera}: expected encoding {known}, found {received.encoding!r}")
        layout = RAW_LAYOUTS[received.encoding]
        row_bytes = {None: CHANNELS, NV12: 1}.get(layout, 2) * width
        rows = height + height // 2 if layout == NV12 else height
        odd = layout is not None and (width % 2 or (layout == NV12 and height % 2))
        if width < 1 or height < 1 or odd or step < row_bytes or len(received.data) != step * rows:
            found = f"{width}x{height} {received.encoding}, step {step}, {len(received.data)} bytes"
            raise WireError(f"camera {self._camera}: picture of {found}: sizes do not fit each other")
        data = np.ascontiguousarray(np.frombuffer(received.data, np.uint8).reshape(rows, step)[:, :row_bytes])
        # The message is ours alone, so nobody needs to copy what nobody will change.
        data.flags.writeable = False
        stamp_ns = from_time(received.header.stamp)
        sequence = self._received
        self._received += 1
        if layout is not None:
            sized = f"{layout} {width}x{height}"
            return CompressedFrame(self._camera, stamp_ns, sequence, sized, data.reshape(-1))
        return CameraFrame(self._camera, stamp_ns, sequence, data.reshape(height, width, CHANNELS))
