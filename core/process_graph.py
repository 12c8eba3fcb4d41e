"""Which process says what to whom: the one table that both transports are built from."""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum

from onboard_vla.core.cameras import CAMERAS, CameraFrame, CameraModel, CompressedFrame
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.errors import WireError
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand, SafeTrajectory
from onboard_vla.core.settings import SettingsReply, SettingsRequest
from onboard_vla.core.supervision import Supervision
from onboard_vla.core.verdict import Verdict
from onboard_vla.core.wire import Message

PlannerInput = CameraFrame | CompressedFrame | CameraModel | EgoState | Route | Supervision
"""What the planner process takes."""
OF_A_CAMERA = (CameraFrame, CompressedFrame, CameraModel)
"""Kinds that have a topic for each camera."""
VEHICLE = "vehicle"
PLANNER, CAMERA_GUARD, SUPERVISOR = "vla_planner", "camera_guard", "safety_supervisor"
PROCESSES = (PLANNER, CAMERA_GUARD, SUPERVISOR)


class Delivery(Enum):
    """What a receiver that was busy finds when it comes back."""

    NEWEST = "newest"
    """The newest message alone; older ones are gone. For streams in which the next one replaces the last."""
    QUEUE = "queue"
    """All messages up to the topic's depth, in order."""
    LATCHED = "latched"
    """As QUEUE, and who connects late gets the last one sent."""


@dataclass(frozen=True)
class Topic:
    """One stream of one kind of message; pictures may also come as CompressedFrame.

    `depth`: messages kept for a busy receiver; `rate_hz` 0: on change.
    """

    name: str
    kind: type[Message]
    sender: str
    receivers: tuple[str, ...]
    delivery: Delivery
    depth: int
    rate_hz: float

    @property
    def camera(self) -> str | None:
        """The camera whose pictures or model this topic carries."""
        return self.name.rpartition("/")[2] if self.kind in (CameraFrame, CameraModel) else None


# Depths: plans and heartbeats are superseded by the next, but a burst after a stall must not lose one; verdicts come
# from six cameras at once; the vehicle joins safe trajectories from two ROS messages.
TOPICS: tuple[Topic, ...] = (
    *(
        Topic(f"camera/{camera}", CameraFrame, VEHICLE, (PLANNER, CAMERA_GUARD), Delivery.NEWEST, 1, 10.0)
        for camera in CAMERAS
    ),
    # As drivers do: who starts again later has to hear it, too.
    *(Topic(f"camera_info/{camera}", CameraModel, VEHICLE, (PLANNER,), Delivery.NEWEST, 1, 10.0) for camera in CAMERAS),
    Topic("ego", EgoState, VEHICLE, PROCESSES, Delivery.NEWEST, 1, 50.0),
    Topic("wheel_speed", WheelSpeed, VEHICLE, (SUPERVISOR,), Delivery.NEWEST, 1, 50.0),
    Topic("objects", ObjectList, VEHICLE, (SUPERVISOR,), Delivery.NEWEST, 1, 10.0),
    Topic("lanes", LaneObservation, VEHICLE, (SUPERVISOR,), Delivery.NEWEST, 1, 10.0),
    Topic("route", Route, VEHICLE, (PLANNER, SUPERVISOR), Delivery.LATCHED, 1, 0.0),
    Topic("conditions", OperatingConditions, VEHICLE, (SUPERVISOR,), Delivery.NEWEST, 1, 1.0),
    Topic("operator", OperatorCommand, VEHICLE, (SUPERVISOR,), Delivery.QUEUE, 10, 0.0),
    Topic("driver", DriverState, VEHICLE, (SUPERVISOR,), Delivery.QUEUE, 10, 10.0),
    Topic("settings", SettingsRequest, VEHICLE, (SUPERVISOR,), Delivery.QUEUE, 4, 0.0),
    Topic("plan", Plan, PLANNER, (SUPERVISOR, VEHICLE), Delivery.QUEUE, 5, 5.0),
    Topic("plan_rejection", PlanRejection, PLANNER, (SUPERVISOR, VEHICLE), Delivery.QUEUE, 5, 0.0),
    Topic("planner_heartbeat", Heartbeat, PLANNER, (SUPERVISOR, VEHICLE), Delivery.QUEUE, 5, 20.0),
    Topic("camera_guard_heartbeat", Heartbeat, CAMERA_GUARD, (SUPERVISOR, VEHICLE), Delivery.QUEUE, 5, 20.0),
    Topic("verdict", Verdict, CAMERA_GUARD, (SUPERVISOR, VEHICLE), Delivery.QUEUE, 24, 60.0),
    Topic("safe_trajectory", SafeTrajectory, SUPERVISOR, (VEHICLE,), Delivery.QUEUE, 10, 50.0),
    Topic("indicators", SafetyIndicators, SUPERVISOR, (VEHICLE,), Delivery.QUEUE, 5, 10.0),
    Topic("supervision", Supervision, SUPERVISOR, (PLANNER, VEHICLE), Delivery.QUEUE, 5, 10.0),
    Topic("settings_reply", SettingsReply, SUPERVISOR, (VEHICLE,), Delivery.QUEUE, 4, 0.0),
)


def sent_by(process: str) -> tuple[Topic, ...]:
    """The topics that this process (or the vehicle) publishes."""
    return tuple(topic for topic in TOPICS if topic.sender == process)


def received_by(process: str) -> tuple[Topic, ...]:
    """The topics that this process (or the vehicle) subscribes to."""
    return tuple(topic for topic in TOPICS if process in topic.receivers)


def topic_for(sender: str, message: Message) -> Topic:
    """The topic on which `sender` publishes this message.

    Raises:
        WireError: the sender has no topic for such a message.
    """
    for topic in sent_by(sender):
        if not _fits(topic, message):
            continue
        if not isinstance(message, OF_A_CAMERA) or message.camera == topic.camera:
            return topic
    raise WireError(f"{sender} has no topic for a {_what(message)}")


def check_fits(topic: Topic, message: Message) -> None:
    """Refuse a message that does not belong on its topic.

    Raises:
        WireError: another kind of message, or another camera's picture.
    """
    if not _fits(topic, message):
        raise WireError(f"topic {topic.name}: expected {topic.kind.__name__}, found {type(message).__name__}")
    if isinstance(message, OF_A_CAMERA) and message.camera != topic.camera:
        raise WireError(f"topic {topic.name}: expected camera {topic.camera!r}, found {message.camera!r}")


def _fits(topic: Topic, message: Message) -> bool:
    return type(message) is topic.kind or (topic.kind is CameraFrame and type(message) is CompressedFrame)


def _what(message: Message) -> str:
    if isinstance(message, OF_A_CAMERA):
        return f"{type(message).__name__} of camera {message.camera!r}"
    return type(message).__name__
