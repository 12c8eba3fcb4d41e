"""Options that a process has as a ROS node alone, beside those of its role."""

from __future__ import annotations

from onboard_vla.core.process import Option
from onboard_vla.core.process_graph import PLANNER

AUTOSTART = Option(
    "autostart", bool, True, "configure and activate at start, so that a planner that died comes back active"
)
NODE_OPTIONS: dict[str, tuple[Option, ...]] = {PLANNER: (AUTOSTART,)}


def node_options(process: str) -> tuple[Option, ...]:
    """The options of this process's node."""
    return NODE_OPTIONS.get(process, ())
