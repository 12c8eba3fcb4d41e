"""The topic table: complete, free of doubles, and what the graph and its rules need."""

from __future__ import annotations

import pytest

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.process_graph import PLANNER, PROCESSES, SUPERVISOR, TOPICS, VEHICLE
from onboard_vla.ros_nodes import topics
from onboard_vla.ros_nodes.topics import BYTES, ROS_TOPICS, Form, default_remaps, markdown_table, rows_of, views_of


def row(port: str):
    return next(row for row in ROS_TOPICS if row.port == port)


def test_every_core_topic_has_ros_topics_with_distinct_names() -> None:
    assert {row.topic.name for row in ROS_TOPICS if row.form is Form.OURS} == {topic.name for topic in TOPICS}
    assert len({row.shared_name for row in ROS_TOPICS}) == len(ROS_TOPICS)


def test_bytes_of_the_wire_schema_stand_under_wire_and_nothing_else_does() -> None:
    for row in ROS_TOPICS:
        assert row.port.startswith("wire/") == (row.type == BYTES), row.port


def test_every_input_that_exists_as_bytes_has_a_typed_form_beside_it(monkeypatch) -> None:
    monkeypatch.setattr(topics, "find_spec", lambda name: object())
    inputs = [row.topic for row in ROS_TOPICS if row.type == BYTES and row.sender == VEHICLE]
    inputs = [topic for topic in inputs if topic.name != "settings"]  # one text: there is nothing to type

    typed = {topic.name: rows_of(topic, Form.TYPED) for topic in inputs}

    assert set(typed) == {"objects", "lanes", "route", "conditions", "operator", "driver"}
    for name, rows in typed.items():
        assert [(row.port, row.needs, row.receivers) for row in rows] == [
            (name, "onboard_vla_msgs", row_of_bytes(name).receivers)
        ]
        assert (rows[0].reliable, rows[0].latched) == (row_of_bytes(name).reliable, row_of_bytes(name).latched)


def row_of_bytes(name: str):
    return row(f"wire/{name}")


def test_rows_whose_package_is_not_installed_are_left_out(monkeypatch) -> None:
    monkeypatch.setattr(topics, "find_spec", lambda name: None)
    objects = row_of_bytes("objects").topic

    assert rows_of(objects, Form.TYPED) == ()
    assert rows_of(objects) == (row_of_bytes("objects"),)


def test_autowares_messages_are_sent_on_request_alone_and_their_lack_is_named(monkeypatch) -> None:
    def ports(autoware: bool) -> list[str]:
        return [row.port for row in views_of(SUPERVISOR, autoware) if row.port.startswith("autoware/")]

    monkeypatch.setattr(topics, "find_spec", lambda name: object())
    assert ports(False) == []
    assert ports(True) == ["autoware/trajectory", "autoware/mrm_state"]
    assert all(row.reliable for row in ROS_TOPICS if row.port.startswith("autoware/"))

    monkeypatch.setattr(topics, "find_spec", lambda name: None)
    assert ports(False) == []
    with pytest.raises(EnvironmentLacksError, match="autoware_planning_msgs is not installed"):
        views_of(SUPERVISOR, True)


def test_cameras_are_best_effort_depth_one_and_plans_reliable() -> None:
    for camera in CAMERAS:
        assert (row(f"camera/{camera}/image").reliable, row(f"camera/{camera}/image").depth) == (False, 1)
    assert row("wire/plan").reliable
    assert row("wire/route").latched


def test_planner_takes_pictures_and_sends_plans_under_private_names() -> None:
    remaps = default_remaps(PLANNER)

    assert "~/input/camera/front/image:=onboard_vla/camera/front/image" in remaps
    assert "~/output/wire/plan:=onboard_vla/wire/plan" in remaps
    assert not any("objects" in rule or "output/camera" in rule for rule in remaps)


def test_supervisor_takes_objects_in_both_forms() -> None:
    remaps = default_remaps(SUPERVISOR)

    assert "~/input/objects:=onboard_vla/objects" in remaps
    assert "~/input/wire/objects:=onboard_vla/wire/objects" in remaps


def test_vehicle_uses_shared_names() -> None:
    assert default_remaps(VEHICLE) == []
    assert row("trajectory").node_name(VEHICLE) == "onboard_vla/trajectory"
    assert row("trajectory").node_name(SUPERVISOR) == "~/output/trajectory"


def test_table_for_documentation_names_every_topic() -> None:
    table = markdown_table()

    assert all(f"`{row.shared_name}`" in table for row in ROS_TOPICS)
    assert all(process in table for process in PROCESSES)


def test_what_our_nodes_live_by_is_watched_by_dds_and_nobody_asks_for_more_than_is_offered() -> None:
    watched = {row.port: row.deadlines for row in ROS_TOPICS if row.deadlines}

    assert set(watched) == {"wire/planner_heartbeat", "wire/camera_guard_heartbeat", "trajectory", "state"}
    for limits in watched.values():
        assert (limits.offered_s, limits.offered_lease_s) == (0.1, 0.2)
        assert (limits.asked_s, limits.asked_lease_s) == pytest.approx((0.15, 0.3))
