"""The part of `launch` and `launch_ros` that our launch file uses, recording instead of starting processes.

`launch` is not on PyPI. The names, and what is a keyword where, are those of the published packages (launch 3.4).
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from types import ModuleType
from typing import Any


@dataclass
class LaunchContext:
    launch_configurations: dict[str, str] = field(default_factory=dict)
    is_shutdown: bool = False


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
class LogInfo(Action):
    msg: str


@dataclass
class OpaqueFunction(Action):
    function: Callable[[LaunchContext], list[Action]]


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


def launch(description: LaunchDescription, **arguments: str) -> list[Action]:
    """What `ros2 launch FILE name:=value ...` would start.

    Raises:
        ValueError: an argument that the file does not declare, or a value that is none of its choices.
    """
    context = LaunchContext()
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
            started += entity.function(context)
    return started
