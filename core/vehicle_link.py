"""The vehicle's end of the wires: what a vehicle, a rig or the world needs from any transport."""

from __future__ import annotations

from typing import Protocol

from onboard_vla.core.clock import Now
from onboard_vla.core.wire import Message


class VehicleLink(Protocol):
    """Carries sensor messages to the processes and their messages back."""

    def publish(self, message: Message) -> None:
        """Send one message on the topic of its kind; never blocks."""

    def poll(self) -> list[tuple[Message, Now]]:
        """All messages that arrived since the last call, in order of arrival, with the time of reception."""

    def wait_ready(self, timeout_s: float, processes: tuple[str, ...]) -> None:
        """Block until every named process is connected both ways.

        Raises:
            EnvironmentLacksError: a process did not appear in time.
        """

    def close(self) -> None:
        """Release sockets and threads."""
