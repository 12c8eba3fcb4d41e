"""Every class, property and option of the layouts is one that the programs' own sources read.

RViz ignores what it does not know, and Foxglove shows an empty panel: neither says that a word is wrong. The tables are
from the published sources: ros2/rviz at f7112b1 (2024-10), and Lichtblick 1.10.8 (9554e1e), which continues the last
open version of Foxglove. No program has opened the files.
"""

from __future__ import annotations

import json

import pytest
import yaml

from onboard_vla.ros_nodes.layouts import foxglove_layout, rviz_config

PLUGINS = "rviz_default_plugins/"
EVERY_DISPLAY = {"Class", "Name", "Enabled", "Value"}
"""rviz_common/src/rviz_common/display.cpp, `Display::load`."""
DISPLAYS = {
    "Grid": {"Reference Frame", "Plane Cell Count", "Normal Cell Count", "Cell Size", "Line Style", "Color", "Alpha"},
    "Path": {"Topic", "Line Style", "Line Width", "Color", "Alpha", "Buffer Length", "Offset", "Pose Style"},
    "MarkerArray": {"Topic", "Namespaces"},
    "Image": {"Topic", "Normalize Range", "Min Value", "Max Value", "Median window"},
}
"""rviz_default_plugins/src/rviz_default_plugins/displays/*/*_display.cpp, marker/marker_common.cpp; the names are those
of plugins_description.xml."""
LINE_STYLES = {"Lines", "Billboards"}
TOPIC = {
    "Value": None,
    "Depth": None,
    "History Policy": {"System Default", "Keep Last", "Keep All"},
    "Reliability Policy": {"System Default", "Reliable", "Best Effort"},
    "Durability Policy": {"System Default", "Transient Local", "Volatile"},
}
"""rviz_common/src/rviz_common/properties/qos_profile_property.cpp."""
VIEW = {"Class", "Name", "Target Frame", "Scale", "Angle", "X", "Y", "Near Clip Distance", "Value"}
"""rviz_default_plugins/…/view_controllers/ortho/fixed_orientation_ortho_view_controller.cpp, view_controller.cpp."""
PANELS = {"rviz_common/Displays", "rviz_common/Selection", "rviz_common/Tool Properties", "rviz_common/Views"}
"""rviz_common/default.rviz."""
MANAGER = {"Class", "Displays", "Enabled", "Name", "Global Options", "Tools", "Transformation", "Views", "Value"}
GLOBAL = {"Background Color", "Fixed Frame", "Frame Rate"}
"""rviz_common/src/rviz_common/visualization_manager.cpp."""

TITLE = "foxglovePanelTitle"
FOXGLOVE_PANELS = {
    "Image": {"imageMode", "cameraState", "followMode", "scene", "transforms", "topics", "layers", "publish"},
    "3D": {"cameraState", "followTf", "followMode", "scene", "transforms", "topics", "layers", "publish", "imageMode"},
    "StateTransitions": {"isSynced", "paths", "xAxisMaxValue", "xAxisMinValue", "xAxisRange", "showPoints"},
    "RawMessages": {"diffEnabled", "diffMethod", "diffTopicPath", "expansion", "showFullMessageForDiff", "topicPath"},
    "DiagnosticSummary": {"minLevel", "pinnedIds", "topicToRender", "hardwareIdFilter", "sortByLevel"},
}
"""packages/suite-base/src/panels: index.ts (types), ThreeDeeRender/IRenderer.ts, StateTransitions/types.ts,
RawMessages/types.ts, diagnostics/util.ts."""
IMAGE_MODE = {"imageTopic", "calibrationTopic", "annotations", "synchronize", "rotation", "flipHorizontal"}
CAMERA = {"distance", "perspective", "phi", "target", "targetOffset", "thetaOffset", "fovy", "near", "far"}
FOLLOW_MODES = {"follow-pose", "follow-position", "follow-none"}
GRID = {"instanceId", "layerId", "label", "visible", "frameLocked", "frameId", "size", "divisions", "lineWidth"}
"""ThreeDeeRender/camera.ts, renderables/Grids.ts."""
LAYOUT = {"configById", "layout", "globalVariables", "playbackConfig", "userNodes", "version"}
"""context/CurrentLayoutContext/actions.ts."""


@pytest.fixture
def rviz() -> dict:
    return yaml.safe_load(rviz_config())


@pytest.fixture
def foxglove() -> dict:
    return json.loads(foxglove_layout())


def test_rviz_knows_every_class_and_property(rviz) -> None:
    manager = rviz["Visualization Manager"]

    assert set(rviz) == {"Panels", "Visualization Manager", "Window Geometry"}
    assert set(manager) <= MANAGER
    assert set(manager["Global Options"]) <= GLOBAL
    for display in manager["Displays"]:
        kind = display["Class"].removeprefix(PLUGINS)
        assert set(display) <= EVERY_DISPLAY | DISPLAYS[kind], kind
        assert display.get("Line Style", "Lines") in LINE_STYLES
        for name, value in display.get("Topic", {}).items():
            assert TOPIC[name] is None or value in TOPIC[name], name
    assert {panel["Class"] for panel in rviz["Panels"]} <= PANELS
    assert [tool["Class"] for tool in manager["Tools"]] == [f"{PLUGINS}MoveCamera"]
    assert manager["Views"]["Current"]["Class"] == f"{PLUGINS}TopDownOrtho"
    assert set(manager["Views"]["Current"]) <= VIEW


def test_colours_are_three_numbers_as_rviz_writes_them(rviz) -> None:
    colours = [display["Color"] for display in rviz["Visualization Manager"]["Displays"] if "Color" in display]

    assert colours
    for colour in colours:
        assert [0 <= int(part) <= 255 for part in colour.split("; ")] == [True] * 3


def test_foxglove_knows_every_panel_and_option(foxglove) -> None:
    assert set(foxglove) <= LAYOUT
    for name, options in foxglove["configById"].items():
        kind, _, identity = name.partition("!")
        assert identity, f"{name}: expected TYPE!ID"
        assert set(options) <= FOXGLOVE_PANELS[kind] | {TITLE}, name
    above = foxglove["configById"]["3D!above"]
    assert set(above["cameraState"]) <= CAMERA
    assert above["followMode"] in FOLLOW_MODES
    for key, layer in above["layers"].items():
        assert set(layer) <= GRID
        assert (layer["layerId"], layer["instanceId"]) == ("foxglove.Grid", key)
    assert set(foxglove["configById"]["Image!plan"]["imageMode"]) <= IMAGE_MODE
    for path in foxglove["configById"]["StateTransitions!modes"]["paths"]:
        assert set(path) <= {"value", "label", "color", "enabled", "timestampMethod"}
        assert path["timestampMethod"] in {"receiveTime", "headerStamp"}


def test_foxgloves_mosaic_is_a_tree_of_two_parts_each(foxglove) -> None:
    def check(node) -> None:
        if isinstance(node, str):
            return
        assert set(node) == {"direction", "first", "second", "splitPercentage"}
        assert node["direction"] in {"row", "column"}
        assert 0 < node["splitPercentage"] < 100
        check(node["first"])
        check(node["second"])

    check(foxglove["layout"])
