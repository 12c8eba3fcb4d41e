"""The planner's worker thread: wakes, publishes, keeps its period, and is missed when it dies or hangs."""

from __future__ import annotations

import dataclasses
import threading
import time

import numpy as np
import pytest

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import Heartbeat, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.safe_trajectory import DriverState
from onboard_vla.runtime.planner_host import PlannerHost

LIMIT_S = 10.0
EGO = EgoState(1, 0.0, 0.0, 0.0, 0.0, 0.0, 0.0)
POSES = np.zeros((10, 3), np.float32)
FAST_PLAN = Plan(
    1, 1, 1, 0.5, POSES, POSES, (0,) * 10, "fast", 0.5, "", Uncertainty.sure(10), PassCount(1, 1, 9), {}, "",
)  # fmt: skip
FRAME = CameraFrame("front", 1, 0, np.zeros((2, 2, 3), np.uint8))


class Body:
    """One rejection per picture."""

    def __init__(self) -> None:
        self.received, self.pending, self.starts = [], threading.Semaphore(0), []
        self.fault: BaseException | None = None
        self.release = threading.Event()
        self.release.set()
        self.entered, self.ended = threading.Event(), threading.Event()

    def warm_up(self) -> None:
        pass

    def receive(self, message, now) -> None:
        self.received.append(message)
        if isinstance(message, CameraFrame):
            self.pending.release()

    def plan_once(self, now):
        if not self.pending.acquire(blocking=False):
            return None
        self.starts.append(time.monotonic())
        self.entered.set()
        self.release.wait(LIMIT_S)
        if self.fault is not None:
            raise self.fault
        return PlanRejection(len(self.starts), 1, "test", "")

    def pass_over(self) -> None:
        self.pending = threading.Semaphore(0)

    def heartbeat(self, now: Now) -> Heartbeat:
        return Heartbeat("vla_planner", 1, 0, now.stamp_ns, 0, 0, True, "")


class Outbox:
    def __init__(self) -> None:
        self.messages, self._news = [], threading.Condition()

    def __call__(self, message) -> None:
        with self._news:
            self.messages.append(message)
            self._news.notify_all()

    def wait_for(self, count: int) -> None:
        with self._news:
            assert self._news.wait_for(lambda: len(self.messages) >= count, LIMIT_S)


def test_each_picture_is_planned_on_and_published_from_the_worker() -> None:
    body, outbox = Body(), Outbox()
    host = PlannerHost(body)
    host.start(outbox, system_now)

    for _ in range(3):
        host.receive(FRAME, system_now())
    outbox.wait_for(3)

    assert host.failure() is None
    assert host.stop()


def test_messages_of_other_kinds_are_left_alone() -> None:
    body = Body()

    PlannerHost(body).receive(DriverState(1, True), system_now())

    assert body.received == []


def test_plans_keep_their_period() -> None:
    body, outbox = Body(), Outbox()
    host = PlannerHost(body, plan_period_s=0.1)
    host.start(outbox, system_now)
    for _ in range(3):
        host.receive(FRAME, system_now())
    outbox.wait_for(3)
    host.stop()

    assert np.diff(body.starts).min() >= 0.095


def test_heartbeats_go_on_while_the_worker_works() -> None:
    body, outbox = Body(), Outbox()
    body.release.clear()
    host = PlannerHost(body)
    host.start(outbox, system_now)
    host.receive(FRAME, system_now())
    assert body.entered.wait(LIMIT_S)

    host.timers[0].tick()

    assert isinstance(outbox.messages[0], Heartbeat)
    assert host.timers[0].period_s == 0.05
    body.release.set()
    host.stop()


def test_heartbeats_stop_in_a_pass_that_lasts_too_long_and_come_back_after_it() -> None:
    body, outbox = Body(), Outbox()
    body.release.clear()
    host = PlannerHost(body, silent_after_s=0.0)
    host.start(outbox, system_now)
    host.receive(FRAME, system_now())
    assert body.entered.wait(LIMIT_S)

    host.timers[0].tick()

    assert outbox.messages == []
    body.release.set()
    outbox.wait_for(1)
    assert host.stop()
    host.timers[0].tick()
    assert isinstance(outbox.messages[-1], Heartbeat)


def test_a_paused_planner_takes_no_pictures_and_says_that_it_is_not_ready() -> None:
    body, outbox = Body(), Outbox()
    host = PlannerHost(body)
    host.pause()
    host.start(outbox, system_now)

    host.receive(FRAME, system_now())
    host.receive(EGO, system_now())
    host.timers[0].tick()

    assert body.received == [EGO]
    assert [(beat.ready, beat.detail) for beat in outbox.messages] == [(False, "inactive")]

    host.resume()
    host.receive(FRAME, system_now())
    outbox.wait_for(2)
    host.timers[0].tick()
    assert isinstance(outbox.messages[1], PlanRejection)
    assert outbox.messages[2].ready
    host.stop()


