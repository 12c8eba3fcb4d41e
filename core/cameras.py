"""Camera frames, frame sets and calibration."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

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


@dataclass(frozen=True, eq=False)
class FrameSet:
    """What one plan sees: for each camera the same number of pictures, oldest first.

    `stamp_ns` is the newest front picture's stamp (the anchor); `images[camera][i]` was taken at
    `stamps_ns[camera][i]`.
    """

    stamp_ns: int
    images: dict[str, tuple[NDArray[np.uint8], ...]]
    stamps_ns: dict[str, tuple[int, ...]]

    @property
    def oldest_stamp_ns(self) -> int:
        """Stamp of the oldest of the newest pictures: the data age of a plan counts from here."""
        return min(stamps[-1] for stamps in self.stamps_ns.values())


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
