"""`onboard-vla ros up` and `ros check --topics` with real nodes."""

from __future__ import annotations

import os
import signal
import subprocess
import time
from dataclasses import replace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from rcl_interfaces.srv import GetParameters

from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.ros.others import running_already
from onboard_vla.ros_nodes.deployment import Deployment

from .command import LIMIT_S, PROGRAM, Running
from .nodes import GUARD

pytestmark = pytest.mark.ros


@pytest.fixture
def up(domain_id, tmp_path):
    path = tmp_path / "d.yaml"
    path.write_text("mode: simulation\nwithout: [vla_planner]\nnamespace: car\nbundle: /given\n")
    running = Running("up", "--config", str(path), "--logs", str(tmp_path / "logs"))
    yield running
    running.close()


def names(client):
    return {f"{space.rstrip('/')}/{name}" for name, space in client.node.get_node_names_and_namespaces()}


def test_up_starts_the_graph_restarts_who_dies_and_ends_all_on_ctrl_c(up, client, tmp_path):
    guard = int(up.wait_for(r"camera_guard: started, pid (\d+)")[1])
    client.until(lambda: {"/car/safety_supervisor", "/car/camera_guard"} <= names(client), "nodes in their namespace")
    request = GetParameters.Request(names=["bundle", "profile"])
    answer = client.call(GetParameters, "/car/safety_supervisor/get_parameters", request)
    assert [value.string_value for value in answer.values] == ["/given", "simulation"]

    os.kill(guard, signal.SIGKILL)
    again = int(up.wait_for(r"camera_guard: started, pid (\d+), restart 1")[1])
    up.process.send_signal(signal.SIGINT)

    assert up.process.wait(LIMIT_S) == 130
    assert again != guard
    with pytest.raises(ProcessLookupError):
        os.kill(again, 0)
    assert "simulation" in (tmp_path / "logs" / "safety_supervisor.log").read_text()


def second_start(tmp_path, logs):
    return subprocess.run(
        [*PROGRAM, "up", "--config", str(tmp_path / "d.yaml"), "--logs", str(tmp_path / logs)],
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )


def test_a_second_start_in_the_same_domain_is_refused_until_the_first_is_gone(up, client, tmp_path):
    guard = int(up.wait_for(r"camera_guard: started, pid (\d+)")[1])
    client.until(lambda: {"/car/safety_supervisor", "/car/camera_guard"} <= names(client), "nodes in their namespace")
    log = tmp_path / "logs" / "safety_supervisor.log"
    before = log.stat().st_ino

    for logs, says in (
        ("logs", f"{tmp_path / 'logs'}: another start (pid {up.process.pid}) writes its logs there"),
        ("others", "/car/camera_guard and /car/safety_supervisor run already"),
    ):
        refused = second_start(tmp_path, logs)
        assert refused.returncode == 1
        assert says in refused.stderr
        assert refused.stderr.count("\n") == 1
    assert log.stat().st_ino == before
    os.kill(guard, 0)

    up.process.kill()
    up.process.wait()
    again = Running("up", "--config", str(tmp_path / "d.yaml"), "--logs", str(tmp_path / "logs"))
    try:
        again.wait_for(r"camera_guard: started, pid (\d+)")
    finally:
        again.close()


def test_nodes_of_another_launcher_are_found_in_their_domain_alone(client, start):
    start(GUARD)
    client.until(lambda: "/camera_guard" in names(client), "the guard in discovery")
    file = DeploymentFile(Deployment("simulation", "/b"), "", None)
    ends_s = time.monotonic() + LIMIT_S
    # One look may be too short on a busy machine.
    while not (found := running_already(file, ["vla_planner", "camera_guard"])):
        assert time.monotonic() < ends_s, "the guard was not found"

    assert found == ["/camera_guard"]
    assert running_already(replace(file, namespace="car"), ["camera_guard"]) == []


def test_check_waits_for_inputs_and_names_those_that_are_missing_or_of_another_type(domain_id, client, tmp_path):
    from std_msgs.msg import String

    from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink

    path = tmp_path / "d.yaml"
    path.write_text("mode: simulation\nwithout: [vla_planner]\n")
    check = [*PROGRAM, "check", "--config", str(path), "--topics"]
    environment = {**os.environ, "COLUMNS": "400"}
    with RosVehicleLink(domain_id) as link:
        publisher = next(p for p in link._node.publishers if p.topic_name == "/onboard_vla/wheel_speed")
        there = subprocess.run(
            [*check, "60"], capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False
        )
        link._node.destroy_publisher(publisher)
        client.node.create_publisher(String, "/onboard_vla/wheel_speed", 1)
        for limit_s in ("3", "12", "48"):
            wrong = subprocess.run(
                [*check, limit_s], capture_output=True, text=True, timeout=LIMIT_S, env=environment, check=False
            )
            rows = [line for line in wrong.stdout.splitlines() if "missing" in line]
            # What else is missing was not found in time: once more with more of it.
            if len(rows) == 1:
                break

    assert there.returncode == 0, there.stdout + there.stderr
    assert wrong.returncode == 1
    assert len(rows) == 1, wrong.stdout
    assert "expected geometry_msgs/msg/TwistWithCovarianceStamped, found std_msgs/msg/String" in rows[0]
