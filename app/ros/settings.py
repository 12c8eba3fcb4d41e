"""The configuration that a deployment's supervisor will have, and what it asks of the vehicle."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from onboard_vla.app.ros.parameters import node_parameters
from onboard_vla.core.cameras import CameraModel
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import WheelSpeed
from onboard_vla.core.errors import ConfigurationError, OnboardVlaError
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.process_graph import PLANNER, SUPERVISOR
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.settings import SettingsRequest
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.deployment import NodeStart
from onboard_vla.ros_nodes.documents import ROLES
from onboard_vla.safety.config import NOT_PERCEIVED, VEHICLE_PROFILE, SupervisorConfig
from onboard_vla.safety.input_config import OPTIONAL
from onboard_vla.safety.supervisor_host import supervisor_config


def settings_of_supervisor(start: NodeStart, namespace: str) -> SupervisorConfig:
    """As the supervisor itself reads files and parameters.

    Raises:
        OnboardVlaError: it would refuse them.
    """
    values = node_parameters(start, namespace)
    role = next(role for role in ROLES if role.name == SUPERVISOR)
    own = [option.name for option in (*role.options, *role.settings) if option.name in values]
    return supervisor_config({name: values[name] for name in own}, yaml.compose)


def refuse_unjudged_engines(starts: Sequence[NodeStart], namespace: str) -> None:
    """Refuse a planner that takes engines which nobody has judged beside a supervisor of the profile `vehicle`.

    The supervisor cannot see it: a float32 bundle without golden scenes has nothing unjudged but its engines.

    Raises:
        ConfigurationError: there is such a pair.
    """
    by_name = {start.name: start for start in starts}
    if not {PLANNER, SUPERVISOR} <= by_name.keys():
        return
    try:
        unjudged = node_parameters(by_name[PLANNER], namespace)["unjudged_engines"]
        profile = settings_of_supervisor(by_name[SUPERVISOR], namespace).profile if unjudged else ""
    except OnboardVlaError:
        return  # the node itself says so, and does not start
    if profile == VEHICLE_PROFILE:
        raise ConfigurationError(
            f"unjudged_engines of {PLANNER} beside profile {VEHICLE_PROFILE} of {SUPERVISOR}: expected engines that "
            "were judged on golden scenes (onboard-vla build-engine of a bundle that has them), or another profile"
        )


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
