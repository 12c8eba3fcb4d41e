"""A service's answer waits for a caller whose reader is discovered late, instead of being lost."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from lifecycle_msgs.srv import GetState

from .nodes import LIMIT_S, STAND_IN

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(find_spec("cyclonedds") is None, reason="needs cyclonedds (extra `dev`)"),
    pytest.mark.parametrize("distribution", ["kilted", "jazzy"]),
    pytest.mark.timeout(120),
]
PROGRAM = Path(__file__).with_name("late_caller.py")


@pytest.fixture
def caller(domain_id):
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
    command = [sys.executable, str(PROGRAM), str(domain_id)]
    pipe = subprocess.PIPE
    with subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment) as process:
        yield process
        process.kill()


def state(client) -> str:
    return str(client.call(GetState, "vla_planner/get_state").current_state.label)


def test_a_caller_that_listens_late_is_answered(start, client, caller) -> None:
    node = start(STAND_IN, autostart=False)
    client.until(lambda: state(client) == "inactive", "the caller's request is carried out")

    answer, _ = caller.communicate("listen\n", timeout=LIMIT_S)

    assert answer == "True\n", node.said()
