"""The node that draws: it listens while somebody looks, and its pictures have the stamp of what they show."""

from __future__ import annotations

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from rclpy.qos import QoSProfile, ReliabilityPolicy
from sensor_msgs.msg import CompressedImage, Image

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.ros_nodes.compressed_codec import CompressedImageCodec
from onboard_vla.ros_nodes.image_codec import ImageCodec
from onboard_vla.runtime.jpeg import decode_jpeg

from .nodes import LIMIT_S

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
PLAN_VIEW = ("-m", "onboard_vla.ros_nodes.plan_view")
NEWEST = QoSProfile(depth=1, reliability=ReliabilityPolicy.BEST_EFFORT)
PICTURE = np.full((90, 160, 3), 200, np.uint8)


@pytest.mark.parametrize("distribution", ["kilted", "jazzy"])
def test_it_takes_pictures_only_while_somebody_looks_and_stamps_its_own_like_them(start, client) -> None:
    start(PLAN_VIEW, **{"cameras.transport": "compressed", "rig": "world", "tile_px": 160})
    camera = client.node.create_publisher(CompressedImage, "onboard_vla/camera/front/image/compressed", NEWEST)
    codec, drawn, sent = CompressedImageCodec("front"), [], {}

    def there() -> bool:
        return bool(client.node.get_publishers_info_by_topic("/onboard_vla/plan_image"))

    client.until(there, "the node offers its pictures")
    assert camera.get_subscription_count() == 0
    looking = client.node.create_subscription(
        CompressedImage, "onboard_vla/plan_image/compressed", drawn.append, NEWEST
    )

    def shown() -> bool:
        if camera.get_subscription_count():
            stamp_ns = 5_000_000_000 + len(sent)
            sent[stamp_ns] = True
            camera.publish(codec.pack(CameraFrame("front", stamp_ns, 0, PICTURE))[""])
        return bool(drawn)

    client.until(shown, "a drawn picture")
    stamp = drawn[-1].header.stamp
    assert stamp.sec * 1_000_000_000 + stamp.nanosec in sent
    assert drawn[-1].header.frame_id == ""
    pixels = decode_jpeg(bytes(drawn[-1].data))
    assert pixels.shape == (362, 480, 3)
    assert abs(int(pixels[70, 240, 0]) - 200) < 10

    client.node.destroy_subscription(looking)
    client.until(lambda: camera.get_subscription_count() == 0, "it listens no more")


def test_who_looks_at_raw_pictures_gets_raw_ones(start, client) -> None:
    start(PLAN_VIEW, tile_px=160)
    camera = client.node.create_publisher(Image, "onboard_vla/camera/back/image", NEWEST)
    codec, drawn = ImageCodec("back"), []
    client.node.create_subscription(Image, "onboard_vla/plan_image", drawn.append, NEWEST)

    def shown() -> bool:
        camera.publish(codec.pack(CameraFrame("back", 6_000_000_000, 0, PICTURE))[""])
        return bool(drawn)

    client.until(shown, "a drawn picture")
    assert (drawn[-1].encoding, drawn[-1].width, drawn[-1].header.stamp.sec) == ("rgb8", 480, 6)


def test_a_missing_rig_file_ends_it_with_one_line(start) -> None:
    node = start(PLAN_VIEW, rig="/nowhere/rig.json")

    assert node.process.wait(LIMIT_S) == 2
    assert "/nowhere/rig.json: not a camera rig" in node.said().splitlines()[-1]
