"""A recording played into nodes by a process, and recorded again while it plays."""

from __future__ import annotations

import json
import re
import signal
from pathlib import Path
from tempfile import mkdtemp

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from rclpy.qos import QoSProfile, ReliabilityPolicy
from rclpy.serialization import deserialize_message, serialize_message
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CompressedImage
from std_msgs.msg import UInt8MultiArray

from onboard_vla.core.cameras import CAMERAS, CameraFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.process_graph import VEHICLE, topic_for
from onboard_vla.core.road import KEEP_FORWARD, Route, RouteCommand
from onboard_vla.core.safe_trajectory import ENGAGE, OperatorCommand
from onboard_vla.core.wire import decode
from onboard_vla.ros_nodes.bag import BagReader, BagWriter
from onboard_vla.ros_nodes.bag_messages import MessageRecorder
from onboard_vla.ros_nodes.ports import message_class
from onboard_vla.ros_nodes.recorder import LiveRecorder

from ..hil.conclusive import conclusively
from .nodes import LIMIT_S, STAND_IN, Client

pytestmark = [pytest.mark.ros, pytest.mark.timeout(300)]
REPLAY = ("-m", "onboard_vla.ros_nodes.camera_replay")
START = 1_700_000_000_000_000_000
TICKS, PERIOD_NS = 20, 100_000_000
PICTURES = [f"/onboard_vla/camera/{camera}/image/compressed" for camera in CAMERAS]
PICTURE = np.random.default_rng(5).integers(30, 220, (9, 16, 3), np.uint8).repeat(10, axis=0).repeat(10, axis=1)
ROUTE = Route("r", np.array([[0.0, 0.0], [500.0, 0.0]]), np.full(2, 10.0), (RouteCommand(0.0, 500.0, KEEP_FORWARD),))


@pytest.fixture
def bag(tmp_path):
    recorder = MessageRecorder(tmp_path / "bag", "compressed")

    def write(message, time_ns: int) -> None:
        recorder.write(topic_for(VEHICLE, message), message, time_ns)

    write(ROUTE, START)
    for tick in range(TICKS):
        stamp_ns = START + tick * PERIOD_NS
        write(EgoState(stamp_ns, 0.5 * tick, 0.0, 0.0, 5.0, 0.0, 0.0), stamp_ns)
        for camera in CAMERAS:
            write(CameraFrame(camera, stamp_ns, tick, PICTURE), stamp_ns + 10_000_000)
        write(OperatorCommand(stamp_ns, ENGAGE), stamp_ns + 20_000_000)
    recorder.close()
    return tmp_path / "bag"


def heard(client, kind: type, name: str) -> list:
    messages: list = []
    client.node.create_subscription(kind, name, messages.append, 100)
    return messages


def test_nodes_plan_on_a_replay_in_its_own_time_and_no_command_reaches_them(start, client, bag, late_since) -> None:
    start(STAND_IN, **{"cameras.transport": "compressed", "use_sim_time": True})
    plans, commands = (heard(client, UInt8MultiArray, f"onboard_vla/wire/{name}") for name in ("plan", "operator"))
    clocks = heard(client, Clock, "/clock")

    def planned() -> list[int]:
        plans.clear()
        clocks.clear()
        replay = start(REPLAY, bag=bag, rate=0.2, clock=True, wait_s=60.0)
        client.until(lambda: replay.process.poll() is not None, "the replay ends", 90.0)
        assert replay.process.returncode == 0, replay.said()
        said = json.loads(replay.said().splitlines()[-1])
        assert (said["event"], said["total"]) == ("heard", 8 * TICKS + 1)
        assert said["plans"] > 0
        assert len(plans) >= TICKS // 4
        return [decode(memoryview(message.data)).stamp_ns for message in plans]

    stamps = conclusively(planned, late_since)
    assert set(stamps) <= {START + tick * PERIOD_NS for tick in range(TICKS)}
    assert stamps == sorted(stamps)
    assert commands == []
    times = [message.clock.sec * 1_000_000_000 + message.clock.nanosec for message in clocks]
    assert times == sorted(times)
    assert START <= times[-1] <= START + TICKS * PERIOD_NS


def test_a_replay_plays_to_the_graph_in_its_own_namespace(start, client, bag) -> None:
    topics = [f"/car/onboard_vla/camera/{camera}/image/compressed" for camera in CAMERAS]
    pictures: dict[str, list] = {topic: [] for topic in topics}
    best_effort = QoSProfile(depth=10, reliability=ReliabilityPolicy.BEST_EFFORT)
    for topic in topics:
        client.node.create_subscription(CompressedImage, topic, pictures[topic].append, best_effort)

    # Slowly enough that whoever is held up for seconds still hears of it: it is ended as soon as all have come.
    replay = start((*REPLAY, "--ros-args", "-r", "__ns:=/car"), bag=bag, wait_s=60.0, rate=0.02)
    client.until(lambda: all(pictures.values()), f"pictures on {topics}", 90.0)

    replay.process.send_signal(signal.SIGINT)
    assert replay.process.wait(LIMIT_S) == 0, replay.said()


