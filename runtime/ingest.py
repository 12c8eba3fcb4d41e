"""Camera ingest: a ring of recent frames per camera, and the choice of the frames that one plan sees.

Frames may arrive late, twice, in any order or not at all. A camera without a fitting frame means no frame set and a
reason; a missing picture is never replaced by a black or an old one.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FRONT, CameraFrame, FrameSet
from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.errors import FrameError

DEFAULT_TOLERANCE_S = 0.045
"""Largest distance of a frame's stamp from the wanted one: below half the period of a 10 Hz camera."""
DEFAULT_ANCHOR_LAG_S = 0.15
"""How much older than the newest front frame an anchor may be while other cameras' frames are still on their way."""
MAX_FRAMES = 256
"""Frames held per camera whatever their stamps say: 1.7 s of a 150 Hz camera."""
RESTART_FRAMES = 5
"""So many consecutive frames too old for the ring, each newer than the last, mean that the data clock restarted."""


@dataclass(frozen=True)
class MissingFrames:
    """Why there is no frame set. `code`: "no_front", "camera_silent" or "frame_gap"."""

    code: str
    camera: str
    detail: str


@dataclass
class IngestCounts:
    """What became of the frames that arrived."""

    stored: int = 0
    foreign: int = 0
    duplicates: int = 0
    too_old: int = 0
    out_of_order: int = 0
    resized: int = 0
    restarts: int = 0


class CameraIngest:
    """Holds recent frames of `cameras` and picks sets of them. Not thread-safe; its owner serialises calls.

    Args:
        cameras: the cameras that a plan needs; the first front camera among them is the anchor.
        frames_per_camera: pictures per camera in a frame set.
        spacing_s: time between these pictures.
        tolerance_s: largest distance of a picture's stamp from the wanted stamp.
        anchor_lag_s: see `DEFAULT_ANCHOR_LAG_S`.
        sizes: width and height that each camera's pictures must have. Without it, any size that stays the same is
            taken; when it changes, the camera's older pictures are dropped.
    """

    def __init__(
        self,
        cameras: Sequence[str],
        frames_per_camera: int,
        spacing_s: float,
        tolerance_s: float = DEFAULT_TOLERANCE_S,
        *,
        anchor_lag_s: float = DEFAULT_ANCHOR_LAG_S,
        sizes: Mapping[str, tuple[int, int]] | None = None,
    ) -> None:
        self.cameras = tuple(cameras)
        self.anchor_camera = FRONT if FRONT in self.cameras else self.cameras[0]
        self._offsets_ns = [nanoseconds(spacing_s * k) for k in range(frames_per_camera - 1, -1, -1)]
        self._tolerance_ns = nanoseconds(tolerance_s)
        self._anchor_lag_ns = nanoseconds(anchor_lag_s)
        self._keep_ns = self._offsets_ns[0] + self._tolerance_ns * 2 + self._anchor_lag_ns
        self._rings = {camera: _Ring(self._keep_ns) for camera in self.cameras}
        self._sizes = dict(sizes or {})
        self.counts = IngestCounts()
        self.missing: MissingFrames | None = MissingFrames("no_front", self.anchor_camera, "no frame arrived yet")

    def add(self, frame: CameraFrame) -> bool:
        """Store a frame; false when it is of no use (another camera, a duplicate, too old).

        A read-only picture is kept as it is; of a writeable one a copy is made, because its owner may overwrite it.

        Raises:
            FrameError: the picture is not (H, W, 3) uint8 or has not the size that was declared for its camera.
        """
        ring = self._rings.get(frame.camera)
        if ring is None:
            self.counts.foreign += 1
            return False
        self._check(frame)
        if ring.frames and ring.frames[-1].image.shape != frame.image.shape:
            ring.clear()
            self.counts.resized += 1
        if frame.image.flags.writeable:
            frame = replace(frame, image=_frozen(frame.image))
        return ring.insert(frame, self.counts)

    def clear(self) -> None:
        """Forget all frames."""
        for ring in self._rings.values():
            ring.clear()

    def frame_set(self) -> FrameSet | None:
        """The newest complete frame set, or none; `missing` then says why."""
        anchors = self._rings[self.anchor_camera].stamps
        if not anchors:
            self.missing = MissingFrames("no_front", self.anchor_camera, "no frame of the anchor camera")
            return None
        newest_miss: MissingFrames | None = None
        for anchor in reversed(anchors):
            if anchors[-1] - anchor > self._anchor_lag_ns:
                break
            found = self._complete(anchor)
            if isinstance(found, FrameSet):
                self.missing = None
                return found
            newest_miss = newest_miss or found
        self.missing = newest_miss
        return None

    def _complete(self, anchor_ns: int) -> FrameSet | MissingFrames:
        images: dict[str, tuple[NDArray[np.uint8], ...]] = {}
        stamps: dict[str, tuple[int, ...]] = {}
        for camera, ring in self._rings.items():
            chosen: list[CameraFrame] = []
            for offset in self._offsets_ns:
                frame = ring.nearest(anchor_ns - offset)
                if frame is None:
                    return MissingFrames("camera_silent", camera, "no frame of this camera")
                gap = frame.stamp_ns - (anchor_ns - offset)
                if abs(gap) > self._tolerance_ns or (chosen and chosen[-1].stamp_ns >= frame.stamp_ns):
                    wanted, nearest = seconds(-offset), seconds(frame.stamp_ns - anchor_ns)
                    detail = f"wanted a frame at {wanted:+.3f} s from the anchor, the nearest is at {nearest:+.3f} s"
                    return MissingFrames("frame_gap", camera, detail)
                chosen.append(frame)
            images[camera] = tuple(frame.image for frame in chosen)
            stamps[camera] = tuple(frame.stamp_ns for frame in chosen)
        return FrameSet(anchor_ns, images, stamps)

    def _check(self, frame: CameraFrame) -> None:
        image = frame.image
        if image.dtype != np.uint8 or image.ndim != 3 or image.shape[2] != 3 or 0 in image.shape:
            raise FrameError(f"{frame.camera}: expected (H, W, 3) uint8, found {image.shape} {image.dtype}")
        size = self._sizes.get(frame.camera)
        if size is not None and (image.shape[1], image.shape[0]) != size:
            raise FrameError(f"{frame.camera}: expected {size[0]}x{size[1]}, found {image.shape[1]}x{image.shape[0]}")


