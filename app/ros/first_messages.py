"""Whether our nodes could take what is sent to them: inputs as they come, through the codecs that the nodes have."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.errors import WireError
from onboard_vla.core.process_graph import Topic
from onboard_vla.ros_nodes.topics import READ, Form, RosTopic, forms_taken, rows_of

LISTEN_S = 1.0
"""How long to wait for messages once all inputs are published: ten periods of the slowest that come in a rhythm."""


class FirstMessages:
    """Listens to all inputs; a codec refuses wrong frames, encodings, sizes, stamps, words and wire schemas alike.

    Of a camera one picture is taken, in the forms that nodes take, for pictures of all cameras are gigabytes a minute.
    `topics`: with the `cameras.transport` of each receiver. `name_of`: where it listens for a row. `rectified`: the
    planner's `cameras.rectified`. Messages come while the node's executor spins.
    """

    def __init__(
        self,
        node: Any,  # noqa: ANN401 - rclpy's
        topics: Mapping[Topic, Mapping[str, str]],
        name_of: Callable[[RosTopic], str],
        rectified: bool = False,
    ) -> None:
        self._node, self._rectified = node, rectified
        self._refused: dict[str, str] = {}
        self._silent: set[str] = set()
        self._subscriptions: dict[str, Any] = {}
        for topic, transports in topics.items():
            taken = {form for transport in transports.values() for form in forms_taken(topic, transport)}
            for form in READ:
                if topic.kind is not CameraFrame or form in taken:
                    self._listen(node, topic, form, name_of)

    @property
    def refused(self) -> Mapping[str, str]:
        """Why the newest message of a topic was refused, by the topic's name."""
        return self._refused

    @property
    def heard(self) -> bool:
        """Whether a message came of each input that is published in a rhythm."""
        return not any(self._node.count_publishers(name) for name in self._silent)

    def _listen(self, node: Any, topic: Topic, form: Form, name_of: Callable[[RosTopic], str]) -> None:  # noqa: ANN401
        from onboard_vla.ros_nodes.codec import codec_for
        from onboard_vla.ros_nodes.ports import message_class, quality
        from onboard_vla.ros_nodes.reading import READERS, read

        rows = rows_of(topic, form)
        codec = codec_for(topic, form, self._rectified) if rows else None
        if codec is None:
            return

        def callback(row: RosTopic, kind: type, name: str) -> Callable[[Any], None]:
            def on_received(received: Any) -> None:  # noqa: ANN401 - the row's ROS type, or its bytes
                self._silent.discard(name)
                try:
                    codec.unpack(row.part, read(row.type, kind, received) if row.type in READERS else received)
                except WireError as error:
                    self._refused[name] = str(error)
                else:
                    self._refused.pop(name, None)
                if topic.kind is CameraFrame:
                    node.destroy_subscription(self._subscriptions.pop(name))

            return on_received

        for row in rows:
            kind, name = message_class(row.type), name_of(row)
            if row.rate_hz:
                self._silent.add(name)
            taken = callback(row, kind, name)
            made = node.create_subscription(kind, name, taken, quality(row), raw=row.type in READERS)
            self._subscriptions[name] = made
