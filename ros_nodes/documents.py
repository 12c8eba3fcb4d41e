"""Writes what is derived from the tables: parameter files and the tables of the room's README.

`python -m onboard_vla.ros_nodes.documents` rewrites them; a test compares.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path

import yaml

from onboard_vla.core.process import Option, Role
from onboard_vla.ros_nodes.node_options import node_options
from onboard_vla.ros_nodes.topics import markdown_table
from onboard_vla.runtime.jpeg import decode_frame
from onboard_vla.runtime.planner_host import PLANNER_ROLE
from onboard_vla.safety.camera_guard_host import camera_guard_role
from onboard_vla.safety.supervisor_host import supervisor_role

ROLES = (PLANNER_ROLE, camera_guard_role(yaml.compose, decode_frame), supervisor_role(yaml.compose))
ROOM = Path(__file__).parent
README = ROOM / "README.md"


def parameter_file(role: Role) -> str:
    """The YAML of one node with its defaults."""
    lines = [f"# Parameters of {role.name}.", "/**:", "  ros__parameters:"]
    for option in (*role.options, *node_options(role.name)):
        lines += [f"    # {option.described}{_when(option)}", f"    {option.name}: {_default(option)}"]
    return "\n".join(lines) + "\n"


def option_table() -> str:
    """All options of all processes, for both transports."""
    lines = ["| process | option | type | default | meaning |", "|---|---|---|---|---|"]
    for role in ROLES:
        for option in (*role.options, *node_options(role.name)):
            default = "must be set" if option.default is None else f"`{_default(option)}`"
            cells = (role.name, f"`{option.name}`", option.kind.__name__, default, option.described + _when(option))
            lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def with_tables(text: str) -> str:
    """A README's text with its marked tables brought up to date."""
    for name, table in (("topics", markdown_table()), ("options", option_table())):
        begin, end = f"<!-- {name} -->\n", f"<!-- end of {name} -->"
        before, _, rest = text.partition(begin)
        text = before + begin + table + end + rest.partition(end)[2]
    return text


def _when(option: Option) -> str:
    return "; can be changed while it runs" if option.changeable else ""


def _default(option: Option) -> str:
    return json.dumps("" if option.default is None else option.default)


def main() -> int:
    """Rewrite all derived files."""
    for role in ROLES:
        (ROOM / "config" / f"{role.name}.param.yaml").write_text(parameter_file(role), encoding="utf-8")
    README.write_text(with_tables(README.read_text(encoding="utf-8")), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
