"""A deployment as a YAML file: which nodes, with which bundle, recording and parameters."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.ros_nodes.deployment import REPLAY, Deployment

PATHS, LISTS = ("bundle", "config", "thresholds", "bag"), ("extra", "without")
KEYS = ("mode", *PATHS, "parameters", *LISTS, "namespace", "domain_id", "world")
LAST_DOMAIN = 232
"""Largest domain id whose ports fit into 16 bits (DDSI-RTPS 2.2, 9.6.1.1)."""


@dataclass(frozen=True)
class DeploymentFile:
    """What the file says. `domain_id` None: the environment's. `world`: seed of a simulated drive to be replayed."""

    deployment: Deployment
    namespace: str
    domain_id: int | None
    world: int | None = None


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
    return DeploymentFile(deployment, _text(path, given, "namespace"), domain_id, _world(path, given, deployment))


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
