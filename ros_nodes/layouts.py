"""What people look at: layouts for Foxglove and RViz, from the topic table.

Both show the picture of the node plan_view (six cameras with the plan drawn in, mode, reasons, doubt), which needs no
TF, and the safe trajectory from above, which follows the vehicle where TF connects `odom` with `base_link`. Nobody of
ours has opened them (docs/support-matrix.md); a test holds every word against what the programs' sources read.
"""

from __future__ import annotations

import json
from typing import Any

import yaml

from onboard_vla.ros_nodes.frames import ODOMETRY_FRAME, VEHICLE_FRAME
from onboard_vla.ros_nodes.topics import ROS_TOPICS

DIAGNOSTICS = "/diagnostics"
GRID = {
    "instanceId": "grid",
    "layerId": "foxglove.Grid",
    "label": "grid",
    "visible": True,
    "frameId": ODOMETRY_FRAME,
    "size": 200,
}
ABOUT_RVIZ = (
    "# Cameras with the plan, mode, reasons and doubt drawn in (node plan_view), and the road from above.\n"
    "# Written by `python -m onboard_vla.ros_nodes.documents`. Not run on a machine of ours: docs/support-matrix.md.\n"
)


def foxglove_layout() -> str:
    """JSON for Foxglove's "Import from file": cameras with the plan, from above, modes, words, diagnostics."""
    drawn = {topic("path"): {"visible": True}, topic("markers"): {"visible": True}}
    panels: dict[str, Any] = {
        "Image!plan": {
            "foxglovePanelTitle": "cameras with the plan",
            "imageMode": {"imageTopic": topic("plan_image/compressed")},
        }
    }
    panels["3D!above"] = {
        "foxglovePanelTitle": "from above",
        "followTf": VEHICLE_FRAME,
        "followMode": "follow-pose",
        "cameraState": {"perspective": False, "distance": 80, "phi": 0, "thetaOffset": 90, "target": [0, 0, 0]},
        "layers": {"grid": GRID},
        "topics": drawn,
    }
    paths = (f"{topic('state')}.message", f"{topic('takeover_request')}.message")
    panels["StateTransitions!modes"] = {
        "foxglovePanelTitle": "modes and takeover requests",
        "isSynced": True,
        "paths": [{"value": path, "timestampMethod": "receiveTime"} for path in paths],
    }
    for name, title in (("state", "who drives and why"), ("decision", "what the model planned and doubts")):
        panels[f"RawMessages!{name}"] = {"foxglovePanelTitle": title, "topicPath": topic(name)}
    panels["DiagnosticSummary!all"] = {"topicToRender": DIAGNOSTICS, "minLevel": 0, "sortByLevel": True}
    words = _stacked("row", ["RawMessages!state", "RawMessages!decision", "DiagnosticSummary!all"])
    below = _stacked("column", ["StateTransitions!modes", words], 35)
    document = {
        "configById": panels,
        "globalVariables": {},
        "userNodes": {},
        "playbackConfig": {"speed": 1},
        "layout": _stacked("column", ["Image!plan", _stacked("row", ["3D!above", below], 40)], 60),
    }
    return json.dumps(document, indent=2) + "\n"


def rviz_config() -> str:
    """YAML for `rviz2 -d`; topics are relative, so that RViz in a namespace shows the nodes of that one."""
    displays: list[dict[str, Any]] = [
        {"Class": "rviz_default_plugins/Grid", "Name": "Grid", "Enabled": True, "Cell Size": 5, "Plane Cell Count": 40},
        _display(
            "Path", "Safe trajectory", "path", {"Line Style": "Billboards", "Line Width": 0.3, "Color": "0; 170; 85"}
        ),
        _display("MarkerArray", "Modes and reasons", "markers"),
        _display("Image", "Cameras with the plan", "plan_image"),
    ]
    above = {"Class": "rviz_default_plugins/TopDownOrtho", "Name": "Top down", "Scale": 12}
    document = {
        "Panels": [{"Class": f"rviz_common/{panel}", "Name": panel} for panel in ("Displays", "Views")],
        "Visualization Manager": {
            "Class": "",
            "Displays": displays,
            "Global Options": {"Fixed Frame": ODOMETRY_FRAME, "Frame Rate": 20},
            "Tools": [{"Class": "rviz_default_plugins/MoveCamera"}],
            "Value": True,
            "Views": {"Current": {**above, "Target Frame": VEHICLE_FRAME}},
        },
        "Window Geometry": {"Height": 1000, "Width": 1600},
    }
    return ABOUT_RVIZ + yaml.safe_dump(document, sort_keys=False)


def topic(port: str) -> str:
    """The absolute name of a port in a graph without a namespace.

    Raises:
        LookupError: the table has no such port.
    """
    for row in ROS_TOPICS:
        if row.port == port:
            return f"/{row.shared_name}"
    raise LookupError(f"no topic has the port {port!r}")


def _display(kind: str, name: str, port: str, more: dict[str, Any] | None = None) -> dict[str, Any]:
    row = next(row for row in ROS_TOPICS if row.port == port)
    quality = {
        "Value": topic(port).removeprefix("/"),
        "Depth": row.depth,
        "Reliability Policy": "Reliable" if row.reliable else "Best Effort",
        "Durability Policy": "Transient Local" if row.latched else "Volatile",
    }
    return {"Class": f"rviz_default_plugins/{kind}", "Name": name, "Enabled": True, "Topic": quality, **(more or {})}


def _stacked(direction: str, parts: list[Any], percent: float | None = None) -> Any:  # noqa: ANN401 - a tree of panels
    """Panels beside or below each other, of equal size, or the first of `percent`."""
    if len(parts) == 1:
        return parts[0]
    share = 100.0 / len(parts) if percent is None else percent
    rest = _stacked(direction, parts[1:])
    return {"direction": direction, "first": parts[0], "second": rest, "splitPercentage": round(share, 1)}
