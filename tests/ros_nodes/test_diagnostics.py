"""/diagnostics of real nodes, and DDS's own word on the link between planner and supervisor."""

from __future__ import annotations

import os
import signal

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from builtin_interfaces.msg import Time
from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState
from rosgraph_msgs.msg import Clock
from sensor_msgs.msg import CameraInfo

from .nodes import GUARD, STAND_IN, SUPERVISOR

pytestmark = [pytest.mark.ros, pytest.mark.parametrize("distribution", ["kilted", "jazzy"]), pytest.mark.timeout(300)]
OK, WARN, ERROR, STALE = DiagnosticStatus.OK, DiagnosticStatus.WARN, DiagnosticStatus.ERROR, DiagnosticStatus.STALE


@pytest.fixture
def newest(client) -> dict[str, DiagnosticStatus]:
    """The newest entry of each name."""
    entries: dict[str, DiagnosticStatus] = {}

    def keep(array: DiagnosticArray) -> None:
        assert array.header.stamp.sec > 0
        entries.update({status.name: status for status in array.status})

    client.node.create_subscription(DiagnosticArray, "/diagnostics", keep, 10)
    return entries


def level(newest, name: str):
    return newest[name].level if name in newest else None


def test_planner_reports_its_lifecycle_and_what_it_waits_for(start, client, newest) -> None:
    start(STAND_IN, autostart=False)
    client.until(lambda: level(newest, "vla_planner: lifecycle") == WARN, "entry of the lifecycle")
    assert newest["vla_planner: lifecycle"].message.startswith("unconfigured: ")

    for number in (1, 3):
        client.call(ChangeState, "vla_planner/change_state", ChangeState.Request(transition=Transition(id=number)))

    # The worker is well before it is told to work: the two entries come in either order.
    for check in ("worker", "lifecycle"):
        client.until(lambda check=check: level(newest, f"vla_planner: {check}") == OK, f"entry of the {check}")
    assert newest["vla_planner: plan"].message == "no plan yet: look at pictures, ego state and route"
    assert {status.hardware_id for status in newest.values()} == {"onboard_vla"}


def test_a_node_that_cannot_be_configured_says_why_and_what_to_do(start, client, newest) -> None:
    start(STAND_IN, broken=True)

    client.until(lambda: level(newest, "vla_planner: lifecycle") == ERROR, "entry of the lifecycle")

    message = newest["vla_planner: lifecycle"].message
    assert "was asked to be broken: mend that, then configure again" in message


def test_a_planner_of_rectified_pictures_asks_for_their_projection(start, client, newest) -> None:
    name = "vla_planner: refused messages"
    start(STAND_IN, **{"cameras.rectified": True})
    publisher = client.node.create_publisher(CameraInfo, "onboard_vla/camera/front/camera_info", 1)
    info = CameraInfo(width=8, height=4, k=[8.0, 0.0, 4.0, 0.0, 8.0, 2.0, 0.0, 0.0, 1.0])

    def refused() -> bool:
        publisher.publish(info)
        return level(newest, name) == WARN

    client.until(refused, "a model without a projection is refused")


def test_in_a_namespace_entries_have_full_names_and_say_that_a_clock_is_not_heard(start, client) -> None:
    entries: dict[str, DiagnosticStatus] = {}
    client.node.create_subscription(
        DiagnosticArray, "/diagnostics", lambda array: entries.update((s.name, s) for s in array.status), 10
    )
    start((*GUARD, "--ros-args", "-r", "__ns:=/car"), use_sim_time=True)

    client.until(lambda: level(entries, "/car/camera_guard: clock") == ERROR, "nobody publishes /clock")
    assert "nobody is heard on /clock" in entries["/car/camera_guard: clock"].message
    assert all(name.startswith("/car/camera_guard: ") for name in entries)
    simulator = client.node.create_publisher(Clock, "/clock", 10)

    def heard() -> bool:
        simulator.publish(Clock(clock=Time(sec=100)))
        return level(entries, "/car/camera_guard: clock") == OK

    client.until(heard, "the clock is heard")


def test_dds_notices_a_planner_that_stands_still_and_one_that_comes_back(start, client, newest) -> None:
    name = "safety_supervisor: link wire/planner_heartbeat"
    start(SUPERVISOR)
    client.until(lambda: level(newest, name) == STALE, "link that nobody uses yet")
    planner = start(STAND_IN)
    client.until(lambda: level(newest, name) == OK, "heartbeats")
    client.until(lambda: level(newest, "safety_supervisor: planner") == OK, "the supervisor has heard them, too")
    assert level(newest, "safety_supervisor: ego state") == ERROR
    assert newest["safety_supervisor: ego state"].message.startswith("EGO_MISSING: look at ")

    os.kill(planner.process.pid, signal.SIGSTOP)
    try:
        client.until(lambda: level(newest, name) == ERROR, "liveliness lost")
        client.until(lambda: level(newest, "safety_supervisor: planner") == ERROR, "the supervisor's own word")
        values = {pair.key: pair.value for pair in newest[name].values}
        assert int(values["deadlines_missed"]) >= 1
        assert int(values["liveliness_lost"]) >= 1, "more often on a machine that was late before"
    finally:
        os.kill(planner.process.pid, signal.SIGCONT)
    client.until(lambda: level(newest, name) == OK, "heartbeats again")