def test_a_recording_of_two_graphs_is_refused(start, tmp_path) -> None:
    writer = BagWriter(tmp_path / "two")
    for space in ("a", "b"):
        writer.connect(
            f"/{space}/onboard_vla/wire/objects", "std_msgs/msg/UInt8MultiArray", reliable=True, latched=False, depth=1
        )
        writer.write(f"/{space}/onboard_vla/wire/objects", serialize_message(UInt8MultiArray()), 1)
    writer.close()

    replay = start(REPLAY, bag=tmp_path / "two")

    assert replay.process.wait(LIMIT_S) == 2
    assert "of more than one namespace: expected a recording of one graph, found /a/onboard_vla" in replay.said()


def test_what_is_recorded_while_a_recording_plays_is_the_recording(start, domain_id, bag, tmp_path, late_since) -> None:
    before = by_topic(bag)

    def recorded() -> dict[str, list]:
        own, path = Client(domain_id), Path(mkdtemp(dir=tmp_path)) / "again"
        recorder = LiveRecorder(own.node, path)
        replay = start(REPLAY, bag=bag, rate=1.0, wait_s=60.0, commands=True)
        try:
            own.until(lambda: replay.process.poll() is not None, "the replay ends", 90.0)
        finally:
            recorder.close()
            own.close()
        assert replay.process.returncode == 0, replay.said()
        after = by_topic(path)
        for name in ("/onboard_vla/wire/route", "/onboard_vla/wire/operator"):
            assert after.get(name) == before[name]
        assert min(len(after.get(name, [])) for name in PICTURES) >= 0.8 * TICKS
        return after

    after = conclusively(recorded, late_since)
    for name in PICTURES:
        # Best effort: a picture may be lost on a busy machine, none may be changed, doubled or out of order.
        assert after[name] == [message for message in before[name] if message in after[name]]


def test_a_replay_that_nobody_listens_to_says_so(start, bag) -> None:
    replay = start(REPLAY, bag=bag, wait_s=0.5)

    assert replay.process.wait(LIMIT_S) == 2
    assert "nobody listens to /onboard_vla/camera/front/image/compressed" in replay.said()


def test_a_replay_waits_for_the_nodes_that_it_is_for(start, client, bag, tmp_path) -> None:
    clocks = heard(client, Clock, "/clock")
    engines = tmp_path / "engines"
    transport = {"cameras.transport": "compressed"}
    start(("-m", "onboard_vla.ros_nodes.camera_guard"), **transport)
    planner = start(STAND_IN, waits_for=engines, **transport)
    replay = start(REPLAY, bag=bag, wait_s=300.0, clock=True, listeners="camera_guard, vla_planner")
    cameras = [f"/onboard_vla/camera/{camera}/image/compressed" for camera in CAMERAS]
    client.until(lambda: all(client.node.count_subscribers(name) == 1 for name in cameras), "the guard listens")
    count = len(clocks)
    client.until(lambda: len(clocks) > count + 100, "it waits for a second")
    assert "playing" not in replay.said()

    engines.touch()
    client.until(lambda: replay.process.poll() is not None, "the replay ends", 90.0)
    assert replay.process.returncode == 0, replay.said() + planner.said()


def test_a_replay_says_for_whom_it_waited_in_vain(start, client, bag) -> None:
    start(("-m", "onboard_vla.ros_nodes.camera_guard"), **{"cameras.transport": "compressed"})
    cameras = [f"/onboard_vla/camera/{camera}/image/compressed" for camera in CAMERAS]
    client.until(lambda: all(client.node.count_subscribers(name) == 1 for name in cameras), "the guard listens")

    replay = start(REPLAY, bag=bag, wait_s=3.0, listeners="vla_planner")

    assert replay.process.wait(LIMIT_S) == 2
    assert re.search("(no vla_planner|nobody) listens to /onboard_vla/camera/front/image", replay.said()), replay.said()


def test_a_replay_without_a_recording_or_with_a_wrong_rate_ends_with_one_line(start, bag, tmp_path) -> None:
    for values, words in (
        ({"bag": tmp_path / "none"}, "is no recording that can be read"),
        ({"bag": bag, "rate": 0.0}, "rate: expected 0.01 to 100, found 0"),
        ({}, "bag is not set: expected recording"),
    ):
        node = start(REPLAY, **values)
        assert node.process.wait(LIMIT_S) == 2
        assert words in node.said()
        assert "Traceback" not in node.said()


def test_a_replay_is_ended_by_a_signal(start, client, bag) -> None:
    clocks = heard(client, Clock, "/clock")
    replay = start(REPLAY, bag=bag, wait_s=600.0, clock=True)
    client.until(lambda: bool(clocks), "the replay waits")
    replay.process.send_signal(signal.SIGINT)
    assert replay.process.wait(LIMIT_S) == 0


def by_topic(path) -> dict[str, list]:
    """Messages as values: serialised ones differ in their padding."""
    found: dict[str, list] = {}
    with BagReader(path) as reader:
        for recorded in reader.messages():
            message = deserialize_message(recorded.data, message_class(recorded.type))
            found.setdefault(recorded.topic, []).append(message)
    return found


def test_a_begin_beyond_the_recordings_end_is_refused_with_its_length(start, client, bag) -> None:
    replay = start(REPLAY, bag=bag, start_s=3.0, wait_s=0.0)
    client.until(lambda: replay.process.poll() is not None, "the replay ends")

    assert replay.process.returncode == 2, replay.said()
    assert f"start_s 3: {bag} lasts 1.9 s" in replay.said()
    assert "played" not in replay.said()
