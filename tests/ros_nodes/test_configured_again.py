"""A planner that is cleaned up and configured again works as one that was started anew."""

from __future__ import annotations

import gc
import time
from collections.abc import Callable, Iterator

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

import rclpy
from rclpy.lifecycle import TransitionCallbackReturn
from rclpy.parameter import Parameter

from onboard_vla.core.process import Option, Role
from onboard_vla.core.process_graph import PLANNER, VEHICLE
from onboard_vla.core.road import KEEP_FORWARD, Route, RouteCommand
from onboard_vla.ros_nodes.executor import make_executor
from onboard_vla.ros_nodes.hosting import Hosting
from onboard_vla.ros_nodes.node_main import _lifecycle_node
from onboard_vla.ros_nodes.ports import Publishers
from onboard_vla.ros_nodes.topics import default_remaps

pytestmark = [pytest.mark.ros, pytest.mark.timeout(120)]
PERIOD = Option("plan_period_s", float, 0.2, "time between plans", 0.0, 5.0, "s", changeable=True)
ROUTE = Route("r", np.array([[0.0, 0.0], [500.0, 0.0]]), np.full(2, 10.0), (RouteCommand(0.0, 500.0, KEEP_FORWARD),))


class Listener:
    """A host that keeps what it is given."""

    timers = ()

    def __init__(self, values) -> None:
        self.values, self.heard = dict(values), []

    def schedule(self) -> None: ...

    def start(self, publish, clock) -> None: ...

    def receive(self, message, now) -> None:
        self.heard.append(message)

    def change(self, values) -> None: ...

    def pause(self) -> None: ...

    def resume(self) -> None: ...

    def failure(self) -> None: ...

    def stop(self) -> bool:
        return True


class Planner:
    """A planner's node in this process, served by whoever waits; `hosts` are those that it was configured with."""

    def __init__(self) -> None:
        self.hosts: list[Listener] = []
        self.hosting: Hosting = _lifecycle_node(Role(PLANNER, (PERIOD,), self._build))
        self.node = self.hosting.node
        self.executor = make_executor()
        self.executor.add_node(self.node)

    def _build(self, values) -> Listener:
        self.hosts.append(Listener(values))
        return self.hosts[-1]

    def go_through(self, *steps: str) -> None:
        for step in steps:
            assert getattr(self.node, f"trigger_{step}")() == TransitionCallbackReturn.SUCCESS

    def until(self, condition: Callable[[], bool], what: str) -> None:
        end = time.monotonic() + 10.0
        while not condition():
            assert time.monotonic() < end, f"not within 10 s: {what}"
            self.executor.spin_once(timeout_sec=0.05)


@pytest.fixture
def planner(domain_id: int) -> Iterator[Planner]:
    rclpy.init(args=[PLANNER, *default_remaps(PLANNER)], domain_id=domain_id)
    planner = Planner()
    yield planner
    planner.executor.shutdown()
    planner.node.destroy_node()
    # Its lifecycle services outlive `destroy_node`: whoever called the next planner by its name would ask nobody.
    vars(planner).clear()
    gc.collect()
    rclpy.shutdown()


def test_a_route_that_was_sent_once_reaches_who_is_configured_again(planner, client) -> None:
    vehicle = Publishers(client.node, VEHICLE)
    vehicle.publish(ROUTE)
    planner.go_through("configure", "activate")
    planner.until(lambda: any(isinstance(m, Route) for m in planner.hosts[0].heard), "the first has the route")

    planner.go_through("deactivate", "cleanup", "configure", "activate")

    planner.until(lambda: any(isinstance(m, Route) for m in planner.hosts[1].heard), "the second has it, too")


def test_who_is_configured_again_has_what_the_parameters_say(planner) -> None:
    planner.go_through("configure")
    assert planner.node.set_parameters([Parameter("plan_period_s", value=1.5)])[0].successful

    planner.go_through("cleanup", "configure")

    assert [host.values for host in planner.hosts] == [{"plan_period_s": 0.2}, {"plan_period_s": 1.5}]
