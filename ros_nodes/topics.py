"""The one table of ROS topics: name, port, type, quality of service, rate and direction of every stream of the graph.

A node knows its topics as `~/input/<port>` and `~/output/<port>`; remap rules given last connect these to the shared
names below, so that rules of an integrator's launch file come first and win.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.process_graph import TOPICS, VEHICLE, Delivery, Topic
from onboard_vla.core.safe_trajectory import SafeTrajectory

IMAGE, BYTES = "sensor_msgs/msg/Image", "std_msgs/msg/UInt8MultiArray"
ODOMETRY, ACCELERATION = "nav_msgs/msg/Odometry", "geometry_msgs/msg/AccelWithCovarianceStamped"
TWIST = "geometry_msgs/msg/TwistWithCovarianceStamped"
TRAJECTORY, STATUS, PATH = (
    "trajectory_msgs/msg/MultiDOFJointTrajectory",
    "diagnostic_msgs/msg/DiagnosticStatus",
    "nav_msgs/msg/Path",
)
PREFIX = "onboard_vla"
"""Relative, so that a namespace moves the whole graph."""
PATH_RATE_HZ = 10.0
"""The path is for people's eyes."""


@dataclass(frozen=True)
class RosTopic:
    """One ROS topic; a core topic may need several ("parts"), because no standard message holds all of its fields.

    `part`: which part of the core message; "" when there is only one. `port`: name under a node's ~/input or ~/output.
    `display`: sent for viewers only, never read back.
    """

    topic: Topic
    part: str
    port: str
    type: str
    reliable: bool
    latched: bool
    depth: int
    rate_hz: float
    display: bool = False

    @property
    def shared_name(self) -> str:
        """The name that connects the graph by default."""
        return f"{PREFIX}/{self.port}"

    def node_name(self, process: str) -> str:
        """The name that a process uses: private ports in a node, the shared name at the vehicle's end."""
        if process == VEHICLE:
            return self.shared_name
        return f"~/output/{self.port}" if process == self.topic.sender else f"~/input/{self.port}"


def _rows(topic: Topic) -> Iterator[RosTopic]:
    reliable, latched = topic.delivery is not Delivery.NEWEST, topic.delivery is Delivery.LATCHED

    def row(part: str, port: str, kind: str) -> RosTopic:
        return RosTopic(topic, part, port, kind, reliable, latched, topic.depth, topic.rate_hz)

    if topic.kind is CameraFrame:
        yield row("", f"{topic.name}/image", IMAGE)
    elif topic.kind is EgoState:
        yield row("odometry", "kinematic_state", ODOMETRY)
        yield row("acceleration", "acceleration", ACCELERATION)
    elif topic.kind is WheelSpeed:
        yield row("", topic.name, TWIST)
    elif topic.kind is SafeTrajectory:
        yield row("trajectory", "trajectory", TRAJECTORY)
        yield row("state", "state", STATUS)
        yield RosTopic(topic, "path", "path", PATH, False, False, 1, PATH_RATE_HZ, display=True)
    else:
        yield row("", topic.name, BYTES)


ROS_TOPICS: tuple[RosTopic, ...] = tuple(row for topic in TOPICS for row in _rows(topic))


def rows_of(topic: Topic) -> tuple[RosTopic, ...]:
    """The ROS topics that carry a core topic."""
    return tuple(row for row in ROS_TOPICS if row.topic is topic)


def default_remaps(process: str) -> list[str]:
    """Arguments for rclpy that connect a node's ports to the shared names; to be put after the user's arguments."""
    arguments: list[str] = []
    for row in ROS_TOPICS:
        if process == row.topic.sender or (process in row.topic.receivers and not row.display):
            arguments += ["-r", f"{row.node_name(process)}:={row.shared_name}"]
    return ["--ros-args", *arguments] if process != VEHICLE else []


def markdown_table() -> str:
    """The table for the documentation."""
    lines = ["| topic | type | quality of service | Hz | from | to |", "|---|---|---|---|---|---|"]
    for row in ROS_TOPICS:
        quality = f"{'reliable' if row.reliable else 'best effort'}{', transient local' if row.latched else ''}"
        rate = f"{row.rate_hz:g}" if row.rate_hz else "on change"
        receivers = "viewers" if row.display else ", ".join(row.topic.receivers)
        cells = (f"`{row.shared_name}`", row.type, f"{quality}, depth {row.depth}", rate, row.topic.sender, receivers)
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"
