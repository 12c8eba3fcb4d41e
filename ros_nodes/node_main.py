"""Runs any process of the graph as a ROS 2 node: parameters, executor, exit status."""

from __future__ import annotations

import faulthandler
import os
import signal
import sys
import traceback
from collections.abc import Sequence
from typing import TYPE_CHECKING

from onboard_vla.core.early_exit import end_cleanly_when_told
from onboard_vla.core.errors import OnboardVlaError
from onboard_vla.core.process import EXIT_CONFIGURATION, EXIT_FAILURE, Role, Settled
from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.core.refusals import log_event
from onboard_vla.core.settings import SettingsReply
from onboard_vla.core.wire import Message
from onboard_vla.ros_nodes.command_line import answered
from onboard_vla.ros_nodes.environment import require_rclpy
from onboard_vla.ros_nodes.node_options import AUTOSTART, BOTH, DEAF_AFTER, OUTPUT_FORMAT, PICTURES, RECTIFIED
from onboard_vla.ros_nodes.topics import RAW, default_remaps

if TYPE_CHECKING:
    from rclpy.executors import SingleThreadedExecutor

    from onboard_vla.ros_nodes.diagnostics import Source
    from onboard_vla.ros_nodes.hosting import Hosting
    from onboard_vla.ros_nodes.parameters import Parameters

HARDWARE_ID = "onboard_vla"
"""What diagnostics say they are about: this system, whatever machine it runs on."""
FAILURE_POLL_S = 0.1
"""How often the executor asks whether the host's threads still work."""
DEAF_REARM_S = 1.0
"""How often a lifecycle node's executor tells that it is not deaf; if not, a thread that needs no lock ends it."""


class _HostFailedError(Exception):
    """Leaves the executor."""


def run_node(role: Role, arguments: Sequence[str] | None = None, *, lifecycle: bool = False) -> int:
    """Run one node until it is told to end; returns its exit status. `lifecycle`: as a lifecycle node."""
    end_cleanly_when_told()
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

    # From here on rclpy's own handlers end the executor; they also call those that they find.
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    signal.signal(signal.SIGINT, signal.default_int_handler)
    try:
        rclpy.init(args=[role.name, *words, *default_remaps(role.name)])
    except Exception as error:
        # rclpy raises errors of its C layer, whose classes differ between distributions.
        return _refuse(role, error)
    from onboard_vla.ros_nodes.executor import make_executor

    status = 0
    hosting: Hosting | None = None
    # It lives until rclpy's thread for signals has ended, which wakes it.
    try:
        executor = make_executor()
    except OnboardVlaError as error:
        rclpy.try_shutdown()
        return _refuse(role, error)
    try:
        hosting = _lifecycle_node(role) if lifecycle else _plain_node(role)
        _spin(role, hosting, executor)
    except OnboardVlaError as error:
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
    faulthandler.cancel_dump_traceback_later()
    stopped = hosting.close() if hosting is not None else True
    rclpy.try_shutdown()
    executor.shutdown()
    sys.stderr.flush()
    if not stopped or (hosting is not None and hosting.loading()):
        # A thread is stuck inside a library; only this ends the process now.
        os._exit(status)
    return status


def _plain_node(role: Role) -> Hosting:
    import rclpy

    from onboard_vla.ros_nodes.hosting import Hosting
    from onboard_vla.ros_nodes.parameters import Parameters

    node = rclpy.create_node(role.name)
    parameters = Parameters(node, role)
    host = role.build({**parameters.of(role.options), **parameters.given_settings})
    settled: object = host
    if isinstance(settled, Settled):
        parameters.declare_settings(settled.settings())
    pictures = str(parameters.values.get(PICTURES.name, RAW))
    hosting = Hosting(node, role.name, pictures, parameters.values.get(OUTPUT_FORMAT.name) == BOTH)
    parameters.hand_changes_to(hosting.change)
    if role.name == SUPERVISOR:
        from onboard_vla.ros_nodes.operator_services import OperatorServices

        OperatorServices(node, hosting)
    if isinstance(settled, Settled):
        _follow(parameters, settled, hosting)
    hosting.open(host)
    _diagnose(hosting, ())
    return hosting


def _follow(parameters: Parameters, settled: Settled, hosting: Hosting) -> None:
    """Parameters show settings that were changed by a message."""

    def on_published(message: Message) -> None:
        if isinstance(message, SettingsReply) and message.accepted:
            parameters.show_settings(settled.settings())

    hosting.listen(on_published)


def _lifecycle_node(role: Role) -> Hosting:
    from onboard_vla.ros_nodes.hosting import Hosting
    from onboard_vla.ros_nodes.lifecycle import HostedLifecycleNode
    from onboard_vla.ros_nodes.parameters import Parameters

    node = HostedLifecycleNode(role)
    parameters = Parameters(node, role)
    pictures = str(parameters.values.get(PICTURES.name, RAW))
    hosting = Hosting(node, role.name, pictures, rectified=bool(parameters.values.get(RECTIFIED.name, False)))
    parameters.hand_changes_to(hosting.change)
    node.prepare(lambda: parameters.of(role.options), hosting)

    deaf_after_s = float(parameters.values[DEAF_AFTER.name])
    ends = False

    def watch() -> None:
        nonlocal ends
        if node.stuck:
            raise _HostFailedError("a thread did not end when the node was cleaned up")
        if ends:
            raise _HostFailedError("it was shut down, and no transition leads out of that: it has to be started again")
        # At the next look: who shut it down gets an answer first.
        ends = node.finalized
        if node.loading:
            # A library may hold the interpreter's lock for long while it loads engines.
            faulthandler.cancel_dump_traceback_later()
            return
        faulthandler.dump_traceback_later(deaf_after_s, exit=True)

    node.create_timer(DEAF_REARM_S, watch, clock=hosting.steady)
    _diagnose(hosting, (node.checks,))
    hosting.loading = lambda: node.loading
    if parameters.values[AUTOSTART.name]:
        hosting.begin = node.start_by_itself
    return hosting


def _diagnose(hosting: Hosting, sources: Sequence[Source]) -> None:
    from onboard_vla.ros_nodes.diagnostics import Diagnostics, refusal_source

    every = (*sources, hosting.checks, refusal_source(hosting.refusals))
    Diagnostics(hosting.node, hosting.steady, HARDWARE_ID, every)


def _spin(role: Role, hosting: Hosting, executor: SingleThreadedExecutor) -> None:
    from onboard_vla.ros_nodes.replies import Replies

    def look_for_failure() -> None:
        failure = hosting.failure()
        if failure is not None:
            raise _HostFailedError(failure)

    hosting.node.create_timer(FAILURE_POLL_S, look_for_failure, clock=hosting.steady)
    Replies(hosting.node)
    log_event(role.name, "started", transport="ros", pid=os.getpid(), domain=os.environ.get("ROS_DOMAIN_ID", "0"))
    # After that line, so that a log ends with why a node could not be configured.
    hosting.begin()
    executor.add_node(hosting.node)
    executor.spin()


def _refuse(role: Role, error: Exception) -> int:
    sys.stderr.write(f"{role.name}: {' '.join(str(error).split())}\n")
    return EXIT_CONFIGURATION
