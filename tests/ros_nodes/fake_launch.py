"""The part of `launch` and `launch_ros` that our launch file uses, recording instead of starting processes.

`launch` is not on PyPI. The names, and what is a keyword where, are those of the published packages (launch 3.4).
"""

from __future__ import annotations

import os
from collections.abc import Callable, MutableMapping
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass
class LaunchContext:
    launch_configurations: dict[str, Any] = field(default_factory=dict)
    is_shutdown: bool = False
    environment: MutableMapping[str, str] = field(default_factory=lambda: dict(os.environ))


class Action:
    """Base of everything that is recorded."""


@dataclass
class LaunchDescription:
    entities: list[Any]


@dataclass
class DeclareLaunchArgument(Action):
    name: str
    default_value: str | None = None
    description: str | None = None
    choices: list[str] | None = None


@dataclass
class ExecuteProcess(Action):
    cmd: list[str]
    output: str = "log"
    on_exit: Any = None


@dataclass
class GroupAction(Action):
    actions: list[Action]


@dataclass
class LogInfo(Action):
    msg: str


@dataclass
class OpaqueFunction(Action):
    function: Callable[[LaunchContext], list[Action] | None]


@dataclass
class SetEnvironmentVariable(Action):
    name: str
    value: str


@dataclass
class Shutdown(Action):
    reason: str


@dataclass
class TimerAction(Action):
    period: float
    actions: list[Action]


@dataclass
class LaunchConfiguration:
    name: str

    def perform(self, context: LaunchContext) -> str:
        return context.launch_configurations[self.name]


@dataclass
class ProcessExited:
    returncode: int


@dataclass
class Node(Action):
    package: str
    executable: str
    name: str
    namespace: str = ""
    parameters: list[Any] = field(default_factory=list)
    arguments: list[str] = field(default_factory=list)
    output: str = "log"
    emulate_tty: bool = False
    on_exit: Any = None


NAMES = {
    "launch": (Action, LaunchContext, LaunchDescription),
    "launch.actions": (
        DeclareLaunchArgument,
        ExecuteProcess,
        GroupAction,
        LogInfo,
        OpaqueFunction,
        SetEnvironmentVariable,
        Shutdown,
        TimerAction,
    ),
    "launch.events": (),
    "launch.events.process": (ProcessExited,),
    "launch.substitutions": (LaunchConfiguration,),
    "launch_ros": (),
    "launch_ros.actions": (Node,),
}


def modules() -> dict[str, ModuleType]:
    """What to put into sys.modules while the launch file runs."""
    made = {}
    for name, members in NAMES.items():
        made[name] = ModuleType(name)
        for member in members:
            setattr(made[name], member.__name__, member)
    return made


@dataclass
class Started:
    """A node's process: what launch_ros gives it beside its action. `remaps`: (from, to), those of the scope first."""

    node: Node
    remaps: list[tuple[str, str]]
    environment: dict[str, str]


def visit(actions: list[Action], context: LaunchContext) -> list[Started]:
    """The processes that start now; a group's configurations and environment end with it (launch's GroupAction)."""
    found: list[Started] = []
    for action in actions:
        if isinstance(action, SetEnvironmentVariable):
            context.environment[action.name] = action.value
        elif isinstance(action, OpaqueFunction):
            found += visit(action.function(context) or [], context)
        elif isinstance(action, GroupAction):
            configurations, environment = dict(context.launch_configurations), dict(context.environment)
            found += visit(action.actions, context)
            context.launch_configurations, context.environment = configurations, environment
        elif isinstance(action, Node):
            remaps = list(context.launch_configurations.get("ros_remaps", []))
            found.append(Started(action, remaps, dict(context.environment)))
    return found


def launch(description: LaunchDescription, context: LaunchContext | None = None, **arguments: str) -> list[Action]:
    """What `ros2 launch FILE name:=value ...` would start; `context`: what stands around the file.

    Raises:
        ValueError: an argument that the file does not declare, or a value that is none of its choices.
    """
    context = context or LaunchContext()
    declared = [entity for entity in description.entities if isinstance(entity, DeclareLaunchArgument)]
    for name in arguments:
        if name not in [argument.name for argument in declared]:
            raise ValueError(f"no argument {name}")
    for argument in declared:
        value = arguments.get(argument.name, argument.default_value)
        assert value is not None, f"{argument.name} has no default"
        if argument.choices is not None and value not in argument.choices:
            raise ValueError(f"{argument.name}: {value} is none of {argument.choices}")
        context.launch_configurations[argument.name] = value
    started: list[Action] = []
    for entity in description.entities:
        if isinstance(entity, OpaqueFunction):
            started += entity.function(context) or []
    return started
