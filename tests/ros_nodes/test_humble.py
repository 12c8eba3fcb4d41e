"""What rclpy of Humble does not have, with modules that stand for it: no machine of ours runs Humble."""

from __future__ import annotations

import sys
from types import ModuleType, SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from rclpy.parameter import Parameter

from onboard_vla.core.process import Option, Role
from onboard_vla.ros_nodes.link_events import LinkEvents
from onboard_vla.ros_nodes.parameters import Parameters

pytestmark = pytest.mark.ros
ROLE = Role("probe", (Option("period_s", float, 1.0, "a period", 0.0, 5.0, "s", changeable=True),), lambda values: None)


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
