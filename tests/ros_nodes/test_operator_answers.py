"""What an operator's service answers, and that a stop reaches the supervisor however many commands there are."""

from __future__ import annotations

from types import SimpleNamespace

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from std_srvs.srv import Trigger

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, OperatorCommand, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.ros_nodes.operator_services import QUEUED, OperatorServices, answer
from onboard_vla.safety.engagement import FROM_STATE
from onboard_vla.safety.guards.orders import PENDING_COMMANDS

pytestmark = pytest.mark.ros


def decided(engagement: Engagement, mode: Mode, *refusals: Reason) -> SafeTrajectory:
    return SafeTrajectory(
        1,
        1,
        engagement,
        mode,
        "stop",
        1,
        (),
        np.zeros((0, 6)),
        False,
        Takeover.NONE,
        NO_STAMP,
        NO_STAMP,
        refusals,
        0,
        "",
    )


@pytest.mark.parametrize(
    ("command", "engagement", "mode", "obeyed"),
    [
        ("engage", Engagement.ENGAGED, Mode.REDUCED, True),
        ("engage", Engagement.STANDBY, Mode.FALLBACK, False),
        ("disengage", Engagement.STANDBY, Mode.FALLBACK, True),
        ("disengage", Engagement.ENGAGED, Mode.IN_LANE_STOP, False),
        ("stop", Engagement.ENGAGED, Mode.IN_LANE_STOP, True),
        ("stop", Engagement.ENGAGED, Mode.EMERGENCY_STOP, True),
        ("stop", Engagement.ENGAGED, Mode.FALLBACK, False),
    ],
)
def test_an_answer_says_whether_the_state_is_what_was_asked_for(command, engagement, mode, obeyed) -> None:
    assert answer(command, decided(engagement, mode))[0] is obeyed


def test_a_refused_stop_is_no_success_whatever_the_mode() -> None:
    against = Reason("COMMAND_NOT_NOW", 1.0, 0.0, "stop in latched: possible in engaged only")

    assert answer("stop", decided(Engagement.LATCHED, Mode.STOPPED, against)) == (
        False,
        "COMMAND_NOT_NOW: stop in latched: possible in engaged only (found 1, limit 0)",
    )


class Bench:
    """A node and a hosting that stand still in time, and keep what they are given."""

    def __init__(self) -> None:
        self.services, self.taken, self.ticks = {}, [], 0
        node = SimpleNamespace(create_service=lambda kind, name, callback: self.services.update({name: callback}))
        OperatorServices(node, self)

    def listen(self, listener) -> None:
        self.published = listener

    def now(self) -> Now:
        return Now(10**9, 5)

    def take(self, message) -> None:
        self.taken.append(message)

    def tick(self) -> None:
        self.ticks += 1

    def call(self, name: str) -> Trigger.Response:
        return self.services[f"~/{name}"](Trigger.Request(), Trigger.Response())


def test_a_second_command_in_one_period_waits_but_stop_and_disengage_are_handed_over_without_another_cycle() -> None:
    bench = Bench()
    bench.call("engage")
    bench.published(decided(Engagement.ENGAGED, Mode.FALLBACK))

    refused, *taken = [bench.call("rearm"), bench.call("request_stop"), bench.call("disengage")]

    assert (refused.success, refused.message.endswith("try again")) == (False, True)
    said = "taken: decided in the next cycle, one every 20 ms, until then engaged, FALLBACK; see onboard_vla/state"
    assert [(r.success, r.message) for r in taken] == [(True, said)] * 2
    assert bench.taken == [OperatorCommand(5, "engage"), OperatorCommand(5, "stop"), OperatorCommand(5, "disengage")]
    assert bench.ticks == 1


@pytest.mark.parametrize("service", ["request_stop", "disengage"])
def test_a_queued_command_that_the_newest_state_stands_against_is_taken_without_success(service) -> None:
    bench = Bench()
    bench.call("rearm")
    bench.published(decided(Engagement.STANDBY, Mode.FALLBACK))

    answered = bench.call(service)

    assert not answered.success
    assert answered.message.startswith("taken, but it is possible in engaged only, and the newest state is standby")
    assert len(bench.taken) == 2


def test_a_queued_command_of_a_supervisor_that_publishes_nothing_is_no_success() -> None:
    bench = Bench()
    bench.call("engage")

    assert (bench.call("request_stop").success, len(bench.taken)) == (False, 2)


def test_of_a_flood_of_disengage_one_waits_behind_a_stop() -> None:
    bench = Bench()
    bench.call("engage")
    bench.published(decided(Engagement.ENGAGED, Mode.FALLBACK))
    bench.call("request_stop")

    assert all(bench.call("disengage").success for _ in range(2 * PENDING_COMMANDS))

    assert [command.command for command in bench.taken] == ["engage", "stop", "disengage"]
    bench.published(decided(Engagement.ENGAGED, Mode.FALLBACK))
    bench.call("disengage")
    assert len(bench.taken) == 4


def test_what_is_queued_is_possible_where_the_ladder_says() -> None:
    assert {FROM_STATE[command] for command in QUEUED} == {Engagement.ENGAGED}
