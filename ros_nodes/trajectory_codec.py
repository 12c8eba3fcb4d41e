"""The safe trajectory as MultiDOFJointTrajectory, its state as DiagnosticStatus, and a Path for viewers."""

from __future__ import annotations

import json
from collections import OrderedDict
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped, Transform, Twist
from nav_msgs.msg import Path
from numpy.typing import NDArray
from std_msgs.msg import Header
from trajectory_msgs.msg import MultiDOFJointTrajectory, MultiDOFJointTrajectoryPoint

from onboard_vla.core.errors import WireError
from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.ros_nodes.frames import ODOMETRY_FRAME, VEHICLE_FRAME
from onboard_vla.ros_nodes.stamps import from_duration, from_quaternion, from_time, to_duration, to_quaternion, to_time

TRAJECTORY, STATE, PATH = "trajectory", "state", "path"
LEVELS = {
    Mode.NOMINAL: DiagnosticStatus.OK,
    Mode.REDUCED: DiagnosticStatus.WARN,
    Mode.FALLBACK: DiagnosticStatus.WARN,
    Mode.IN_LANE_STOP: DiagnosticStatus.ERROR,
    Mode.EMERGENCY_STOP: DiagnosticStatus.ERROR,
    Mode.STOPPED: DiagnosticStatus.ERROR,
}
HALVES_KEPT = 10
"""Trajectories or states that wait for their other half: 0.2 s of them."""
STATE_KEYS = (
    "stamp_ns",
    "sequence",
    "engagement",
    "mode",
    "source",
    "plan_id",
    "reasons",
    "hazard_lights",
    "takeover",
    "takeover_stamp_ns",
    "driver_stamp_ns",
    "refusals",
    "shadow_passes",
    "config_hash",
)
SCALARS: dict[str, type] = {
    "stamp_ns": int,
    "sequence": int,
    "source": str,
    "plan_id": int,
    "hazard_lights": bool,
    "takeover_stamp_ns": int,
    "driver_stamp_ns": int,
    "shadow_passes": int,
    "config_hash": str,
}


class TrajectoryCodec:
    """Joins points and state by their stamp."""

    def __init__(self) -> None:
        self._halves: OrderedDict[int, tuple[str, Any]] = OrderedDict()

    def pack(self, message: SafeTrajectory) -> dict[str, Any]:
        """Points and state."""
        return {TRAJECTORY: to_trajectory(message), STATE: to_status(message)}

    def unpack(self, part: str, received: MultiDOFJointTrajectory | DiagnosticStatus) -> SafeTrajectory | None:
        """The safe trajectory, once both halves are here.

        Raises:
            WireError: a half is not as `pack` writes it.
        """
        half: Any
        if part == TRAJECTORY:
            stamp_ns, half = from_time(received.header.stamp), _points(received)
        else:
            half = _state(received)
            stamp_ns = half["stamp_ns"]
        other = self._halves.pop(stamp_ns, None)
        if other is None or other[0] == part:
            self._halves[stamp_ns] = (part, half)
            if len(self._halves) > HALVES_KEPT:
                self._halves.popitem(last=False)
            return None
        points, state = (half, other[1]) if part == TRAJECTORY else (other[1], half)
        return SafeTrajectory(points=points, **state)


def to_trajectory(message: SafeTrajectory) -> MultiDOFJointTrajectory:
    """Points in the odometry frame: transform, twist (forward speed) and acceleration (longitudinal) of base_link."""
    trajectory = MultiDOFJointTrajectory(joint_names=[VEHICLE_FRAME])
    trajectory.header = Header(stamp=to_time(message.stamp_ns), frame_id=ODOMETRY_FRAME)
    points = []
    for time_s, x, y, heading, speed, acceleration in message.points.tolist():
        transform, velocity, change = Transform(), Twist(), Twist()
        transform.translation.x, transform.translation.y = x, y
        transform.rotation = to_quaternion(heading)
        velocity.linear.x, change.linear.x = speed, acceleration
        points.append(
            MultiDOFJointTrajectoryPoint(
                transforms=[transform],
                velocities=[velocity],
                accelerations=[change],
                time_from_start=to_duration(time_s),
            )
        )
    trajectory.points = points
    return trajectory


