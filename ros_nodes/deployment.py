"""Which nodes a deployment has and what each is started with: one description for `ros2 launch` and our launcher.

Needs no ROS: the launch file runs it in the interpreter of `ros2 launch`.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process import OptionValue
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR

VEHICLE, REPLAY, SIMULATION = "vehicle", "replay", "simulation"
MODES = (VEHICLE, REPLAY, SIMULATION)
CORE_NODES = (SUPERVISOR, CAMERA_GUARD, PLANNER)
"""In the order of their start: who publishes the fallback first."""
CAMERA_REPLAY = "camera_replay"
LATENCY_PROBE = "latency_probe"
EXTRA_NODES = ("vehicle_gate", LATENCY_PROBE, "plan_view")
"""Nodes that a deployment may have beside those of its mode."""
GATE_STOPS_WITHIN_S = 15.0
"""How long a gate is kept after its supervisor: from 50 m/s it brakes to standstill in 12.5 s (GATE_BRAKING_MPS2)."""
PACKAGE = Path(__file__).with_name("onboard_vla_bringup")
"""The ament package; a wheel holds its files, too."""


@dataclass(frozen=True)
class Deployment:
    """What an integrator asks for.

    `parameters`: files laid over the mode's own, later ones win. `config`, `thresholds`: the supervisor's files; empty:
    those of the parameter files. `bag`: what a replay plays. `extra`, `without`: nodes to add and to leave out.
    """

    mode: str
    bundle: str
    parameters: tuple[Path, ...] = ()
    config: str = ""
    thresholds: str = ""
    bag: str = ""
    extra: tuple[str, ...] = ()
    without: tuple[str, ...] = ()


@dataclass(frozen=True)
class NodeStart:
    """One node. `parameters` go over the files. `restart`: start it again when it dies; a replay just ends.

    `may_finish`: with status 0 it has done its work; it is not started again, and the others go on.
    """

    name: str
    files: tuple[Path, ...]
    parameters: Mapping[str, OptionValue] = field(default_factory=dict)
    restart: bool = True
    may_finish: bool = False

    @property
    def module(self) -> str:
        """What `python -m` runs."""
        return f"onboard_vla.ros_nodes.{self.name}"

    def own_section(self, namespace: str) -> str:
        """The parameters as a file to be read after the others, under the node's full name.

        Among sections that meet a node, rcl lets the one win whose name appeared last for the first time; `-p NAME:=`
        counts as the first of all, `/**`, and so loses against every section with the node's name.
        """
        full_name = "/".join(("", *namespace.strip("/").split("/"), self.name)).replace("//", "/")
        return json.dumps({full_name: {"ros__parameters": dict(self.parameters)}}) + "\n"

    def ros_arguments(self, namespace: str, files: Sequence[Path]) -> tuple[str, ...]:
        """Arguments of the node's command line, with these parameter files."""
        words = ["--ros-args"]
        if namespace:
            words += ["-r", f"__ns:=/{namespace.strip('/')}"]
        for file in files:
            words += ["--params-file", str(file)]
        return tuple(words)


def mode_file(mode: str) -> Path:
    """The shipped parameters of a mode."""
    return PACKAGE / "config" / f"{mode}.param.yaml"


def node_starts(wanted: Deployment) -> tuple[NodeStart, ...]:
    """The nodes to start, in order.

    Raises:
        ConfigurationError: an unknown mode or node, a missing bundle or recording, a file that is not there.
    """
    if wanted.mode not in MODES:
        raise ConfigurationError(f"mode: expected {', '.join(MODES)}, found {wanted.mode!r}")
    nodes = (*CORE_NODES, *((CAMERA_REPLAY,) if wanted.mode == REPLAY else ()))
    for where, among, given in (("extra", EXTRA_NODES, wanted.extra), ("without", nodes, wanted.without)):
        for name in given:
            if name not in among:
                raise ConfigurationError(f"{where}: expected nodes of {', '.join(among)}, found {name!r}")
    for name in wanted.extra:
        if wanted.extra.count(name) > 1:
            raise ConfigurationError(f"extra: expected each node once, found {name} twice")
    files = (mode_file(wanted.mode), *wanted.parameters)
    for file in files:
        if not file.is_file():
            raise ConfigurationError(f"parameters: no file {file}")
    chosen = [name for name in (*nodes, *wanted.extra) if name not in wanted.without]
    own = _parameters(wanted, [name for name in (PLANNER, CAMERA_GUARD) if name in chosen])
    starts = tuple(
        NodeStart(name, files, own.get(name, {}), restart=name != CAMERA_REPLAY, may_finish=name == LATENCY_PROBE)
        for name in chosen
    )
    _check_set(wanted, chosen)
    return starts


def planner_start(wanted: Deployment) -> NodeStart:
    """The planner alone, with what it has in this deployment: for who makes its engines.

    Raises:
        ConfigurationError: as `node_starts`; or the deployment has no planner.
    """
    if PLANNER in wanted.without:
        raise ConfigurationError(f"{PLANNER} is left out: expected it in a deployment whose engines are to be made")
    others = (SUPERVISOR, CAMERA_GUARD, *((CAMERA_REPLAY,) if wanted.mode == REPLAY else ()))
    bag = "" if wanted.mode == REPLAY else wanted.bag
    (start,) = node_starts(replace(wanted, extra=(), without=others, config="", thresholds="", bag=bag))
    return start


def _parameters(wanted: Deployment, take_pictures: Sequence[str]) -> dict[str, dict[str, OptionValue]]:
    supervisor = {"bundle": wanted.bundle, "config": wanted.config, "thresholds": wanted.thresholds}
    return {
        PLANNER: _set({"bundle": wanted.bundle}),
        CAMERA_GUARD: _set({"config": wanted.config}),
        SUPERVISOR: _set(supervisor),
        CAMERA_REPLAY: _set({"bag": wanted.bag, "listeners": ",".join(take_pictures)}),
    }


def _set(values: Mapping[str, str]) -> dict[str, OptionValue]:
    return {name: value for name, value in values.items() if value}


def _check_set(wanted: Deployment, chosen: list[str]) -> None:
    if PLANNER in chosen and not wanted.bundle:
        raise ConfigurationError(
            "bundle is not set: expected the path of a bundle folder (`onboard-vla export` writes one)"
        )
    if CAMERA_REPLAY in chosen and not wanted.bag:
        raise ConfigurationError("bag is not set: expected a rosbag2 folder or an MCAP file to replay")
    if wanted.bag and wanted.mode != REPLAY:
        raise ConfigurationError(f"bag: nothing plays it in mode {wanted.mode}: expected mode {REPLAY}, or no bag")
    for where, given, readers in (
        ("bag", wanted.bag, (CAMERA_REPLAY,)),
        ("thresholds", wanted.thresholds, (SUPERVISOR,)),
        ("config", wanted.config, (SUPERVISOR, CAMERA_GUARD)),
    ):
        if given and not any(name in chosen for name in readers):
            verb = "plays" if where == "bag" else "reads"
            raise ConfigurationError(f"{where}: nothing {verb} it without {' or '.join(readers)}: leave it out")
