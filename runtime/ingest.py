"""Camera ingest: a ring of recent frames per camera, and the choice of the frames that one plan sees.

Frames may arrive late, twice, in any order or not at all. A required camera without a fitting frame means no frame set
and a reason; one that is not required is left out. A missing picture is never replaced by a black or an old one.
Compressed pictures stay compressed until their pixels are asked for.
"""

from __future__ import annotations

import bisect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FRONT, CameraFrame, CompressedFrame, EncodedPicture, FrameSet, Picture
from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.errors import ConfigurationError, FrameError
from onboard_vla.runtime.camera_shapes import same_shape
from onboard_vla.runtime.camera_timing import DEFAULT_TOLERANCE_S, CameraTiming
from onboard_vla.runtime.jpeg import open_compressed

DEFAULT_ANCHOR_LAG_S = 0.15
"""How much older than the newest front frame an anchor may be while other cameras' frames are still on their way."""
MAX_FRAMES = 256
"""Frames held per camera whatever their stamps say: 1.7 s of a 150 Hz camera."""
RESTART_FRAMES = 5
"""So many consecutive frames too old for the ring, each newer than the last, mean that the data clock restarted."""


@dataclass(frozen=True)
class MissingFrames:
    """Why there is no frame set. `code`: "no_front", "camera_silent", "frame_gap", "wrong_size" or "camera_barred"."""

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
    damaged: int = 0
    misshapen: int = 0


