"""Nodes that take their pictures as JPEG, as processes of their own."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from nav_msgs.msg import Odometry
from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image
from std_msgs.msg import UInt8MultiArray

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.wire import decode
from onboard_vla.ros_nodes.compressed_codec import CompressedImageCodec
from onboard_vla.ros_nodes.ego_codec import ACCELERATION, ODOMETRY, EgoCodec
from onboard_vla.ros_nodes.image_codec import ImageCodec
from onboard_vla.ros_nodes.ports import message_class
from onboard_vla.ros_nodes.topics import ACCELERATION as ACCELERATION_TYPE

from .nodes import LIMIT_S, STAND_IN

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
GUARD = ("-m", "onboard_vla.ros_nodes.camera_guard")
BASE = "onboard_vla/camera/front/image"
PICTURE = np.random.default_rng(2).integers(30, 220, (90, 160, 3), np.uint8)
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)


class Pictures:
    """Sends front pictures, one stamp after the other."""

    def __init__(self, client, kind: type, name: str, codec) -> None:
        self.publisher = client.node.create_publisher(kind, name, NEWEST)
        self._client, self._codec, self._tick = client, codec, 0

    def matched(self) -> bool:
        return self.publisher.get_subscription_count() > 0

    def send(self, cut: int = 0) -> int:
        self._tick += 1
        stamp_ns = self._client.node.get_clock().now().nanoseconds
        message = self._codec.pack(CameraFrame("front", stamp_ns, self._tick, PICTURE))[""]
        if cut:
            message.data = message.data[:-cut]
        self.publisher.publish(message)
        return stamp_ns


def compressed(client) -> Pictures:
    return Pictures(client, CompressedImage, f"{BASE}/compressed", CompressedImageCodec("front"))


def heard(client, name: str) -> list:
    messages: list = []
    client.node.create_subscription(
        UInt8MultiArray,
        f"onboard_vla/wire/{name}",
        lambda message: messages.append(decode(memoryview(message.data))),
        QoSProfile(depth=50),
    )
    return messages


BOTH = pytest.mark.parametrize("distribution", ["kilted", "jazzy"])


@BOTH
def test_guard_judges_compressed_pictures_and_refuses_a_damaged_one(start, client) -> None:
    start(GUARD, **{"cameras.transport": "compressed"})
    verdicts, pictures = heard(client, "verdict"), compressed(client)
    client.until(pictures.matched, "the guard listens to compressed pictures")

    def judged(cut: int):
        """The verdict of a picture sent now; the first ones may be lost while the two ends find each other."""
        sent: set[int] = set()

        def answered() -> bool:
            sent.add(pictures.send(cut))
            return any(verdict.stamp_ns in sent for verdict in verdicts)

        client.until(answered, "a verdict")
        return next(verdict for verdict in verdicts if verdict.stamp_ns in sent)

    assert "DAMAGED" not in [reason.code for reason in judged(cut=0).reasons]
    damaged = judged(cut=500)
    assert not damaged.usable
    assert [reason.code for reason in damaged.reasons] == ["DAMAGED"]


@BOTH
def test_planner_plans_on_compressed_pictures_and_does_not_listen_to_raw_ones(start, client) -> None:
    start(STAND_IN, **{"cameras.transport": "compressed"})
    plans, pictures = heard(client, "plan"), compressed(client)
    raw = Pictures(client, Image, BASE, ImageCodec("front"))
    parts = {
        ODOMETRY: client.node.create_publisher(Odometry, "onboard_vla/kinematic_state", NEWEST),
        ACCELERATION: client.node.create_publisher(
            message_class(ACCELERATION_TYPE), "onboard_vla/acceleration", NEWEST
        ),
    }
    everyone = [pictures.publisher, *parts.values()]
    client.until(lambda: all(p.get_subscription_count() for p in everyone), "the planner listens")
    assert not raw.matched()

    def planned() -> bool:
        stamp_ns = pictures.send()
        for part, message in EgoCodec().pack(EgoState(stamp_ns, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0)).items():
            parts[part].publish(message)
        return bool(plans)

    client.until(planned, "a plan")


def test_an_unknown_transport_ends_a_node_with_one_line(start) -> None:
    node = start(GUARD, **{"cameras.transport": "zip"})

    assert node.process.wait(LIMIT_S) == 2
    assert "cameras.transport: expected raw or compressed, found 'zip'" in node.said()