class _Ring:
    """Frames of one camera in order of their stamps, at most `keep_ns` older than the newest."""

    def __init__(self, keep_ns: int) -> None:
        self._keep_ns = keep_ns
        self.frames: list[CameraFrame] = []
        self.stamps: list[int] = []
        self._late = 0
        self._late_stamp_ns = 0

    def clear(self) -> None:
        self.frames.clear()
        self.stamps.clear()
        self._late = 0

    def insert(self, frame: CameraFrame, counts: IngestCounts) -> bool:
        stamp = frame.stamp_ns
        if self.stamps and stamp < self.stamps[-1] - self._keep_ns:
            counts.too_old += 1
            self._late = self._late + 1 if self._late and stamp > self._late_stamp_ns else 1
            self._late_stamp_ns = stamp
            if self._late < RESTART_FRAMES:
                return False
            self.clear()
            counts.restarts += 1
        else:
            self._late = 0
        place = bisect.bisect_left(self.stamps, stamp)
        if place < len(self.stamps) and self.stamps[place] == stamp:
            counts.duplicates += 1
            return False
        counts.out_of_order += place < len(self.stamps)
        counts.stored += 1
        self.stamps.insert(place, stamp)
        self.frames.insert(place, frame)
        expired = bisect.bisect_left(self.stamps, self.stamps[-1] - self._keep_ns)
        expired = max(expired, len(self.stamps) - MAX_FRAMES)
        del self.stamps[:expired], self.frames[:expired]
        return True

    def nearest(self, stamp_ns: int) -> CameraFrame | None:
        if not self.stamps:
            return None
        place = bisect.bisect_left(self.stamps, stamp_ns)
        around = [i for i in (place - 1, place) if 0 <= i < len(self.stamps)]
        return self.frames[min(around, key=lambda i: (abs(self.stamps[i] - stamp_ns), -i))]


def _frozen(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    copy: NDArray[np.uint8] = image.copy()
    copy.flags.writeable = False
    return copy
