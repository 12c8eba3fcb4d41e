"""Subscriptions cost what they must: rclpy's executor pays for every watched event each time that it waits."""

from __future__ import annotations

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from onboard_vla.core.process_graph import PLANNER
from onboard_vla.core.refusals import Refusals
from onboard_vla.ros_nodes.ports import Subscriptions

pytestmark = pytest.mark.ros


def test_only_inputs_that_an_offer_can_miss_are_watched_for_offers_that_do_not_fit(client) -> None:
    Subscriptions(client.node, PLANNER, lambda message: None, Refusals(PLANNER))
    watched = {s.topic_name: len(s.event_handlers) for s in client.node.subscriptions}

    pictures = [count for name, count in watched.items() if "/image" in name or "/camera_info" in name]
    assert len(pictures) == 12
    assert set(pictures) == {0}
    assert any(count for name, count in watched.items() if name.endswith("wire/route"))
