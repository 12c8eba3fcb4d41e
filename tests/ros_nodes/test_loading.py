"""While a planner's engines load, its node answers; nothing here depends on how long that takes."""

from __future__ import annotations

import json
import time

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from diagnostic_msgs.msg import DiagnosticArray
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState
from rcl_interfaces.srv import GetParameters, SetParameters
from rclpy.parameter import Parameter

from onboard_vla.core.process import EXIT_FAILURE

from .nodes import LIMIT_S, STAND_IN

pytestmark = [pytest.mark.ros, pytest.mark.parametrize("distribution", ["kilted", "jazzy"]), pytest.mark.timeout(300)]
WARM_UP_S = 2.5


def state(client) -> str:
    return str(client.call(GetState, "vla_planner/get_state").current_state.label)


def change(client, number: int) -> bool:
    request = ChangeState.Request(transition=Transition(id=number))
    return bool(client.call(ChangeState, "vla_planner/change_state", request).success)


@pytest.fixture
def gate(tmp_path):
    """Engines are there once it exists."""
    return tmp_path / "loaded"


def test_services_answer_while_engines_load_and_the_node_is_active_after(
    start, client, gate, record_testsuite_property, distribution
) -> None:
    said: list[str] = []
    client.node.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda array: said.extend(s.message for s in array.status if s.name == "vla_planner: lifecycle"),
        10,
    )
    start(STAND_IN, waits_for=str(gate))

    # An answer at all shows it: engines do not come before the last line but one.
    assert state(client) == "unconfigured"
    begin_s = time.monotonic()
    assert state(client) == "unconfigured"
    record_testsuite_property(
        f"get_state_while_loading_ms_{distribution}", round((time.monotonic() - begin_s) * 1e3, 1)
    )
    names = GetParameters.Request(names=["plan_period_s"])
    assert client.call(GetParameters, "vla_planner/get_parameters", names).values[0].double_value > 0.0
    faster = SetParameters.Request(parameters=[Parameter("plan_period_s", value=0.3).to_parameter_msg()])
    (refused,) = client.call(SetParameters, "vla_planner/set_parameters", faster).results
    assert (refused.successful, "after configuring" in refused.reason) == (False, True)
    client.until(lambda: any("engines load" in words for words in said), "diagnostics say what it does")

    gate.touch()
    client.until(lambda: state(client) == "active", "active once they are there")


def test_nobody_else_configures_it_meanwhile_and_shut_down_it_ends(start, client, gate) -> None:
    node = start(STAND_IN, waits_for=str(gate))

    assert not change(client, Transition.TRANSITION_CONFIGURE)
    assert state(client) == "unconfigured"
    assert "engines load, to be configured" in node.said()
    assert change(client, Transition.TRANSITION_UNCONFIGURED_SHUTDOWN)
    assert node.process.wait(LIMIT_S) == EXIT_FAILURE


def test_told_to_end_it_ends_though_engines_still_load(start, client, gate) -> None:
    node = start(STAND_IN, waits_for=str(gate))
    assert state(client) == "unconfigured"

    assert node.close() == 0


def test_a_warm_up_longer_than_any_pass_may_last_is_still_loading_and_the_node_is_active_after(start, client) -> None:
    begin_s = time.monotonic()
    node = start(STAND_IN, warm_up_s=WARM_UP_S, silent_after_s=0.5, stuck_after_s=1.0)

    # A late machine may bring the first answer after the warm-up.
    assert state(client) == "unconfigured" or time.monotonic() - begin_s > WARM_UP_S
    client.until(lambda: state(client) == "active", "active once it is warm")
    assert node.process.poll() is None
    assert "failed" not in node.said()


def test_engines_that_do_not_run_leave_it_unconfigured_with_the_reason(start, client) -> None:
    node = start(STAND_IN, warm_up_fails=True)

    client.until(lambda: "not_configured" in node.said(), "it says why")
    last = json.loads(node.said().splitlines()[-1])
    assert (last["event"], "the engine does not run" in last["reason"]) == ("not_configured", True)
    assert state(client) == "unconfigured"
    assert node.process.poll() is None
