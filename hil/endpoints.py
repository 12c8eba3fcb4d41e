"""ZeroMQ sockets of the process graph: one ipc endpoint per topic in a private directory of this machine.

Every topic has one sender, which binds; receivers connect, in any order, and again by themselves when a sender returns.
A message is a single part (the wire schema's bytes), so that CONFLATE gives newest-wins for pictures.
"""

from __future__ import annotations

import contextlib
import os
import stat
import threading
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from onboard_vla.core.errors import EnvironmentLacksError, WireError
from onboard_vla.core.process_graph import PROCESSES, VEHICLE, Delivery, Topic, check_fits, topic_for
from onboard_vla.core.refusals import Refusals
from onboard_vla.core.wire import MAGIC, MAX_MESSAGE_BYTES, Message, decode, encode

LONGEST_PATH = 107
"""Longest path of a Unix socket on Linux, bytes (sun_path without its final zero)."""
RECONNECT_MS, RECONNECT_MAX_MS = 10, 100
"""First and longest pause between attempts to reach a sender that is not there."""
SUBSCRIPTIONS = {name: MAGIC[: index + 1] for index, name in enumerate((*PROCESSES, VEHICLE))}
"""Each receiver asks for what starts with a prefix of the wire schema's magic, that is for everything; the prefix's
length tells the sender who is there. A socket has one subscription only: CONFLATE would swallow all but the last."""
RECEIVERS = {subscription: name for name, subscription in SUBSCRIPTIONS.items()}
DRAIN_LIMIT = 50
"""Messages taken from one socket before others and the timers have their turn."""


def import_zmq() -> Any:  # noqa: ANN401 - a module
    """The `zmq` module.

    Raises:
        EnvironmentLacksError: pyzmq is not installed.
    """
    try:
        import zmq
    except ImportError as error:
        raise EnvironmentLacksError(f"pyzmq does not load ({error}): pip install pyzmq") from None
    return zmq


def check_directory(directory: Path) -> Path:
    """The endpoint directory, if it is one that only this user can reach into.

    Raises:
        EnvironmentLacksError: missing, another user's, open to others, or too long a path for a socket.
    """
    try:
        status = directory.stat()
    except OSError as error:
        raise EnvironmentLacksError(f"endpoint directory {directory}: {error.strerror}") from None
    if not stat.S_ISDIR(status.st_mode):
        raise EnvironmentLacksError(f"endpoint directory {directory} is no directory")
    if status.st_uid != os.getuid() or stat.S_IMODE(status.st_mode) & 0o077:
        raise EnvironmentLacksError(
            f"endpoint directory {directory} has mode {stat.S_IMODE(status.st_mode):o} and owner {status.st_uid}: "
            f"expected 700 and {os.getuid()}, so that nobody else can speak to the vehicle"
        )
    return directory


def endpoint(directory: Path, topic: Topic) -> str:
    """Address of a topic.

    Raises:
        EnvironmentLacksError: the path is too long for a Unix socket.
    """
    path = directory / (topic.name.replace("/", "-") + ".ipc")
    if len(os.fsencode(path)) > LONGEST_PATH:
        raise EnvironmentLacksError(f"socket path {path} is longer than {LONGEST_PATH} bytes: use a shorter directory")
    return f"ipc://{path}"


def _prepared(socket: Any) -> Any:  # noqa: ANN401 - pyzmq is imported lazily
    zmq = import_zmq()
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_MESSAGE_BYTES)
    return socket


