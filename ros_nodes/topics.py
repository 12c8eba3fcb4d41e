"""The one table of ROS topics: name, port, type, quality of service, rate and direction of every stream of the graph.

A node knows its topics as `~/input/<port>` and `~/output/<port>`; remap rules given last connect these to the shared
names below, so that rules of an integrator's launch file come first and win. What only our own nodes say to each other
stands under `wire/` and holds the wire schema's bytes; an input of the vehicle that has no standard message exists
there too, and beside it as a message of `onboard_vla_msgs` where that package is installed.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from enum import Enum
from importlib.util import find_spec

from onboard_vla.core.cameras import CameraFrame, CameraModel
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR, TOPICS, VEHICLE, Delivery, Topic
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand, SafeTrajectory

IMAGE, COMPRESSED_IMAGE = "sensor_msgs/msg/Image", "sensor_msgs/msg/CompressedImage"
CAMERA_INFO, BYTES = "sensor_msgs/msg/CameraInfo", "std_msgs/msg/UInt8MultiArray"
ODOMETRY, ACCELERATION = "nav_msgs/msg/Odometry", "geometry_msgs/msg/AccelWithCovarianceStamped"
TWIST = "geometry_msgs/msg/TwistWithCovarianceStamped"
TRAJECTORY, STATUS = "trajectory_msgs/msg/MultiDOFJointTrajectory", "diagnostic_msgs/msg/DiagnosticStatus"
DOUBLES = "std_msgs/msg/Float64MultiArray"
PATH, MARKERS = "nav_msgs/msg/Path", "visualization_msgs/msg/MarkerArray"
STRING = "std_msgs/msg/String"
OWN_MESSAGES = "onboard_vla_msgs"
AUTOWARE_PLANNING, AUTOWARE_API = "autoware_planning_msgs", "autoware_adapi_v1_msgs"
AUTOWARE = (AUTOWARE_PLANNING, AUTOWARE_API)
"""Packages of views that are made on request alone: whoever has them installed may still not want them published."""
TYPED_INPUTS = (ObjectList, LaneObservation, Route, OperatingConditions, OperatorCommand, DriverState)
"""Kinds that a vehicle may send as `onboard_vla_msgs/msg/<name of the kind>`, field by field."""
PREFIX, WIRE = "onboard_vla", "wire"
"""Relative, so that a namespace moves the whole graph."""
WATCH_HZ = 20.0
"""DDS watches no link more closely: what is reported every few milliseconds on a loaded machine is read by nobody."""
PATH_RATE_HZ = 10.0
"""The path is for people's eyes."""


RAW, COMPRESSED = "raw", "compressed"
TRANSPORTS = (RAW, COMPRESSED)
"""How pictures travel: as sensor_msgs/Image, or as JPEG in sensor_msgs/CompressedImage."""


class Form(Enum):
    """What a ROS topic is to our own processes."""

    OURS = "ours"
    """Both ends can be ours: standard messages, or the wire schema's bytes."""
    TYPED = "typed"
    """An input's second form, in messages of `onboard_vla_msgs`: nodes listen to it, our vehicle's end sends OURS."""
    STANDARD = "standard"
    """An input's further form, in messages that every distribution has: nodes listen to it as to TYPED."""
    COMPRESSED = "compressed"
    """Pictures as JPEG in the place of raw ones; a graph uses one of the two."""
    VIEW = "view"
    """Made for others out of what a process publishes; never read back."""


READ = (Form.OURS, Form.COMPRESSED, Form.TYPED, Form.STANDARD)
"""Forms that can be read back."""


@dataclass(frozen=True)
class Deadlines:
    """Seconds after which DDS reports silence, and a sender that no longer asserts that it lives.

    A receiver must not ask for more than the sender offers, or it gets nothing at all; so this is for links whose both
    ends are ours. Liveliness is asserted by publishing (MANUAL_BY_TOPIC): the automatic kind never notices a hang.
    """

    offered_s: float
    offered_lease_s: float
    asked_s: float
    asked_lease_s: float

    @classmethod
    def of(cls, rate_hz: float) -> Deadlines:
        """Two and four periods offered, half as much again asked for."""
        return cls(2.0 / rate_hz, 4.0 / rate_hz, 3.0 / rate_hz, 6.0 / rate_hz)


