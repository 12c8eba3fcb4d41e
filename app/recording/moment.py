"""One moment of a recording: the pictures that belong together, and what had been said until then."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import numpy as np

from onboard_vla.app.closed_loop_record import RunRecord, RunSettings, Snapshot, StepRecord
from onboard_vla.app.closed_loop_recorder import RunRecorder, lane_edges
from onboard_vla.core.cameras import CAMERAS, FRONT, CameraFrame, CompressedFrame, EncodedPicture
from onboard_vla.core.clock import NANOSECONDS, Now, nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ArgumentError, ConfigurationError, FrameError
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import Engagement, SafeTrajectory
from onboard_vla.core.verdict import Verdict
from onboard_vla.ros_nodes.bag_messages import MessageReader
from onboard_vla.runtime.camera_timing import CameraTiming
from onboard_vla.runtime.ingest import CameraIngest

SPREAD_S = 0.15
"""Pictures of one moment lie at most so far from the front one's: one and a half periods of a 10 Hz camera."""
LOOK_BACK_S = 60.0
"""How much before the moment is read for the timeline."""
NO_MODE = -1


@dataclass(eq=False)
class Moment:
    """What is drawn. `record`: the timeline, from the recording's beginning (or `LOOK_BACK_S` before the moment).

    `absent`: cameras without a fitting picture, and why. `verdicts`: the newest of each camera.
    """

    record: RunRecord
    at_ns: int
    snapshot: Snapshot | None = None
    plan: Plan | None = None
    rejection: PlanRejection | None = None
    safe: SafeTrajectory | None = None
    verdicts: dict[str, Verdict] = field(default_factory=dict)
    absent: dict[str, str] = field(default_factory=dict)
    refused: dict[str, int] = field(default_factory=dict)


def read_moment(path: Path, at_s: float | None = None) -> Moment:
    """The moment `at_s` seconds after a recording's beginning, or its end.

    Raises:
        ArgumentError: no such time.
        ConfigurationError: no such recording, or no ego state or front picture until then.
    """
    reader = MessageReader(path)
    try:
        first_ns, last_ns = reader.bag.span_ns
        at_ns = last_ns if at_s is None else first_ns + nanoseconds(at_s)
        if not first_ns <= at_ns <= last_ns:
            raise ArgumentError(f"--at {at_s:g}: {path} lasts {seconds(last_ns - first_ns):.1f} s")
        begin_ns = max(first_ns, at_ns - nanoseconds(LOOK_BACK_S))
        return _Gathering(begin_ns, at_ns, first_ns).read(reader, path)
    finally:
        reader.close()


class _Gathering:
    """Reads once through the recording until the moment."""

    def __init__(self, begin_ns: int, at_ns: int, first_ns: int) -> None:
        settings = RunSettings(0, "", "", "recording", at_ns - begin_ns, 0, "", ())
        self.moment = Moment(RunRecord(settings), at_ns - first_ns)
        self._begin_ns, self._stop_ns = begin_ns, at_ns + 1
        self._recorder = RunRecorder(self.moment.record)
        others = {camera: CameraTiming(0.0, SPREAD_S, required=False) for camera in CAMERAS if camera != FRONT}
        self._ingest = CameraIngest(CAMERAS, 1, 1.0, anchor_lag_s=0.0, timing=others)
        self._ego: EgoState | None = None
        self._objects = ObjectList(0, ())
        self._lanes: LaneObservation | None = None
        self._origin: Now | None = None
        self._engaged = False

    def read(self, reader: MessageReader, path: Path) -> Moment:
        for told in reader.messages(stop_ns=self._stop_ns):
            message, time_ns = told.message, told.time_ns
            if isinstance(message, Route):
                self.moment.record.route_points = message.points
            if time_ns < self._begin_ns:
                continue
            if isinstance(message, (CameraFrame, CompressedFrame)):
                self._take_picture(message)
            elif isinstance(message, EgoState):
                self._take_ego(message, time_ns)
            elif isinstance(message, ObjectList):
                self._objects = message
            elif isinstance(message, LaneObservation):
                self._lanes = message
            elif isinstance(message, Verdict):
                self.moment.verdicts[message.camera] = message
            else:
                self._take_word(message, Now(time_ns, time_ns))
        self.moment.refused = dict(reader.refused)
        self._finish(path)
        return self.moment

    def _take_picture(self, frame: CameraFrame | CompressedFrame) -> None:
        try:
            self._ingest.add(frame)
        except FrameError as error:
            self.moment.absent[frame.camera] = str(error)

    def _take_ego(self, ego: EgoState, time_ns: int) -> None:
        self._ego = ego
        if self._origin is None:
            # Stamps may be of another clock than the recording's: the timeline begins at the first ego state on both.
            self._origin = Now(time_ns, ego.stamp_ns)
            self._recorder.engaged(self._origin)
        mode = int(self.moment.safe.mode) if self.moment.safe and self._engaged else NO_MODE
        since_ns = ego.stamp_ns - self._origin.stamp_ns
        self.moment.record.steps.append(
            StepRecord(since_ns, ego.x_m, ego.y_m, ego.heading_rad, ego.speed_mps, 0.0, mode, self._engaged)
        )

    def _take_word(self, message: object, received: Now) -> None:
        if isinstance(message, SafeTrajectory):
            self.moment.safe = message
            self._engaged = message.engagement is not Engagement.STANDBY
        elif isinstance(message, Plan):
            self.moment.plan, self.moment.rejection = message, None
        elif isinstance(message, PlanRejection):
            self.moment.rejection = message
        if isinstance(message, (SafeTrajectory, Plan, PlanRejection)):
            self._recorder.message(message, received)

    def _finish(self, path: Path) -> None:
        frames = self._ingest.frame_set()
        if self._ego is None or self._origin is None or frames is None:
            lacking = "ego state" if self._ego is None else "front picture"
            raise ConfigurationError(f"{path}: no {lacking} until {self.moment.at_ns / NANOSECONDS:.1f} s")
        left_out = {miss.camera: f"{miss.code}: {miss.detail}" for miss in self._ingest.left_out}
        self.moment.absent = left_out | self.moment.absent
        images = {}
        for camera, (picture,) in frames.images.items():
            try:
                images[camera] = picture.pixels() if isinstance(picture, EncodedPicture) else picture
            except FrameError as error:
                self.moment.absent[camera] = str(error)
        self.moment.absent = {camera: why for camera, why in self.moment.absent.items() if camera not in images}
        record, safe = self.moment.record, self.moment.safe
        if self._lanes is not None:
            record.lane_edges.append(lane_edges(self._lanes))
        self.moment.snapshot = Snapshot(
            time_ns=frames.stamp_ns - self._origin.stamp_ns,
            title="",
            pose=(self._ego.x_m, self._ego.y_m, self._ego.heading_rad),
            images=images,
            objects=self._objects,
            plan=record.plans[-1] if record.plans else None,
            driven_points=safe.points if safe is not None else np.zeros((0, 6)),
            mode=int(safe.mode) if safe is not None else NO_MODE,
        )
