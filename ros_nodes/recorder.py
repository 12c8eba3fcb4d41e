"""Records a running graph: every topic of the table, and others by name, as serialised messages."""

from __future__ import annotations

import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, QoSProfile, ReliabilityPolicy

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.refusals import log_event
from onboard_vla.ros_nodes.bag import BagWriter
from onboard_vla.ros_nodes.bag_messages import recorded_name
from onboard_vla.ros_nodes.ports import message_class
from onboard_vla.ros_nodes.steady import steady_clock
from onboard_vla.ros_nodes.topics import ROS_TOPICS

LOOK_PERIOD_S = 0.2
"""How often to look for topics that have appeared."""
QUEUE = 100
"""Messages kept per topic while the disk is slow."""
ALSO = ("/diagnostics", "/tf_static", "/tf")


class LiveRecorder:
    """Subscribes to what appears and writes it; latched topics get what was sent before."""

    def __init__(self, node: Node, path: Path, also: tuple[str, ...] = ()) -> None:
        """`also`: absolute names of further topics.

        Raises:
            ConfigurationError: something stands at `path`.
            EnvironmentLacksError: rosbags is missing.
        """
        self._node, self._also = node, (*ALSO, *also)
        self._writer = BagWriter(path)
        self._subscriptions: dict[str, Any] = {}
        self._unknown: set[str] = set()
        self._shared = tuple(recorded_name(row) for row in ROS_TOPICS)
        self._look()
        node.create_timer(LOOK_PERIOD_S, self._look, clock=steady_clock())

    @property
    def counts(self) -> dict[str, int]:
        """Messages written so far."""
        return self._writer.counts

    def close(self) -> None:
        """Finish the recording."""
        self._writer.close()

    def _look(self) -> None:
        for name, kinds in self._node.get_topic_names_and_types():
            wanted = name in self._also or name.endswith(self._shared)
            if not wanted or name in self._subscriptions or name in self._unknown or len(kinds) != 1:
                continue
            publishers = self._node.get_publishers_info_by_topic(name)
            if not publishers:
                continue
            reliable = all(p.qos_profile.reliability == ReliabilityPolicy.RELIABLE for p in publishers)
            latched = all(p.qos_profile.durability == DurabilityPolicy.TRANSIENT_LOCAL for p in publishers)
            try:
                kind = message_class(kinds[0])
                self._writer.connect(name, kinds[0], reliable=reliable, latched=latched, depth=QUEUE)
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
                kind, name, self._writes(name), quality, raw=True
            )

    def _writes(self, name: str) -> Callable[[bytes], None]:
        return lambda data: self._writer.write(name, data, time.time_ns())
