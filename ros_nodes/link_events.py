"""What DDS says about a link by itself: deadlines that passed, and a sender that no longer asserts that it lives."""

from __future__ import annotations

import time
from typing import Any

from onboard_vla.core.clock import nanoseconds
from onboard_vla.ros_nodes.checks import Check, Level

RECENT_NS = nanoseconds(1.0)
"""A missed deadline is shown for this long."""


def subscription_event_callbacks(**callbacks: Any) -> Any:  # noqa: ANN401 - rclpy's class, by the distribution
    """Callbacks for a subscription; Humble has their class in another module."""
    try:
        from rclpy.event_handler import SubscriptionEventCallbacks
    except ImportError:
        from rclpy.qos_event import SubscriptionEventCallbacks
    return SubscriptionEventCallbacks(**callbacks)


class LinkEvents:
    """Counts the events of one subscription; they are reported, while decisions rest on the receiver's own ages."""

    def __init__(self, name: str, sender: str) -> None:
        self._name, self._sender = name, sender
        self._missed = self._lost = 0
        self._missed_ns: int | None = None
        self._alive: bool | None = None

    def callbacks(self) -> Any:  # noqa: ANN401 - rclpy's class
        """For `create_subscription(event_callbacks=...)`."""
        return subscription_event_callbacks(deadline=self.on_deadline, liveliness=self.on_liveliness)

    def on_deadline(self, event: Any) -> None:  # noqa: ANN401 - rclpy's class
        """No message came within the deadline."""
        self._missed += int(event.total_count_change)
        self._missed_ns = time.monotonic_ns()

    def on_liveliness(self, event: Any) -> None:  # noqa: ANN401 - rclpy's class
        """Senders began or ceased to assert that they live."""
        alive = event.alive_count > 0
        if self._alive and not alive:
            self._lost += 1
        self._alive = alive

    def check(self) -> Check:
        """The link as it is now."""
        values = (("deadlines_missed", str(self._missed)), ("liveliness_lost", str(self._lost)))
        name = f"link {self._name}"
        if self._alive is None:
            return Check(
                name, Level.STALE, f"{self._sender} was not heard yet: look whether it runs, and its domain id", values
            )
        if not self._alive:
            return Check(name, Level.ERROR, f"{self._sender} is silent: look at its log and process", values)
        if self._missed_ns is not None and time.monotonic_ns() - self._missed_ns < RECENT_NS:
            return Check(name, Level.WARN, f"{self._sender} was late: look at the load of this machine", values)
        return Check(name, Level.OK, f"{self._sender} is heard", values)
