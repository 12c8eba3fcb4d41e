"""The planner's lifecycle through services, from another process, on both distributions."""

from __future__ import annotations

import json

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import DescribeParameters, GetParameters, SetParameters
from rclpy.parameter import Parameter
from rclpy.qos import QoSProfile
from std_msgs.msg import UInt8MultiArray

from onboard_vla.core.process import EXIT_FAILURE
from onboard_vla.core.wire import decode

from .nodes import LIMIT_S, STAND_IN

pytestmark = [
    pytest.mark.ros,
    pytest.mark.parametrize("distribution", ["kilted", "jazzy"]),
    pytest.mark.timeout(300),
]
CONFIGURE, CLEANUP, ACTIVATE, DEACTIVATE = 1, 2, 3, 4


def change(client, number: int = 0, label: str = "") -> bool:
    request = ChangeState.Request(transition=Transition(id=number, label=label))
    return bool(client.call(ChangeState, "vla_planner/change_state", request).success)


def state(client) -> str:
    return str(client.call(GetState, "vla_planner/get_state").current_state.label)


def set_parameter(client, name: str, value) -> tuple[bool, str]:
    request = SetParameters.Request(parameters=[Parameter(name, value=value).to_parameter_msg()])
    result = client.call(SetParameters, "vla_planner/set_parameters", request).results[0]
    return result.successful, result.reason


def get_parameter(client, name: str):
    return client.call(GetParameters, "vla_planner/get_parameters", GetParameters.Request(names=[name])).values[0]


def next_heartbeat(client):
    """One that is made from now on."""
    heard = []
    subscription = client.node.create_subscription(
        UInt8MultiArray, "onboard_vla/wire/planner_heartbeat", heard.append, QoSProfile(depth=1)
    )
    client.until(lambda: len(heard) >= 2, "heartbeats")
    client.node.destroy_subscription(subscription)
    return decode(memoryview(heard[-1].data))


def test_wrong_requests_are_refused_and_the_node_lives_on(start, client) -> None:
    node = start(STAND_IN)
    client.until(lambda: state(client) == "active", "it starts by itself")

    # ros2/rclpy#1209: before rclpy 8 the first of these ended the process.
    assert not change(client, CONFIGURE)
    assert not change(client, 99)
    assert not change(client, label="no such transition")
    assert not change(client, ACTIVATE)

    assert state(client) == "active"
    assert next_heartbeat(client).ready
    assert node.process.poll() is None


def test_every_step_of_the_lifecycle_works_and_heartbeats_say_what_it_does(start, client) -> None:
    start(STAND_IN, autostart=False)

    assert state(client) == "unconfigured"
    assert change(client, CONFIGURE)
    assert not next_heartbeat(client).ready
    assert change(client, ACTIVATE)
    assert next_heartbeat(client).ready
    assert change(client, DEACTIVATE)
    assert (next_heartbeat(client).ready, next_heartbeat(client).detail) == (False, "inactive")
    assert change(client, CLEANUP)
    assert state(client) == "unconfigured"
    assert change(client, CONFIGURE)
    assert change(client, ACTIVATE)
    assert next_heartbeat(client).ready


def test_shut_down_by_anybody_it_ends_as_who_is_to_be_started_again(start, client) -> None:
    node = start(STAND_IN)
    client.until(lambda: state(client) == "active", "it starts by itself")

    assert change(client, Transition.TRANSITION_ACTIVE_SHUTDOWN)

    assert node.process.wait(LIMIT_S) == EXIT_FAILURE
    last = json.loads(node.said().splitlines()[-1])
    assert (last["event"], "it was shut down" in last["reason"]) == ("failed", True)


def test_what_cannot_be_built_leaves_a_node_that_can_be_configured_again(start, client) -> None:
    node = start(STAND_IN, broken=True)

    assert state(client) == "unconfigured"
    client.until(lambda: "not_configured" in node.said(), "it says why")
    last = json.loads(node.said().splitlines()[-1])
    assert last["event"] == "not_configured"
    assert "was asked to be broken" in last["reason"]
    assert not change(client, CONFIGURE)
    assert state(client) == "unconfigured"
    assert node.process.poll() is None


def test_parameters_have_ranges_and_say_why_not(start, client) -> None:
    start(STAND_IN)
    client.until(lambda: state(client) == "active", "it starts by itself")

    assert set_parameter(client, "plan_period_s", 3) == (True, "")
    assert get_parameter(client, "plan_period_s").double_value == 3.0
    for name, value, words in (
        ("plan_period_s", 5.01, "out of range"),
        ("plan_period_s", -0.01, "out of range"),
        ("plan_period_s", "fast", "ype"),
        ("dies_after", 1, "read-only"),
        ("colour", "red", "undeclared"),
        ("use_sim_time", True, "read once at start"),
    ):
        successful, reason = set_parameter(client, name, value)
        assert not successful, name
        assert words in reason
    assert get_parameter(client, "plan_period_s").double_value == 3.0

    request = DescribeParameters.Request(names=["plan_period_s"])
    described = client.call(DescribeParameters, "vla_planner/describe_parameters", request).descriptors[0]
    assert described.description == "time between plans, s, 0 to 5"
    assert [(r.from_value, r.to_value) for r in described.floating_point_range] == [(0.0, 5.0)]


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"plan_period_s": 9.5}, "plan_period_s: expected 0 to 5, found 9.5"),
        ({"dies_after": "many"}, "dies_after: expected int"),
        ({"plan_periods": 1.0}, "no option 'plan_periods': expected one of dies_after, bundle_hash, "),
    ],
)
def test_wrong_start_is_one_line_and_status_2(start, parameters, words) -> None:
    node = start(STAND_IN, **parameters)

    assert node.process.wait(LIMIT_S) == 2
    assert [words in line for line in node.said().splitlines()] == [True], node.said()
