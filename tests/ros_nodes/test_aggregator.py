"""The tree that diagnostic_aggregator makes of our checks has a branch for each process that has any."""

from __future__ import annotations

import re

import pytest
import yaml

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")

from onboard_vla.ros_nodes.deployment import PACKAGE
from onboard_vla.ros_nodes.documents import ROLES
from onboard_vla.ros_nodes.interfaces import page

pytestmark = pytest.mark.ros


def test_every_process_of_the_table_of_checks_has_its_branch() -> None:
    settings = yaml.safe_load((PACKAGE / "config" / "diagnostic_aggregator.yaml").read_text(encoding="utf-8"))
    branches = [b for b in settings["/**"]["ros__parameters"].values() if isinstance(b, dict)]
    reporting = {f"{name}: " for name in re.findall(r"^\| `(\w+): ", page(ROLES), re.MULTILINE)}

    assert reporting >= {"vla_planner: ", "vehicle_gate: "}
    assert sorted(word for branch in branches for word in branch["contains"]) == sorted(reporting)
