"""Made-up six-camera input for bundles of the reference checkpoint."""

from __future__ import annotations

import numpy as np

from onboard_vla.core.cameras import CameraFrame, FrameSet
from onboard_vla.core.ego import EgoState

PERIOD_NS = 100_000_000
SOURCE = (252, 448, 3)


class Drive:
    """Pictures of noise at 10 Hz, each made once, read-only as from the wire."""

    def __init__(self, cameras, seed=0, source=SOURCE):
        self._cameras, self._source = cameras, source
        self._rng = np.random.default_rng(seed)
        self._pictures = {}

    def picture(self, camera, tick):
        key = camera, tick
        if key not in self._pictures:
            # Coarse noise: enlarged blocks, so that resizing does not average everything to grey.
            height, width, channels = self._source
            small = self._rng.integers(0, 256, (height // 12, width // 12, channels), np.uint8)
            picture = small.repeat(12, axis=0).repeat(12, axis=1)
            picture = np.pad(picture, ((0, height - len(picture)), (0, width - picture.shape[1]), (0, 0)), mode="edge")
            picture.flags.writeable = False
            self._pictures[key] = picture
        return self._pictures[key]

    def frame(self, camera, tick):
        return CameraFrame(camera, tick * PERIOD_NS, tick, self.picture(camera, tick))

    def frame_set(self, tick):
        ticks = (tick - 15, tick - 10, tick - 5, tick)
        stamps = tuple(t * PERIOD_NS for t in ticks)
        images = {camera: tuple(self.picture(camera, t) for t in ticks) for camera in self._cameras}
        return FrameSet(stamps[-1], images, dict.fromkeys(images, stamps))


def ego(speed=8.0, stamp_ns=0):
    return EgoState(stamp_ns, 0.0, 0.0, 0.0, speed, 0.0, 0.0)
