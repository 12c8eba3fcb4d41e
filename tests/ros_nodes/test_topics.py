"""The topic table: complete, free of doubles, and what the graph and its rules need."""

from __future__ import annotations

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.process_graph import PLANNER, PROCESSES, SUPERVISOR, TOPICS, VEHICLE
from onboard_vla.ros_nodes.topics import ROS_TOPICS, default_remaps, markdown_table


def row(port: str):
    return next(row for row in ROS_TOPICS if row.port == port)


def test_every_core_topic_has_ros_topics_with_distinct_names() -> None:
    assert {row.topic.name for row in ROS_TOPICS} == {topic.name for topic in TOPICS}
    assert len({row.shared_name for row in ROS_TOPICS}) == len(ROS_TOPICS)


def test_cameras_are_best_effort_depth_one_and_plans_reliable() -> None:
    for camera in CAMERAS:
        assert (row(f"camera/{camera}/image").reliable, row(f"camera/{camera}/image").depth) == (False, 1)
    assert row("plan").reliable
    assert row("route").latched


def test_planner_takes_pictures_and_sends_plans_under_private_names() -> None:
    remaps = default_remaps(PLANNER)

    assert "~/input/camera/front/image:=onboard_vla/camera/front/image" in remaps
    assert "~/output/plan:=onboard_vla/plan" in remaps
    assert not any("objects" in rule or "output/camera" in rule for rule in remaps)


def test_vehicle_uses_shared_names() -> None:
    assert default_remaps(VEHICLE) == []
    assert row("trajectory").node_name(VEHICLE) == "onboard_vla/trajectory"
    assert row("trajectory").node_name(SUPERVISOR) == "~/output/trajectory"


def test_table_for_documentation_names_every_topic() -> None:
    table = markdown_table()

    assert all(f"`{row.shared_name}`" in table for row in ROS_TOPICS)
    assert all(process in table for process in PROCESSES)
