"""The operator's commands as services of the supervisor; they go the way that the wire message goes."""

from __future__ import annotations

from collections.abc import Iterable
from functools import partial
from typing import Any

from rclpy.node import Node
from rclpy.parameter import Parameter
from std_srvs.srv import SetBool, Trigger

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.safe_trajectory import (
    DISENGAGE,
    ENGAGE,
    REARM,
    SHADOW,
    STOP,
    Engagement,
    Mode,
    OperatorCommand,
    SafeTrajectory,
)
from onboard_vla.core.verdict import Reason
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.hosting import Hosting
from onboard_vla.ros_nodes.services import COMMAND_PERIOD_MS, REQUEST_STOP

COMMAND_PERIOD_NS = nanoseconds(COMMAND_PERIOD_MS / 1000)
QUEUED = (STOP, DISENGAGE)
"""Commands that wait for the supervisor's next cycle, and not for somebody's patience; possible in engaged alone."""
COMMANDS = {ENGAGE: ENGAGE, DISENGAGE: DISENGAGE, REARM: REARM, REQUEST_STOP: STOP}
"""The operator's command of each service without arguments."""
DRIVE = "drive"
AUTHORITY = "authority"
"""The supervisor's setting that `~/shadow` changes: `shadow`, or `drive`."""


class OperatorServices:
    """`~/engage`, `~/disengage`, `~/rearm`, `~/request_stop` (Trigger) and `~/shadow` (SetBool).

    A command is handed to the supervisor, which decides on it in a cycle of its own at once; the answer is the state,
    or every reason that stands against it. One such cycle a period: a flood of calls must not become a flood of cycles.
    What comes sooner waits for the supervisor's next cycle, or is refused; the answer says which, and what is known.
    """

    def __init__(self, node: Node, hosting: Hosting) -> None:
        self._node, self._hosting = node, hosting
        self._decided: SafeTrajectory | None = None
        self._commanded_ns = 0
        self._disengage_waits = False
        hosting.listen(self._on_published)
        for service, command in COMMANDS.items():
            node.create_service(Trigger, f"~/{service}", partial(self._on_command, command))
        node.create_service(SetBool, "~/shadow", self._on_shadow)

    def _on_command(self, command: str, request: Any, response: Any) -> Any:  # noqa: ANN401 - rclpy's classes
        now = self._hosting.now()
        if now.monotonic_ns - self._commanded_ns < COMMAND_PERIOD_NS:
            if command in QUEUED:
                self._queue(OperatorCommand(now.stamp_ns, command))
                response.success, response.message = taken(self._decided)
            else:
                response.success, response.message = False, "another command has just been decided on: try again"
            return response
        self._commanded_ns, self._decided = now.monotonic_ns, None
        self._hosting.take(OperatorCommand(now.stamp_ns, command))
        self._hosting.tick()
        response.success, response.message = self._answer(command)
        return response

    def _queue(self, command: OperatorCommand) -> None:
        """Hand it over without a cycle; one `disengage` is enough until then."""
        if command.command != DISENGAGE or not self._disengage_waits:
            self._hosting.take(command)
        self._disengage_waits |= command.command == DISENGAGE

    def _answer(self, command: str) -> tuple[bool, str]:
        decided = self._decided
        return (False, "the supervisor published nothing: see its log") if decided is None else answer(command, decided)

    def _on_shadow(self, request: Any, response: Any) -> Any:  # noqa: ANN401 - rclpy's classes
        value = SHADOW if request.data else DRIVE
        # By the parameter, so that it, too, says what holds.
        result = self._node.set_parameters([Parameter(AUTHORITY, value=value)])[0]
        response.success, response.message = result.successful, result.reason or f"{AUTHORITY} is {value}"
        return response

    def _on_published(self, message: Message) -> None:
        if isinstance(message, SafeTrajectory):
            self._decided, self._disengage_waits = message, False


def answer(command: str, decided: SafeTrajectory) -> tuple[bool, str]:
    """Whether a command was obeyed in the cycle that decided on it, and the state or every reason against it."""
    if command == ENGAGE:
        obeyed = decided.engagement is Engagement.ENGAGED
    elif command == STOP:
        obeyed = decided.mode >= Mode.IN_LANE_STOP and not decided.refusals
    else:
        obeyed = decided.engagement is Engagement.STANDBY and not decided.refusals
    if obeyed:
        return True, f"{decided.engagement.value}, {decided.mode.name}"
    return False, _spelled(decided.refusals) or f"{decided.engagement.value}, {decided.mode.name}: not obeyed"


def taken(newest: SafeTrajectory | None) -> tuple[bool, str]:
    """What is known of a command in `QUEUED` before its cycle; success where the newest state leaves it possible."""
    if newest is None:
        return False, "taken, but the supervisor published nothing on the command before: see its log"
    state = f"{newest.engagement.value}, {newest.mode.name}"
    if newest.engagement is not Engagement.ENGAGED:
        return False, f"taken, but it is possible in engaged only, and the newest state is {state}"
    when = f"in the next cycle, one every {COMMAND_PERIOD_MS} ms, until then {state}"
    return True, f"taken: decided {when}; see onboard_vla/state"


def _spelled(reasons: Iterable[Reason]) -> str:
    return "; ".join(f"{r.code}: {r.detail} (found {r.measured:g}, limit {r.limit:g})" for r in reasons)