class CameraIngest:
    """Holds recent frames of `cameras` and picks sets of them. Not thread-safe; its owner serialises calls.

    Args:
        cameras: the cameras that a plan needs; the first front camera among them is the anchor.
        frames_per_camera: pictures per camera in a frame set.
        spacing_s: time between these pictures.
        tolerance_s: largest distance of a picture's stamp from the wanted stamp, for cameras that `timing` leaves out.
        anchor_lag_s: see `DEFAULT_ANCHOR_LAG_S`.
        sizes: width and height of each camera's whole pictures; the same shape at another scale is taken, and another
            shape means that the camera is missing until the right one is back. Without it, any size is taken; when it
            changes, the camera's older pictures are dropped.
        timing: offset and tolerance of each camera, and whether a set needs it.

    Raises:
        ConfigurationError: `timing` names a camera that is not among `cameras`, or moves or spares the anchor.
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
        timing: Mapping[str, CameraTiming] | None = None,
    ) -> None:
        self.cameras = tuple(cameras)
        self.anchor_camera = FRONT if FRONT in self.cameras else self.cameras[0]
        given = timing or {}
        self.timing = {camera: given.get(camera, CameraTiming(0.0, tolerance_s)) for camera in self.cameras}
        self._check_timing(given)
        self._history_ns = [nanoseconds(spacing_s * k) for k in range(frames_per_camera - 1, -1, -1)]
        self._anchor_lag_ns = nanoseconds(anchor_lag_s)
        self._offset_ns = {camera: nanoseconds(when.offset_s) for camera, when in self.timing.items()}
        self._tolerance_ns = {camera: nanoseconds(when.tolerance_s) for camera, when in self.timing.items()}
        # Far enough back for the oldest anchor still allowed, whichever camera is early or late.
        slack_ns = 2 * max(self._tolerance_ns.values()) + max(abs(offset) for offset in self._offset_ns.values())
        keep_ns = self._history_ns[0] + self._anchor_lag_ns + slack_ns
        self._rings = {camera: _Ring(keep_ns) for camera in self.cameras}
        self._sizes = dict(sizes or {})
        self.counts = IngestCounts()
        self.missing: MissingFrames | None = MissingFrames("no_front", self.anchor_camera, "no frame arrived yet")
        self.left_out: tuple[MissingFrames, ...] = ()
        self._barred: dict[str, str] = {}
        self._misshapen: dict[str, str] = {}

    def bar(self, camera: str, why: str | None) -> None:
        """Give out no pictures of a camera any more, because of what was said of it; None takes that back."""
        if why is None:
            self._barred.pop(camera, None)
        else:
            self._barred[camera] = why

    def picture_size(self, camera: str) -> tuple[int, int] | None:
        """Width and height of the camera's newest picture."""
        pictures = self._rings[camera].pictures
        return (pictures[-1].shape[1], pictures[-1].shape[0]) if pictures else None

    @property
    def newest_anchor_ns(self) -> int | None:
        """Stamp of the anchor camera's newest picture."""
        stamps = self._rings[self.anchor_camera].stamps
        return stamps[-1] if stamps else None

    def add(self, frame: CameraFrame | CompressedFrame) -> bool:
        """Store a frame; false when it is of no use (another camera, a duplicate, too old).

        A read-only picture is kept as it is; of a writeable one a copy is made, because its owner may overwrite it.

        Raises:
            FrameError: the picture is not (H, W, 3) uint8, or no whole file of a known format, or has not the shape
                that was declared for its camera.
        """
        ring = self._rings.get(frame.camera)
        if ring is None:
            self.counts.foreign += 1
            return False
        try:
            picture = self._picture(frame)
        except FrameError:
            self.counts.damaged += 1
            raise
        self._expect_shape(frame.camera, picture)
        if ring.pictures and ring.pictures[-1].shape != picture.shape:
            ring.clear()
            self.counts.resized += 1
        return ring.insert(frame.stamp_ns, picture, self.counts)

    def clear(self) -> None:
        """Forget all frames."""
        for ring in self._rings.values():
            ring.clear()

    def frame_set(self) -> FrameSet | None:
        """The newest frame set that is complete, or none; `missing` then says why.

        One of every camera goes before newer ones, because pictures of the others may be on their way. `left_out` says
        which cameras that are not required the set is without, and why.
        """
        for ring in self._rings.values():
            self.counts.damaged += ring.drop_damaged()
        anchors = self._rings[self.anchor_camera].stamps
        self.left_out = ()
        if not anchors:
            wrong = self._misshapen.get(self.anchor_camera)
            code, detail = ("wrong_size", wrong) if wrong else ("no_front", "no frame of the anchor camera")
            self.missing = MissingFrames(code, self.anchor_camera, detail)
            return None
        newest_miss: MissingFrames | None = None
        partial: tuple[FrameSet, tuple[MissingFrames, ...]] | None = None
        for anchor in reversed(anchors):
            if anchors[-1] - anchor > self._anchor_lag_ns:
                break
            found = self._complete(anchor)
            if isinstance(found, MissingFrames):
                newest_miss = newest_miss or found
            elif not found[1]:
                self.missing = None
                return found[0]
            else:
                partial = partial or found
        if partial is None:
            self.missing = newest_miss
            return None
        self.missing, self.left_out = None, partial[1]
        return partial[0]

    def _complete(self, anchor_ns: int) -> tuple[FrameSet, tuple[MissingFrames, ...]] | MissingFrames:
        """The frame set of this anchor and what it is without, or why there is none."""
        frames = FrameSet(anchor_ns, {}, {}, {})
        left_out: list[MissingFrames] = []
        for camera in self.cameras:
            chosen = self._chosen(camera, anchor_ns)
            if not isinstance(chosen, MissingFrames):
                ring = self._rings[camera]
                frames.images[camera] = tuple(ring.pictures[place] for place in chosen)
                frames.stamps_ns[camera] = tuple(ring.stamps[place] for place in chosen)
                frames.skew_ns[camera] = frames.stamps_ns[camera][-1] - anchor_ns - self._offset_ns[camera]
            elif self.timing[camera].required:
                return chosen
            else:
                left_out.append(chosen)
        return frames, tuple(left_out)

    def _chosen(self, camera: str, anchor_ns: int) -> list[int] | MissingFrames:
        """Places in the camera's ring of the pictures that belong to this anchor, oldest first."""
        if camera in self._barred:
            return MissingFrames("camera_barred", camera, self._barred[camera])
        if camera in self._misshapen:
            return MissingFrames("wrong_size", camera, self._misshapen[camera])
        ring = self._rings[camera]
        chosen: list[int] = []
        for history_ns in self._history_ns:
            wanted_ns = anchor_ns - history_ns + self._offset_ns[camera]
            place = ring.nearest(wanted_ns)
            if place is None:
                return MissingFrames("camera_silent", camera, "no frame of this camera")
            gap = abs(ring.stamps[place] - wanted_ns)
            if gap > self._tolerance_ns[camera] or (chosen and chosen[-1] >= place):
                wanted, nearest = seconds(wanted_ns - anchor_ns), seconds(ring.stamps[place] - anchor_ns)
                detail = f"wanted a frame at {wanted:+.3f} s from the anchor, the nearest is at {nearest:+.3f} s"
                if len(ring.stamps) == 1:
                    detail += ", the only stamp of its pictures: do its stamps stand still?"
                return MissingFrames("frame_gap", camera, detail)
            chosen.append(place)
        return chosen

    def _check_timing(self, given: Mapping[str, CameraTiming]) -> None:
        if foreign := [camera for camera in given if camera not in self.cameras]:
            raise ConfigurationError(f"timing of camera {foreign[0]}: expected one of {', '.join(self.cameras)}")
        anchor = self.timing[self.anchor_camera]
        if anchor.offset_s or not anchor.required:
            raise ConfigurationError(
                f"camera {self.anchor_camera} is the anchor: it is required and has offset 0, found {anchor}"
            )

    def _picture(self, frame: CameraFrame | CompressedFrame) -> Picture:
        picture: Picture = open_compressed(frame) if isinstance(frame, CompressedFrame) else frame.image
        if isinstance(picture, np.ndarray):
            if picture.dtype != np.uint8 or picture.ndim != 3 or picture.shape[2] != 3 or 0 in picture.shape:
                raise FrameError(f"{frame.camera}: expected (H, W, 3) uint8, found {picture.shape} {picture.dtype}")
            if picture.flags.writeable:
                picture = _frozen(picture)
        return picture

    def _expect_shape(self, camera: str, picture: Picture) -> None:
        found, size = (picture.shape[1], picture.shape[0]), self._sizes.get(camera)
        self._misshapen.pop(camera, None)
        if size is not None and not same_shape(found, size):
            self.counts.misshapen += 1
            self._misshapen[camera] = f"expected the shape of {size[0]}x{size[1]}, found {found[0]}x{found[1]}"
            raise FrameError(f"{camera}: {self._misshapen[camera]}")


