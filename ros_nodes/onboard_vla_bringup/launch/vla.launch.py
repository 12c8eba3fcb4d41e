"""The nodes of Onboard VLA: `ros2 launch onboard_vla_bringup vla.launch.py bundle:=FOLDER [mode:=replay bag:=FOLDER]`.

Which nodes run, and with what, is decided by `onboard_vla.ros_nodes.deployment`, which `onboard-vla ros up` reads, too.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from launch import Action, LaunchContext, LaunchDescription
from launch.actions import (
    DeclareLaunchArgument,
    ExecuteProcess,
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
NODES = ("safety_supervisor", "camera_guard", "vla_planner")
EXTRA = ("vehicle_gate", "latency_probe", "plan_view")
ARGUMENTS = (
    ("bundle", "", "bundle folder (needed unless planner:=false)", None),
    ("mode", "vehicle", "which parameter file is the base, and whether a recording is played", MODES),
    ("params_file", "", "your own parameters, laid over the mode's file", None),
    ("config", "", "configuration file of supervisor and camera guard", None),
    ("thresholds", "", "thresholds file of the supervisor", None),
    ("bag", "", "recording for mode:=replay", None),
    ("namespace", "", "namespace of all nodes", None),
    *((name, "true", f"start {name}", YES_NO) for name in NODES),
    *((name, "false", f"start {name}, too", YES_NO) for name in EXTRA),
    ("rviz", "false", "show the shipped view in RViz", YES_NO),
    ("respawn", "true", "start a node again when it dies", YES_NO),
    ("respawn_delay", "0.5", "seconds before that", None),
    ("dds_profile", "", "Fast DDS profile; empty: the environment's, or else the shipped one", None),
    (
        "log_dir",
        "",
        "folder for logs (ROS_LOG_DIR); empty: the environment's, or else one in the system's temporary folder",
        None,
    ),
    ("build_only", "false", "make the bundle's engines and end", YES_NO),
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
        from onboard_vla.ros_nodes.deployment import Deployment, node_starts
        from onboard_vla.ros_nodes.environment import node_environment
        from onboard_vla.ros_nodes.shared_memory import free_stale_segments
    except ImportError as error:
        reason = f"{error}: install onboard-vla (pip) into the Python that ros2 runs with"
        raise RuntimeError(reason) from None
    if given["build_only"] == "true":
        command = ["python3", "-m", "onboard_vla.ros_nodes.build_only", given["bundle"]]
        return [ExecuteProcess(cmd=command, output="screen", on_exit=[Shutdown(reason="build_only")])]
    wanted = Deployment(
        mode=given["mode"],
        bundle=given["bundle"],
        parameters=tuple(Path(name) for name in (given["params_file"],) if name),
        config=given["config"],
        thresholds=given["thresholds"],
        bag=given["bag"],
        extra=tuple(name for name in EXTRA if given[name] == "true"),
        without=tuple(name for name in NODES if given[name] == "false"),
    )
    # What it refuses ends the launch with status 1 and its one line.
    starts = node_starts(wanted)
    variables = node_environment(given["dds_profile"])
    if given["log_dir"]:
        variables["ROS_LOG_DIR"] = given["log_dir"]
    freed = free_stale_segments()
    actions = [SetEnvironmentVariable(name, value) for name, value in variables.items()]
    actions.append(LogInfo(msg=f"onboard_vla: {given['mode']}, {len(starts)} nodes; freed {freed} bytes in /dev/shm"))
    actions += [node(one, given) for one in starts]
    if given["rviz"] == "true":
        view = ["-d", str(SHARE / "rviz" / "onboard_vla.rviz")]
        actions.append(Node(package="rviz2", executable="rviz2", name="rviz", arguments=view))
    return actions


def node(one: NodeStart, given: Mapping[str, str]) -> Node:
    """One node, with what happens when it ends."""

    def ended(event: ProcessExited, context: LaunchContext) -> list[Action]:
        if context.is_shutdown:
            return []
        if not one.restart:
            return [Shutdown(reason=f"{one.name} has ended")]
        if event.returncode == WRONG_START:
            return [LogInfo(msg=f"{one.name} was started wrongly (see its line above) and is not started again")]
        if given["respawn"] != "true":
            return []
        return [TimerAction(period=float(given["respawn_delay"]), actions=[node(one, given)])]

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
