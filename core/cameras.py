"""Camera frames, frame sets and calibration."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import FrameError

FRONT, FRONT_LEFT, FRONT_RIGHT = "front", "front_left", "front_right"
BACK, BACK_LEFT, BACK_RIGHT = "back", "back_left", "back_right"
CAMERAS = (FRONT, FRONT_LEFT, FRONT_RIGHT, BACK, BACK_LEFT, BACK_RIGHT)


@dataclass(frozen=True, eq=False)
class CameraFrame:
    """One picture. `image`: (H, W, 3) uint8, RGB. `stamp_ns`: middle of exposure, data clock."""

    camera: str
    stamp_ns: int
    sequence: int
    image: NDArray[np.uint8] = field(metadata={"dtype": "uint8", "shape": (None, None, 3)})


JPEG = "jpeg"
"""The one format of compressed pictures."""
UYVY, YUYV, NV12 = "uyvy", "yuyv", "nv12"
YUV_LAYOUTS = (UYVY, YUYV, NV12)
"""Uncompressed pictures that are no RGB yet: two pixels in four bytes, in two orders; or luma, then U and V in turn for
every four pixels."""


@dataclass(frozen=True, eq=False)
class CompressedFrame:
    """One picture as its camera sent it, in the place of a CameraFrame.

    `data`: (N,) uint8, a whole file of `format` "jpeg"; or what a format such as "uyvy 1280x720" says, one of
    YUV_LAYOUTS and the size in pixels, rows without padding.
    """

    camera: str
    stamp_ns: int
    sequence: int
    format: str
    data: NDArray[np.uint8] = field(metadata={"dtype": "uint8", "shape": (None,)})


class EncodedPicture:
    """A compressed picture of known size that is decoded whenever its pixels are asked for; only its bytes are kept.

    Args:
        data: the file.
        height: rows of the picture.
        width: columns of the picture.
        decode: makes (height / factor, width / factor, 3) uint8 RGB of the file; raises FrameError.
        format: which files `decode` reads; the same bytes in another are another picture.
    """

    def __init__(
        self,
        data: bytes,
        height: int,
        width: int,
        decode: Callable[[bytes, int], NDArray[np.uint8]],
        format: str = JPEG,
    ) -> None:
        self.data, self.height, self.width, self._decode = data, height, width, decode
        self.format, self.damaged = format, False

    def same_file(self, other: EncodedPicture) -> bool:
        """Whether it has the other's pixels, by its bytes and what they mean."""
        return (self.format, self.shape) == (other.format, other.shape) and self.data == other.data

    @property
    def shape(self) -> tuple[int, int, int]:
        """Shape of the decoded picture."""
        return self.height, self.width, 3

    def pixels(self, factor: int = 1) -> NDArray[np.uint8]:
        """The picture (H / factor, W / factor, 3) uint8, RGB; factor 1, 2, 4 or 8.

        Raises:
            FrameError: the file is damaged; `damaged` then stays true.
        """
        try:
            return self._decode(self.data, factor)
        except FrameError:
            self.damaged = True
            raise


Picture = NDArray[np.uint8] | EncodedPicture
"""(H, W, 3) uint8 RGB, at once or when it is asked for."""


@dataclass(frozen=True, eq=False)
class FrameSet:
    """What one plan sees: for each camera the same number of pictures, oldest first.

    `stamp_ns` is the newest front picture's stamp (the anchor); `images[camera][i]` was taken at
    `stamps_ns[camera][i]`. `skew_ns[camera]`: how much later than wanted the camera's newest picture was taken.
    """

    stamp_ns: int
    images: dict[str, tuple[Picture, ...]]
    stamps_ns: dict[str, tuple[int, ...]]
    skew_ns: dict[str, int] = field(default_factory=dict)

    @property
    def oldest_stamp_ns(self) -> int:
        """Stamp of the oldest of the newest pictures: the data age of a plan counts from here."""
        return min(stamps[-1] for stamps in self.stamps_ns.values())


@dataclass(frozen=True, eq=False)
class CameraModel:
    """What a camera driver says of its pictures' geometry (sensor_msgs/CameraInfo).

    `intrinsics`: (3, 3) float64, pixels of the picture as it is sent. `distortion`: (N,) float64 coefficients of
    `distortion_model`; all zero, or none, for rectified pictures.
    """

    camera: str
    width: int
    height: int
    intrinsics: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (3, 3)})
    distortion_model: str
    distortion: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (None,)})


@dataclass(frozen=True, eq=False)
class CameraCalibration:
    """Pinhole camera.

    `intrinsics`: (3, 3) float64, pixels. `rotation`: (3, 3) float64, camera optical frame (x right, y down, z forward,
    REP-103) to ego frame. `position_m`: (3,) float64, camera centre in the ego frame.
    """

    camera: str
    width: int
    height: int
    intrinsics: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (3, 3)})
    rotation: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (3, 3)})
    position_m: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (3,)})
