"""A vehicle with topics of its own names is recorded under ours, so that what reads recordings finds them."""

from __future__ import annotations

import signal
import subprocess
import sys

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from nav_msgs.msg import Odometry
from sensor_msgs.msg import Image

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.process_graph import PLANNER, VEHICLE, topic_for
from onboard_vla.ros_nodes.bag_messages import MessageReader, inputs_without
from onboard_vla.ros_nodes.codec import codec_for
from onboard_vla.ros_nodes.environment import give_back_domain_id, ros_environment, unused_domain_id
from onboard_vla.ros_nodes.reading import written

from ...ros_nodes.nodes import Client, environment_of

STAMP_NS = 1_700_000_000_000_000_000
LIMIT_S = 60.0
PICTURE = np.random.default_rng(5).integers(0, 255, (270, 480, 3), np.uint8)
"""Large enough that a recording grows by it on the disk while it is made."""
GROWN_BYTES = 10 * PICTURE.nbytes
REMAPS = (
    "{~/input/camera/front/image: /sensing/front, ~/input/kinematic_state: odom, ~/input/camera/back/image: /typed}"
)


@pytest.fixture
def client(monkeypatch):
    number = unused_domain_id()
    for name, value in ros_environment(0).items():
        monkeypatch.setenv(name, value)
    client = Client(number)
    client.number = number
    yield client
    client.close()
    give_back_domain_id(number)


@pytest.mark.ros
def test_remapped_inputs_are_recorded_under_our_names_and_read_back(client, tmp_path):
    config, bag = tmp_path / "vehicle.yaml", tmp_path / "bag"
    config.write_text(f"mode: vehicle\nnamespace: car\ndomain_id: {client.number}\nremaps: {REMAPS}\n")
    frame = CameraFrame("front", STAMP_NS, 3, PICTURE)
    codec = codec_for(topic_for(VEHICLE, frame))
    node = client.node
    front, decoy = (node.create_publisher(Image, name, 1) for name in ("/sensing/front", f"/car/{OURS}"))
    odometry, other = node.create_publisher(Odometry, "/car/odom", 1), node.create_publisher(Odometry, "/typed", 1)
    command = ("-m", "onboard_vla.app.cli", "record", str(bag), "--config", str(config))
    (tmp_path / "link").mkdir()
    errors = tmp_path / "errors"
    with errors.open("w") as stream:
        process = subprocess.Popen(
            [sys.executable, *command],
            env=environment_of("kilted", tmp_path / "link"),
            stdout=subprocess.PIPE,
            stderr=stream,
            text=True,
        )

    def publish() -> None:
        assert process.poll() is None, errors.read_text()
        front.publish(written(codec.pack(frame)[""]))
        for publisher in (decoy, odometry, other):
            publisher.publish(publisher.msg_type())

    def size() -> int:
        publish()
        return sum(file.stat().st_size for file in bag.glob("*.mcap"))

    def found() -> bool:
        publish()
        listens = all(publisher.get_subscription_count() for publisher in (front, odometry))
        return listens and "left_out" in errors.read_text()

    try:
        client.until(found, "it has found every topic", LIMIT_S)
        before = size()
        client.until(lambda: size() > before + GROWN_BYTES, "it has written what came since", LIMIT_S)
        process.send_signal(signal.SIGINT)
        said, _ = process.communicate(timeout=LIMIT_S)
    finally:
        process.kill()
    complained = errors.read_text()
    assert process.returncode == 0, complained

    reader = MessageReader(bag)
    frames = [told.message for told in reader.messages((CameraFrame,))]
    senders = reader.senders
    reader.close()
    assert senders == dict.fromkeys((f"/car/{OURS}", "/car/onboard_vla/kinematic_state"), VEHICLE)
    assert frames
    assert {frame.stamp_ns for frame in frames} == {STAMP_NS}
    assert all(np.array_equal(frame.image, PICTURE) for frame in frames)
    assert f"/car/{OURS}" in said
    (line,) = [line for line in complained.splitlines() if "inputs of vla_planner" in line]
    assert "camera/back," in line
    assert "ego" in line, "its acceleration has not come"
    assert "camera/front," not in line
    assert "expected sensor_msgs/msg/Image, found nav_msgs/msg/Odometry" in complained


OURS = "onboard_vla/camera/front/image"


def test_an_input_is_there_when_one_of_its_forms_is_whole():
    lacks = inputs_without({}, PLANNER)
    assert {"camera/front", "ego", "route"} <= set(lacks)
    half = {"/car/onboard_vla/kinematic_state": 5, "/car/onboard_vla/acceleration": 0, f"/car/{OURS}/compressed": 1}
    assert set(lacks) - set(inputs_without(half, PLANNER)) == {"camera/front"}
    whole = {**half, "/car/onboard_vla/acceleration": 1, "/car/onboard_vla/wire/route": 1}
    assert set(lacks) - set(inputs_without(whole, PLANNER)) == {"camera/front", "ego", "route"}


def test_a_configuration_is_of_no_use_for_the_worlds_recordings(tmp_path, capsys):
    from onboard_vla.app.cli import run

    config = tmp_path / "d.yaml"
    config.write_text("mode: vehicle\n")
    assert run(["record", str(tmp_path / "bag"), "--world", "7", "--config", str(config)]) == 64
    assert "--config names the topics of a running graph: expected none beside --world" in capsys.readouterr().err
