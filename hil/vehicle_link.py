"""The vehicle's end of the ZeroMQ transport."""

from __future__ import annotations

import collections
import threading
import time
from pathlib import Path
from types import TracebackType

from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.process_graph import VEHICLE, received_by, sent_by
from onboard_vla.core.readiness import heard_from, not_ready, topics_towards
from onboard_vla.core.refusals import Refusals
from onboard_vla.core.wire import Message
from onboard_vla.hil.endpoints import Receivers, Senders, check_directory, import_zmq

INBOX_LIMIT = 10_000
"""Messages held for a vehicle that does not poll: about a minute of everything. The oldest go first."""
LISTEN_S = 0.05
"""How often the receiving thread looks whether it should end."""
PRESENCE_POLL_S = 0.005
"""How often `wait_ready` looks for receivers while no message arrives."""


class ZmqVehicleLink:
    """Implements `core.vehicle_link.VehicleLink`. `publish`, `poll` and the rest may be called from any thread.

    Args:
        directory: where the endpoints are; made with mode 700 by whoever starts the processes.

    Raises:
        EnvironmentLacksError: pyzmq or a private directory is missing.
    """

    def __init__(self, directory: Path) -> None:
        zmq = import_zmq()
        check_directory(directory)
        self._directory, self._context = directory, zmq.Context()
        self.refusals = Refusals(VEHICLE)
        self._senders = Senders(self._context, directory, VEHICLE, sent_by(VEHICLE))
        self._inbox: collections.deque[tuple[Message, Now]] = collections.deque(maxlen=INBOX_LIMIT)
        self._heard_ns: dict[str, int] = {}
        self._news = threading.Condition()
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._listen, name="zmq-vehicle-link", daemon=True)
        self._thread.start()

    def publish(self, message: Message) -> None:
        """Send one message on the topic of its kind; never blocks.

        Raises:
            WireError: the vehicle has no topic for it, or a field has the wrong type.
        """
        self._senders.send(message)

    def publish_bytes(self, topic: str, data: bytes) -> None:
        """Send bytes as they are on one of the vehicle's topics (recordings, fault injection)."""
        self._senders.send_bytes(topic, data)

    def poll(self) -> list[tuple[Message, Now]]:
        """All messages that arrived since the last call, in order of arrival, with the time of reception."""
        self._senders.refresh()
        with self._news:
            messages = list(self._inbox)
            self._inbox.clear()
        return messages

    def wait_ready(self, timeout_s: float, processes: tuple[str, ...]) -> None:
        """Block until every named process is connected both ways: it was heard after this call began, and listens.

        Raises:
            EnvironmentLacksError: a process did not appear in time.
        """
        begin_ns = time.monotonic_ns()
        needs = {process: topics_towards(process) for process in processes}
        while True:
            missing: dict[str, str] = {}
            self._senders.refresh()
            for process, topics in needs.items():
                deaf = [topic.name for topic in topics if process not in self._senders.receivers(topic.name)]
                if deaf:
                    missing[process] = f"does not listen to {', '.join(deaf)}"
                elif self._heard_ns.get(process, -1) < begin_ns:
                    missing[process] = "was not heard"
            if not missing:
                return
            if time.monotonic_ns() - begin_ns > timeout_s * 1e9:
                raise not_ready(missing, timeout_s)
            with self._news:
                self._news.wait(PRESENCE_POLL_S)

    def close(self) -> None:
        """End the receiving thread and close all sockets."""
        if not self._ending.is_set():
            self._ending.set()
            self._thread.join()
            self._senders.close()
            self._context.term()

    def __enter__(self) -> ZmqVehicleLink:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _listen(self) -> None:
        receivers = Receivers(self._context, self._directory, VEHICLE, received_by(VEHICLE), self.refusals)
        try:
            while not self._ending.is_set():
                messages = receivers.wait(LISTEN_S)
                if not messages:
                    continue
                now = system_now()
                with self._news:
                    for message in messages:
                        self._inbox.append((message, now))
                        process = heard_from(message)
                        if process is not None:
                            self._heard_ns[process] = now.monotonic_ns
                    self._news.notify_all()
        finally:
            receivers.close()
