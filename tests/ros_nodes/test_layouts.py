"""Layouts for Foxglove and RViz: what is written is what the code says, and every topic in them exists."""

from __future__ import annotations

import json

import pytest
import yaml

from onboard_vla.ros_nodes.documents import FOXGLOVE, RVIZ
from onboard_vla.ros_nodes.layouts import DIAGNOSTICS, foxglove_layout, rviz_config, topic
from onboard_vla.ros_nodes.topics import ROS_TOPICS

TABLE = {f"/{row.shared_name}": row for row in ROS_TOPICS}


def words(node) -> list[str]:
    """All text of a document that looks like a topic's name, keys included."""
    if isinstance(node, dict):
        return [word for key, value in node.items() for word in (*words(key), *words(value))]
    if isinstance(node, list):
        return [word for value in node for word in words(value)]
    return [absolute(node)] if isinstance(node, str) and node.startswith(("/", "onboard_vla/")) else []


def absolute(name: str) -> str:
    """As in a graph without a namespace."""
    return f"/{name.removeprefix('/')}"


def leaves(node) -> list[str]:
    return [node] if isinstance(node, str) else [*leaves(node["first"]), *leaves(node["second"])]


@pytest.mark.parametrize(("file", "written"), [(FOXGLOVE, foxglove_layout), (RVIZ, rviz_config)])
def test_files_are_what_the_code_writes(file, written) -> None:
    assert file.read_text() == written(), "run python -m onboard_vla.ros_nodes.documents"


@pytest.mark.parametrize("document", [json.loads(foxglove_layout()), yaml.safe_load(rviz_config())], ids=["f", "r"])
def test_every_topic_is_in_the_table_of_topics(document) -> None:
    found = {word.partition(".")[0] for word in words(document)}
    assert found <= {*TABLE, DIAGNOSTICS}
    assert {topic("path"), topic("markers")} <= found
    assert found & {topic("plan_image"), topic("plan_image/compressed")}


def test_foxglove_shows_each_panel_once_with_topics_of_the_type_that_it_draws() -> None:
    document = json.loads(foxglove_layout())
    panels = document["configById"]

    assert sorted(leaves(document["layout"])) == sorted(panels)
    assert TABLE[panels["Image!plan"]["imageMode"]["imageTopic"]].type == "sensor_msgs/msg/CompressedImage"
    drawn = {TABLE[name].type for name, options in panels["3D!above"]["topics"].items() if options["visible"]}
    assert drawn == {"nav_msgs/msg/Path", "visualization_msgs/msg/MarkerArray"}
    for path in panels["StateTransitions!modes"]["paths"]:
        name, _, field = path["value"].partition(".")
        assert (TABLE[name].type, field) == ("diagnostic_msgs/msg/DiagnosticStatus", "message")
    shown = {word.partition(".")[0] for word in words(panels)}
    assert {topic("state"), topic("decision"), topic("takeover_request"), DIAGNOSTICS} <= shown


def test_rviz_asks_for_the_quality_that_is_offered_and_types_that_its_displays_take() -> None:
    displays = yaml.safe_load(rviz_config())["Visualization Manager"]["Displays"]
    takes = {
        "rviz_default_plugins/Image": "sensor_msgs/msg/Image",
        "rviz_default_plugins/Path": "nav_msgs/msg/Path",
        "rviz_default_plugins/MarkerArray": "visualization_msgs/msg/MarkerArray",
    }
    with_topic = [display for display in displays if "Topic" in display]

    assert {display["Class"] for display in with_topic} == set(takes)
    for display in with_topic:
        assert not display["Topic"]["Value"].startswith("/"), "a namespace would not be followed"
        row = TABLE[absolute(display["Topic"]["Value"])]
        assert row.type == takes[display["Class"]]
        # A reader that asks for more than the writer offers gets nothing.
        assert (display["Topic"]["Reliability Policy"] == "Reliable") <= row.reliable
        assert (display["Topic"]["Durability Policy"] == "Transient Local") <= row.latched


def test_a_port_that_does_not_exist_is_an_error() -> None:
    with pytest.raises(LookupError, match="no topic has the port 'pathh'"):
        topic("pathh")
