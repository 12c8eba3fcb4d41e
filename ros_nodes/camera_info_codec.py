"""A camera's geometry as sensor_msgs/CameraInfo."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from sensor_msgs.msg import CameraInfo
from std_msgs.msg import Header

from onboard_vla.core.cameras import CameraModel
from onboard_vla.core.errors import WireError

TURNED_MAX = 1e-3
"""Largest deviation of R from none at all: half a pixel at a focal length of 500."""


class CameraInfoCodec:
    """One camera's model. Its pose is no part of CameraInfo.

    `rectified`: the pictures are rectified ones. Drivers send the same message beside these: D and K are the raw
    picture's, P is the rectified one's, which has no distortion.
    """

    def __init__(self, camera: str, rectified: bool = False) -> None:
        self._camera, self._rectified = camera, rectified

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
            WireError: an uncalibrated camera, a window or binning, or a rectification that turns the picture, none of
                which this build works out.
        """
        if received.binning_x > 1 or received.binning_y > 1 or _is_window(received):
            raise WireError(f"camera {self._camera}: CameraInfo with binning or a window: send one for whole pictures")
        intrinsics = np.array(received.k, np.float64).reshape(3, 3)
        distortion = np.array(received.d, np.float64)
        if self._rectified:
            intrinsics, distortion = self._projection(received), np.zeros_like(distortion)
        elif not intrinsics[0, 0] > 0.0 or not intrinsics[1, 1] > 0.0:
            raise WireError(f"camera {self._camera}: CameraInfo has focal length 0: calibrate the camera")
        return CameraModel(
            self._camera, int(received.width), int(received.height), intrinsics, received.distortion_model, distortion
        )

    def _projection(self, received: CameraInfo) -> NDArray[np.float64]:
        """P without its last column, which is where the other eye of a stereo pair stands."""
        projection: NDArray[np.float64] = np.array(received.p, np.float64).reshape(3, 4)[:, :3]
        if not projection[0, 0] > 0.0 or not projection[1, 1] > 0.0:
            raise WireError(
                f"camera {self._camera}: CameraInfo has no P: calibrate the camera, or unset cameras.rectified where "
                "its pictures are raw ones"
            )
        rotation = np.array(received.r, np.float64).reshape(3, 3)
        if np.any(rotation) and not np.all(np.abs(rotation - np.eye(3)) <= TURNED_MAX):
            raise WireError(
                f"camera {self._camera}: CameraInfo has an R that turns the picture: where the bundle's camera is "
                "mounted as the turned picture looks, publish CameraInfo with D = 0 and K = P, and R = 1"
            )
        return projection


def _is_window(received: CameraInfo) -> bool:
    """Whether the picture is a part of the sensor's; all zeros and its whole size both say that it is not."""
    roi = received.roi
    return bool(roi.x_offset or roi.y_offset) or (roi.width, roi.height) not in (
        (0, 0),
        (received.width, received.height),
    )
