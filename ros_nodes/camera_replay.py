"""A recording played into a graph: `python -m onboard_vla.ros_nodes.camera_replay --ros-args -p bag:=FOLDER`.

Serialised messages go out as they were recorded, at the recording's pace times `rate`, on the names that the graph
beside this node has: in this node's namespace, whichever the recording was made in. Stamps stay those of the recording:
with `clock` the node publishes /clock, and the graph runs with use_sim_time. What the graph's own processes had said is
left out, and so are commands of operator and driver and requests for other settings, which must not reach a vehicle
from a file; both can be asked for.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NoReturn

from onboard_vla.core.clock import NANOSECONDS, nanoseconds, seconds
from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.core.process import Option, OptionValue, Role
from onboard_vla.core.refusals import log_event
from onboard_vla.ros_nodes.played import from_start, played_topics, states_among
from onboard_vla.ros_nodes.topics import row_named

if TYPE_CHECKING:
    from rclpy.node import Node

    from onboard_vla.ros_nodes.bag import BagReader

NAME = "camera_replay"
CLOCK_PERIOD_NS = 10_000_000
"""/clock at 100 Hz of wall time."""
PLANS = {"wire/plan": "plans", "wire/plan_rejection": "rejected"}
"""What is counted of the graph's answers, by port."""
LATE_NS = 100_000_000
"""Behind its schedule by more than this, the replay says so once."""
GRACE_S = 1.0
"""Discovery takes 0.2 s a topic; nobody may want some of them."""
OPTIONS = (
    Option("bag", str, None, "recording: a rosbag2 folder or an MCAP file"),
    Option("rate", float, 1.0, "seconds of the recording per second", 0.01, 100.0),
    Option("clock", bool, False, "publish the recording's time on /clock, for a graph with use_sim_time"),
    Option(
        "start_s",
        float,
        0.0,
        "begin so far into the recording, with the route and camera info that held then",
        0.0,
        1e6,
        "s",
    ),
    Option("wait_s", float, 10.0, "wait so long for listeners to the pictures; 0 begins at once", 0.0, 600.0, "s"),
    Option("listeners", str, "", "nodes that must listen to all pictures first, with commas; anybody if empty"),
    Option("outputs", bool, False, "also play what the graph's processes had said, for viewers"),
    Option("commands", bool, False, "also play commands of operator and driver, and requests for settings"),
)


def _build(options: Mapping[str, OptionValue]) -> NoReturn:
    raise ConfigurationError(f"{NAME} is a tool: it has no process host")


ROLE = Role(NAME, OPTIONS, _build)


