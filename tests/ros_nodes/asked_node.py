"""A node with one service, as `Replies` sees a node; who asks and who listens is said by the test."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace

SERVICE = "/vla_planner/change_state"


class AskedNode:
    """`asking`, `listening`: participants of writers of requests and of readers of answers. `sent`: what went out."""

    def __init__(self, **names: str) -> None:
        """`names`: what rclpy's service has of names, by the distribution."""
        self.service = SimpleNamespace(send_response=lambda response, header: self.send(response), **names)
        self.services, self.timer = [self.service], LookTimer()
        self.sent: list[object] = []
        self.send: Callable[[object], None] = self.sent.append
        self.topics: list[str] = []
        self.asking: list[bytes] = []
        self.listening: list[bytes] = []

    def get_name(self) -> str:
        return "vla_planner"

    def resolve_service_name(self, name: str) -> str:
        return name.replace("~", "/vla_planner")

    def create_timer(self, period_s: float, callback, clock) -> LookTimer:
        self.timer.look = callback
        return self.timer

    def get_publishers_info_by_topic(self, topic: str, no_mangle: bool) -> list[SimpleNamespace]:
        self.topics.append(topic)
        return [SimpleNamespace(endpoint_gid=participant + bytes(4)) for participant in self.asking]

    def get_subscriptions_info_by_topic(self, topic: str, no_mangle: bool) -> list[SimpleNamespace]:
        self.topics.append(topic)
        return [SimpleNamespace(endpoint_gid=participant + bytes(4)) for participant in self.listening]


class LookTimer:
    """Counts how often its period began anew."""

    def __init__(self) -> None:
        self.canceled, self.resets = False, 0

    def cancel(self) -> None:
        self.canceled = True

    def reset(self) -> None:
        self.canceled = False
        self.resets += 1

    def is_canceled(self) -> bool:
        return self.canceled