class _Ring:
    """Pictures of one camera in order of their stamps, at most `keep_ns` older than the newest."""

    def __init__(self, keep_ns: int) -> None:
        self._keep_ns = keep_ns
        self.pictures: list[Picture] = []
        self.stamps: list[int] = []
        self._late = 0
        self._late_stamp_ns = 0

    def clear(self) -> None:
        self.pictures.clear()
        self.stamps.clear()
        self._late = 0

    def insert(self, stamp: int, picture: Picture, counts: IngestCounts) -> bool:
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
        self.pictures.insert(place, picture)
        expired = bisect.bisect_left(self.stamps, self.stamps[-1] - self._keep_ns)
        expired = max(expired, len(self.stamps) - MAX_FRAMES)
        del self.stamps[:expired], self.pictures[:expired]
        return True

    def nearest(self, stamp_ns: int) -> int | None:
        """Place of the picture nearest to a stamp; of two as near the newer one."""
        if not self.stamps:
            return None
        place = bisect.bisect_left(self.stamps, stamp_ns)
        around = [i for i in (place - 1, place) if 0 <= i < len(self.stamps)]
        return min(around, key=lambda i: (abs(self.stamps[i] - stamp_ns), -i))

    def drop_damaged(self) -> int:
        """Forget the pictures that turned out to be damaged; returns how many there were."""
        bad = [i for i, picture in enumerate(self.pictures) if isinstance(picture, EncodedPicture) and picture.damaged]
        for place in reversed(bad):
            del self.stamps[place], self.pictures[place]
        return len(bad)


def _frozen(image: NDArray[np.uint8]) -> NDArray[np.uint8]:
    copy: NDArray[np.uint8] = image.copy()
    copy.flags.writeable = False
    return copy
