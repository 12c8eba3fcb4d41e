"""Writes what is derived from the tables: parameter files and the tables of the room's README.

`python -m onboard_vla.ros_nodes.documents` rewrites them; a test compares.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from onboard_vla.core.process import Option
from onboard_vla.ros_nodes import camera_replay, latency_probe
from onboard_vla.ros_nodes.deployment import MODES, PACKAGE, mode_file
from onboard_vla.ros_nodes.deployment_files import described, options_of, parameter_file, schema
from onboard_vla.ros_nodes.gate_host import GATE_ROLE
from onboard_vla.ros_nodes.topics import markdown_table
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
)
README = Path(__file__).with_name("README.md")
SCHEMA = PACKAGE / "config" / "parameters.schema.json"


def option_table() -> str:
    """All options of all processes, for both transports."""
    lines = ["| process | option | type | default | meaning |", "|---|---|---|---|---|"]
    for role in ROLES:
        for option in options_of(role):
            default = "must be set" if option.default is None else f"`{_default(option)}`"
            cells = (role.name, f"`{option.name}`", option.kind.__name__, default, described(option))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """A README's text with its marked tables brought up to date."""
    for name, table in (("topics", markdown_table()), ("options", option_table())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + table + end + rest.partition(end)[2]
    return text


def _default(option: Option) -> str:
    return json.dumps("" if option.default is None else option.default)


def main() -> int:
    """Rewrite all derived files."""
    for mode in MODES:
        mode_file(mode).write_text(parameter_file(mode, ROLES), encoding="utf-8")
    SCHEMA.write_text(schema(ROLES), encoding="utf-8")
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