@dataclass(frozen=True)
class RosTopic:
    """One ROS topic; a core topic may need several ("parts"), because no standard message holds all of its fields.

    `topic`: the core topic that it carries; None for a view. `part`: which part of the core message; "" when there is
    only one. `port`: name under a node's ~/input or ~/output. `needs`: package without whose messages the topic is
    left out; "" where the distribution's common interfaces suffice. `rate_hz` 0: on change. `watched`: both ends are
    ours, and DDS watches the link, see `deadlines`.
    """

    topic: Topic | None
    sender: str
    receivers: tuple[str, ...]
    form: Form
    part: str
    port: str
    type: str
    reliable: bool
    latched: bool
    depth: int
    rate_hz: float
    needs: str = ""
    watched: bool = False

    @property
    def deadlines(self) -> Deadlines | None:
        """What sender and receivers agree on about silence; None where DDS does not watch."""
        return Deadlines.of(min(self.rate_hz, WATCH_HZ)) if self.watched else None

    @property
    def shared_name(self) -> str:
        """The name that connects the graph by default."""
        return f"{PREFIX}/{self.port}"

    @property
    def available(self) -> bool:
        """Whether the package that it needs is installed."""
        return not self.needs or find_spec(self.needs) is not None

    def node_name(self, process: str) -> str:
        """The name that a process uses: private ports in a node, the shared name at the vehicle's end."""
        if process == VEHICLE:
            return self.shared_name
        return f"~/output/{self.port}" if process == self.sender else f"~/input/{self.port}"


VEHICLE_GATE = "vehicle_gate"
"""A node of ROS alone: elsewhere the vehicle's end has the gate inside."""
GATE_INPUTS = (SafeTrajectory, EgoState, DriverState)
PLAN_VIEW = "plan_view"
"""Draws for people; an onlooker that nobody waits for."""
VIEW_INPUTS = (CameraFrame, EgoState, Plan, PlanRejection, SafeTrajectory)
ONLOOKERS = (VEHICLE, PLAN_VIEW)
"""Whom DDS does not watch links for: they also look at recordings, whose player promises nothing."""


def _carriers(topic: Topic) -> Iterator[RosTopic]:
    further = ((VEHICLE_GATE, GATE_INPUTS), (PLAN_VIEW, VIEW_INPUTS))
    receivers = (*topic.receivers, *(node for node, kinds in further if topic.kind in kinds))
    reliable, latched = topic.delivery is not Delivery.NEWEST, topic.delivery is Delivery.LATCHED

    def row(part: str, port: str, kind: str, form: Form = Form.OURS, needs: str = "") -> RosTopic:
        ends, watched = (topic.sender, receivers), topic.kind in (Heartbeat, SafeTrajectory)
        quality = topic.depth, topic.rate_hz
        return RosTopic(topic, *ends, form, part, port, kind, reliable, latched, *quality, needs, watched)

    if topic.kind is CameraFrame:
        yield row("", f"{topic.name}/image", IMAGE)
        # The name that image_transport gives it.
        yield row("", f"{topic.name}/image/compressed", COMPRESSED_IMAGE, Form.COMPRESSED)
    elif topic.kind is CameraModel:
        yield row("", f"camera/{topic.camera}/camera_info", CAMERA_INFO)
    elif topic.kind is EgoState:
        yield row("odometry", "kinematic_state", ODOMETRY)
        yield row("acceleration", "acceleration", ACCELERATION)
    elif topic.kind is WheelSpeed:
        yield row("", topic.name, TWIST)
    elif topic.kind is SafeTrajectory:
        yield row("trajectory", "trajectory", TRAJECTORY)
        yield row("state", "state", STATUS)
    else:
        if topic.kind in TYPED_INPUTS:
            yield row("", topic.name, f"{OWN_MESSAGES}/msg/{topic.kind.__name__}", Form.TYPED, OWN_MESSAGES)
        yield row("", f"{WIRE}/{topic.name}", BYTES)
        if topic.kind is Route:
            yield row("path", "route_path", PATH, Form.STANDARD)
            yield row("command", "command", STRING, Form.STANDARD)


def _view(
    sender: str,
    port: str,
    kind: str,
    rate_hz: float = 0.0,
    latched: bool = False,
    needs: str = "",
    reliable: bool = False,
) -> RosTopic:
    """Latched views are kept for who comes late; those that are not reliable are for eyes and may be lost."""
    return RosTopic(None, sender, (), Form.VIEW, "", port, kind, reliable or latched, latched, 1, rate_hz, needs)


def _own_view(sender: str, port: str, kind: str, rate_hz: float = 0.0) -> RosTopic:
    return _view(sender, port, f"{OWN_MESSAGES}/msg/{kind}", rate_hz, needs=OWN_MESSAGES, reliable=True)


