"""A planner that hangs and does not die by itself: it is missed at once, and ends itself to be started again."""

from __future__ import annotations

import json
import signal

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from diagnostic_msgs.msg import DiagnosticArray, DiagnosticStatus
from std_msgs.msg import UInt8MultiArray

from onboard_vla.core.process import EXIT_FAILURE
from onboard_vla.core.wire import decode

from .nodes import LIMIT_S, STAND_IN

pytestmark = [pytest.mark.ros, pytest.mark.parametrize("distribution", ["kilted", "jazzy"]), pytest.mark.timeout(300)]
QUEUE = 5
SILENT_AFTER_S, STUCK_AFTER_S = 0.5, 5.0
"""Far apart: it says what is wrong in between, even if the machine takes seconds of that."""
EXIT_DEAF = 1
"""Of faulthandler's own thread."""


@pytest.fixture
def beats(client) -> list[int]:
    """When heartbeats were sent, by the planner's clock, ns."""
    times: list[int] = []
    client.node.create_subscription(
        UInt8MultiArray,
        "onboard_vla/wire/planner_heartbeat",
        lambda message: times.append(decode(memoryview(message.data)).stamp_ns),
        QUEUE,
    )
    return times


def test_a_pass_that_does_not_end_is_reported_silences_the_planner_and_ends_it(start, client, beats) -> None:
    levels: list[tuple[int, bytes]] = []

    def note(array: DiagnosticArray) -> None:
        stamp_ns = array.header.stamp.sec * 1_000_000_000 + array.header.stamp.nanosec
        levels.extend((stamp_ns, status.level) for status in array.status if status.name == "vla_planner: worker")

    client.node.create_subscription(DiagnosticArray, "/diagnostics", note, 10)
    planner = start(STAND_IN, silent_after_s=SILENT_AFTER_S, stuck_after_s=STUCK_AFTER_S)
    client.until(lambda: len(beats) > 5 and DiagnosticStatus.OK in [level for _, level in levels], "it works")

    planner.process.send_signal(signal.SIGRTMIN + 1)
    client.until(lambda: planner.process.poll() is not None, "the planner ends itself")
    # One that was held up may have been reported before; what counts comes after the last sign of life.
    client.until(lambda: (levels[-1][0] > beats[-1], levels[-1][1]) == (True, DiagnosticStatus.ERROR), "it is reported")

    assert planner.process.returncode == EXIT_FAILURE
    failed = json.loads(planner.said().splitlines()[-1])
    assert f"in one pass for more than {STUCK_AFTER_S:g} s" in failed["reason"]
    # By its own clock: however long it or this test was held up, the pass had lasted for so long when it ended.
    assert failed["time_ns"] - beats[-1] > (STUCK_AFTER_S - SILENT_AFTER_S) * 1e9, "heartbeats after silent_after_s"


def test_a_library_that_never_gives_the_interpreters_lock_back_costs_the_process_its_life(start, client, beats) -> None:
    planner = start(STAND_IN, deaf_after_s=6.0, held_s=3600)
    client.until(lambda: len(beats) > 25, "a planner that works, for longer than its watch's period")

    planner.process.send_signal(signal.SIGUSR1)

    assert planner.process.wait(LIMIT_S) == EXIT_DEAF
    assert "hold_the_interpreter" in planner.said(), "what held the lock is in the log"
