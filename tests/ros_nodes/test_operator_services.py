"""Commands and settings of a real supervisor through services: obeyed, or refused with every reason."""

from __future__ import annotations

import json
import time
from array import array

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from rcl_interfaces.srv import GetParameters, SetParametersAtomically
from rclpy.parameter import Parameter
from std_msgs.msg import UInt8MultiArray
from std_srvs.srv import SetBool, Trigger

from onboard_vla.core.process import EXIT_CONFIGURATION
from onboard_vla.core.settings import SettingsRequest
from onboard_vla.core.wire import encode
from onboard_vla.ros_nodes.services import SERVICES

from .nodes import LIMIT_S, SUPERVISOR

pytestmark = [pytest.mark.ros, pytest.mark.parametrize("distribution", ["kilted", "jazzy"]), pytest.mark.timeout(300)]


def ask(client, name: str) -> tuple[bool, str]:
    while True:
        answer = client.call(Trigger, f"safety_supervisor/{name}")
        # One command a period is decided on at once.
        if not answer.message.startswith("taken") and not answer.message.endswith("try again"):
            return answer.success, answer.message


def shadow(client, wanted: bool) -> tuple[bool, str]:
    answer = client.call(SetBool, "safety_supervisor/shadow", SetBool.Request(data=wanted))
    return answer.success, answer.message


def set_all(client, **values) -> tuple[bool, str]:
    parameters = [Parameter(n.replace("__", "."), value=v).to_parameter_msg() for n, v in values.items()]
    request = SetParametersAtomically.Request(parameters=parameters)
    result = client.call(SetParametersAtomically, "safety_supervisor/set_parameters_atomically", request).result
    return result.successful, result.reason


def get(client, name: str):
    request = GetParameters.Request(names=[name])
    return client.call(GetParameters, "safety_supervisor/get_parameters", request).values[0]


def source(client) -> str:
    states = []
    subscription = client.node.create_subscription(DiagnosticStatus, "onboard_vla/state", states.append, 10)
    client.until(lambda: bool(states), "state")
    client.node.destroy_subscription(subscription)
    return json.loads(next(pair.value for pair in states[-1].values if pair.key == "source"))


def test_engaging_is_refused_with_every_reason_that_stands_against_it(start, client) -> None:
    start(SUPERVISOR)

    obeyed, message = ask(client, "engage")

    assert not obeyed
    codes = {part.partition(":")[0] for part in message.split("; ")}
    assert {"EGO_MISSING", "OBJECTS_MISSING", "LANES_MISSING", "ROUTE_MISSING", "ODD_UNDECLARED"} <= codes


def test_nobody_takes_a_running_supervisor_to_another_clock(start, client) -> None:
    start(SUPERVISOR)

    successful, reason = set_all(client, use_sim_time=True)

    assert (successful, "read once at start" in reason) == (False, True)
    assert set_all(client, use_sim_time=False) == (True, "")
    stamps = []
    client.node.create_subscription(DiagnosticArray, "/diagnostics", lambda a: stamps.append(a.header.stamp.sec), 10)
    client.until(lambda: bool(stamps), "diagnostics")
    assert abs(stamps[0] - time.time()) < LIMIT_S


def test_the_node_has_the_services_of_the_table(start, client) -> None:
    start(SUPERVISOR)
    expected = {(f"/{s.node}/{s.name}", s.type) for s in SERVICES}

    def found() -> set[tuple[str, str]]:
        return {(name, kinds[0]) for name, kinds in client.node.get_service_names_and_types() if "std_srvs" in kinds[0]}

    client.until(lambda: found() == expected, f"services {expected}")


def test_autowares_messages_are_refused_in_one_line_where_they_are_not_installed(start) -> None:
    supervisor = start(SUPERVISOR, **{"output.format": "both"})

    assert supervisor.process.wait(LIMIT_S) == EXIT_CONFIGURATION
    assert (
        supervisor.said()
        .splitlines()[-1]
        .startswith("safety_supervisor: output.format is both, but autoware_planning_msgs is not installed")
    )


def test_commands_of_another_state_are_refused_and_say_where_they_belong(start, client) -> None:
    start(SUPERVISOR)

    assert ask(client, "disengage") == (
        False,
        "COMMAND_NOT_NOW: disengage in standby: possible in engaged only (found 1, limit 0)",
    )
    assert ask(client, "rearm")[1].startswith("COMMAND_NOT_NOW: rearm in standby: possible in latched only")
    assert ask(client, "request_stop")[1].startswith("COMMAND_NOT_NOW: stop in standby: possible in engaged only")


def test_shadow_takes_the_authority_away_and_gives_it_back(start, client) -> None:
    start(SUPERVISOR)

    assert shadow(client, True) == (True, "authority is shadow")
    assert source(client) == "shadow"
    assert get(client, "authority").string_value == "shadow"
    assert "SHADOW_ONLY" in ask(client, "engage")[1]

    assert shadow(client, False) == (True, "authority is drive")
    assert source(client) != "shadow"


def test_settings_change_in_standby_together_and_within_their_range(start, client) -> None:
    start(SUPERVISOR, **{"freshness.ego_stop_s": 0.3})
    assert get(client, "freshness.ego_stop_s").double_value == 0.3

    assert set_all(client, freshness__ego_stop_s=0.15, ladder__rejections=3) == (True, "")
    assert get(client, "freshness.ego_stop_s").double_value == 0.15
    for values, words in (
        ({"freshness__ego_stop_s": 1.5}, "range"),
        ({"freshness__ego_stop_s": 0.05}, "expected ego_warn_s <= ego_stop_s"),
        ({"authority": "sometimes"}, "expected drive or shadow"),
        ({"profile": "simulation"}, "read-only"),
        ({"freshness__ego_stop_s": 0.2, "ladder__rejections": 10_000}, ""),
    ):
        accepted, reason = set_all(client, **values)
        assert not accepted
        assert words in reason
    assert get(client, "freshness.ego_stop_s").double_value == 0.15


def test_parameters_follow_settings_that_a_message_changed(start, client) -> None:
    start(SUPERVISOR)
    assert get(client, "freshness.ego_stop_s").double_value == 0.2
    document = "schema: 1\nfreshness:\n  ego_stop_s: 0.25\n"
    publisher = client.node.create_publisher(UInt8MultiArray, "onboard_vla/wire/settings", 1)

    def follows() -> bool:
        # Stamped anew each time: on a busy machine one request may have become too old, and is then refused.
        publisher.publish(UInt8MultiArray(data=array("B", encode(SettingsRequest(time.time_ns(), document)))))
        return get(client, "freshness.ego_stop_s").double_value == 0.25

    client.until(follows, "the parameter follows")


def test_a_supervisor_that_died_driving_comes_back_latched_with_its_settings_locked(start, client, tmp_path) -> None:
    marker = tmp_path / "driving"
    marker.touch()
    start(SUPERVISOR, marker=marker, **{"freshness.ego_stop_s": 0.3})

    accepted, reason = set_all(client, freshness__ego_stop_s=0.2)
    assert not accepted
    assert reason.startswith("CONFIG_CHANGE_REFUSED: latched: settings change in standby alone")
    assert get(client, "freshness.ego_stop_s").double_value == 0.3
    assert not shadow(client, True)[0]

    obeyed, message = ask(client, "rearm")
    assert not obeyed
    assert "NOT_STANDING" in message
    assert ask(client, "engage")[1].startswith("COMMAND_NOT_NOW: engage in latched")
