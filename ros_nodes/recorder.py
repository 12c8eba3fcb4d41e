"""Records a running graph: every topic of the table, and others by name, as serialised messages."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.refusals import log_event
from onboard_vla.ros_nodes.bag import BagWriter
from onboard_vla.ros_nodes.parameters import SIM_TIME
from onboard_vla.ros_nodes.ports import message_class
from onboard_vla.ros_nodes.steady import steady_clock
from onboard_vla.ros_nodes.topics import ROS_TOPICS, RosTopic, recorded_name

LOOK_PERIOD_S = 0.2
"""How often to look for topics that have appeared."""
QUEUE = 100
"""Messages kept per topic while the disk is slow."""
CLOCK = "/clock"
ALSO = ("/diagnostics", "/tf_static", "/tf")


class LiveRecorder:
    """Subscribes to what appears and writes it; latched topics get what was sent before.

    Times are those of the graph: of /clock where somebody publishes it, which a replay makes its own /clock of, so that
    they fit the stamps inside; this machine's otherwise. A recording has one of the two: its node's timers raise
    ConfigurationError when /clock appears after messages were written without it.
    """

    def __init__(
        self, node: Node, path: Path, also: tuple[str, ...] = (), renamed: Mapping[str, RosTopic] | None = None
    ) -> None:
        """`also`: absolute names of further topics. `renamed`: topics that stand for rows of the table, by their names.

        Those are written under the rows' shared names; what bears such a name in the node's namespace is left out. A
        name starts at the node's namespace unless absolute.

        Raises:
            ConfigurationError: something stands at `path`.
            EnvironmentLacksError: rosbags is missing.
        """
        self._node, self._also = node, (*ALSO, *also)
        self._writer = BagWriter(path)
        self._subscriptions: dict[str, Any] = {}
        self._simulated = bool(node.get_parameter(SIM_TIME).value)
        self._unknown: set[str] = set()
        self._shared = tuple(recorded_name(row) for row in ROS_TOPICS)
        self._renamed = {node.resolve_topic_name(name): row for name, row in (renamed or {}).items()}
        self._replaced = {node.resolve_topic_name(row.shared_name) for row in self._renamed.values()}
        self._seen: set[str] = set()
        node.create_timer(LOOK_PERIOD_S, self._look, clock=steady_clock())

    @property
    def counts(self) -> dict[str, int]:
        """Messages written so far."""
        return self._writer.counts

    def close(self) -> None:
        """Finish the recording; one that holds nothing is removed."""
        if any(self.counts.values()):
            self._writer.close()
        else:
            self._writer.discard()

    def _follow_clock(self) -> bool:
        """Take /clock's time if somebody publishes it; whether there is a time to write."""
        if not self._simulated and self._node.count_publishers(CLOCK):
            if written := sum(self.counts.values()):
                raise ConfigurationError(
                    f"{CLOCK} is published since after {written} messages were recorded with this machine's time, and "
                    "a recording has one clock: remove it, and record again now that the graph has its clock"
                )
            self._node.set_parameters([Parameter(SIM_TIME, value=True)])
            self._simulated = True
            log_event("recorder", "follows_clock", topic=CLOCK)
        return self._now_ns() > 0

    def _now_ns(self) -> int:
        return self._node.get_clock().now().nanoseconds if self._simulated else time.time_ns()

    def _look(self) -> None:
        if not self._follow_clock():
            return
        for name, kinds in self._node.get_topic_names_and_types():
            row = self._renamed.get(name)
            shared = name.endswith(self._shared) and name not in self._replaced
            wanted = row is not None or shared or name in self._also
            if not wanted or name in self._subscriptions or name in self._unknown or len(kinds) != 1:
                continue
            publishers = self._node.get_publishers_info_by_topic(name)
            if not publishers:
                continue
            if name not in self._seen:
                # At the next look: a clock that is there has been found by then, too.
                self._seen.add(name)
                continue
            reliable = all(p.qos_profile.reliability == ReliabilityPolicy.RELIABLE for p in publishers)
            latched = all(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers)
            written = name if row is None else self._node.resolve_topic_name(row.shared_name)
            try:
                if row is not None and kinds[0] != row.type:
                    raise ConfigurationError(f"{written}: expected {row.type}, found {kinds[0]}")
                kind = message_class(kinds[0])
                self._writer.connect(written, kinds[0], reliable=reliable, latched=latched, depth=QUEUE)
            except (ConfigurationError, ImportError, AttributeError) as error:
                self._unknown.add(name)
                log_event("recorder", "left_out", topic=name, reason=str(error))
                continue
            quality = QoSProfile(
                depth=QUEUE,
                reliability=ReliabilityPolicy.RELIABLE if reliable else ReliabilityPolicy.BEST_EFFORT,
                durability=DurabilityPolicy.TRANSIENT_LOCAL if latched else DurabilityPolicy.VOLATILE,
            )
            self._subscriptions[name] = self._node.create_subscription(
                kind, name, self._writes(written), quality, raw=True
            )

    def _writes(self, name: str) -> Callable[[bytes], None]:
        def write(data: bytes) -> None:
            # A clock that was found and not heard yet says 0.
            if time_ns := self._now_ns():
                self._writer.write(name, data, time_ns)

        return write