def to_path(message: SafeTrajectory) -> Path:
    """The same points for a viewer."""
    header = Header(stamp=to_time(message.stamp_ns), frame_id=ODOMETRY_FRAME)
    path = Path(header=header)
    for _, x, y, heading, _, _ in message.points.tolist():
        pose = PoseStamped(header=header)
        pose.pose.position.x, pose.pose.position.y = x, y
        pose.pose.orientation = to_quaternion(heading)
        path.poses.append(pose)
    return path


def to_status(message: SafeTrajectory) -> DiagnosticStatus:
    """Mode as level and message, everything else as values."""
    reasons = [_row(reason) for reason in message.reasons]
    values: dict[str, Any] = {
        "stamp_ns": message.stamp_ns,
        "sequence": message.sequence,
        "engagement": message.engagement.value,
        "mode": message.mode.name,
        "source": message.source,
        "plan_id": message.plan_id,
        "reasons": reasons,
        "hazard_lights": bool(message.hazard_lights),
        "takeover": message.takeover.name,
        "takeover_stamp_ns": message.takeover_stamp_ns,
        "driver_stamp_ns": message.driver_stamp_ns,
        "refusals": [_row(reason) for reason in message.refusals],
        "shadow_passes": message.shadow_passes,
        "config_hash": message.config_hash,
    }
    return DiagnosticStatus(
        level=LEVELS[message.mode],
        name=f"{SUPERVISOR}: mode",
        message=f"{message.mode.name}, {message.source}" + (f": {reasons[0][0]}" if reasons else ""),
        hardware_id="onboard_vla",
        values=[KeyValue(key=key, value=json.dumps(value)) for key, value in values.items()],
    )


def _row(reason: Reason) -> tuple[str, float, float, str]:
    return reason.code, float(reason.measured), float(reason.limit), reason.detail


def _points(trajectory: MultiDOFJointTrajectory) -> NDArray[np.float64]:
    if trajectory.header.frame_id != ODOMETRY_FRAME:
        raise WireError(f"trajectory: expected frame {ODOMETRY_FRAME!r}, found {trajectory.header.frame_id!r}")
    points = np.zeros((len(trajectory.points), 6), np.float64)
    for row, point in zip(points, trajectory.points, strict=True):
        if not len(point.transforms) == len(point.velocities) == len(point.accelerations) == 1:
            raise WireError("trajectory: expected one transform, velocity and acceleration per point")
        transform, velocity, change = point.transforms[0], point.velocities[0], point.accelerations[0]
        row[:] = (
            from_duration(point.time_from_start),
            transform.translation.x,
            transform.translation.y,
            from_quaternion(transform.rotation),
            velocity.linear.x,
            change.linear.x,
        )
    if len(points) and np.isfinite(points[:, 3]).all():
        # Quaternions have lost full turns; a path turns less than half a one between two points.
        points[:, 3] = np.unwrap(points[:, 3])
    return points


def _state(status: DiagnosticStatus) -> dict[str, Any]:
    values = {value.key: value.value for value in status.values}
    if tuple(values) != STATE_KEYS:
        raise WireError(f"state: expected values {', '.join(STATE_KEYS)}, found {', '.join(values)}")
    try:
        state = {key: json.loads(value) for key, value in values.items()}
        for key, kind in SCALARS.items():
            if type(state[key]) is not kind:
                raise ValueError(f"{key}: expected {kind.__name__}, found {state[key]!r}")
        state["engagement"] = Engagement(state["engagement"])
        state["mode"] = Mode[state["mode"]]
        state["takeover"] = Takeover[state["takeover"]]
        for key in ("reasons", "refusals"):
            state[key] = tuple(
                Reason(str(code), float(measured), float(limit), str(detail))
                for code, measured, limit, detail in state[key]
            )
    except (ValueError, KeyError, TypeError) as error:
        raise WireError(f"state: {error}") from None
    return state
