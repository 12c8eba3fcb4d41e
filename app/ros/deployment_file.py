"""A deployment as a YAML file: which nodes, with which bundle, recording and parameters."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process_graph import VEHICLE
from onboard_vla.ros_nodes.deployment import REPLAY, Deployment
from onboard_vla.ros_nodes.topics import ROS_TOPICS, RosTopic

PATHS, LISTS = ("bundle", "config", "thresholds", "bag"), ("extra", "without")
KEYS = ("mode", *PATHS, "parameters", *LISTS, "remaps", "namespace", "domain_id", "world")
LAST_DOMAIN = 232
"""Largest domain id whose ports fit into 16 bits (DDSI-RTPS 2.2, 9.6.1.1)."""

PORTS = {row.node_name(row.receivers[0] if row.sender == VEHICLE else row.sender): row for row in ROS_TOPICS}
"""What a table of remaps may name: the vehicle's `~/input/<port>`, in every node that takes it; `~/output/<port>`."""
TOPIC_NAME = re.compile(r"/?[A-Za-z]\w*(/[A-Za-z]\w*)*", re.ASCII)
"""A topic's name, absolute or below the namespace (the rules for names of ROS 2, without `~` and hidden ones)."""

NAMESPACE = re.compile(r"/?[A-Za-z_]\w*(/[A-Za-z_]\w*)*/?", re.ASCII)
"""A namespace (the rules of rcl); with and without slashes around it, it is the same."""


@dataclass(frozen=True)
class DeploymentFile:
    """What the file says. `domain_id` None: the environment's. `world`: seed of a simulated drive to be replayed.

    `remaps`: the topic that is taken for an input or made of an output, by the name that our nodes have for it.
    """

    deployment: Deployment
    namespace: str
    domain_id: int | None
    world: int | None = None
    remaps: Mapping[str, str] = field(default_factory=dict)

    def remap_rules(self) -> tuple[tuple[str, str], ...]:
        """From and to, for every node: who of ours takes a renamed output finds it, by port or by shared name."""
        rules: list[tuple[str, str]] = []
        for name, to in self.remaps.items():
            row = PORTS[name]
            followers = () if row.sender == VEHICLE else (f"~/input/{row.port}", row.shared_name)
            rules += [(source, to) for source in (name, *followers)]
        return tuple(rules)

    def renamed(self) -> dict[str, RosTopic]:
        """What stands under another name than the shared one, by that name, below the namespace unless absolute."""
        return {to: PORTS[name] for name, to in self.remaps.items()}

    def input_name(self, row: RosTopic) -> str:
        """The topic that is taken for an input, below the namespace unless absolute."""
        return self.remaps.get(row.node_name(row.receivers[0]), row.shared_name)


def read_deployment(path: Path, bundle: Path | None = None) -> DeploymentFile:
    """Read a deployment file; relative paths in it start at its folder. `bundle` goes over the file's.

    Raises:
        ConfigurationError: not such a file; the message says where, what was expected and what was found.
    """
    try:
        given = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise ConfigurationError(f"{path}: not a readable YAML file: {' '.join(str(error).split())}") from None
    if not isinstance(given, dict):
        raise ConfigurationError(f"{path}: expected a table of {', '.join(KEYS)}, found {type(given).__name__}")
    for key in given:
        if key not in KEYS:
            raise ConfigurationError(f"{path}: unknown key {key!r}, expected of {', '.join(KEYS)}")
    domain_id = given.get("domain_id")
    if domain_id is not None and (type(domain_id) is not int or not 0 <= domain_id <= LAST_DOMAIN):
        raise ConfigurationError(f"{path}: domain_id: expected 0 to {LAST_DOMAIN}, found {domain_id!r}")
    paths = {key: _path(path, given, key) for key in PATHS}
    if bundle is not None:
        paths["bundle"] = str(bundle)
    deployment = Deployment(
        mode=_text(path, given, "mode"),
        parameters=tuple(path.parent / name for name in _list(path, given, "parameters")),
        extra=_list(path, given, "extra"),
        without=_list(path, given, "without"),
        **paths,
    )
    world, remaps = _world(path, given, deployment), _remaps(path, given, deployment)
    return DeploymentFile(deployment, _namespace(path, given), domain_id, world, remaps)


def _namespace(path: Path, given: dict[str, Any]) -> str:
    namespace = _text(path, given, "namespace")
    if namespace.strip("/") and not NAMESPACE.fullmatch(namespace):
        expected = "words of letters, digits and _ that begin with no digit, with / between them"
        raise ConfigurationError(f"{path}: namespace: expected {expected}, found {namespace!r}")
    return namespace


def _remaps(path: Path, given: dict[str, Any], deployment: Deployment) -> dict[str, str]:
    table = given.get("remaps", {})
    if not isinstance(table, dict):
        raise ConfigurationError(f"{path}: remaps: expected a table of FROM: TO, found {table!r}")
    if table and deployment.mode == REPLAY:
        raise ConfigurationError(f"{path}: remaps: expected none in mode {REPLAY}, which plays to the default names")
    for name, to in table.items():
        if name not in PORTS:
            raise ConfigurationError(
                f"{path}: remaps: expected an input or output such as ~/input/camera/front/image or "
                "~/output/trajectory (docs/ros-interfaces.md has all, with onboard_vla/ for ~/input/ and ~/output/), "
                f"found {name!r}"
            )
        if not isinstance(to, str) or not TOPIC_NAME.fullmatch(to) or "__" in to:
            raise ConfigurationError(f"{path}: remaps: {name}: expected a topic's name, found {to!r}")
        if list(table.values()).count(to) > 1:
            raise ConfigurationError(f"{path}: remaps: expected one input or output for {to}, found more")
    return table


def _world(path: Path, given: dict[str, Any], deployment: Deployment) -> int | None:
    world = given.get("world")
    if world is None:
        return None
    if type(world) is not int or world < 0:
        raise ConfigurationError(f"{path}: world: expected a seed from 0 up, found {world!r}")
    if deployment.mode != REPLAY or deployment.bag:
        raise ConfigurationError(f"{path}: world is replayed: expected mode {REPLAY} without a bag beside it")
    return world


def _text(path: Path, given: dict[str, Any], key: str) -> str:
    value = given.get(key, "")
    if not isinstance(value, str):
        raise ConfigurationError(f"{path}: {key}: expected a text, found {value!r}")
    return value


def _path(path: Path, given: dict[str, Any], key: str) -> str:
    text = _text(path, given, key)
    return str(path.parent / text) if text else ""


def _list(path: Path, given: dict[str, Any], key: str) -> tuple[str, ...]:
    value = given.get(key, [])
    if not isinstance(value, list) or not all(isinstance(item, str) for item in value):
        raise ConfigurationError(f"{path}: {key}: expected a list of texts, found {value!r}")
    return tuple(value)