@pytest.mark.parametrize("resumed", [False, True])
def test_what_a_pass_finds_after_it_was_told_to_rest_is_not_published(resumed) -> None:
    body, outbox = Body(), Outbox()
    body.release.clear()
    host = PlannerHost(body)
    host.start(outbox, system_now)
    host.receive(FRAME, system_now())
    assert body.entered.wait(LIMIT_S)

    host.pause()
    if resumed:
        host.resume()
    body.release.set()
    assert host.stop(), "the pass came to its end"

    assert outbox.messages == []


def test_after_a_rest_no_picture_from_before_it_is_planned_on() -> None:
    body, outbox = Body(), Outbox()
    host = PlannerHost(body)
    host.receive(FRAME, system_now())
    host.pause()
    host.start(outbox, system_now)
    host.resume()
    host.receive(EGO, system_now())
    host.receive(FRAME, system_now())
    outbox.wait_for(1)
    assert host.stop()

    assert len(body.starts) == 1


def test_a_changed_period_holds_after_the_next_plan() -> None:
    body, outbox = Body(), Outbox()
    host = PlannerHost(body, plan_period_s=0.0)
    host.start(outbox, system_now)

    assert host.change({"plan_period_s": 0.1}) is None
    for _ in range(3):
        host.receive(FRAME, system_now())
    outbox.wait_for(3)
    host.stop()

    assert np.diff(body.starts).min() >= 0.095


def test_dead_worker_is_a_failure_with_its_reason() -> None:
    body = Body()
    body.fault = RuntimeError("the engine broke")
    host = PlannerHost(body)
    host.start(Outbox(), system_now)
    host.receive(FRAME, system_now())
    assert body.entered.wait(LIMIT_S)
    assert host.stop()

    assert "the engine broke" in (host.failure() or "")


def test_no_heartbeat_comes_from_a_planner_whose_worker_died() -> None:
    body, outbox = Body(), Outbox()
    body.fault = RuntimeError("the engine broke")
    host = PlannerHost(body)
    host.start(outbox, system_now)
    host.receive(FRAME, system_now())
    assert host.stop()

    host.timers[0].tick()

    assert outbox.messages == []


def test_stuck_worker_is_a_failure_and_does_not_stop(monkeypatch) -> None:
    monkeypatch.setattr("onboard_vla.runtime.planner_host.STOP_LIMIT_S", 0.05)
    body = Body()
    body.release.clear()
    host = PlannerHost(body, stuck_after_s=0.0)
    host.start(Outbox(), system_now)
    host.receive(FRAME, system_now())
    assert body.entered.wait(LIMIT_S)

    assert "in one pass for more than 0 s" in (host.failure() or "")
    assert not host.stop()
    body.release.set()
    assert host.stop()


class Thinking(Body):
    """Plans, and thinks further until it is told to stop."""

    def __init__(self) -> None:
        super().__init__()
        self.asked: list[tuple[int, float]] = []
        self.until_needed, self.gave_up = False, threading.Event()

    def plan_once(self, now):
        rejection = super().plan_once(now)
        return None if rejection is None else dataclasses.replace(FAST_PLAN, plan_id=2 * rejection.plan_id)

    def second_answer(self, first, due_ns, clock, needed):
        self.asked.append((first.plan_id, (due_ns - clock().monotonic_ns) / 1e9))
        while self.until_needed:
            if needed():
                self.gave_up.set()
                return None
            self.ended.wait(0.001)
        return dataclasses.replace(first, plan_id=first.plan_id + 1, depth="slow")


def test_a_second_answer_goes_out_behind_the_first_and_before_the_next() -> None:
    body, outbox = Thinking(), Outbox()
    host = PlannerHost(body, plan_period_s=0.2)
    host.start(outbox, system_now)
    for _ in range(2):
        host.receive(FRAME, system_now())
    outbox.wait_for(4)
    assert host.stop()

    plans = [(plan.plan_id, plan.depth) for plan in outbox.messages]
    assert plans == [(2, "fast"), (3, "slow"), (4, "fast"), (5, "slow")]
    assert [asked for asked, _ in body.asked] == [2, 4]
    assert all(left_s <= 0.2 for _, left_s in body.asked)


@pytest.mark.parametrize("told", ["pause", "pause and resume", "stop"])
def test_thinking_ends_when_the_planner_is_told_to_rest_or_to_end(told) -> None:
    body, outbox = Thinking(), Outbox()
    body.until_needed = True
    host = PlannerHost(body, plan_period_s=60.0)
    host.start(outbox, system_now)
    host.receive(FRAME, system_now())
    outbox.wait_for(1)
    if told != "stop":
        host.pause()
    if told == "pause and resume":
        host.resume()
        assert body.gave_up.wait(LIMIT_S)
    assert host.stop(), "the worker came back"
    assert len(outbox.messages) == 1
