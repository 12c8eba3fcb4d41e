"""A drive through the world as a recording: what a vehicle would have recorded, made in virtual time.

The processes get what the recording's reader will get (messages are rounded on their way through ROS's types, pictures
are compressed), so that a replay in lock-step repeats the run to the bit.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

from onboard_vla.app.closed_loop_record import RunRecord, RunSettings
from onboard_vla.app.closed_loop_warmup import DEFAULT_WARMUP_NS
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.lockstep import DEFAULT_PLAN_LATENCY_NS, BodyFactory, LockstepProcesses, run_lockstep
from onboard_vla.app.lockstep_parts import make_guard, make_supervisor
from onboard_vla.core.cameras import CameraModel
from onboard_vla.core.clock import Now
from onboard_vla.core.errors import WireError
from onboard_vla.core.process_graph import PROCESSES, VEHICLE, Topic, topic_for
from onboard_vla.core.road import Route
from onboard_vla.core.thresholds import Thresholds
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.bag_messages import MessageRecorder
from onboard_vla.world.rig import default_rig

START_STAMP_NS = 1000 * SECOND_NS
"""The data clock when a recording begins: ROS takes time 0 for "no time yet"."""


@dataclass(frozen=True)
class WorldDrive:
    """Which drive to record. `pictures`: "raw" or "compressed"."""

    seed: int
    profile: str
    seconds: float
    sensor: str = "modelled"
    pictures: str = "compressed"
    warmup_ns: int = DEFAULT_WARMUP_NS


class RecordingLink:
    """A vehicle's link that writes down all that passes; the processes behind it get what was written."""

    def __init__(self, processes: LockstepProcesses, recorder: MessageRecorder) -> None:
        self._processes, self._recorder = processes, recorder

    def publish(self, message: Message) -> None:
        """Record and deliver; with each route, the cameras' models."""
        if isinstance(message, Route):
            for model in camera_models():
                self._pass_on(model)
        self._pass_on(message)

    def poll(self) -> list[tuple[Message, Now]]:
        """What the processes have said since the last call, recorded."""
        messages = self._processes.poll()
        for message, now in messages:
            self._recorder.write(said_on(message), message, now.stamp_ns)
        return messages

    def wait_ready(self, timeout_s: float, processes: tuple[str, ...]) -> None:
        """Everything is in this process."""

    def close(self) -> None:
        """The recorder belongs to who made it."""

    def _pass_on(self, message: Message) -> None:
        seen = self._recorder.write(topic_for(VEHICLE, message), message, self._processes.now.stamp_ns)
        if seen is None:
            raise WireError(f"{type(message).__name__} does not come back whole from its ROS messages")
        self._processes.publish(seen)


def record_world(
    path: Path,
    drive: WorldDrive,
    planner: BodyFactory,
    thresholds: Thresholds,
    progress: Callable[[float], None] | None = None,
) -> tuple[RunRecord, dict[str, int]]:
    """Drive and record; returns the run's record and the messages written by topic.

    Raises:
        ConfigurationError: something stands at `path`.
        EnvironmentLacksError: rosbags is missing, or the planner never became ready.
    """
    settings = RunSettings(
        seed=drive.seed,
        profile=drive.profile,
        sensor=drive.sensor,
        transport="lockstep",
        run_ns=round(drive.seconds * SECOND_NS),
        warmup_ns=drive.warmup_ns,
        planner="recorded",
        faults=(),
        plan_latency_ns=DEFAULT_PLAN_LATENCY_NS,
    )
    recorder = MessageRecorder(path, drive.pictures)
    links: list[RecordingLink] = []

    def tap(processes: LockstepProcesses) -> RecordingLink:
        links.append(RecordingLink(processes, recorder))
        return links[0]

    try:
        record = run_lockstep(
            settings,
            planner,
            make_supervisor(thresholds),
            make_guard(),
            progress=progress,
            tap=tap,
            stamp_ns=START_STAMP_NS,
        )
        # What was said after the last step's look.
        links[0].poll()
    finally:
        recorder.close()
    return record, recorder.counts


def camera_models() -> list[CameraModel]:
    """Of the world's cameras: pinholes without distortion."""
    return [
        CameraModel(camera, c.width, c.height, c.intrinsics, "plumb_bob", c.intrinsics[2, :2] * 0.0)
        for camera, c in default_rig().items()
    ]


def said_on(message: Message) -> Topic:
    """The topic of a process's message.

    Raises:
        WireError: no process says such a thing.
    """
    sender = getattr(message, "process", None)
    for process in (sender,) if sender else PROCESSES:
        try:
            return topic_for(process, message)
        except WireError:
            continue
    raise WireError(f"no process sends a {type(message).__name__}")
