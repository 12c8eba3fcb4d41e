"""A service's answer waits for a caller whose reader is discovered late, instead of being lost."""

from __future__ import annotations

import os
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from lifecycle_msgs.srv import ChangeState, GetState

from onboard_vla.ros_nodes import replies

from .nodes import LIMIT_S, STAND_IN, Client

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(find_spec("cyclonedds") is None, reason="needs cyclonedds (extra `dev`)"),
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


@pytest.mark.parametrize("distribution", ["kilted", "jazzy"])
def test_a_caller_that_listens_late_is_answered(start, client, caller) -> None:
    node = start(STAND_IN, autostart=False)
    client.until(lambda: state(client) == "inactive", "the caller's request is carried out")

    answer, _ = caller.communicate("listen\n", timeout=LIMIT_S)

    assert answer == "True\n", node.said()


def test_a_caller_that_never_listens_is_not_waited_for_twice(domain_id, client, caller, monkeypatch, capsys) -> None:
    monkeypatch.setattr(replies, "KEPT_NS", 200_000_000)
    served = Client(domain_id)
    asked: list[object] = []

    def answer(request, response):
        asked.append(request)
        return response

    try:
        served.node.create_service(ChangeState, "vla_planner/change_state", answer)
        replies.Replies(served.node)
        served.spin_beside()
        client.until(lambda: "callers_do_not_listen" in capsys.readouterr().err, "that it is said")
        assert len(asked) == 1
        client.call(ChangeState, "vla_planner/change_state")
        assert len(asked) == 2
        assert "callers_do_not_listen" not in capsys.readouterr().err
    finally:
        served.close()
