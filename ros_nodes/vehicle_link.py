"""The vehicle's end of the ROS 2 transport."""

from __future__ import annotations

import collections
import threading
import time
from types import TracebackType
from typing import Any

from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.process_graph import VEHICLE
from onboard_vla.core.readiness import heard_from, not_ready, topics_towards
from onboard_vla.core.refusals import Refusals
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.environment import apply_ros_environment, give_back_domain_id, require_rclpy
from onboard_vla.ros_nodes.shared_memory import free_stale_segments
from onboard_vla.ros_nodes.topics import RAW, form_sent, rows_of

INBOX_LIMIT = 10_000
"""Messages held for a vehicle that does not poll: about a minute of everything. The oldest go first."""
SPIN_S = 0.1
"""How often the executor's thread looks whether it should end."""
GRAPH_POLL_S = 0.02
"""How often `wait_ready` looks at the graph while no message arrives."""


class RosVehicleLink:
    """Implements `core.vehicle_link.VehicleLink`. `publish`, `poll` and the rest may be called from any thread.

    Sets this process's ROS environment (see `apply_ros_environment`), so that processes started after it join the same
    domain with the same Fast DDS profile, and frees shared memory that killed processes left behind.

    Args:
        domain_id: the DDS domain; by default ROS_DOMAIN_ID's, or one that is free on this machine.
        pictures: how they are sent, "raw" or "compressed" (JPEG); the nodes need the same `cameras.transport`.

    Raises:
        EnvironmentLacksError: rclpy is missing.
    """

    def __init__(self, domain_id: int | None = None, pictures: str = RAW) -> None:
        require_rclpy()
        self.domain_id = apply_ros_environment(domain_id)
        free_stale_segments()
        import rclpy
        from rclpy.context import Context
        from rclpy.signals import SignalHandlerOptions

        from onboard_vla.ros_nodes.executor import make_executor
        from onboard_vla.ros_nodes.ports import Publishers, Subscriptions

        self.refusals, self._pictures = Refusals(VEHICLE), pictures
        self._inbox: collections.deque[tuple[Message, Now]] = collections.deque(maxlen=INBOX_LIMIT)
        self._heard_ns: dict[str, int] = {}
        self._news = threading.Condition()
        self._ending = threading.Event()
        self._context = Context()
        rclpy.init(
            args=[], context=self._context, domain_id=self.domain_id, signal_handler_options=SignalHandlerOptions.NO
        )
        self._node = rclpy.create_node("onboard_vla_vehicle", context=self._context, use_global_arguments=False)
        self._publishers = Publishers(self._node, VEHICLE, pictures)
        self._subscriptions = Subscriptions(self._node, VEHICLE, self._take, self.refusals)
        self._executor = make_executor(context=self._context)
        self._executor.add_node(self._node)
        self._thread = threading.Thread(target=self._spin, name="ros-vehicle-link", daemon=True)
        self._thread.start()

    def publish(self, message: Message) -> None:
        """Send one message on the topic of its kind; never blocks.

        Raises:
            WireError: the vehicle has no topic for it, or a value does not fit into its ROS message.
        """
        self._publishers.publish(message)

    def publish_raw(self, topic: str, part: str, packed: Any) -> None:  # noqa: ANN401 - the part's ROS type
        """Send a ROS message as it is on one of the vehicle's topics (fault injection)."""
        self._publishers.publish_raw(topic, part, packed)

    def poll(self) -> list[tuple[Message, Now]]:
        """All messages that arrived since the last call, in order of arrival, with the time of reception."""
        with self._news:
            messages = list(self._inbox)
            self._inbox.clear()
        return messages

    def wait_ready(self, timeout_s: float, processes: tuple[str, ...]) -> None:
        """Block until every named process is connected both ways: it was heard after this call began, and listens.

        Raises:
            EnvironmentLacksError: a process did not appear in time.
        """
        begin_ns = time.monotonic_ns()
        needs = {process: topics_towards(process) for process in processes}
        while True:
            missing: dict[str, str] = {}
            for process, topics in needs.items():
                deaf = [topic.name for topic in topics if not self._listens(process, topic.name)]
                if deaf:
                    missing[process] = f"does not listen to {', '.join(deaf)}"
                elif self._heard_ns.get(process, -1) < begin_ns:
                    missing[process] = "was not heard"
            for topic in {topic for topics in needs.values() for topic in topics}:
                expected = sum(process in topic.receivers for process in processes)
                if self._publishers.matched(topic) < expected:
                    missing.setdefault(topic.receivers[0], f"topic {topic.name} is not matched yet")
            if not missing:
                return
            if time.monotonic_ns() - begin_ns > timeout_s * 1e9:
                raise not_ready(missing, timeout_s)
            with self._news:
                self._news.wait(GRAPH_POLL_S)

    def close(self) -> None:
        """End the executor's thread and leave the domain."""
        if not self._ending.is_set():
            self._ending.set()
            self._executor.wake()
            self._thread.join()
            self._executor.shutdown()
            self._node.destroy_node()
            self._context.try_shutdown()
            give_back_domain_id(self.domain_id)

    def __enter__(self) -> RosVehicleLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listens(self, process: str, name: str) -> bool:
        topics = [topic for topic in topics_towards(process) if topic.name == name]
        return all(
            any(info.node_name == process for info in self._node.get_subscriptions_info_by_topic(row.shared_name))
            for topic in topics
            for row in rows_of(topic, form_sent(topic, self._pictures))
        )

    def _take(self, message: Message) -> None:
        now = system_now()
        with self._news:
            self._inbox.append((message, now))
            process = heard_from(message)
            if process is not None:
                self._heard_ns[process] = now.monotonic_ns
            self._news.notify_all()

    def _spin(self) -> None:
        while not self._ending.is_set():
            self._executor.spin_once(timeout_sec=SPIN_S)
