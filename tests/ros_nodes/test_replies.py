"""A service's answer waits for a caller whose reader is discovered late, instead of being lost."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from importlib.util import find_spec
from pathlib import Path

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from lifecycle_msgs.msg import Transition
from lifecycle_msgs.srv import ChangeState, GetState

from onboard_vla.ros_nodes import replies

from ..hil.conclusive import conclusively
from .nodes import STAND_IN, Client

pytestmark = [
    pytest.mark.ros,
    pytest.mark.skipif(find_spec("cyclonedds") is None, reason="needs cyclonedds (extra `dev`)"),
    pytest.mark.timeout(300),
]
ANSWER_S = 15.0
"""An answer goes out within 5 s, or is lost."""
CLEAN_UP = ChangeState.Request(transition=Transition(id=Transition.TRANSITION_CLEANUP))
PROGRAM = Path(__file__).with_name("late_caller.py")


@pytest.fixture
def call_late(domain_id):
    """Starts a caller that listens when it is told to; the one before is ended."""
    running: list[subprocess.Popen] = []

    def end() -> None:
        for process in running:
            process.kill()
            process.communicate()
        running.clear()

    def start() -> subprocess.Popen:
        end()
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}
        command, pipe = [sys.executable, str(PROGRAM), str(domain_id)], subprocess.PIPE
        running.append(subprocess.Popen(command, stdin=pipe, stdout=pipe, text=True, env=environment))
        return running[-1]

    yield start
    end()


def state(client) -> str:
    return str(client.call(GetState, "vla_planner/get_state").current_state.label)


@pytest.mark.parametrize("distribution", ["kilted", "jazzy"])
def test_a_caller_that_listens_late_is_answered(start, client, call_late) -> None:
    node = start(STAND_IN, autostart=False)
    late_s = 0.0

    def answered() -> None:
        nonlocal late_s
        caller = call_late()
        # It was not asked before this; an answer waits from then on.
        asked_s = begin_s = time.monotonic()
        while state(client) == "unconfigured":
            asked_s, begin_s = begin_s, time.monotonic()
        caller.stdin.write("listen\n")
        caller.stdin.flush()
        assert caller.stdout.readline() == "listens\n"
        late_s = max(0.0, time.monotonic() - asked_s - replies.KEPT_NS / 1e9 / 2)
        try:
            answer, _ = caller.communicate(timeout=ANSWER_S)
        except subprocess.TimeoutExpired:
            answer = "none"
        if answer != "True\n":
            client.call(ChangeState, "vla_planner/change_state", CLEAN_UP)
        assert answer == "True\n", node.said()

    conclusively(answered, lambda begin_ns: late_s)


def test_a_caller_that_never_listens_is_not_waited_for_twice(domain_id, client, call_late, monkeypatch, capsys) -> None:
    monkeypatch.setattr(replies, "KEPT_NS", 200_000_000)
    served = Client(domain_id)
    call_late()
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
        # From here on an answer to somebody who does not listen would wait for longer than this test.
        monkeypatch.setattr(replies, "KEPT_NS", 3_600_000_000_000)
        client.call(ChangeState, "vla_planner/change_state")
        assert len(asked) == 2
        assert "callers_do_not_listen" not in capsys.readouterr().err
    finally:
        served.close()
