"""The shipped parameter files, one for each mode of deployment, and their JSON schema, from the tables of options."""

from __future__ import annotations

import json
from collections.abc import Sequence
from typing import Any

from onboard_vla.core.process import Option, OptionValue, Role
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR
from onboard_vla.ros_nodes.deployment import CAMERA_REPLAY, REPLAY, SIMULATION, VEHICLE
from onboard_vla.ros_nodes.node_options import node_options
from onboard_vla.ros_nodes.plan_view import WORLD_RIG
from onboard_vla.ros_nodes.topics import PLAN_VIEW

EVERY_NODE = "/**"
TYPES = {str: "string", int: "integer", float: "number", bool: "boolean"}
SIM_TIME = {VEHICLE: False, REPLAY: True, SIMULATION: True}
ABOUT = {
    VEHICLE: "on a vehicle",
    REPLAY: "with a recording: time is the recording's",
    SIMULATION: "with a simulator that publishes /clock",
}
CHANGED: dict[str, dict[str, dict[str, OptionValue]]] = {
    VEHICLE: {SUPERVISOR: {"profile": "vehicle", "marker": "/var/tmp/onboard-vla-driving"}},  # noqa: S108 - outlives a reboot
    REPLAY: {
        SUPERVISOR: {"profile": "simulation"},
        # Engines load within it.
        CAMERA_REPLAY: {"clock": True, "wait_s": 120.0},
        # As `onboard-vla record` makes recordings.
        PLANNER: {"cameras.transport": "compressed"},
        CAMERA_GUARD: {"cameras.transport": "compressed"},
        PLAN_VIEW: {"cameras.transport": "compressed", "rig": WORLD_RIG},
    },
    SIMULATION: {SUPERVISOR: {"profile": "simulation"}, PLAN_VIEW: {"rig": WORLD_RIG}},
}
"""Where a mode differs from an option's default."""


def options_of(role: Role) -> tuple[Option, ...]:
    """The parameters of a node that its files list; its settings may be given besides."""
    return (*role.options, *node_options(role.name))


def parameter_file(mode: str, roles: Sequence[Role]) -> str:
    """The YAML of one mode: every parameter of every node of it; those that keep their default are comments.

    So `-p NAME:=VALUE` works for them, too, which loses against a value in a section with the node's name.
    """
    lines = [
        f"# Parameters of all nodes {ABOUT[mode]}. Lay your own file over this one: later files win.",
        "# What is commented out has the value that stands there. A value that stands here beats `-p NAME:=VALUE`.",
        f"{EVERY_NODE}:",
        "  ros__parameters:",
        "    # take the time from /clock",
        f"    use_sim_time: {json.dumps(SIM_TIME[mode])}",
    ]
    for role in roles:
        if role.name == CAMERA_REPLAY and mode != REPLAY:
            continue
        changed = CHANGED[mode].get(role.name, {})
        mark = "" if changed else "# "
        lines += [f"{mark}{section(role)}:", f"{mark}  ros__parameters:"]
        for option in options_of(role):
            default = "must be set" if option.default is None else json.dumps(option.default)
            value = json.dumps(changed[option.name]) if option.name in changed else default
            mark = "" if option.name in changed else "# "
            lines += [f"    # {described(option)}", f"    {mark}{option.name}: {value}"]
    return "\n".join(lines) + "\n"


def section(role: Role) -> str:
    """The node of this name in whatever namespace."""
    return f"/**/{role.name}"


def described(option: Option) -> str:
    """Meaning, unit, range, and whether it can change while the node runs."""
    return option.described + ("; can be changed while it runs" if option.changeable else "")


def schema(roles: Sequence[Role]) -> str:
    """JSON schema (draft 7) of a parameter file for these nodes, for editors and for checks before a drive."""
    simulated = {"use_sim_time": {"type": "boolean", "description": "take the time from /clock"}}
    sections = {EVERY_NODE: _section(simulated)}
    elsewhere = {r"^([^ ]*/)?\*\*?$": _section(simulated)}
    for role in roles:
        # The supervisor's settings are many, and change with its guards: the node checks those, `ros check` before it.
        properties = {**simulated, **{option.name: _property(option) for option in options_of(role)}}
        sections[section(role)] = _section(properties, others=bool(role.settings))
        elsewhere[rf"^([^ ]*/)?{role.name}$"] = {"$ref": f"#/properties/{section(role).replace('/', '~1')}"}
    document = {
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Parameters of Onboard VLA's nodes",
        "type": "object",
        "properties": sections,
        "patternProperties": elsewhere,
        "additionalProperties": False,
    }
    return json.dumps(document, indent=2) + "\n"


def _section(properties: dict[str, Any], others: bool = False) -> dict[str, Any]:
    return {
        "type": "object",
        "properties": {"ros__parameters": _table(properties, others)},
        "required": ["ros__parameters"],
        "additionalProperties": False,
    }


def _table(properties: dict[str, Any], others: bool) -> dict[str, Any]:
    """By their names, and those with a point also as tables in tables, which rcl reads as the same."""
    inner: dict[str, dict[str, Any]] = {}
    for name, described_property in properties.items():
        outer, _, rest = name.partition(".")
        if rest:
            inner.setdefault(outer, {})[rest] = described_property
    tables = {outer: _table(those, others) for outer, those in inner.items()}
    return {"type": "object", "properties": {**properties, **tables}, "additionalProperties": others}


def _property(option: Option) -> dict[str, Any]:
    described_property: dict[str, Any] = {"type": TYPES[option.kind], "description": described(option)}
    if option.default is not None:
        described_property["default"] = option.default
    if option.choices:
        described_property["enum"] = list(option.choices)
    if option.ranged:
        described_property |= {"minimum": option.minimum, "maximum": option.maximum}
    return described_property
