"""The one table of the nodes' own services, beside those that rclpy gives every node and every lifecycle node."""

from __future__ import annotations

from dataclasses import dataclass

from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.safe_trajectory import DISENGAGE, ENGAGE, REARM, SHADOW

TRIGGER, SET_BOOL = "std_srvs/srv/Trigger", "std_srvs/srv/SetBool"


REQUEST_STOP = "request_stop"


@dataclass(frozen=True)
class RosService:
    """One service; `~/<name>` in its node."""

    node: str
    name: str
    type: str
    meaning: str


SERVICES = (
    RosService(SUPERVISOR, ENGAGE, TRIGGER, "drive; the answer is the state, or every reason that stands against it"),
    RosService(SUPERVISOR, DISENGAGE, TRIGGER, "give the vehicle back to the driver; a stop that has begun goes on"),
    RosService(SUPERVISOR, REARM, TRIGGER, "back to standby, at standstill and with what asked for the stop gone"),
    RosService(SUPERVISOR, REQUEST_STOP, TRIGGER, "stop in lane now, while engaged; it ends at standstill, latched"),
    RosService(SUPERVISOR, SHADOW, SET_BOOL, "true: watch and report without authority; false: as before. In standby"),
)
