"""What a node's parameters come to when it reads its files in their order, checked as the node itself checks them."""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from difflib import get_close_matches
from pathlib import Path
from typing import Any

import yaml

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process import Option, OptionValue, checked_options
from onboard_vla.ros_nodes.deployment import MODES, NodeStart, mode_file
from onboard_vla.ros_nodes.deployment_files import options_of
from onboard_vla.ros_nodes.documents import ROLES
from onboard_vla.ros_nodes.node_options import PICTURES, RECTIFIED
from onboard_vla.ros_nodes.topics import RAW

SIM_TIME = "use_sim_time"
FOREIGN = (SIM_TIME,)
"""Parameters that rclpy itself knows."""
SHIPPED = tuple(map(mode_file, MODES))
"""These have a section for every node that their mode may have."""
SECTION = "ros__parameters"
SHAPES = {"*": r"/\w+", "**": r"(/\w+)*"}
"""Wildcards of a section's name."""
NODES = re.compile(r"/?([A-Za-z_]\w*|\*\*?)(/([A-Za-z_]\w*|\*\*?))*", re.ASCII)
"""A section's name; rcl refuses files with others, and every node that is given one."""


def node_parameters(start: NodeStart, namespace: str) -> dict[str, OptionValue]:
    """The values of one node: of every option, and of those settings that are given.

    Raises:
        ConfigurationError: a file is not a parameter file, or a parameter is unknown, missing or out of range.
    """
    given = {name: value for name, value in _given(start, namespace).items() if name not in FOREIGN}
    options, settings = _table(start.name)
    _require_known(start.name, given, [option.name for option in options], [option.name for option in settings])
    chosen = {option.name: option.checked(given.pop(option.name)) for option in settings if option.name in given}
    return {**checked_options(start.name, options, given), **chosen}


def _given(start: NodeStart, namespace: str) -> dict[str, Any]:
    # As in rcl: sections of one name are one; of those that meet the node, the name that appeared last wins.
    sections: dict[str, dict[str, Any]] = {}
    for file in start.files:
        for pattern, values in _sections(file).items():
            sections.setdefault(pattern, {}).update(values)
    given: dict[str, Any] = {}
    for pattern, values in sections.items():
        if _meets(pattern, start.name, namespace):
            given.update(values)
    return {**given, **start.parameters}


def _require_known(node: str, given: Iterable[str], options: list[str], settings: list[str]) -> None:
    for name in given:
        if name in options or name in settings:
            continue
        near = get_close_matches(name, [*options, *settings], 1)
        meant = f"; the nearest is {near[0]}" if near else ""
        also = ", or a setting as `onboard-vla config show` names them (freshness.ego_stop_s)" if settings else ""
        raise ConfigurationError(f"{node} has no option {name!r}{meant}: expected one of {', '.join(options)}{also}")


def pictures_taken(start: NodeStart, namespace: str) -> str:
    """How the node takes pictures, one of `topics.TRANSPORTS`; the default where its parameters are wrong."""
    try:
        return str(node_parameters(start, namespace).get(PICTURES.name, RAW))
    except ConfigurationError:
        # The node's own row of a check says so, and that it would not start.
        return RAW


def rectified_pictures(start: NodeStart, namespace: str) -> bool:
    """Whether the node takes its pictures for rectified ones; not where its parameters are wrong."""
    try:
        return bool(node_parameters(start, namespace).get(RECTIFIED.name, False))
    except ConfigurationError:
        return False


def takes_simulated_time(start: NodeStart, namespace: str) -> bool:
    """Whether the node's clock is /clock; not where its parameters are wrong."""
    try:
        return bool(_given(start, namespace).get(SIM_TIME, False))
    except ConfigurationError:
        return False


def unmet_sections(starts: Sequence[NodeStart], namespace: str) -> list[tuple[Path, str]]:
    """Sections of the integrator's own files that are for none of these nodes, with their file.

    Raises:
        ConfigurationError: a file is not a parameter file.
    """
    files = dict.fromkeys(file for start in starts for file in start.files if file not in SHIPPED)
    return [
        (file, pattern)
        for file in files
        for pattern in _sections(file)
        if not any(_meets(pattern, start.name, namespace) for start in starts)
    ]


def _table(name: str) -> tuple[tuple[Option, ...], tuple[Option, ...]]:
    for role in ROLES:
        if role.name == name:
            return options_of(role), role.settings
    raise ConfigurationError(f"{name}: this version has no such node")


def _sections(file: Path) -> dict[str, dict[str, Any]]:
    try:
        document = yaml.safe_load(file.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{file}: not a readable YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(document, dict):
        raise ConfigurationError(f"{file}: expected a table of nodes, found {type(document).__name__}")
    sections = {}
    for pattern, section in document.items():
        if not NODES.fullmatch(str(pattern)):
            raise ConfigurationError(
                f"{file}: expected names of nodes, in which * and ** stand alone, found {pattern!r}"
            )
        if not isinstance(section, dict) or list(section) != [SECTION] or not isinstance(section[SECTION], dict):
            raise ConfigurationError(f"{file}: {pattern}: expected a table with {SECTION} alone")
        sections[str(pattern)] = _flat(section[SECTION])
    return sections


def _flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested tables as dotted names, as rcl reads them."""
    flat: dict[str, Any] = {}
    for name, value in values.items():
        flat.update(_flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value})
    return flat


def _meets(pattern: str, name: str, namespace: str) -> bool:
    """Whether a section is for this node, as rcl reads it: `*` is one name, `**` any number of them, also none."""
    full = "/".join(("", *namespace.strip("/").split("/"), name)) if namespace.strip("/") else f"/{name}"
    shape = "".join(SHAPES.get(token, f"/{token}") for token in pattern.removeprefix("/").split("/"))
    return re.fullmatch(shape, full) is not None
