"""A client on another vendor's DDS reads our trajectory and drives our inputs, with the shipped Fast DDS profile."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from importlib.util import find_spec
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from trajectory_msgs.msg import MultiDOFJointTrajectory

from onboard_vla.core.safe_trajectory import NO_STAMP, Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.ros_nodes.trajectory_codec import to_trajectory

from .nodes import SUPERVISOR

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(find_spec("cyclonedds") is None, reason="needs cyclonedds (extra `dev`)"),
]
PROGRAM = Path(__file__).with_name("other_vendor.py")
EGO = "safety_supervisor: ego state"
LIMIT_S = 90.0
"""Ends what hangs."""


@pytest.fixture
def vendor(domain_id, tmp_path):
    """Starts the client and gives what tells the rows that it has printed.

    It has nothing of ours in its environment but the domain's number, and prints into a file: a pipe that nobody reads
    would soon be full, and the client stand still.
    """
    running: list[subprocess.Popen] = []
    said = tmp_path / "rows"

    def start() -> Callable[[], list[dict]]:
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command = [sys.executable, str(PROGRAM), str(domain_id), "123.5"]
        with said.open("w") as rows:
            running.append(subprocess.Popen(command, stdout=rows, stderr=subprocess.DEVNULL, env=environment))
        return lambda: [json.loads(line) for line in said.read_text().splitlines(keepends=True) if line[-1] == "\n"]

    yield start
    for process in running:
        process.kill()
        process.wait()


@pytest.mark.parametrize("distribution", ["kilted", "jazzy"])
def test_another_vendors_client_drives_our_inputs_and_hears_our_trajectory(start, client, vendor):
    levels: dict[str, bytes] = {}

    def take(message: DiagnosticArray) -> None:
        levels.update({status.name: status.level for status in message.status})

    client.node.create_subscription(DiagnosticArray, "/diagnostics", take, 10)
    start(SUPERVISOR, realtime_priority=0)
    ok = DiagnosticStatus.OK
    client.until(lambda: levels.get(EGO, ok) != ok, "an ego state that is missed", LIMIT_S)

    printed = vendor()
    client.until(lambda: levels[EGO] == ok, "an ego state from the other vendor's client", LIMIT_S)
    client.until(lambda: bool(printed()), "a trajectory at the other vendor's reader", LIMIT_S)

    assert printed()[0]["frame"] == "odom"


def test_another_vendors_client_reads_every_number_of_a_trajectory(client, vendor):
    points = np.arange(18, dtype=float).reshape(3, 6) * [0.1, 1.0, -1.0, 0.01, 0.5, -0.25]
    made = (
        Engagement.ENGAGED,
        Mode.NOMINAL,
        "model",
        1,
        (),
        points,
        False,
        Takeover.NONE,
        NO_STAMP,
        NO_STAMP,
        (),
        0,
        "",
    )
    message = to_trajectory(SafeTrajectory(1, 1, *made))
    publisher = client.node.create_publisher(MultiDOFJointTrajectory, "/onboard_vla/trajectory", 10)
    printed = vendor()

    def arrived() -> bool:
        # Its reader may know our writer later than ours knows its reader.
        publisher.publish(message)
        return bool(printed())

    client.until(arrived, "a trajectory at the other vendor's reader", LIMIT_S)

    np.testing.assert_allclose(printed()[0]["points"], points[:, [0, 1, 2, 4, 5]], atol=1e-9)
