"""Core messages into recordings and out of them, through the codecs that the nodes use."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

from onboard_vla.core.errors import WireError
from onboard_vla.core.process_graph import TOPICS, VEHICLE, Topic
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.bag import BagReader, BagWriter, Recorded
from onboard_vla.ros_nodes.codec import Codec, codec_for
from onboard_vla.ros_nodes.ports import message_class
from onboard_vla.ros_nodes.reading import read, written
from onboard_vla.ros_nodes.topics import RAW, READ, Form, form_sent, recorded_name, row_named, rows_of


@dataclass(frozen=True)
class Told:
    """A message of the graph as it was recorded. `topic`: on which core topic; `time_ns`: when it was recorded."""

    topic: Topic
    message: Message
    time_ns: int


class MessageRecorder:
    """Writes core messages as the ROS messages that the graph would send; names are those without a namespace.

    `pictures`: how they are written, one of `topics.TRANSPORTS`.
    """

    def __init__(self, path: Path, pictures: str = RAW) -> None:
        self._pictures = pictures
        self._writer = BagWriter(path)
        self._codecs: dict[str, Codec] = {}
        self._readers: dict[str, Codec] = {}
        self._kinds: dict[str, type] = {}
        for topic in TOPICS:
            form = form_sent(topic, pictures)
            for codecs in (self._codecs, self._readers):
                codec = codec_for(topic, form)
                assert codec is not None  # every topic has the form that is ours
                codecs[topic.name] = codec
            for row in rows_of(topic, form):
                name = recorded_name(row)
                self._kinds[name] = message_class(row.type)
                self._writer.connect(name, row.type, reliable=row.reliable, latched=row.latched, depth=row.depth)

    @property
    def counts(self) -> dict[str, int]:
        """Messages written so far, by recorded name."""
        return self._writer.counts

    def write(self, topic: Topic, message: Message, time_ns: int) -> Message | None:
        """Append a message; returns what a reader of the recording will see in its place, which may be rounded.

        Raises:
            WireError: a value does not fit into the ROS message.
        """
        seen: Message | None = None
        packed = self._codecs[topic.name].pack(message)
        for row in rows_of(topic, form_sent(topic, self._pictures)):
            name, data = recorded_name(row), written(packed[row.part])
            self._writer.write(name, data, time_ns)
            received = read(row.type, self._kinds[name], data)
            seen = self._readers[topic.name].unpack(row.part, received) or seen
        return seen

    def close(self) -> None:
        """Finish the recording."""
        self._writer.close()


class MessageReader:
    """The graph's messages out of a recording, with whatever namespace it was made. `refused` counts by topic."""

    def __init__(self, path: Path) -> None:
        self.bag = BagReader(path)
        self.refused: dict[str, int] = {}
        self._rows = {name: row for name in self.bag.topics if (row := row_named(name, self.bag.topics[name]))}
        self._codecs: dict[tuple[str, Form], Codec | None] = {}
        self._kinds = {name: message_class(row.type) for name, row in self._rows.items()}

    @property
    def senders(self) -> dict[str, str]:
        """Who sends on each recorded topic of the graph."""
        return {name: row.sender for name, row in self._rows.items()}

    def messages(self, kinds: tuple[type, ...] | None = None, stop_ns: int | None = None) -> Iterator[Told]:
        """Messages of the graph, or those of some kinds, in order; those that cannot be read are counted."""
        wanted = frozenset(
            name
            for name, row in self._rows.items()
            if row.topic is not None and (kinds is None or issubclass(row.topic.kind, kinds))
        )
        for recorded in self.bag.messages(wanted, stop_ns):
            told = self._read(recorded)
            if told is not None:
                yield told

    def close(self) -> None:
        """Close the files."""
        self.bag.close()

    def _read(self, recorded: Recorded) -> Told | None:
        row = self._rows[recorded.topic]
        assert row.topic is not None
        key = row.topic.name, row.form
        if key not in self._codecs:
            self._codecs[key] = codec_for(row.topic, row.form)
        codec = self._codecs[key]
        if codec is None:
            return None
        try:
            message = codec.unpack(row.part, read(row.type, self._kinds[recorded.topic], recorded.data))
        except WireError:
            self.refused[recorded.topic] = self.refused.get(recorded.topic, 0) + 1
            return None
        return None if message is None else Told(row.topic, message, recorded.time_ns)


def as_recorded(topic: Topic, message: Message) -> Message:
    """A message as it comes back from the graph's ROS messages, which may round it.

    Raises:
        WireError: a value does not fit.
    """
    sender, receiver = codec_for(topic), codec_for(topic)
    assert sender is not None  # every topic has the form that is ours
    assert receiver is not None
    seen: Message | None = None
    packed = sender.pack(message)
    for row in rows_of(topic):
        received = read(row.type, message_class(row.type), written(packed[row.part]))
        seen = receiver.unpack(row.part, received) or seen
    if seen is None:
        raise WireError(f"topic {topic.name}: a {type(message).__name__} does not come back whole")
    return seen


def inputs_without(counts: Mapping[str, int], process: str) -> tuple[str, ...]:
    """Inputs from the vehicle of which no form was recorded with all of its parts. `counts`: messages by name."""

    def whole(topic: Topic, form: Form) -> bool:
        rows = rows_of(topic, form)
        found = [any(count and name.endswith(recorded_name(row)) for name, count in counts.items()) for row in rows]
        return bool(rows) and all(found)

    asked = (topic for topic in TOPICS if topic.sender == VEHICLE and process in topic.receivers)
    return tuple(topic.name for topic in asked if not any(whole(topic, form) for form in READ))
