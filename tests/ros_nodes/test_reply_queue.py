"""How long answers wait for who does not listen, and that they never keep a node from its work."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from onboard_vla.ros_nodes import replies

from .asked_node import SERVICE, AskedNode

pytestmark = pytest.mark.ros
CALLER, OTHER = b"first caller", b"other caller"


@pytest.fixture
def node() -> AskedNode:
    node = AskedNode(service_name=SERVICE)
    replies.Replies(node)
    node.asking = [CALLER]
    return node


@pytest.fixture
def now_ns(monkeypatch) -> list[int]:
    """The clock of `replies`, which a test moves."""
    now = [0]
    monkeypatch.setattr(replies, "time", SimpleNamespace(monotonic_ns=lambda: now[0]))
    return now


def test_answers_that_keep_coming_do_not_put_off_the_look(node) -> None:
    for answer in range(3):
        node.service.send_response(answer, None)
    assert (node.timer.resets, node.timer.canceled) == (1, False)

    node.listening = [CALLER]
    node.timer.look()

    assert (node.sent, node.timer.canceled) == ([0, 1, 2], True)
    node.listening = []
    node.service.send_response(3, None)
    assert (node.timer.resets, node.timer.canceled) == (2, False)


def test_more_answers_than_are_kept_go_out_at_once(node) -> None:
    for answer in range(replies.MOST_KEPT + 2):
        node.service.send_response(answer, None)

    assert node.sent == [replies.MOST_KEPT, replies.MOST_KEPT + 1]
    node.sent.clear()
    node.listening = [CALLER]
    node.timer.look()
    assert node.sent == list(range(replies.MOST_KEPT))


def test_a_look_asks_once_for_each_service(node) -> None:
    for answer in range(5):
        node.service.send_response(answer, None)
    node.topics.clear()

    node.timer.look()

    assert node.topics == [f"rq{SERVICE}Request", f"rr{SERVICE}Reply"]


def test_a_look_ends_when_sending_took_its_time(node, now_ns) -> None:
    def slow(response: object) -> None:
        now_ns[0] += 100_000_000
        node.sent.append(response)

    node.send = slow
    for answer in range(3):
        node.service.send_response(answer, None)
    now_ns[0] = replies.KEPT_NS

    node.timer.look()
    assert (node.sent, node.timer.canceled) == ([0], False)
    node.timer.look()
    node.timer.look()
    assert (node.sent, node.timer.canceled) == ([0, 1, 2], True)


def test_who_did_not_listen_is_waited_for_again_once_it_has_listened(node, now_ns, capsys) -> None:
    node.service.send_response("unheard", None)
    now_ns[0] = replies.KEPT_NS
    node.timer.look()
    node.service.send_response("not waited for", None)
    assert node.sent == ["unheard", "not waited for"]
    assert capsys.readouterr().err.count("callers_do_not_listen") == 1

    node.listening = [CALLER]
    node.service.send_response("heard", None)
    node.listening = []
    node.service.send_response("waits", None)

    assert node.sent == ["unheard", "not waited for", "heard"]
    node.listening = [CALLER]
    node.timer.look()
    assert node.sent[-1] == "waits"


def test_another_is_waited_for_beside_one_that_does_not_listen(node, now_ns) -> None:
    node.service.send_response("unheard", None)
    now_ns[0] = replies.KEPT_NS
    node.timer.look()

    node.asking = [CALLER, OTHER]
    node.service.send_response("waits for the other", None)

    assert node.sent == ["unheard"]
