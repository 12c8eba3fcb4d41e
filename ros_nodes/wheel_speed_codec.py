"""The wheel speed as geometry_msgs/TwistWithCovarianceStamped, the form in which vehicle interfaces publish it."""

from __future__ import annotations

from typing import Any

from geometry_msgs.msg import TwistWithCovarianceStamped
from std_msgs.msg import Header

from onboard_vla.core.ego import WheelSpeed
from onboard_vla.core.errors import WireError
from onboard_vla.ros_nodes.frames import VEHICLE_FRAME
from onboard_vla.ros_nodes.stamps import from_time, to_time


class WheelSpeedCodec:
    """The twist's linear x in the vehicle's frame; its other components are not looked at."""

    def pack(self, message: WheelSpeed) -> dict[str, Any]:
        """One part."""
        twist = TwistWithCovarianceStamped(header=Header(stamp=to_time(message.stamp_ns), frame_id=VEHICLE_FRAME))
        twist.twist.twist.linear.x = float(message.speed_mps)
        return {"": twist}

    def unpack(self, part: str, received: TwistWithCovarianceStamped) -> WheelSpeed:
        """The speed with the message's stamp.

        Raises:
            WireError: another frame, or an impossible stamp.
        """
        if received.header.frame_id != VEHICLE_FRAME:
            raise WireError(f"wheel speed: expected frame {VEHICLE_FRAME!r}, found {received.header.frame_id!r}")
        return WheelSpeed(from_time(received.header.stamp), float(received.twist.twist.linear.x))
