"""The nodes of Onboard VLA: `ros2 launch onboard_vla_bringup vla.launch.py bundle:=FOLDER [mode:=replay bag:=FOLDER]`.

Which nodes run, and with what, is decided by `onboard_vla.ros_nodes.deployment`, which `onboard-vla ros up` reads, too.
Remaps come from a GroupAction around the file (`SetRemap`): the package's README has an example.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
    GroupAction,
    LogInfo,
    OpaqueFunction,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)
from launch.events.process import ProcessExited
from launch.substitutions import LaunchConfiguration
from launch_ros.actions import Node

if TYPE_CHECKING:
    from onboard_vla.ros_nodes.deployment import NodeStart

PACKAGE = "onboard_vla_bringup"
SHARE = Path(__file__).resolve().parent.parent
WRONG_START = 2
"""Exit status of a node that was started wrongly: starting it again the same way is pointless."""
MODES = ["vehicle", "replay", "simulation"]
YES_NO = ["true", "false"]
SUPERVISOR = "safety_supervisor"
NODES = (SUPERVISOR, "camera_guard", "vla_planner")
DRAWS = "plan_view"
EXTRA = ("vehicle_gate", "latency_probe", DRAWS)
INSTALL = (
    "python3 -m venv --system-site-packages ENV",
    'ENV/bin/pip install . "numpy<2"',
    "export PYTHONPATH=$(ENV/bin/python -c \"import sysconfig; print(sysconfig.get_path('purelib'))\"):$PYTHONPATH",
)
"""In a clone. `ros2` runs with the system's Python, whatever environment is active: it has to be told where ours is."""
BUILD = "onboard_vla.app.ros.build_only"
"""A module, for `python3` on the path, as the nodes' programs find theirs."""
ARGUMENTS = (
    ("bundle", "", "bundle folder (needed unless vla_planner:=false)", None),
    ("mode", "vehicle", "which parameter file is the base, and whether a recording is played", MODES),
    ("params_file", "", "your own parameters, laid over the mode's file", None),
    ("config", "", "configuration file of supervisor and camera guard", None),
    ("thresholds", "", "thresholds file of the supervisor", None),
    ("bag", "", "recording for mode:=replay", None),
    ("namespace", "", "namespace of all nodes", None),
    *((name, "true", f"start {name}", YES_NO) for name in NODES),
    *((name, "false", f"start {name}, too", YES_NO) for name in EXTRA),
    ("rviz", "false", "show the shipped view in RViz; starts plan_view, which draws its picture, too", YES_NO),
    ("respawn", "true", "start a node again when it dies", YES_NO),
    ("respawn_delay", "0.5", "seconds before that", None),
    ("dds_profile", "", "Fast DDS profile; empty: the environment's, or else the shipped one", None),
    (
        "log_dir",
        "",
        "folder for logs (ROS_LOG_DIR); empty: the environment's, or else one in the system's temporary folder",
        None,
    ),
    ("build_only", "false", "make the engines that the planner's parameters ask for, load them, and end", YES_NO),
)


def generate_launch_description() -> LaunchDescription:
    """Called by `ros2 launch`."""
    declared = []
    for name, default, description, choices in ARGUMENTS:
        options = {} if choices is None else {"choices": choices}
        declared.append(DeclareLaunchArgument(name, default_value=default, description=description, **options))
    return LaunchDescription([*declared, OpaqueFunction(function=start)])


def start(context: LaunchContext) -> list[Action]:
    """Everything that follows from the arguments."""
    given = {name: LaunchConfiguration(name).perform(context) for name, *_ in ARGUMENTS}
    try:
        from onboard_vla.ros_nodes.deployment import Deployment, planner_start
        from onboard_vla.ros_nodes.environment import node_environment, other_middleware
        from onboard_vla.ros_nodes.judged_starts import judged_starts
        from onboard_vla.ros_nodes.shared_memory import free_stale_segments
    except ImportError as error:
        # `ros2` itself runs with this Python, not with that of an active environment.
        recipe = " && ".join(INSTALL)
        raise RuntimeError(f"{error}, for {sys.executable}; in a clone of Onboard VLA: {recipe}") from None
    wanted = Deployment(
        mode=given["mode"],
        bundle=given["bundle"],
        parameters=tuple(Path(name) for name in (given["params_file"],) if name),
        config=given["config"],
        thresholds=given["thresholds"],
        bag=given["bag"],
        extra=tuple(name for name in EXTRA if given[name] == "true" or (name == DRAWS and given["rviz"] == "true")),
        without=tuple(name for name in NODES if given[name] == "false"),
    )
    around, own = context.launch_configurations.get("ros_namespace", ""), given["namespace"]
    namespace = own if own.startswith("/") else f"{around}/{own}".strip("/")
    # What these refuse ends the launch with status 1 and its one line.
    if given["build_only"] == "true":
        return [build(planner_start(wanted), namespace)]
    starts = judged_starts(wanted, namespace)
    delay_s = respawn_delay_s(given["respawn_delay"])
    variables = node_environment(given["dds_profile"])
    if given["log_dir"]:
        variables["ROS_LOG_DIR"] = given["log_dir"]
    freed = free_stale_segments()
    actions = [SetEnvironmentVariable(name, value) for name, value in variables.items()]
    actions.append(LogInfo(msg=f"onboard_vla: {given['mode']}, {len(starts)} nodes; freed {freed} bytes in /dev/shm"))
    if middleware := other_middleware():
        actions.append(LogInfo(msg=f"onboard_vla: {middleware}"))
    again = scope(context, variables)
    actions += [node(one, given, delay_s, again) for one in starts]
    if given["rviz"] == "true":
        view = ["-d", str(SHARE / "rviz" / "onboard_vla.rviz")]
        # The topics in its file are relative: they follow the namespace.
        actions.append(
            Node(package="rviz2", executable="rviz2", name="rviz", namespace=given["namespace"], arguments=view)
        )
    return actions


