"""The ego state as nav_msgs/Odometry with geometry_msgs/AccelWithCovarianceStamped beside it."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import AccelWithCovarianceStamped
from nav_msgs.msg import Odometry
from std_msgs.msg import Header

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import WireError
from onboard_vla.ros_nodes.frames import ODOMETRY_FRAME, VEHICLE_FRAME
from onboard_vla.ros_nodes.stamps import from_quaternion, from_time, to_quaternion, to_time

ODOMETRY, ACCELERATION = "odometry", "acceleration"
JOIN_LIMIT_NS = nanoseconds(0.1)
"""Largest distance between the two stamps: five periods at 50 Hz; beyond it the acceleration is unknown."""


class EgoCodec:
    """Joins every odometry message with the acceleration nearest in time that has arrived.

    An odometry message waits for its acceleration; without one in `JOIN_LIMIT_NS` there is no ego state, and what
    hangs on it notices: a value is never made up.
    """

    def __init__(self) -> None:
        self._waiting: Odometry | None = None
        self._acceleration: tuple[int, float] | None = None

    def pack(self, message: EgoState) -> dict[str, Any]:
        """Acceleration first, so that it tends to be there when the odometry arrives."""
        stamp = to_time(message.stamp_ns)
        acceleration = AccelWithCovarianceStamped(header=Header(stamp=stamp, frame_id=VEHICLE_FRAME))
        acceleration.accel.accel.linear.x = float(message.acceleration_mps2)
        odometry = Odometry(header=Header(stamp=stamp, frame_id=ODOMETRY_FRAME), child_frame_id=VEHICLE_FRAME)
        odometry.pose.pose.position.x = float(message.x_m)
        odometry.pose.pose.position.y = float(message.y_m)
        odometry.pose.pose.orientation = to_quaternion(message.heading_rad)
        odometry.twist.twist.linear.x = float(message.speed_mps)
        odometry.twist.twist.angular.z = float(message.yaw_rate_rps)
        return {ACCELERATION: acceleration, ODOMETRY: odometry}

    def unpack(self, part: str, received: Odometry | AccelWithCovarianceStamped) -> EgoState | None:
        """An ego state with the odometry's stamp.

        Raises:
            WireError: another frame, or an impossible stamp or orientation.
        """
        if part == ACCELERATION:
            if received.header.frame_id != VEHICLE_FRAME:
                raise WireError(f"acceleration: expected frame {VEHICLE_FRAME!r}, found {received.header.frame_id!r}")
            self._acceleration = from_time(received.header.stamp), float(received.accel.accel.linear.x)
            return self._join()
        if received.header.frame_id != ODOMETRY_FRAME or received.child_frame_id != VEHICLE_FRAME:
            found = f"{received.header.frame_id!r} to {received.child_frame_id!r}"
            raise WireError(f"odometry: expected frames {ODOMETRY_FRAME!r} to {VEHICLE_FRAME!r}, found {found}")
        self._waiting = received
        return self._join()

    def _join(self) -> EgoState | None:
        odometry = self._waiting
        if odometry is None or self._acceleration is None:
            return None
        stamp_ns = from_time(odometry.header.stamp)
        acceleration_ns, acceleration_mps2 = self._acceleration
        if abs(stamp_ns - acceleration_ns) > JOIN_LIMIT_NS:
            return None
        self._waiting = None
        pose, twist = odometry.pose.pose, odometry.twist.twist
        return EgoState(
            stamp_ns=stamp_ns,
            x_m=float(pose.position.x),
            y_m=float(pose.position.y),
            heading_rad=from_quaternion(pose.orientation),
            speed_mps=float(twist.linear.x),
            acceleration_mps2=acceleration_mps2,
            yaw_rate_rps=float(twist.angular.z),
        )
