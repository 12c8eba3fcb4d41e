"""What turns a core message into ROS messages and back."""

from __future__ import annotations

from array import array
from typing import Any, Protocol

from std_msgs.msg import UInt8MultiArray

from onboard_vla.core.cameras import CameraFrame, CameraModel
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.process_graph import Topic, check_fits
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.wire import Message, decode, encode
from onboard_vla.ros_nodes.topics import Form


class Codec(Protocol):
    """Conversion of one core topic. `unpack` may keep parts until a message is complete: one codec per subscription."""

    def pack(self, message: Any) -> dict[str, Any]:  # noqa: ANN401 - the topic's kind
        """ROS messages by part, or their serialised bytes.

        Raises:
            WireError: a value does not fit into the ROS message.
        """

    def unpack(self, part: str, received: Any) -> Message | None:  # noqa: ANN401 - what `reading.read` makes
        """The core message, once this part completes it.

        Raises:
            WireError: the ROS message does not say what the core message needs.
        """


class WireBytes:
    """The wire schema's bytes in a std_msgs/UInt8MultiArray, for kinds that ROS has no standard message for."""

    def __init__(self, topic: Topic) -> None:
        self._topic = topic

    def pack(self, message: Message) -> dict[str, Any]:
        """One part."""
        # An array filled from bytes is the one form that rclpy takes without looking at each element.
        data = array("B")
        data.frombytes(encode(message))
        return {"": UInt8MultiArray(data=data)}

    def unpack(self, part: str, received: UInt8MultiArray) -> Message | None:
        """Decode and check the kind."""
        message = decode(memoryview(received.data))
        check_fits(self._topic, message)
        return message


def codec_for(topic: Topic, form: Form = Form.OURS, rectified: bool = False) -> Codec | None:
    """A fresh codec for a topic in one of its forms; None where this build does not read that form.

    `rectified`: pictures are rectified, and of a camera's model what is said of these counts.
    """
    if form is Form.TYPED:
        # Imports onboard_vla_msgs, which not every machine has; who has not, has no row of this form.
        from onboard_vla.ros_nodes.typed_codec import TYPED_CODECS

        return TYPED_CODECS.get(topic.kind)
    if form is Form.STANDARD:
        from onboard_vla.ros_nodes.route_path_codec import RoutePathCodec

        return RoutePathCodec()
    from onboard_vla.ros_nodes.camera_info_codec import CameraInfoCodec
    from onboard_vla.ros_nodes.compressed_codec import CompressedImageCodec
    from onboard_vla.ros_nodes.ego_codec import EgoCodec
    from onboard_vla.ros_nodes.image_codec import ImageCodec
    from onboard_vla.ros_nodes.trajectory_codec import TrajectoryCodec
    from onboard_vla.ros_nodes.wheel_speed_codec import WheelSpeedCodec

    if topic.kind is CameraFrame and topic.camera is not None:
        return ImageCodec(topic.camera) if form is Form.OURS else CompressedImageCodec(topic.camera)
    if topic.kind is CameraModel and topic.camera is not None:
        return CameraInfoCodec(topic.camera, rectified)
    if topic.kind is EgoState:
        return EgoCodec()
    if topic.kind is WheelSpeed:
        return WheelSpeedCodec()
    if topic.kind is SafeTrajectory:
        return TrajectoryCodec()
    return WireBytes(topic)