class Senders:
    """The bound sockets of one sender. `send` may be called from any thread and never blocks."""

    def __init__(self, context: Any, directory: Path, sender: str, topics: Iterable[Topic]) -> None:  # noqa: ANN401
        zmq = import_zmq()
        self._zmq, self._sender = zmq, sender
        self._lock = threading.Lock()
        self._sockets: dict[str, Any] = {}
        self._receivers: dict[str, dict[str, int]] = {}
        self._latched: dict[str, bytes] = {}
        self._latches = {topic.name for topic in topics if topic.delivery is Delivery.LATCHED}
        for topic in topics:
            socket = _prepared(context.socket(zmq.XPUB))
            # Presence of each receiver shows as a subscription, and its loss as the end of one.
            socket.setsockopt(zmq.XPUB_VERBOSER, 1)
            socket.setsockopt(zmq.SNDHWM, max(2, topic.depth))
            socket.bind(endpoint(directory, topic))
            self._sockets[topic.name] = socket
            self._receivers[topic.name] = {}

    def send(self, message: Message) -> None:
        """Send on the message's topic; what a receiver has no room for is dropped.

        Raises:
            WireError: no topic of this sender carries such a message, or a field has the wrong type.
        """
        self.send_bytes(topic_for(self._sender, message).name, encode(message))

    def send_bytes(self, topic: str, data: bytes) -> None:
        """Send bytes as they are (recordings, fault injection)."""
        with self._lock:
            self._read_presence(topic)
            if topic in self._latches:
                self._latched[topic] = data
            with contextlib.suppress(self._zmq.Again):
                self._sockets[topic].send(data, self._zmq.NOBLOCK)

    def refresh(self) -> None:
        """Take note of receivers that came or went; the newcomers of a latched topic get its last message."""
        with self._lock:
            for topic in self._sockets:
                self._read_presence(topic)

    def receivers(self, topic: str) -> frozenset[str]:
        """Names of the receivers that are connected to a topic."""
        with self._lock:
            self._read_presence(topic)
            return frozenset(name for name, count in self._receivers[topic].items() if count > 0)

    def close(self) -> None:
        """Close all sockets."""
        with self._lock:
            for socket in self._sockets.values():
                socket.close()
            self._sockets.clear()

    def _read_presence(self, topic: str) -> None:
        socket, newcomers = self._sockets[topic], False
        while True:
            try:
                event = socket.recv(self._zmq.NOBLOCK)
            except self._zmq.Again:
                break
            name = RECEIVERS.get(event[1:])
            if name is not None:
                count = self._receivers[topic].get(name, 0) + (1 if event[0] else -1)
                self._receivers[topic][name] = max(0, count)
                newcomers = newcomers or bool(event[0])
        if newcomers and topic in self._latched:
            with contextlib.suppress(self._zmq.Again):
                socket.send(self._latched[topic], self._zmq.NOBLOCK)


class Receivers:
    """The connected sockets of one receiver; belongs to one thread."""

    def __init__(
        self,
        context: Any,  # noqa: ANN401
        directory: Path,
        name: str,
        topics: Iterable[Topic],
        refusals: Refusals,
    ) -> None:
        zmq = import_zmq()
        self._zmq, self._refusals = zmq, refusals
        self._poller = zmq.Poller()
        self._topics: dict[Any, Topic] = {}
        for topic in topics:
            socket = _prepared(context.socket(zmq.SUB))
            if topic.delivery is Delivery.NEWEST:
                socket.setsockopt(zmq.CONFLATE, 1)
            else:
                socket.setsockopt(zmq.RCVHWM, max(2, topic.depth))
            socket.setsockopt(zmq.RECONNECT_IVL, RECONNECT_MS)
            socket.setsockopt(zmq.RECONNECT_IVL_MAX, RECONNECT_MAX_MS)
            socket.setsockopt(zmq.SUBSCRIBE, SUBSCRIPTIONS[name])
            socket.connect(endpoint(directory, topic))
            self._poller.register(socket, zmq.POLLIN)
            self._topics[socket] = topic

    def wait(self, timeout_s: float) -> list[Message]:
        """Wait for messages and take them, at most `DRAIN_LIMIT` of each topic; garbage is counted and dropped."""
        messages: list[Message] = []
        for socket, _ in self._poller.poll(max(0.0, timeout_s) * 1000):
            topic = self._topics[socket]
            for _ in range(DRAIN_LIMIT):
                try:
                    data = socket.recv(self._zmq.NOBLOCK)
                except self._zmq.Again:
                    break
                try:
                    message = decode(data)
                    check_fits(topic, message)
                except WireError as error:
                    self._refusals.add(topic.name, error)
                    continue
                messages.append(message)
        return messages

    def close(self) -> None:
        """Close all sockets."""
        for socket in self._topics:
            socket.close()
        self._topics.clear()
