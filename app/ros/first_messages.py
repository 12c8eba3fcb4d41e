"""Whether our nodes could take what is sent to them: inputs as they come, through the codecs that the nodes have."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from typing import Any

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.errors import WireError
from onboard_vla.core.process_graph import Topic
from onboard_vla.ros_nodes.topics import READ, Form, RosTopic, rows_of

LISTEN_S = 1.0
"""How long to wait for messages once all inputs are published: ten periods of the slowest that come in a rhythm."""


class FirstMessages:
    """Listens to all inputs but pictures; a codec refuses wrong frames, stamps, words and wire schemas alike.

    `name_of`: where it listens for a row. Messages come while the node's executor spins.
    """

    def __init__(self, node: Any, topics: Iterable[Topic], name_of: Callable[[RosTopic], str]) -> None:  # noqa: ANN401 - rclpy's
        self._node = node
        self._refused: dict[str, str] = {}
        self._silent: set[str] = set()
        self._subscriptions = [
            subscription
            for topic in topics
            if topic.kind is not CameraFrame
            for form in READ
            for subscription in self._listen(node, topic, form, name_of)
        ]

    @property
    def refused(self) -> Mapping[str, str]:
        """Why the newest message of a topic was refused, by the topic's name."""
        return self._refused

    @property
    def heard(self) -> bool:
        """Whether a message came of each input that is published in a rhythm."""
        return not any(self._node.count_publishers(name) for name in self._silent)

    def _listen(self, node: Any, topic: Topic, form: Form, name_of: Callable[[RosTopic], str]) -> list[Any]:  # noqa: ANN401
        from onboard_vla.ros_nodes.codec import codec_for
        from onboard_vla.ros_nodes.ports import message_class, quality
        from onboard_vla.ros_nodes.reading import READERS, read

        rows = rows_of(topic, form)
        codec = codec_for(topic, form) if rows else None
        if codec is None:
            return []

        def callback(row: RosTopic, kind: type, name: str) -> Callable[[Any], None]:
            def on_received(received: Any) -> None:  # noqa: ANN401 - the row's ROS type, or its bytes
                self._silent.discard(name)
                try:
                    codec.unpack(row.part, read(row.type, kind, received) if row.type in READERS else received)
                except WireError as error:
                    self._refused[name] = str(error)
                else:
                    self._refused.pop(name, None)

            return on_received

        made = []
        for row in rows:
            kind, name = message_class(row.type), name_of(row)
            if row.rate_hz:
                self._silent.add(name)
            taken = callback(row, kind, name)
            made.append(node.create_subscription(kind, name, taken, quality(row), raw=row.type in READERS))
        return made
