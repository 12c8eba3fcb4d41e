"""What `plan_view` knows of the graph: the newest of everything, and where the vehicle was when a picture was taken."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FRONT, CameraFrame, CompressedFrame, Picture
from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import FrameError
from onboard_vla.core.geometry import compose, inverse
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.wire import Message
from onboard_vla.runtime.jpeg import open_compressed

EGO_STATES = 150
"""Three seconds of them: plans and pictures are younger."""
NEAR_NS = nanoseconds(0.1)
"""An ego state further from a stamp than this does not say where the vehicle was."""
SILENT_NS = nanoseconds(1.0)
"""A picture that arrived this long ago is no longer shown: it would look like the present."""

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Seen:
    """A camera's newest picture, or why there is none."""

    stamp_ns: int
    received_ns: int
    picture: Picture | None
    problem: str = ""


class PlanScene:
    """Keeps the newest message of each kind; not thread-safe."""

    def __init__(self) -> None:
        self.cameras: dict[str, Seen] = {}
        self.plan: Plan | None = None
        self.rejection: PlanRejection | None = None
        self.safe: SafeTrajectory | None = None
        self._egos: deque[EgoState] = deque(maxlen=EGO_STATES)

    def take(self, message: Message, now: Now) -> None:
        """Store a message."""
        if isinstance(message, (CameraFrame, CompressedFrame)):
            self.cameras[message.camera] = _seen(message, now)
        elif isinstance(message, EgoState):
            if self._egos and message.stamp_ns < self._egos[-1].stamp_ns:
                # The data clock was set back: what was before belongs to another drive.
                self._egos.clear()
            self._egos.append(message)
        elif isinstance(message, Plan):
            self.plan, self.rejection = message, None
        elif isinstance(message, PlanRejection):
            self.rejection = message
        elif isinstance(message, SafeTrajectory):
            self.safe = message

    def seen(self, camera: str, now: Now) -> Seen:
        """A camera's picture, as far as it is the present's."""
        seen = self.cameras.get(camera)
        if seen is None:
            return Seen(0, 0, None, "no picture yet")
        silent_ns = now.monotonic_ns - seen.received_ns
        if silent_ns > SILENT_NS:
            return Seen(seen.stamp_ns, seen.received_ns, None, f"no picture for {seconds(silent_ns):.1f} s")
        return seen

    @property
    def stamp_ns(self) -> int | None:
        """The newest front picture's stamp, or the newest of any camera."""
        front = self.cameras.get(FRONT)
        return front.stamp_ns if front else max((seen.stamp_ns for seen in self.cameras.values()), default=None)

    def pose_at(self, stamp_ns: int) -> Array | None:
        """Where the vehicle was (3,): x, y, heading in the odometry frame; None where nobody said so."""
        if not self._egos:
            return None
        near = min(self._egos, key=lambda ego: abs(ego.stamp_ns - stamp_ns))
        if abs(near.stamp_ns - stamp_ns) > NEAR_NS:
            return None
        return np.array([near.x_m, near.y_m, near.heading_rad])

    def driven_seen_from(self, pose: Array) -> Array:
        """The safe trajectory (T, 2) in the frame of a vehicle at `pose`; empty where there is none."""
        if self.safe is None or not len(self.safe.points):
            return np.zeros((0, 2))
        return _placed(pose, np.hstack([self.safe.points[:, 1:3], np.zeros((len(self.safe.points), 1))]))

    def planned_seen_from(self, pose: Array) -> Array:
        """The model's newest plan (T, 2) in the frame of a vehicle at `pose`; empty where there is none."""
        if self.plan is None:
            return np.zeros((0, 2))
        origin = self.pose_at(self.plan.stamp_ns)
        if origin is None:
            return np.zeros((0, 2))
        return _placed(pose, compose(origin, self.plan.poses.astype(np.float64)))


def _placed(pose: Array, points: Array) -> Array:
    return compose(inverse(pose), points)[:, :2]


def _seen(message: CameraFrame | CompressedFrame, now: Now) -> Seen:
    if isinstance(message, CameraFrame):
        return Seen(message.stamp_ns, now.monotonic_ns, message.image)
    try:
        return Seen(message.stamp_ns, now.monotonic_ns, open_compressed(message))
    except FrameError as error:
        return Seen(message.stamp_ns, now.monotonic_ns, None, f"damaged: {error}")
