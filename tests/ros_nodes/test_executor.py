"""The nodes' executor serves everything that rclpy's does, and nothing that was taken away."""

from __future__ import annotations

import itertools
import time

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from rclpy.task import Future
from std_msgs.msg import String
from std_srvs.srv import Trigger

from .nodes import LIMIT_S

PERIOD_S = 0.02


@pytest.fixture
def served(domain_id: int):
    """A node on the executor under test."""
    import rclpy
    from rclpy.context import Context

    from onboard_vla.ros_nodes.executor import SteadyExecutor

    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain_id)
    node = rclpy.create_node("served", context=context, use_global_arguments=False)
    executor = SteadyExecutor(context=context)
    executor.add_node(node)
    yield node, executor
    executor.shutdown()
    node.destroy_node()
    context.try_shutdown()


def until(executor, condition, what: str) -> None:
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, what
        executor.spin_once(timeout_sec=0.05)


def test_messages_and_ticks_come_and_in_order(served) -> None:
    node, executor = served
    heard, ticks = [], []
    node.create_subscription(String, "words", lambda message: heard.append(message.data), 100)
    begin_s = time.monotonic()
    node.create_timer(PERIOD_S, lambda: ticks.append(time.monotonic()))
    words = node.create_publisher(String, "words", 100)
    until(executor, words.get_subscription_count, "no match")
    for number in range(50):
        words.publish(String(data=str(number)))
    until(executor, lambda: len(heard) == 50 and len(ticks) >= 10, "messages or ticks are missing")
    assert heard == [str(number) for number in range(50)]
    # Every tick is at its own time: a timer that is ready once is called once. However late a machine makes one of
    # them, none comes before as many periods have passed.
    assert min(later - earlier for earlier, later in itertools.pairwise(ticks)) > 0.0
    assert all(tick - begin_s > (number + 0.5) * PERIOD_S for number, tick in enumerate(ticks))


def test_a_service_is_answered_and_a_client_gets_the_answer(served) -> None:
    node, executor = served

    def answer(request, response):
        response.message = "as asked"
        return response

    node.create_service(Trigger, "ask", answer)
    client = node.create_client(Trigger, "ask")
    until(executor, client.service_is_ready, "no service")
    futures = [client.call_async(Trigger.Request()) for _ in range(3)]
    until(executor, lambda: all(future.done() for future in futures), "no answer")
    assert [future.result().message for future in futures] == ["as asked"] * 3


def test_a_coroutine_is_carried_out(served) -> None:
    node, executor = served

    async def work() -> str:
        await waited
        return "done"

    waited, task = Future(executor=executor), executor.create_task(work)
    node.create_timer(0.005, lambda: waited.set_result(None) if not waited.done() else None)
    until(executor, task.done, "the task does not end")
    assert task.result() == "done"


def test_a_callback_may_make_and_destroy_others(served) -> None:
    node, executor = served
    called = []

    def first() -> None:
        called.append("first")
        for timer in timers:
            node.destroy_timer(timer)
        node.create_timer(0.005, lambda: called.append("made"))

    timers = [node.create_timer(0.001, first), node.create_timer(0.001, lambda: called.append("destroyed"))]
    # Both are due in the first round.
    time.sleep(0.005)
    until(executor, lambda: called.count("made") >= 2, "the new timer does not run")
    assert called[0] == "first"
    assert set(called[1:]) == {"made"}


def test_dds_tells_of_a_passed_deadline(served) -> None:
    from rclpy.duration import Duration
    from rclpy.qos import QoSProfile

    from onboard_vla.ros_nodes.link_events import subscription_event_callbacks

    node, executor = served
    quality = QoSProfile(depth=1, deadline=Duration(nanoseconds=50_000_000))
    missed = []
    events = subscription_event_callbacks(deadline=missed.append)
    node.create_subscription(String, "late", lambda message: None, quality, event_callbacks=events)
    sender = node.create_publisher(String, "late", quality)
    until(executor, sender.get_subscription_count, "no match")
    sender.publish(String())
    until(executor, lambda: bool(missed), "no deadline event")


def test_what_a_callback_raises_leaves_and_the_executor_goes_on(served) -> None:
    node, executor = served
    calls = []

    def fail() -> None:
        calls.append(1)
        raise ValueError("from a timer")

    node.create_timer(0.005, fail)
    for _ in range(2):
        with pytest.raises(ValueError, match="from a timer"):
            until(executor, lambda: False, "it never raised")
    assert len(calls) == 2


def test_a_shut_down_context_ends_it(served) -> None:
    from rclpy.executors import ExternalShutdownException

    node, executor = served
    executor.spin_once(timeout_sec=0.0)
    node.create_timer(0.005, node.context.try_shutdown)
    with pytest.raises(ExternalShutdownException):
        until(executor, lambda: False, "it never ended")


def test_it_waits_no_longer_than_asked(served) -> None:
    _, executor = served
    executor.spin_once(timeout_sec=0.0)
    rounds_s = []
    for _ in range(20):
        begin = time.monotonic()
        executor.spin_once(timeout_sec=0.0)
        rounds_s.append(time.monotonic() - begin)
    # A machine that is late makes some rounds long; one that waited would make all of them so.
    assert min(rounds_s) < 0.01


@pytest.mark.parametrize("choice", ["steady", "rclpy"])
def test_the_environment_chooses_the_executor(choice: str, monkeypatch, domain_id: int) -> None:
    from rclpy.executors import SingleThreadedExecutor

    from onboard_vla.ros_nodes.executor import SteadyExecutor

    monkeypatch.setenv("ONBOARD_VLA_EXECUTOR", choice)
    assert made(domain_id) is (SteadyExecutor if choice == "steady" else SingleThreadedExecutor)


def test_where_rclpy_is_another_its_own_executor_serves_and_says_what_was_missing(
    monkeypatch, domain_id: int, capsys
) -> None:
    from rclpy.executors import SingleThreadedExecutor

    from onboard_vla.ros_nodes import executor

    monkeypatch.setitem(executor.BUILDS_ON, "Timer", ("is_timer_ready", "call_timer_of_tomorrow"))
    assert made(domain_id) is SingleThreadedExecutor
    assert "Timer.call_timer_of_tomorrow" in capsys.readouterr().err


def test_an_unknown_choice_of_executor_is_refused(monkeypatch) -> None:
    from onboard_vla.core.errors import ConfigurationError
    from onboard_vla.ros_nodes.executor import make_executor

    monkeypatch.setenv("ONBOARD_VLA_EXECUTOR", "fast")
    with pytest.raises(ConfigurationError, match="ONBOARD_VLA_EXECUTOR=fast: expected steady or rclpy"):
        make_executor()


def made(domain_id: int) -> type:
    """Class of the executor that a node would get."""
    import rclpy
    from rclpy.context import Context

    from onboard_vla.ros_nodes.executor import make_executor

    context = Context()
    rclpy.init(args=[], context=context, domain_id=domain_id)
    executor = make_executor(context=context)
    executor.shutdown()
    context.try_shutdown()
    return type(executor)
