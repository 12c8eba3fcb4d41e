"""Runs a node that is no process of the graph (replay, probe, recorder): parameters, signals, exit status."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.process import EXIT_CONFIGURATION, EXIT_FAILURE, OptionValue, Role
from onboard_vla.core.refusals import log_event
from onboard_vla.ros_nodes.command_line import answered
from onboard_vla.ros_nodes.environment import require_rclpy
from onboard_vla.ros_nodes.topics import default_remaps

if TYPE_CHECKING:
    from rclpy.node import Node

Serve = Callable[["Node", Mapping[str, OptionValue]], None]
"""Does the node's work until it is done or told to end (then rclpy raises out of `spin`)."""


def run_tool(role: Role, serve: Serve, arguments: Sequence[str] | None = None) -> int:
    """Run a tool's node; returns its exit status. `role` gives name and options; it builds nothing."""
    words = list(sys.argv[1:] if arguments is None else arguments)
    answer = answered(role, words)
    if answer is not None:
        return answer
    try:
        require_rclpy()
    except OnboardVlaError as error:
        return _refuse(role, error)
    import rclpy
    from rclpy.executors import ExternalShutdownException

    from onboard_vla.ros_nodes.parameters import Parameters
    from onboard_vla.ros_nodes.replies import Replies

    try:
        rclpy.init(args=[role.name, *words, *default_remaps(role.name)])
    except Exception as error:
        # rclpy raises errors of its C layer, whose classes differ between distributions.
        return _refuse(role, error)
    status = 0
    try:
        node = rclpy.create_node(role.name)
        values = Parameters(node, role).values
        Replies(node)
        serve(node, values)
    except OnboardVlaError as error:
        status = _refuse(role, error)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except Exception:
        # A signal during start-up also shows as an error of whatever rclpy was doing.
        if rclpy.ok():
            log_event(role.name, "failed", reason=traceback.format_exc())
            status = EXIT_FAILURE
    rclpy.try_shutdown()
    sys.stderr.flush()
    return status


def _refuse(role: Role, error: Exception) -> int:
    sys.stderr.write(f"{role.name}: {' '.join(str(error).split())}\n")
    return EXIT_CONFIGURATION
