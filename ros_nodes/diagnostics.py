"""/diagnostics after REP 107: one entry a check, once a second and when a level changes."""

from __future__ import annotations

import time
import traceback
from collections.abc import Callable, Sequence

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus, KeyValue
from rclpy.clock import Clock
from rclpy.node import Node

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.refusals import Refusals, log_event
from onboard_vla.ros_nodes.checks import Check, Level

TOPIC = "/diagnostics"
"""Absolute, as REP 107 has it."""
PERIOD_NS, LOOK_S = nanoseconds(1.0), 0.1
LEVELS = {
    Level.OK: DiagnosticStatus.OK,
    Level.WARN: DiagnosticStatus.WARN,
    Level.ERROR: DiagnosticStatus.ERROR,
    Level.STALE: DiagnosticStatus.STALE,
}
Source = Callable[[], Sequence[Check]]


class Diagnostics:
    """Publishes what the sources say, on the node's executor."""

    def __init__(self, node: Node, steady: Clock, hardware_id: str, sources: Sequence[Source]) -> None:
        self._node, self._hardware_id, self._sources = node, hardware_id, sources
        # By the name alone, where it says who it is: two graphs have two namespaces.
        self._who = node.get_name() if node.get_namespace() == "/" else node.get_fully_qualified_name()
        self._publisher = node.create_publisher(DiagnosticArray, TOPIC, 10)
        self._levels: dict[str, Level] = {}
        self._due_ns = 0
        self._failed = False
        node.create_timer(LOOK_S, self.look, clock=steady)

    def look(self) -> None:
        """Publish what is due; a check that fails never hinders the process."""
        try:
            self._look()
        except Exception:
            if not self._failed:
                log_event(self._node.get_name(), "diagnostics_failed", error=traceback.format_exc())
            self._failed = True

    def _look(self) -> None:
        """Publish if it is time, or if a check has another level than when it was published last."""
        checks = [check for source in self._sources for check in source()]
        levels = {check.name: check.level for check in checks}
        now_ns = time.monotonic_ns()
        if now_ns < self._due_ns and levels == self._levels:
            return
        self._levels, self._due_ns = levels, now_ns + PERIOD_NS
        array = DiagnosticArray(status=[self._status(check) for check in checks])
        array.header.stamp = self._node.get_clock().now().to_msg()
        self._publisher.publish(array)

    def _status(self, check: Check) -> DiagnosticStatus:
        return DiagnosticStatus(
            level=LEVELS[check.level],
            name=f"{self._who}: {check.name}",
            message=check.message,
            hardware_id=self._hardware_id,
            values=[KeyValue(key=key, value=value) for key, value in check.values],
        )


def refusal_source(refusals: Refusals) -> Source:
    """A check that warns while messages are refused."""
    before = 0
    until_ns = 0

    def source() -> list[Check]:
        nonlocal before, until_ns
        total = sum(refusals.count.values())
        if total > before:
            before, until_ns = total, time.monotonic_ns() + PERIOD_NS
        values = tuple((topic, str(count)) for topic, count in refusals.count.items())
        if time.monotonic_ns() < until_ns:
            message = "messages are refused: see the log for the first of each topic, and mend its sender"
            return [Check("refused messages", Level.WARN, message, values)]
        return [Check("refused messages", Level.OK, f"{total} so far", values)]

    return source
