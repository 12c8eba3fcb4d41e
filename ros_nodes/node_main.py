"""Runs any process of the graph as a ROS 2 node: parameters, executor, exit status."""

from __future__ import annotations

import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from onboard_vla.core.clock import Now
from onboard_vla.core.early_exit import end_cleanly_when_told
from onboard_vla.core.errors import ConfigurationError, OnboardVlaError
from onboard_vla.core.process import EXIT_CONFIGURATION, EXIT_FAILURE, OptionValue, ProcessHost, Role
from onboard_vla.core.refusals import Refusals, log_event
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.environment import require_rclpy
from onboard_vla.ros_nodes.topics import default_remaps

if TYPE_CHECKING:
    from rclpy.node import Node

FAILURE_POLL_S = 0.1
"""How often the executor asks whether the host's threads still work."""
FOREIGN_PARAMETERS = ("use_sim_time", "qos_overrides.", "start_type_description_service")
"""Parameters that rclpy itself knows."""


class _HostFailedError(Exception):
    """Leaves the executor."""


def run_node(role: Role, arguments: Sequence[str] | None = None) -> int:
    """Run one node until it is told to end; returns its exit status."""
    end_cleanly_when_told()
    try:
        require_rclpy()
    except OnboardVlaError as error:
        return _refuse(role, error)
    import rclpy
    from rclpy.exceptions import InvalidParameterTypeException
    from rclpy.executors import ExternalShutdownException

    # From here on rclpy's own handlers end the executor; they also call those that they find.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        rclpy.init(args=[role.name, *(sys.argv[1:] if arguments is None else arguments), *default_remaps(role.name)])
    except Exception as error:
        # rclpy raises errors of its C layer, whose classes differ between distributions.
        return _refuse(role, error)
    status = 0
    host: ProcessHost | None = None
    try:
        node = rclpy.create_node(role.name)
        host = role.build(role.values(_parameters(node, role)))
        _serve(role, host, node)
    except (OnboardVlaError, InvalidParameterTypeException) as error:
        status = _refuse(role, error)
    except (KeyboardInterrupt, ExternalShutdownException):
        pass
    except _HostFailedError as error:
        log_event(role.name, "failed", reason=str(error))
        status = EXIT_FAILURE
    except Exception:
        # A signal during start-up also shows as an error of whatever rclpy was doing.
        if rclpy.ok():
            log_event(role.name, "failed", reason=traceback.format_exc())
            status = EXIT_FAILURE
    stopped = host.stop() if host is not None else True
    rclpy.try_shutdown()
    sys.stderr.flush()
    if not stopped:
        # A thread is stuck inside a library; only this ends the process now.
        os._exit(status)
    return status


def _serve(role: Role, host: ProcessHost, node: Node) -> None:
    from rclpy.clock import Clock
    from rclpy.clock_type import ClockType
    from rclpy.executors import SingleThreadedExecutor

    from onboard_vla.ros_nodes.ports import Publishers, Subscriptions

    ros_clock, steady = node.get_clock(), Clock(clock_type=ClockType.STEADY_TIME)

    def now() -> Now:
        return Now(time.monotonic_ns(), ros_clock.now().nanoseconds)

    def take(message: Message) -> None:
        host.receive(message, now())

    def look_for_failure() -> None:
        failure = host.failure()
        if failure is not None:
            raise _HostFailedError(failure)

    publishers = Publishers(node, role.name)
    host.start(publishers.publish, now)
    subscriptions = Subscriptions(node, role.name, take, Refusals(role.name))
    for timer in host.timers:
        # Steady: a rate must not follow simulated or corrected time.
        node.create_timer(timer.period_s, timer.tick, clock=steady)
    node.create_timer(FAILURE_POLL_S, look_for_failure, clock=steady)
    log_event(role.name, "started", transport="ros", pid=os.getpid(), domain=os.environ.get("ROS_DOMAIN_ID", "0"))
    executor = SingleThreadedExecutor()
    executor.add_node(node)
    executor.spin()
    del subscriptions


def _parameters(node: Node, role: Role) -> dict[str, OptionValue]:
    """The values given for the role's options.

    Raises:
        ConfigurationError: a parameter is unknown.
    """
    from rcl_interfaces.msg import ParameterDescriptor

    known = [option.name for option in role.options]
    for name in node._parameter_overrides:
        if name not in known and not name.startswith(FOREIGN_PARAMETERS):
            raise ConfigurationError(
                f"{role.name} has no parameter {name!r}: expected one of {', '.join(known) or 'none'}"
            )
    given: dict[str, OptionValue] = {}
    for option in role.options:
        # Dynamic typing lets whole numbers pass for doubles; the option itself checks type and range.
        descriptor = ParameterDescriptor(description=option.description, read_only=True, dynamic_typing=True)
        parameter: Any = node.declare_parameter(option.name, option.default, descriptor)
        if parameter.value is not None:
            given[option.name] = parameter.value
    return given


def _refuse(role: Role, error: Exception) -> int:
    sys.stderr.write(f"{role.name}: {' '.join(str(error).split())}\n")
    return EXIT_CONFIGURATION