def respawn_delay_s(text: str) -> float:
    """The argument, read before anything starts: in the handler of a node's end it would take the others along."""
    try:
        delay_s = float(text)
    except ValueError:
        delay_s = math.nan
    if not 0.0 <= delay_s < math.inf:
        raise RuntimeError(f"respawn_delay: expected seconds from 0 up, such as 0.5, found {text!r}")
    return delay_s


def build(planner: NodeStart, namespace: str) -> ExecuteProcess:
    """The engines alone; what goes wrong ends the launch with status 1."""

    def ended(event: ProcessExited, _context: LaunchContext) -> list[Action]:
        if event.returncode:
            raise RuntimeError(f"build_only ended with status {event.returncode}: its line above says why")
        return [Shutdown(reason="build_only")]

    words = ["--bundle", str(planner.parameters["bundle"])]
    if namespace:
        words += ["--namespace", namespace]
    words += [word for file in planner.files for word in ("--params-file", str(file))]
    return ExecuteProcess(cmd=["python3", "-m", BUILD, *words], output="screen", on_exit=ended)


def scope(context: LaunchContext, variables: Mapping[str, str]) -> Callable[[LaunchContext], None]:
    """Puts remaps, parameters, namespace and environment of this moment in place again.

    `launch` keeps them only while it visits a group's actions: a node that is started later would be without them.
    """
    kept = {name: list(v) if isinstance(v, list) else v for name, v in context.launch_configurations.items()}
    environment = {**context.environment, **variables}

    def restore(later: LaunchContext) -> None:
        later.launch_configurations.update(kept)
        later.environment.update(environment)

    return restore


def node(one: NodeStart, given: Mapping[str, str], delay_s: float, restore: Callable[[LaunchContext], None]) -> Node:
    """One node, with what happens when it ends; `delay_s`: until it is started again."""

    def ended(event: ProcessExited, context: LaunchContext) -> list[Action]:
        if context.is_shutdown:
            return []
        if not one.restart and event.returncode:
            # The launch ends with status 1, as `onboard-vla ros up` does.
            raise RuntimeError(f"{one.name} ended with status {event.returncode}: its line above says why")
        if not one.restart:
            return [Shutdown(reason=f"{one.name} has ended")]
        if one.may_finish and not event.returncode:
            return [LogInfo(msg=f"{one.name} has finished")]
        if event.returncode == WRONG_START:
            said = LogInfo(msg=f"{one.name} was started wrongly (see its line above) and is not started again")
            return [said, *after(one.name, given)]
        if given["respawn"] != "true":
            return after(one.name, given)
        again = GroupAction([OpaqueFunction(function=restore), node(one, given, delay_s, restore)])
        return [TimerAction(period=delay_s, actions=[again])]

    return Node(
        package=PACKAGE,
        executable=one.name,
        name=one.name,
        namespace=given["namespace"],
        parameters=[*map(str, one.files), *([dict(one.parameters)] if one.parameters else [])],
        output="screen",
        emulate_tty=True,
        on_exit=ended,
    )


def after(name: str, given: Mapping[str, str]) -> list[Action]:
    """What follows when a node has ended for good: without its supervisor a launch has nothing to go on for.

    It ends with status 1, as soon as a gate beside it has stopped the vehicle, as `onboard-vla ros up` does.
    """
    from onboard_vla.ros_nodes.deployment import GATE_STOPS_WITHIN_S

    def end(_context: LaunchContext) -> None:
        raise RuntimeError(f"{name} has ended for good, and nobody else makes trajectories: all end")

    if name != SUPERVISOR:
        return []
    ends = OpaqueFunction(function=end)
    if given["vehicle_gate"] != "true":
        return [ends]
    said = LogInfo(msg=f"vehicle_gate: has {GATE_STOPS_WITHIN_S:g} s to stop the vehicle")
    return [said, TimerAction(period=GATE_STOPS_WITHIN_S, actions=[ends])]
