"""A recording has the clock of the graph that it is of, and one alone."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from builtin_interfaces.msg import Time
from rclpy.qos import DurabilityPolicy, QoSProfile
from rosgraph_msgs.msg import Clock
from std_msgs.msg import UInt8MultiArray

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.ros_nodes.bag import BagReader
from onboard_vla.ros_nodes.recorder import LiveRecorder

from .nodes import Client

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
SIMULATED_S = 100
LATCHED = QoSProfile(depth=1, durability=DurabilityPolicy.TRANSIENT_LOCAL)
LATER_S = 1_700_000_000
"""Before any time at which this is run on a machine's own clock."""


@pytest.fixture
def graph(client, domain_id) -> Iterator[Client]:
    """Another participant, in whose graph a route is latched."""
    graph = Client(domain_id)
    graph.route = graph.node.create_publisher(UInt8MultiArray, "onboard_vla/wire/route", LATCHED)
    graph.route.publish(UInt8MultiArray(data=b"route"))
    yield graph
    graph.close()


def seconds_of(path) -> list[int]:
    with BagReader(path) as reader:
        return [recorded.time_ns // 1_000_000_000 for recorded in reader.messages()]


def test_where_the_graph_has_a_clock_messages_have_its_time(client, graph, tmp_path) -> None:
    clock = graph.node.create_publisher(Clock, "/clock", 10)
    recorder = LiveRecorder(client.node, tmp_path / "bag")

    def recorded() -> bool:
        clock.publish(Clock(clock=Time(sec=SIMULATED_S)))
        return sum(recorder.counts.values()) > 0

    client.until(recorded, "the route")
    recorder.close()

    assert seconds_of(tmp_path / "bag") == [SIMULATED_S]


def test_where_it_has_none_messages_have_this_machines(client, graph, tmp_path) -> None:
    recorder = LiveRecorder(client.node, tmp_path / "bag")
    client.until(lambda: sum(recorder.counts.values()) > 0, "the route")
    recorder.close()

    assert [time_s > LATER_S for time_s in seconds_of(tmp_path / "bag")] == [True]


def test_nothing_is_recorded_before_the_clock_says_what_time_it_is(client, domain_id, tmp_path) -> None:
    graph = Client(domain_id)
    operator = graph.node.create_publisher(UInt8MultiArray, "onboard_vla/wire/operator", 10)
    recorder = LiveRecorder(client.node, tmp_path / "bag")
    client.until(lambda: operator.get_subscription_count() > 0, "it listens")
    clock = graph.node.create_publisher(Clock, "/clock", 10)
    client.until(lambda: client.node.get_parameter("use_sim_time").value, "it has found the clock")
    operator.publish(UInt8MultiArray(data=b"before"))

    def recorded() -> bool:
        clock.publish(Clock(clock=Time(sec=SIMULATED_S)))
        operator.publish(UInt8MultiArray(data=b"after"))
        return sum(recorder.counts.values()) > 0

    client.until(recorded, "what comes after")
    recorder.close()
    graph.close()

    assert set(seconds_of(tmp_path / "bag")) == {SIMULATED_S}


def test_a_clock_that_comes_after_messages_ends_the_recording_with_the_reason(client, graph, tmp_path) -> None:
    recorder = LiveRecorder(client.node, tmp_path / "bag")
    client.until(lambda: sum(recorder.counts.values()) > 0, "the route")
    graph.node.create_publisher(Clock, "/clock", 10)

    with pytest.raises(ConfigurationError, match=r"/clock .* after 1 messages .* record again"):
        client.until(lambda: False, "it notices")
    recorder.close()
