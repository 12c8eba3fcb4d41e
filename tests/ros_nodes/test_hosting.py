"""What a node's hosting gives to its host, and says of it."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from sensor_msgs.msg import CameraInfo

from onboard_vla.core.cameras import CameraModel
from onboard_vla.core.process_graph import PLANNER
from onboard_vla.ros_nodes.checks import Level
from onboard_vla.ros_nodes.hosting import Hosting

pytestmark = pytest.mark.ros


class Host:
    timers = ()

    def __init__(self, **heard: bool) -> None:
        self.taken, self.heard = [], heard

    def schedule(self) -> None:
        pass

    def start(self, publish, clock) -> None:
        pass

    def receive(self, message, now) -> None:
        self.taken.append(message)

    def stop(self) -> bool:
        return True

    def cameras_heard(self) -> dict[str, bool]:
        return self.heard


@pytest.mark.parametrize(("rectified", "focal"), [(False, 800.0), (True, 760.0)])
def test_a_host_gets_the_lens_of_its_pictures_raw_or_rectified(client, rectified, focal) -> None:
    hosting, host = Hosting(client.node, PLANNER, rectified=rectified), Host()
    hosting.open(host)
    info = CameraInfo(width=1280, height=720, distortion_model="plumb_bob", d=[-0.1, 0.0, 0.0, 0.0, 0.0])
    info.k = [800.0, 0.0, 640.0, 0.0, 800.0, 360.0, 0.0, 0.0, 1.0]
    info.p = [760.0, 0.0, 640.0, 0.0, 0.0, 760.0, 360.0, 0.0, 0.0, 0.0, 1.0, 0.0]
    publisher = client.node.create_publisher(CameraInfo, "~/input/camera/front/camera_info", 1)

    def taken() -> list[CameraModel]:
        publisher.publish(info)
        return host.taken

    client.until(lambda: bool(taken()), "the camera's model")
    assert host.taken[0].intrinsics[0, 0] == focal
    hosting.close()


def test_a_camera_whose_lens_is_to_be_checked_and_was_not_said_is_a_warning(client) -> None:
    hosting = Hosting(client.node, PLANNER)
    hosting.open(Host(front=True, back=False))

    levels = {check.name: check.level for check in hosting.checks()}

    assert (levels["camera info front"], levels["camera info back"]) == (Level.OK, Level.WARN)
    hosting.close()
    assert not any(check.name.startswith("camera info") for check in hosting.checks())
