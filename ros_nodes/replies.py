"""Answers to service calls, kept until those who can call are known to listen.

The two ways of a service are discovered one by one. rmw_fastrtps takes a request as soon as its way stands, then waits
for the other inside `send_response`, for 100 ms and with Python's lock held, and drops the answer if that does not
stand then (`rmw_response.cpp`; ros2/rmw_fastrtps#556). What discovery has to repeat takes 100 ms at least, and a second
if a datagram was lost (Fast DDS, `EDPSimple.cpp`).
The caller then waits for ever, and a supervisor was silent meanwhile.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any

from rclpy.node import Node

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.refusals import log_event
from onboard_vla.ros_nodes.steady import steady_clock

LOOK_S = 0.02
LOOK_NS = nanoseconds(LOOK_S)
"""How often answers that wait are looked at, and after what time a look sends no further one."""
KEPT_NS = nanoseconds(5.0)
"""How long an answer waits; then it goes out, and whoever does not listen by then is not waited for until it has."""
MOST_KEPT = 64
"""How many answers wait; what is more goes out at once."""
PARTICIPANT = 12
"""Bytes of an endpoint's identifier that are its participant's (RTPS 2.5, 9.3.1: GuidPrefix_t)."""


class Replies:
    """Stands between the services that a node has and the middleware."""

    def __init__(self, node: Node) -> None:
        self._node = node
        self._waiting: deque[tuple[int, str, Callable[[], None]]] = deque()
        self._deaf: dict[str, set[bytes]] = {}
        for service in node.services:
            own: Any = service
            own.send_response = partial(self._reply, _full_name(node, service), service.send_response)
        self._timer = node.create_timer(LOOK_S, self._look, clock=steady_clock())
        self._timer.cancel()

    def _reply(self, service: str, send: Callable[[Any, Any], None], response: Any, header: Any) -> None:  # noqa: ANN401
        if len(self._waiting) >= MOST_KEPT or not self._not_listening(service):
            send(response, header)
            return
        self._waiting.append((time.monotonic_ns() + KEPT_NS, service, partial(send, response, header)))
        if self._timer.is_canceled():
            # Begun anew by every answer, it would never look while they come faster than it does.
            self._timer.reset()

    def _look(self) -> None:
        """Send what need not wait longer; where the middleware waits over it, the rest is left to the next look."""
        begin_ns = time.monotonic_ns()
        missing = {service: self._not_listening(service) for service in {service for _, service, _ in self._waiting}}
        for _ in range(len(self._waiting)):
            until_ns, service, send = self._waiting.popleft()
            if missing[service]:
                if time.monotonic_ns() < until_ns:
                    self._waiting.append((until_ns, service, send))
                    continue
                self._give_up(service, missing[service])
                missing[service] = set()
            send()
            if time.monotonic_ns() - begin_ns > LOOK_NS:
                break
        if not self._waiting:
            self._timer.cancel()

    def _give_up(self, service: str, missing: set[bytes]) -> None:
        self._deaf[service] = self._deaf.get(service, set()) | missing
        log_event(self._node.get_name(), "callers_do_not_listen", service=service, participants=len(missing))

    def _not_listening(self, service: str) -> set[bytes]:
        """Participants that can ask, with fewer readers of answers known than writers of requests.

        Who a request is from, rclpy does not tell. The names are those of ROS on DDS
        (design.ros2.org/articles/topic_and_service_names.html); where they are others, nobody is found. Who was given
        up is left out until it listens.
        """
        asking = self._node.get_publishers_info_by_topic(f"rq{service}Request", no_mangle=True)
        listening = self._node.get_subscriptions_info_by_topic(f"rr{service}Reply", no_mangle=True)
        missing = set(_participants(asking) - _participants(listening))
        self._deaf[service] = self._deaf.get(service, set()) & missing
        return missing - self._deaf[service]


def _full_name(node: Node, service: Any) -> str:  # noqa: ANN401 - Humble's does not know it
    if hasattr(service, "service_name"):
        return str(service.service_name)
    return str(node.resolve_service_name(service.srv_name))


def _participants(endpoints: Iterable[Any]) -> Counter[bytes]:
    return Counter(bytes(endpoint.endpoint_gid[:PARTICIPANT]) for endpoint in endpoints)
