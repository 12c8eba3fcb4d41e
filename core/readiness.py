"""When a process counts as connected both ways: it subscribes to what the vehicle sends, and it was heard."""

from __future__ import annotations

from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.process_graph import PROCESSES, SUPERVISOR, VEHICLE, Topic, received_by
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.wire import Message


def topics_towards(process: str) -> tuple[Topic, ...]:
    """What the vehicle sends to this process.

    Raises:
        EnvironmentLacksError: no such process.
    """
    if process not in PROCESSES:
        raise EnvironmentLacksError(f"unknown process {process!r}: expected one of {', '.join(PROCESSES)}")
    return tuple(topic for topic in received_by(process) if topic.sender == VEHICLE)


def heard_from(message: Message) -> str | None:
    """The process that this message proves to be alive."""
    if isinstance(message, SafeTrajectory):
        return SUPERVISOR
    return message.process if isinstance(message, Heartbeat) else None


def not_ready(missing: dict[str, str], timeout_s: float) -> EnvironmentLacksError:
    """The error that says who did not appear, and in which direction."""
    what = "; ".join(f"{process}: {why}" for process, why in missing.items())
    return EnvironmentLacksError(f"not connected within {timeout_s:g} s: {what}; look at the process's log")
