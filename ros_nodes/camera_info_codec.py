"""A camera's geometry as sensor_msgs/CameraInfo."""

from __future__ import annotations

from typing import Any

import numpy as np
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from onboard_vla.core.cameras import CameraModel
from onboard_vla.core.errors import WireError


class CameraInfoCodec:
    """One camera's model. Its pose is no part of CameraInfo."""

    def __init__(self, camera: str) -> None:
        self._camera = camera

    def pack(self, message: CameraModel) -> dict[str, Any]:
        """Unstamped: a model that holds until another one comes. The projection is that of the picture itself."""
        intrinsics = [float(value) for value in message.intrinsics.ravel()]
        projection = [*intrinsics[0:3], 0.0, *intrinsics[3:6], 0.0, *intrinsics[6:9], 0.0]
        info = CameraInfo(
            header=Header(frame_id=f"{self._camera}_optical"),
            width=message.width,
            height=message.height,
            distortion_model=message.distortion_model,
            d=[float(value) for value in message.distortion],
            k=intrinsics,
            r=[1.0, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0, 0.0, 1.0],
            p=projection,
        )
        return {"": info}

    def unpack(self, part: str, received: CameraInfo) -> CameraModel:
        """The camera's model.

        Raises:
            WireError: an uncalibrated camera, or a window or binning, which this build does not work out.
        """
        intrinsics = np.array(received.k, np.float64).reshape(3, 3)
        if not intrinsics[0, 0] > 0.0 or not intrinsics[1, 1] > 0.0:
            raise WireError(f"camera {self._camera}: CameraInfo has focal length 0: calibrate the camera")
        if received.binning_x > 1 or received.binning_y > 1 or _is_window(received):
            raise WireError(f"camera {self._camera}: CameraInfo with binning or a window: send one for whole pictures")
        distortion = np.array(received.d, np.float64)
        return CameraModel(
            self._camera, int(received.width), int(received.height), intrinsics, received.distortion_model, distortion
        )


def _is_window(received: CameraInfo) -> bool:
    """Whether the picture is a part of the sensor's; all zeros and its whole size both say that it is not."""
    roi = received.roi
    return bool(roi.x_offset or roi.y_offset) or (roi.width, roi.height) not in (
        (0, 0),
        (received.width, received.height),
    )