class Replay:
    """Plays a recording through a node.

    Raises:
        ConfigurationError: the recording cannot be read, holds nothing that would be played, ends before `start_s`,
            or is of two graphs.
    """

    def __init__(self, node: Node, options: Mapping[str, OptionValue]) -> None:
        from rosgraph_msgs.msg import Clock

        from onboard_vla.ros_nodes.bag import BagReader

        self._node, self._rate = node, float(options["rate"])
        self._bag = BagReader(Path(str(options["bag"])))
        self._kinds = played_topics(
            str(options["bag"]), self._bag.topics, bool(options["outputs"]), bool(options["commands"])
        )
        self._publishers = {name: self._publisher(name, kind) for name, kind in self._kinds.items()}
        self._listeners = {name.strip() for name in str(options["listeners"]).split(",")} - {""}
        self._start_ns = _start_ns(self._bag, options)
        self._clock = node.create_publisher(Clock, "/clock", 10) if options["clock"] else None
        self._clock_due_ns = 0
        self.played: dict[str, int] = dict.fromkeys(self._kinds, 0)
        self.heard: dict[str, int] = {}
        if not options["outputs"]:
            self._hear(PLANS)

    def wait(self, limit_s: float) -> None:
        """Until every camera's topic that is played has its listeners; the others get a moment more to find theirs.

        A planner listens when its engines are loaded.

        Raises:
            EnvironmentLacksError: one had none in time.
        """
        pictures = [p for name, p in self._publishers.items() if "Image" in self._kinds[name]]
        deadline_ns = time.monotonic_ns() + nanoseconds(limit_s)
        while limit_s and (deaf := {p.topic_name: who for p in pictures if (who := self._missing(p))}):
            if time.monotonic_ns() > deadline_ns:
                who = " and ".join(sorted(set(deaf.values())))
                raise EnvironmentLacksError(
                    f"{who} listens to {', '.join(deaf)} after {limit_s:g} s: start the graph with the same "
                    "ROS_DOMAIN_ID, cameras.transport and namespace (is its planner configured?), or set wait_s:=0"
                )
            self._tick_clock(self._start_ns)
            self._spin(0.05)
        grace_ns = time.monotonic_ns() + nanoseconds(min(limit_s, GRACE_S))
        while time.monotonic_ns() < grace_ns and not all(
            publisher.get_subscription_count() for publisher in self._publishers.values()
        ):
            self._tick_clock(self._start_ns)
            self._spin(0.05)

    def _missing(self, publisher: Any) -> str:  # noqa: ANN401 - rclpy's publisher
        """Who does not listen to it yet, as the beginning of a sentence; empty when all do."""
        if not publisher.get_subscription_count():
            return "nobody"
        infos = self._node.get_subscriptions_info_by_topic(publisher.topic_name) if self._listeners else ()
        missing = self._listeners - {info.node_name for info in infos}
        return f"no {', no '.join(sorted(missing))}" if missing else ""

    def play(self) -> None:
        """Everything, on time."""
        begin_ns, late = time.monotonic_ns(), False
        every = self._bag.messages(frozenset(self._kinds))
        for recorded in from_start(every, self._start_ns, states_among(self._kinds)):
            time_ns = max(recorded.time_ns, self._start_ns)
            due_ns = begin_ns + round((time_ns - self._start_ns) / self._rate)
            while (now_ns := time.monotonic_ns()) < due_ns:
                self._tick_clock(self._start_ns + round((now_ns - begin_ns) * self._rate))
                self._spin(min(due_ns - now_ns, CLOCK_PERIOD_NS) / NANOSECONDS)
            self._tick_clock(time_ns)
            if now_ns - due_ns > LATE_NS and not late:
                late = True
                log_event(NAME, "late", behind_s=seconds(now_ns - due_ns), rate=self._rate)
            self._publishers[recorded.topic].publish(recorded.data)
            self.played[recorded.topic] += 1
        self._spin(0.0)

    def _hear(self, ports: Mapping[str, str]) -> None:
        """Count what the graph says of the recording."""
        from onboard_vla.ros_nodes.ports import message_class, quality
        from onboard_vla.ros_nodes.topics import ROS_TOPICS

        def count(what: str) -> Callable[[object], None]:
            def on_received(received: object) -> None:
                self.heard[what] += 1

            return on_received

        for row in ROS_TOPICS:
            if row.port in ports:
                what = ports[row.port]
                self.heard[what] = 0
                kind = message_class(row.type)
                self._node.create_subscription(kind, row.shared_name, count(what), quality(row), raw=True)

    def _tick_clock(self, time_ns: int) -> None:
        now_ns = time.monotonic_ns()
        if self._clock is not None and now_ns >= self._clock_due_ns:
            from rosgraph_msgs.msg import Clock

            from onboard_vla.ros_nodes.stamps import to_time

            self._clock_due_ns = now_ns + CLOCK_PERIOD_NS
            self._clock.publish(Clock(clock=to_time(time_ns)))

    def _spin(self, timeout_s: float) -> None:
        """Serve parameters; ends the replay with ROS."""
        import rclpy
        from rclpy.executors import ExternalShutdownException

        if not rclpy.ok():
            raise ExternalShutdownException
        rclpy.spin_once(self._node, timeout_sec=timeout_s)

    def _publisher(self, name: str, kind: str) -> Any:  # noqa: ANN401 - rclpy's publisher
        from onboard_vla.ros_nodes.ports import message_class, quality

        row = row_named(name, kind)
        assert row is not None  # chosen by its row
        return self._node.create_publisher(message_class(kind), row.shared_name, quality(row))


def _start_ns(bag: BagReader, options: Mapping[str, OptionValue]) -> int:
    first_ns, last_ns = bag.span_ns
    start_ns = first_ns + nanoseconds(float(options["start_s"]))
    if start_ns > last_ns:
        raise ConfigurationError(
            f"start_s {options['start_s']:g}: {options['bag']} lasts {seconds(last_ns - first_ns):.1f} s"
        )
    return start_ns


def serve(node: Node, options: Mapping[str, OptionValue]) -> None:
    """Play once and end."""
    replay = Replay(node, options)
    replay.wait(float(options["wait_s"]))
    log_event(NAME, "playing", bag=str(options["bag"]), topics=len(replay.played))
    replay.play()
    log_event(NAME, "played", messages=replay.played)
    log_event(NAME, "heard", total=sum(replay.played.values()), **replay.heard)


if __name__ == "__main__":
    from onboard_vla.ros_nodes.tool_main import run_tool

    sys.exit(run_tool(ROLE, serve))
