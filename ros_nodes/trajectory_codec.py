"""The safe trajectory as MultiDOFJointTrajectory, its state as DiagnosticStatus, and a Path for viewers."""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from typing import Any

import numpy as np
from diagnostic_msgs.msg import DiagnosticStatus, KeyValue
from geometry_msgs.msg import PoseStamped
from nav_msgs.msg import Path
from numpy.typing import NDArray
from std_msgs.msg import Header as HeaderMessage

from onboard_vla.core.clock import NANOSECONDS
from onboard_vla.core.errors import WireError
from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.ros_nodes.cdr import Header, Quaternion, Stamp
from onboard_vla.ros_nodes.frames import ODOMETRY_FRAME, VEHICLE_FRAME
from onboard_vla.ros_nodes.stamps import (
    from_quaternion,
    from_time,
    split_duration,
    split_stamp,
    to_quaternion,
    to_time,
)
from onboard_vla.ros_nodes.trajectory_cdr import POINT, PointRows, write_trajectory

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

    def unpack(self, part: str, received: PointRows | DiagnosticStatus) -> SafeTrajectory | None:
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


def to_trajectory(message: SafeTrajectory) -> bytes:
    """Points in the odometry frame: transform, twist (forward speed) and acceleration (longitudinal) of base_link.

    Raises:
        WireError: a stamp or a time does not fit.
    """
    rows = np.zeros(len(message.points), POINT)
    rows["translation"][:, :2] = message.points[:, 1:3]
    # Not NumPy's functions: they may differ in the last bit from one processor to the next.
    halves = [heading / 2 for heading in message.points[:, 3].tolist()]
    rows["rotation"][:, 2] = [math.sin(half) for half in halves]
    rows["rotation"][:, 3] = [math.cos(half) for half in halves]
    rows["velocity"][:, 0], rows["change"][:, 0] = message.points[:, 4], message.points[:, 5]
    times = [split_duration(time_s) for time_s in message.points[:, 0].tolist()]
    rows["sec"], rows["nanosec"] = [sec for sec, _ in times], [nanosec for _, nanosec in times]
    header = Header(Stamp(*split_stamp(message.stamp_ns)), ODOMETRY_FRAME)
    return write_trajectory(header, VEHICLE_FRAME, rows)


def to_path(message: SafeTrajectory) -> Path:
    """The same points for a viewer."""
    header = HeaderMessage(stamp=to_time(message.stamp_ns), frame_id=ODOMETRY_FRAME)
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


def _points(trajectory: PointRows) -> NDArray[np.float64]:
    if trajectory.header.frame_id != ODOMETRY_FRAME:
        raise WireError(f"trajectory: expected frame {ODOMETRY_FRAME!r}, found {trajectory.header.frame_id!r}")
    rows = trajectory.points
    points = np.zeros((len(rows), 6), np.float64)
    points[:, 0] = rows["sec"] + rows["nanosec"] / NANOSECONDS
    points[:, 1:3] = rows["translation"][:, :2]
    points[:, 3] = [from_quaternion(Quaternion(*rotation)) for rotation in rows["rotation"].tolist()]
    points[:, 4], points[:, 5] = rows["velocity"][:, 0], rows["change"][:, 0]
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
