"""What rclpy of Humble does not have, with modules that stand for it: no machine of ours runs Humble."""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from rclpy.parameter import Parameter

import onboard_vla
from onboard_vla.core.process import Option, Role
from onboard_vla.ros_nodes.link_events import LinkEvents
from onboard_vla.ros_nodes.parameters import Parameters
from onboard_vla.ros_nodes.replies import Replies

from .asked_node import SERVICE, AskedNode

pytestmark = pytest.mark.ros
ROLE = Role("probe", (Option("period_s", float, 1.0, "a period", 0.0, 5.0, "s", changeable=True),), lambda values: None)
HUMBLE = {
    "rclpy.clock": {"Clock", "ClockType"},
    "rclpy.context": {"Context"},
    "rclpy.duration": {"Duration"},
    "rclpy.exceptions": {"InvalidHandle"},
    "rclpy.executors": {"ExternalShutdownException", "SingleThreadedExecutor"},
    "rclpy.impl.implementation_singleton": {"rclpy_implementation"},
    "rclpy.lifecycle": {"LifecycleNode", "LifecycleState", "TransitionCallbackReturn"},
    "rclpy.node": {"Node"},
    "rclpy.parameter": {"Parameter"},
    "rclpy.qos": {
        "DurabilityPolicy",
        "HistoryPolicy",
        "LivelinessPolicy",
        "QoSCompatibility",
        "QoSProfile",
        "ReliabilityPolicy",
        "qos_check_compatible",
    },
    "rclpy.qos_event": {"SubscriptionEventCallbacks"},
    "rclpy.serialization": {"deserialize_message", "serialize_message"},
    "rclpy.signals": {"SignalHandlerOptions"},
    "rclpy.waitable": {"NumberOfEntities"},
}
"""Of what rclpy 3.3.15 (Humble's; github.com/ros2/rclpy, the tag of that name) has, what is imported here.

Whoever imports more looks there first, and then adds it.
"""


def lacking_imports(source: str) -> Iterator[str]:
    """What a module takes from rclpy that Humble's has not, outside a `try` that has another way."""
    tree = ast.parse(source)
    tries = [node for node in ast.walk(tree) if isinstance(node, ast.Try)]
    guarded = {
        inner
        for attempt in tries
        if any(isinstance(h.type, ast.Name) and h.type.id == "ImportError" for h in attempt.handlers)
        for statement in attempt.body
        for inner in ast.walk(statement)
    }
    for node in ast.walk(tree):
        if node in guarded:
            continue
        if isinstance(node, ast.Import):
            yield from (each.name for each in node.names if each.name.startswith("rclpy."))
        elif isinstance(node, ast.ImportFrom) and f"{node.module}.".startswith("rclpy."):
            has = HUMBLE.get(str(node.module), set())
            yield from (f"{node.module}.{each.name}" for each in node.names if each.name not in has)


def test_everything_imported_from_rclpy_is_in_humbles() -> None:
    package = Path(onboard_vla.__file__).parent
    files = [file for room in ("ros_nodes", "app", "hil") for file in (package / room).resolve().rglob("*.py")]
    sources = {file: text for file in files if "rclpy" in (text := file.read_text())}

    assert {"steady.py", "replies.py", "inputs.py", "link_events.py"} <= {file.name for file in sources}
    assert [(file.name, found) for file, text in sources.items() for found in lacking_imports(text)] == []


@pytest.mark.parametrize(
    ("source", "found"),
    [
        ("from rclpy.clock_type import ClockType", ["rclpy.clock_type.ClockType"]),
        ("def f():\n    from rclpy.qos import QoSProfile, NotThere", ["rclpy.qos.NotThere"]),
        ("from rclpy import event_handler", ["rclpy.event_handler"]),
        ("import rclpy.event_handler", ["rclpy.event_handler"]),
        ("import rclpy", []),
        (
            "try:\n    from rclpy.event_handler import A\nexcept ImportError:\n    from rclpy.old import B",
            ["rclpy.old.B"],
        ),
        ("try:\n    from rclpy.event_handler import A\nexcept ValueError:\n    pass", ["rclpy.event_handler.A"]),
    ],
)
def test_an_import_that_humble_lacks_is_found(source: str, found: list[str]) -> None:
    assert list(lacking_imports(source)) == found


@pytest.mark.parametrize(
    "names", [{"srv_name": "~/change_state"}, {"srv_name": SERVICE}, {"srv_name": "ignored", "service_name": SERVICE}]
)
def test_answers_are_looked_after_where_a_service_does_not_know_its_full_name(names: dict[str, str]) -> None:
    node = AskedNode(**names)
    Replies(node)

    node.service.send_response("answer", None)

    assert node.topics == [f"rq{SERVICE}Request", f"rr{SERVICE}Reply"]
    assert node.sent == ["answer"]


def test_event_callbacks_come_from_the_module_that_humble_has(monkeypatch) -> None:
    old = ModuleType("rclpy.qos_event")
    old.SubscriptionEventCallbacks = lambda **callbacks: callbacks
    monkeypatch.setitem(sys.modules, "rclpy.event_handler", None)
    monkeypatch.setitem(sys.modules, "rclpy.qos_event", old)
    link = LinkEvents("wire/planner_heartbeat", "vla_planner")

    assert link.callbacks() == {"deadline": link.on_deadline, "liveliness": link.on_liveliness}


class HumbleNode:
    """A node without callbacks before a parameter is set."""

    def __init__(self, **overrides) -> None:
        self._parameter_overrides = {name: SimpleNamespace(value=value) for name, value in overrides.items()}
        self.declared, self.on_set = {}, None

    def declare_parameter(self, name, value, descriptor, ignore_override):
        self.declared[name] = value

    def add_on_set_parameters_callback(self, callback) -> None:
        self.on_set = callback


def test_parameters_work_without_the_callback_that_humble_lacks() -> None:
    node = HumbleNode(period_s=3)

    parameters = Parameters(node, ROLE)
    taken = []
    parameters.hand_changes_to(lambda values: taken.append(values))

    assert node.declared == {"period_s": 3.0}
    assert node.on_set([Parameter("period_s", value=4)]).successful
    assert taken == [{"period_s": 4.0}]
    refused = node.on_set([Parameter("period_s", value=6.0)])
    assert (refused.successful, refused.reason) == (False, "period_s: expected 0 to 5, found 6")
