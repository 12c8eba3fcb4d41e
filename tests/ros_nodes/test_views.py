"""When a view is sent: at its rate, at once when its news change, and only where somebody can see it."""

from __future__ import annotations

import dataclasses

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from onboard_vla.core.ego import WheelSpeed
from onboard_vla.ros_nodes import views
from onboard_vla.ros_nodes.topics import VIEWS
from onboard_vla.ros_nodes.views import View, ViewPublisher

pytestmark = pytest.mark.ros
STREAM = dataclasses.replace(VIEWS[0], port="speed", rate_hz=10.0)
STATE = dataclasses.replace(STREAM, latched=True, rate_hz=0.0)


class Publisher:
    def __init__(self, listeners: int = 1) -> None:
        self.sent, self._listeners = [], listeners

    def publish(self, message) -> None:
        self.sent.append(message)

    def get_subscription_count(self) -> int:
        return self._listeners


@pytest.fixture(autouse=True)
def maker(monkeypatch):
    view = View((WheelSpeed,), lambda m: m.speed_mps, lambda m: m.speed_mps > 5.0)
    monkeypatch.setitem(views.MAKERS, "speed", view)


@pytest.fixture
def clock(monkeypatch):
    now = [1_000_000_000]
    monkeypatch.setattr(views.time, "monotonic_ns", lambda: now[0])
    return now


def test_a_stream_is_thinned_to_its_rate_and_news_do_not_wait(clock) -> None:
    publisher = Publisher()
    view = ViewPublisher(STREAM, publisher)

    for step, speed in enumerate((1.0, 2.0, 9.0, 9.5, 1.5, 1.6)):
        clock[0] = 1_000_000_000 + step * 20_000_000
        view.show(WheelSpeed(step, speed))

    assert publisher.sent == [1.0, 9.0, 1.5]


def test_a_stream_that_nobody_sees_is_not_made(clock) -> None:
    publisher = Publisher(listeners=0)

    ViewPublisher(STREAM, publisher).show(WheelSpeed(0, 1.0))

    assert publisher.sent == []


def test_a_latched_state_is_sent_on_change_alone_and_kept_for_who_comes_later(clock) -> None:
    publisher = Publisher(listeners=0)
    view = ViewPublisher(STATE, publisher)

    for step, speed in enumerate((1.0, 2.0, 9.0, 9.5, 1.5)):
        clock[0] += 1_000_000_000
        view.show(WheelSpeed(step, speed))

    assert publisher.sent == [1.0, 9.0, 1.5]


def test_messages_of_other_kinds_make_no_view(clock) -> None:
    publisher = Publisher()

    ViewPublisher(STREAM, publisher).show("something else")

    assert publisher.sent == []


def test_a_view_that_cannot_be_made_hinders_nobody_and_is_logged_once(clock, monkeypatch, capsys) -> None:
    def broken(message):
        raise ValueError("no such picture")

    monkeypatch.setitem(views.MAKERS, "speed", View((WheelSpeed,), broken))
    view = ViewPublisher(STREAM, Publisher())

    for step in range(3):
        clock[0] += 1_000_000_000
        view.show(WheelSpeed(step, 1.0))

    assert capsys.readouterr().err.count("view_failed") == 1
