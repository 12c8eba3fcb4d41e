"""What a deployment starts, but no engines that nobody has judged beside a vehicle's supervisor."""

from __future__ import annotations

from collections.abc import Sequence

import yaml

from onboard_vla.core.errors import ConfigurationError, OnboardVlaError
from onboard_vla.core.process_graph import PLANNER, SUPERVISOR
from onboard_vla.ros_nodes.deployment import Deployment, NodeStart, node_starts
from onboard_vla.ros_nodes.documents import ROLES
from onboard_vla.ros_nodes.parameter_files import node_parameters
from onboard_vla.safety.config import VEHICLE_PROFILE, SupervisorConfig
from onboard_vla.safety.supervisor_host import supervisor_config


def judged_starts(wanted: Deployment, namespace: str) -> tuple[NodeStart, ...]:
    """The nodes to start, in order: what whoever starts them asks for.

    `namespace`: of the nodes, which decides what sections of the files meet them.

    Raises:
        ConfigurationError: as `node_starts`, and as `refuse_unjudged_engines`.
    """
    starts = node_starts(wanted)
    refuse_unjudged_engines(starts, namespace)
    return starts


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