VIEWS = (
    _view(SUPERVISOR, "path", PATH, PATH_RATE_HZ),
    _view(SUPERVISOR, "markers", MARKERS, PATH_RATE_HZ),
    _view(SUPERVISOR, "takeover_request", STATUS, latched=True),
    _view(
        SUPERVISOR, "supervisor_state", f"{OWN_MESSAGES}/msg/SupervisorState", 10.0, needs=OWN_MESSAGES, reliable=True
    ),
    _view(PLANNER, "decision", STATUS, latched=True),
    _view(PLANNER, "plan_trajectory", TRAJECTORY, reliable=True),
    _view(PLANNER, "plan_path", PATH),
    _view(PLANNER, "plan_detail", f"{OWN_MESSAGES}/msg/PlanDetail", needs=OWN_MESSAGES, reliable=True),
    _view(CAMERA_GUARD, "camera_verdict", f"{OWN_MESSAGES}/msg/CameraVerdict", needs=OWN_MESSAGES, reliable=True),
    _view(
        SUPERVISOR,
        "autoware/trajectory",
        f"{AUTOWARE_PLANNING}/msg/Trajectory",
        50.0,
        needs=AUTOWARE_PLANNING,
        reliable=True,
    ),
    _view(SUPERVISOR, "autoware/mrm_state", f"{AUTOWARE_API}/msg/MrmState", 10.0, needs=AUTOWARE_API, reliable=True),
    _view(PLAN_VIEW, "plan_image", IMAGE),
    _view(PLAN_VIEW, "plan_image/compressed", COMPRESSED_IMAGE),
    _view(VEHICLE_GATE, "gate_commands", DOUBLES, 100.0, reliable=True),
    _view(VEHICLE_GATE, "gate_state", STATUS, latched=True),
)
ROS_TOPICS: tuple[RosTopic, ...] = (*(row for topic in TOPICS for row in _carriers(topic)), *VIEWS)


def rows_of(topic: Topic, form: Form = Form.OURS) -> tuple[RosTopic, ...]:
    """The ROS topics that carry a core topic in one form; those whose package is missing are left out."""
    return tuple(row for row in ROS_TOPICS if row.topic is topic and row.form is form and row.available)


def recorded_name(row: RosTopic) -> str:
    """The absolute name in a graph without a namespace."""
    return f"/{row.shared_name}"


def row_named(name: str, kind: str) -> RosTopic | None:
    """The row whose shared name ends a recorded name, if the type is the row's."""
    rows = (row for topic in TOPICS for form in READ for row in rows_of(topic, form))
    return next((row for row in rows if name.endswith(recorded_name(row)) and row.type == kind), None)


def topics_towards(process: str) -> tuple[Topic, ...]:
    """The core topics that a process of ROS takes; more processes than other transports have."""
    towards = (row.topic for row in ROS_TOPICS if row.topic is not None and process in row.receivers)
    return tuple(dict.fromkeys(towards))


def form_sent(topic: Topic, pictures: str) -> Form:
    """The form in which our own ends send a topic, where pictures travel as one of `TRANSPORTS`."""
    return Form.COMPRESSED if topic.kind is CameraFrame and pictures == COMPRESSED else Form.OURS


def forms_taken(topic: Topic, pictures: str) -> tuple[Form, ...]:
    """The forms in which our nodes listen to a topic, where their `cameras.transport` is `pictures`."""
    return (form_sent(topic, pictures), Form.TYPED, Form.STANDARD)


def views_of(process: str, autoware: bool = False) -> tuple[RosTopic, ...]:
    """What a process shows to others beside its core topics, as far as the packages are installed.

    Raises:
        EnvironmentLacksError: Autoware's messages are asked for and not installed.
    """
    rows = [row for row in ROS_TOPICS if row.form is Form.VIEW and row.sender == process]
    if not autoware:
        return tuple(row for row in rows if row.available and row.needs not in AUTOWARE)
    for row in rows:
        if row.needs in AUTOWARE and not row.available:
            raise EnvironmentLacksError(
                f"output.format is both, but {row.needs} is not installed: source the Autoware workspace that has it, "
                "or set output.format to standard"
            )
    return tuple(row for row in rows if row.available)


def default_remaps(process: str) -> list[str]:
    """Arguments for rclpy that connect a node's ports to the shared names; to be put after the user's arguments."""
    arguments: list[str] = []
    for row in ROS_TOPICS:
        if process == row.sender or process in row.receivers:
            arguments += ["-r", f"{row.node_name(process)}:={row.shared_name}"]
    return ["--ros-args", *arguments] if process != VEHICLE else []


def markdown_table() -> str:
    """The table for the documentation."""
    lines = ["| topic | type | quality of service | Hz | from | to | needs |", "|---|---|---|---|---|---|---|"]
    for row in ROS_TOPICS:
        quality = f"{'reliable' if row.reliable else 'best effort'}{', transient local' if row.latched else ''}"
        rate = f"{row.rate_hz:g}" if row.rate_hz else "on change"
        receivers = "others" if row.form is Form.VIEW else ", ".join(row.receivers)
        name, quality = f"`{row.shared_name}`", f"{quality}, depth {row.depth}"
        if row.deadlines is not None:
            quality += (
                f", deadline {row.deadlines.offered_s:g} s, manual liveliness {row.deadlines.offered_lease_s:g} s"
            )
        cells = (name, row.type, quality, rate, row.sender, receivers, row.needs)
        lines.append(f"| {' | '.join(cells)} |".replace("|  |", "| |"))
    return "\n".join(lines) + "\n"
