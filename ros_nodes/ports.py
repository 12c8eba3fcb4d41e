"""Publishers and subscriptions of one participant of the graph, built from the topic table."""

from __future__ import annotations

import threading
from collections.abc import Callable
from importlib import import_module
from typing import Any

from rclpy.duration import Duration
from rclpy.node import Node
from rclpy.qos import DurabilityPolicy, HistoryPolicy, LivelinessPolicy, QoSProfile, ReliabilityPolicy

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.errors import WireError
from onboard_vla.core.process_graph import Topic, sent_by, topic_for
from onboard_vla.core.refusals import Refusals
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.codec import Codec, codec_for
from onboard_vla.ros_nodes.link_events import LinkEvents, subscription_event_callbacks
from onboard_vla.ros_nodes.reading import READERS, read
from onboard_vla.ros_nodes.topics import (
    ONLOOKERS,
    RAW,
    RosTopic,
    form_sent,
    forms_taken,
    rows_of,
    topics_towards,
    views_of,
)
from onboard_vla.ros_nodes.views import ViewPublisher


def quality(row: RosTopic, asks: bool = False) -> QoSProfile:
    """Quality of service as the table says. `asks`: of a receiver that has DDS watch the link, where the row has that.

    All others set no deadlines, which a foreign camera driver would not offer.
    """
    profile = QoSProfile(
        history=HistoryPolicy.KEEP_LAST,
        depth=row.depth,
        reliability=ReliabilityPolicy.RELIABLE if row.reliable else ReliabilityPolicy.BEST_EFFORT,
        durability=DurabilityPolicy.TRANSIENT_LOCAL if row.latched else DurabilityPolicy.VOLATILE,
    )
    return _watched(profile, row.deadlines.asked_s, row.deadlines.asked_lease_s) if asks and row.deadlines else profile


def offered_quality(row: RosTopic) -> QoSProfile:
    """A sender's quality of service: with the deadlines that it promises to keep, where the row has them."""
    limits = row.deadlines
    return quality(row) if limits is None else _watched(quality(row), limits.offered_s, limits.offered_lease_s)


def _watched(profile: QoSProfile, deadline_s: float, lease_s: float) -> QoSProfile:
    profile.deadline = Duration(nanoseconds=nanoseconds(deadline_s))
    profile.liveliness = LivelinessPolicy.MANUAL_BY_TOPIC
    profile.liveliness_lease_duration = Duration(nanoseconds=nanoseconds(lease_s))
    return profile


def message_class(type_name: str) -> Any:  # noqa: ANN401 - generated classes
    """The class of "package/msg/Type"."""
    package, folder, name = type_name.split("/")
    return getattr(import_module(f"{package}.{folder}"), name)


class Publishers:
    """Everything that one participant sends. `publish` may be called from any thread.

    `pictures`: how they travel, one of `topics.TRANSPORTS`. `autoware`: in Autoware's messages, too.
    """

    def __init__(self, node: Node, process: str, pictures: str = RAW, autoware: bool = False) -> None:
        self._process, self._pictures = process, pictures
        self._codecs: dict[str, Codec] = {}
        self._publishers: dict[tuple[str, str], Any] = {}
        self._lock = threading.Lock()
        for topic in sent_by(process):
            form = form_sent(topic, pictures)
            codec = codec_for(topic, form)
            assert codec is not None  # every topic has the form that is ours
            self._codecs[topic.name] = codec
            for row in rows_of(topic, form):
                self._publishers[topic.name, row.part] = self._create(node, row)
        self._views = tuple(ViewPublisher(row, self._create(node, row)) for row in views_of(process, autoware))

    def publish(self, message: Message) -> None:
        """Send on the message's topic.

        Raises:
            WireError: this participant has no topic for it, or a value does not fit.
        """
        with self._lock:
            # A process without core topics has views alone.
            if self._codecs:
                topic = topic_for(self._process, message)
                for part, packed in self._codecs[topic.name].pack(message).items():
                    self._publishers[topic.name, part].publish(packed)
            for view in self._views:
                view.show(message)

    def publish_raw(self, topic: str, part: str, packed: Any) -> None:  # noqa: ANN401 - the part's ROS type
        """Send a ROS message as it is (fault injection)."""
        self._publishers[topic, part].publish(packed)

    @property
    def watched(self) -> bool:
        """Whether anybody listens to any of the views."""
        return any(view.watched for view in self._views)

    def matched(self, topic: Topic) -> int:
        """The number of receivers that every part of a topic has found at least."""
        rows = rows_of(topic, form_sent(topic, self._pictures))
        return min(int(self._publishers[topic.name, row.part].get_subscription_count()) for row in rows)

    def _create(self, node: Node, row: RosTopic) -> Any:  # noqa: ANN401 - rclpy's publisher
        return node.create_publisher(message_class(row.type), row.node_name(self._process), offered_quality(row))


class Subscriptions:
    """Everything that one participant receives; `on_message` is called on the executor's thread.

    A node takes an input in its own or in standard messages beside our bytes, whichever is sent; pictures it takes in
    one form alone, `pictures` (one of `topics.TRANSPORTS`), because drivers send both. `rectified`: see `codec_for`.
    """

    def __init__(
        self,
        node: Node,
        process: str,
        on_message: Callable[[Message], None],
        refusals: Refusals,
        pictures: str = RAW,
        rectified: bool = False,
    ) -> None:
        self._on_message, self._refusals = on_message, refusals
        self.links: list[LinkEvents] = []
        self._node = node
        self._subscriptions = [
            self._subscribe(node, process, row, codec)
            for topic in topics_towards(process)
            for form in forms_taken(topic, pictures)
            if (rows := rows_of(topic, form))
            if (codec := codec_for(topic, form, rectified)) is not None
            for row in rows
        ]

    def close(self) -> None:
        """Listen no more; on the executor's thread."""
        for subscription in self._subscriptions:
            self._node.destroy_subscription(subscription)
        self._subscriptions = []

    def _subscribe(self, node: Node, process: str, row: RosTopic, codec: Codec) -> Any:  # noqa: ANN401 - rclpy's
        kind, name, raw = message_class(row.type), row.node_name(process), row.type in READERS
        callback = self._callback(row, codec, kind)
        if process in ONLOOKERS or row.deadlines is None:
            # Best effort and volatile takes whatever is offered: a watch for what does not fit would never speak, and
            # rclpy pays for it each time that it waits.
            watched = row.reliable or row.latched
            events = subscription_event_callbacks(use_default_callbacks=watched)
            return node.create_subscription(kind, name, callback, quality(row), event_callbacks=events, raw=raw)
        link = LinkEvents(row.port, row.sender)
        self.links.append(link)
        asked, events = quality(row, asks=True), link.callbacks()
        return node.create_subscription(kind, name, callback, asked, event_callbacks=events, raw=raw)

    def _callback(self, row: RosTopic, codec: Codec, kind: type) -> Callable[[Any], None]:
        raw = row.type in READERS

        def on_received(received: Any) -> None:  # noqa: ANN401 - the row's ROS type, or its bytes
            try:
                message = codec.unpack(row.part, read(row.type, kind, received) if raw else received)
            except WireError as error:
                self._refusals.add(row.shared_name, error)
                return
            if message is not None:
                self._on_message(message)

        return on_received
