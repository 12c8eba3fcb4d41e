"""Which inputs a vehicle with a supervisor's settings can do without, and what follows where they are not sent."""

from __future__ import annotations

from onboard_vla.core.cameras import CameraModel
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import WheelSpeed
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.settings import SettingsRequest
from onboard_vla.core.wire import Message
from onboard_vla.safety.config import NOT_PERCEIVED, VEHICLE_PROFILE, SupervisorConfig
from onboard_vla.safety.input_config import OPTIONAL


def dispensable(config: SupervisorConfig) -> dict[type[Message], str]:
    """Inputs that nobody has to send for a vehicle with these settings to leave standby, and what follows then."""
    found: dict[type[Message], str] = {
        CameraModel: "cameras are not held against those of the bundle",
        OperatorCommand: "the operator's commands come by the supervisor's services alone",
        SettingsRequest: "settings change by the supervisor's parameters alone",
    }
    if config.profile != VEHICLE_PROFILE:
        found[DriverState] = "nobody says when the driver acts: he takes over by `disengage` alone, and from no stop"
    if config.wheel.presence == OPTIONAL:
        found[WheelSpeed] = "the odometry's speed is held against nothing (`wheel.presence` is optional)"
    if config.perception == NOT_PERCEIVED:
        found |= dict.fromkeys((ObjectList, LaneObservation), f"not asked for (`perception` is {NOT_PERCEIVED})")
    if not config.odd.declared:
        found[OperatingConditions] = "not asked for: `odd` declares nothing"
    return found
