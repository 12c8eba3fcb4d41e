"""What a supervisor's settings ask of its inputs: which it can do without, and how old the others may be."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from onboard_vla.core.cameras import CameraFrame, CameraModel
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.settings import SettingsRequest
from onboard_vla.core.wire import Message
from onboard_vla.safety.config import NOT_PERCEIVED, VEHICLE_PROFILE, SupervisorConfig
from onboard_vla.safety.input_config import OPTIONAL


@dataclass(frozen=True)
class StampLimits:
    """How far from a clock stamps may be, seconds. Kinds that are not named are held against none."""

    oldest_s: Mapping[type[Message], float] = field(default_factory=dict)
    future_s: float = 0.0

    @classmethod
    def of(cls, config: SupervisorConfig) -> StampLimits:
        """Beyond these a vehicle with such a supervisor is stopped, slowed or not engaged, or a command is refused.

        A route holds whatever its stamp, and so does what is said of a camera. That the driver acts counts however late
        it comes.
        """
        freshness = config.freshness
        oldest_s: dict[type[Message], float] = {
            CameraFrame: freshness.verdict_s + freshness.guard_heartbeat_s,
            EgoState: freshness.ego_stop_s,
            WheelSpeed: config.wheel.silent_s,
            OperatorCommand: freshness.command_age_s,
            DriverState: math.inf,
        }
        if config.perception != NOT_PERCEIVED:
            oldest_s |= {ObjectList: freshness.objects_data_s, LaneObservation: freshness.lanes_data_s}
        if config.odd.declared:
            oldest_s[OperatingConditions] = config.odd.conditions_age_s
        return cls(oldest_s, freshness.future_s)


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
