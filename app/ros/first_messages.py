"""Whether our nodes could take what is sent to them: inputs as they come, through the codecs that the nodes have."""

from __future__ import annotations

import math
import time
from collections import Counter
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

from onboard_vla.app.ros.settings import StampLimits
from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import seconds
from onboard_vla.core.errors import WireError
from onboard_vla.core.process_graph import Topic
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.topics import READ, Form, RosTopic, forms_taken, rows_of

LISTEN_S = 1.0
"""How long to wait for messages once all inputs are published: ten periods of the slowest that come in a rhythm."""
PICTURES = 3
"""Of a camera so many are taken at most while their stamps are off; the first may have come late."""
MEND_IT = "send what docs/ros-interfaces.md asks for; frames are asked for by name"
SYNCHRONISE = "synchronise the sender's clock with this machine's (PTP, chrony), and stamp with the time of measurement"


class Refusal(NamedTuple):
    """Why a message would not be taken, and what makes it."""

    reason: str
    remedy: str


class FirstMessages:
    """Listens to all inputs; a codec refuses wrong frames, encodings, sizes, words and wire schemas alike.

    Stamps are held against `now_ns`, this machine's clock, within `limits`.

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
        limits: StampLimits | None = None,
        now_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        self._node, self._rectified, self._now_ns = node, rectified, now_ns
        self._limits = StampLimits() if limits is None else limits
        self._refused: dict[str, Refusal] = {}
        self._heard: Counter[str] = Counter()
        self._silent: set[str] = set()
        self._subscriptions: dict[str, Any] = {}
        for topic, transports in topics.items():
            taken = {form for transport in transports.values() for form in forms_taken(topic, transport)}
            for form in READ:
                if topic.kind is not CameraFrame or form in taken:
                    self._listen(node, topic, form, name_of)

    @property
    def refused(self) -> Mapping[str, Refusal]:
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
                self._heard[name] += 1
                untimely = None
                try:
                    part = read(row.type, kind, received) if row.type in READERS else received
                    untimely = self._untimely(topic, codec.unpack(row.part, part), part)
                except WireError as error:
                    self._refused[name] = Refusal(str(error), MEND_IT)
                else:
                    self._refused.pop(name, None)
                if untimely is not None:
                    self._refused[name] = Refusal(untimely, SYNCHRONISE)
                if topic.kind is CameraFrame and (untimely is None or self._heard[name] >= PICTURES):
                    node.destroy_subscription(self._subscriptions.pop(name))

            return on_received

        for row in rows:
            kind, name = message_class(row.type), name_of(row)
            if row.rate_hz:
                self._silent.add(name)
            taken = callback(row, kind, name)
            made = node.create_subscription(kind, name, taken, quality(row), raw=row.type in READERS)
            self._subscriptions[name] = made

    def _untimely(self, topic: Topic, message: Message | None, received: Any) -> str | None:  # noqa: ANN401 - as above
        """What is wrong with the stamp of what was received, alone or as the last part of a message."""
        from onboard_vla.ros_nodes.stamps import from_time

        oldest_s, header = self._limits.oldest_s.get(topic.kind), getattr(received, "header", None)
        stamp_ns = getattr(message, "stamp_ns", None) if header is None else from_time(header.stamp)
        if oldest_s is None or stamp_ns is None:
            return None
        now_ns, future_s = self._now_ns(), self._limits.future_s
        age_s = seconds(now_ns - stamp_ns)
        if -future_s <= age_s <= oldest_s:
            return None
        found = f"{age_s:.3f} s old" if age_s > 0.0 else f"{-age_s:.3f} s ahead"
        expected = f"{future_s:g} s ahead" if oldest_s == math.inf else f"{oldest_s:g} s old and {future_s:g} s ahead"
        return (
            f"stamped {seconds(stamp_ns):.3f} s, at {seconds(now_ns):.3f} s of this machine's clock, so {found}: "
            f"expected at most {expected}"
        )
