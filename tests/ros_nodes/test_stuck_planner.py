"""A planner that hangs and does not die by itself: it is missed at once, and ends itself to be started again."""

from __future__ import annotations

import signal
import time

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import UInt8MultiArray

from onboard_vla.core.process import EXIT_FAILURE

from .nodes import LIMIT_S, STAND_IN

pytestmark = [pytest.mark.ros, pytest.mark.parametrize("distribution", ["kilted", "jazzy"]), pytest.mark.timeout(300)]
QUEUE = 5
EXIT_DEAF = 1
"""Of faulthandler's own thread."""


@pytest.fixture
def beats(client) -> list[float]:
    """When heartbeats came."""
    times: list[float] = []
    client.node.create_subscription(
        UInt8MultiArray, "onboard_vla/wire/planner_heartbeat", lambda m: times.append(time.monotonic()), QUEUE
    )
    return times


def test_a_pass_that_does_not_end_is_reported_silences_the_planner_and_ends_it(start, client, beats) -> None:
    levels = []
    client.node.create_subscription(
        DiagnosticArray,
        "/diagnostics",
        lambda array: levels.extend(s.level for s in array.status if s.name == "vla_planner: worker"),
        10,
    )
    planner = start(STAND_IN, silent_after_s=0.5, stuck_after_s=2.0)
    client.until(lambda: len(beats) > 5 and DiagnosticStatus.OK in levels, "a planner that works")

    planner.process.send_signal(signal.SIGRTMIN + 1)
    client.until(lambda: DiagnosticStatus.ERROR in levels, "the worker is reported")
    heard = len(beats)
    client.until(lambda: planner.process.poll() is not None, "the planner ends itself")

    assert planner.process.returncode == EXIT_FAILURE
    assert "in one pass for more than 2 s" in planner.said()
    # What was sent before may still have been on its way; 1.5 s of heartbeats are 30.
    assert len(beats) - heard <= QUEUE, "heartbeats went on after silent_after_s"


def test_a_library_that_never_gives_the_interpreters_lock_back_costs_the_process_its_life(start, client, beats) -> None:
    planner = start(STAND_IN, deaf_after_s=3.0, held_s=3600)
    client.until(lambda: len(beats) > 25, "a planner that works, for longer than its watch's period")

    planner.process.send_signal(signal.SIGUSR1)

    assert planner.process.wait(LIMIT_S) == EXIT_DEAF
    assert "hold_the_interpreter" in planner.said(), "what held the lock is in the log"
