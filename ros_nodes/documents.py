"""Writes what is derived from the tables: parameter files, their schema, and the page of interfaces.

`python -m onboard_vla.ros_nodes.documents` rewrites them; a test compares.
"""

from __future__ import annotations

import sys
from pathlib import Path

import yaml

from onboard_vla.ros_nodes import camera_replay, latency_probe, plan_view
from onboard_vla.ros_nodes.deployment import MODES, PACKAGE, mode_file
from onboard_vla.ros_nodes.deployment_files import parameter_file, schema
from onboard_vla.ros_nodes.gate_host import GATE_ROLE
from onboard_vla.ros_nodes.interfaces import page
from onboard_vla.ros_nodes.layouts import foxglove_layout, rviz_config
from onboard_vla.runtime.jpeg import decode_frame
from onboard_vla.runtime.planner_host import PLANNER_ROLE
from onboard_vla.safety.camera_guard_host import camera_guard_role
from onboard_vla.safety.supervisor_host import supervisor_role

ROLES = (
    PLANNER_ROLE,
    camera_guard_role(yaml.compose, decode_frame),
    supervisor_role(yaml.compose),
    GATE_ROLE,
    camera_replay.ROLE,
    latency_probe.ROLE,
    plan_view.ROLE,
)
PAGE = Path(__file__).resolve().parents[1] / "docs" / "ros-interfaces.md"
SCHEMA = PACKAGE / "config" / "parameters.schema.json"
FOXGLOVE, RVIZ = PACKAGE / "foxglove" / "onboard_vla.json", PACKAGE / "rviz" / "onboard_vla.rviz"


def main() -> int:
    """Rewrite all derived files."""
    for mode in MODES:
        mode_file(mode).write_text(parameter_file(mode, ROLES), encoding="utf-8")
    SCHEMA.write_text(schema(ROLES), encoding="utf-8")
    PAGE.write_text(page(ROLES), encoding="utf-8")
    FOXGLOVE.write_text(foxglove_layout(), encoding="utf-8")
    RVIZ.write_text(rviz_config(), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
