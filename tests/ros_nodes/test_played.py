"""What of a recording a replay gives to the graph: not limits and commands, and from a later start what held before."""

from __future__ import annotations

import signal

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from std_msgs.msg import UInt8MultiArray

from onboard_vla.core.cameras import CameraModel
from onboard_vla.core.ego import EgoState
from onboard_vla.core.process_graph import VEHICLE, topic_for
from onboard_vla.core.road import KEEP_FORWARD, Route, RouteCommand
from onboard_vla.core.safe_trajectory import ENGAGE, OperatorCommand
from onboard_vla.core.settings import SettingsRequest
from onboard_vla.core.wire import decode
from onboard_vla.ros_nodes.bag import BagReader
from onboard_vla.ros_nodes.bag_messages import MessageRecorder
from onboard_vla.ros_nodes.played import from_start, played_topics, states_among
from onboard_vla.ros_nodes.ports import quality
from onboard_vla.ros_nodes.topics import row_named

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
START, PERIOD_NS, TICKS = 1_700_000_000_000_000_000, 100_000_000, 20
ROUTE_TOPIC, BYTES = "/onboard_vla/wire/route", "std_msgs/msg/UInt8MultiArray"
ODOMETRY, INFO = "/onboard_vla/kinematic_state", "/onboard_vla/camera/front/camera_info"


def route(name: str) -> Route:
    points = np.array([[0.0, 0.0], [500.0, 0.0]])
    return Route(name, points, np.full(2, 10.0), (RouteCommand(0.0, 500.0, KEEP_FORWARD),))


@pytest.fixture
def bag(tmp_path):
    """Two routes and a lens at the beginning, then 2 s of ego states, with limits and a command among them."""
    recorder = MessageRecorder(tmp_path / "bag")

    def write(message, tick: float) -> None:
        recorder.write(topic_for(VEHICLE, message), message, START + round(tick * PERIOD_NS))

    write(route("first"), 0)
    write(CameraModel("front", 8, 6, np.eye(3), "plumb_bob", np.zeros(5)), 0)
    for tick in range(TICKS):
        write(EgoState(START + tick * PERIOD_NS, 0.5 * tick, 0.0, 0.0, 5.0, 0.0, 0.0), tick)
    write(route("second"), 3.5)
    write(SettingsRequest(START, "version: 1\n"), 12)
    write(OperatorCommand(START, ENGAGE), 13)
    recorder.close()
    return tmp_path / "bag"


def chosen(bag, commands: bool = False) -> dict[str, str]:
    with BagReader(bag) as reader:
        return played_topics(str(bag), reader.topics, False, commands)


@pytest.mark.parametrize("start_s", [1.0, 1.95, 60.0])
def test_from_a_later_start_what_held_then_comes_first(bag, start_s) -> None:
    kinds, start_ns = chosen(bag), START + round(start_s * 1e9)
    with BagReader(bag) as reader:
        every = list(reader.messages(frozenset(kinds)))
    played = list(from_start(iter(every), start_ns, states_among(kinds)))

    assert {m.topic for m in played[:2]} == {ROUTE_TOPIC, INFO}
    assert [m for m in played if m.topic == ROUTE_TOPIC] == [[m for m in every if m.topic == ROUTE_TOPIC][-1]]
    assert played[2:] == [m for m in every if m.time_ns >= start_ns]


def test_from_its_beginning_a_recording_is_played_as_it_is(bag) -> None:
    kinds = chosen(bag)
    with BagReader(bag) as reader:
        every = list(reader.messages(frozenset(kinds)))

    assert list(from_start(iter(every), START, states_among(kinds))) == every


def test_limits_out_of_a_file_are_played_to_nobody_who_does_not_ask_for_commands(bag) -> None:
    commands = {"/onboard_vla/wire/settings", "/onboard_vla/wire/operator"}

    assert not commands & set(chosen(bag))
    assert commands <= set(chosen(bag, commands=True))


def test_a_replay_from_the_middle_has_its_route(start, client, bag) -> None:
    row = row_named(ROUTE_TOPIC, BYTES)
    heard: list = []
    client.node.create_subscription(UInt8MultiArray, "onboard_vla/wire/route", heard.append, quality(row))

    replay = start(("-m", "onboard_vla.ros_nodes.camera_replay"), bag=bag, start_s=1.0, rate=0.02, wait_s=0.0)
    client.until(lambda: bool(heard), "the route")
    replay.process.send_signal(signal.SIGINT)
    client.until(lambda: replay.process.poll() is not None, "the replay ends")

    assert replay.process.returncode == 0, replay.said()
    assert [decode(memoryview(message.data)).route_id for message in heard] == ["second"]
