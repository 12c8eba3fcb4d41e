"""The one table of the nodes' own services, beside those that rclpy gives every node and every lifecycle node."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.safe_trajectory import DISENGAGE, ENGAGE, REARM, SHADOW

TRIGGER, SET_BOOL = "std_srvs/srv/Trigger", "std_srvs/srv/SetBool"
REQUEST_STOP = "request_stop"
COMMAND_PERIOD_MS = 20
"""The supervisor's own period."""
REFUSED_SOON = f"refused within {COMMAND_PERIOD_MS} ms of another command (`try again`)"
TAKEN_SOON = f"within {COMMAND_PERIOD_MS} ms of another command `taken` for the next cycle"


@dataclass(frozen=True)
class RosService:
    """One service; `~/<name>` in its node."""

    node: str
    name: str
    type: str
    meaning: str


SERVICES = (
    RosService(
        SUPERVISOR,
        ENGAGE,
        TRIGGER,
        f"drive; the answer is the state, or every reason that stands against it; {REFUSED_SOON}",
    ),
    RosService(
        SUPERVISOR,
        DISENGAGE,
        TRIGGER,
        f"give the vehicle back to the driver; a stop that has begun goes on; {TAKEN_SOON}",
    ),
    RosService(
        SUPERVISOR,
        REARM,
        TRIGGER,
        f"back to standby, at standstill and with what asked for the stop gone; {REFUSED_SOON}",
    ),
    RosService(
        SUPERVISOR,
        REQUEST_STOP,
        TRIGGER,
        f"stop in lane now, while engaged; it ends at standstill, latched; {TAKEN_SOON}",
    ),
    RosService(SUPERVISOR, SHADOW, SET_BOOL, "true: watch and report without authority; false: as before. In standby"),
)
