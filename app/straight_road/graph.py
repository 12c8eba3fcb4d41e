"""Supervisor, camera guard and a planner without a model as real processes, and the straight road they drive on."""

from __future__ import annotations

import contextlib
import os
import sys
from collections.abc import Mapping
from pathlib import Path

from onboard_vla.app.processes import ProcessSet, ProcessSpec
from onboard_vla.app.straight_road.road import LIMIT_S, StraightRoad
from onboard_vla.app.straight_road.stand_in_bundle import write_stand_in_bundle
from onboard_vla.core.bundle_manifest import BundleManifest, computed_precision, load_manifest
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, PROCESSES, SUPERVISOR
from onboard_vla.core.thresholds import DELIVERED, SIGNALS, Threshold, Thresholds
from onboard_vla.core.vehicle_link import VehicleLink
from onboard_vla.core.wire import MAGIC

ROOM = "onboard_vla.app.straight_road"


def wide_thresholds(manifest: BundleManifest, own: Mapping[str, float]) -> Thresholds:
    """Limits for this bundle that no plan of the stand-in planner exceeds, but for those of one's own."""
    limits = tuple(
        Threshold(name, own.get(name, _wide(unit, direction)), unit, direction, "test")
        for name, (unit, direction) in (SIGNALS | (DELIVERED if manifest.vision_reference else {})).items()
    )
    precision = computed_precision(manifest)
    return Thresholds(manifest.core_hash, precision, True, "test", "test", 0, 1.0, 1.0, "2026-01-01", limits, {}, {})


def _wide(unit: str, direction: str) -> float:
    if unit != "1":
        return 5.0
    return 1.0 if direction == "above" else 0.0


def schedule_this_rig(policy: int, priority: int) -> None:
    """Keep the rig itself on time beside other load, where permitted; its children stay ordinary processes."""
    with contextlib.suppress(PermissionError):
        for thread in Path("/proc/self/task").iterdir():
            with contextlib.suppress(ProcessLookupError):
                os.sched_setscheduler(int(thread.name), policy | os.SCHED_RESET_ON_FORK, os.sched_param(priority))


class Graph:
    """Link, processes and road on one transport ("zmq" or "ros").

    `bundle`: a real bundle, for the real planner. `breakable`: a supervisor in which SIGUSR1 breaks a module.
    `ordinary`: no process asks for real-time scheduling. `planner`: further options of the planner. `limits`:
    thresholds by signal that are not as wide as the others. EnvironmentLacksError where a process does not appear in
    time; then none is left running.
    """

    def __init__(
        self,
        transport: str,
        directory: Path,
        bundle: Path | None = None,
        *,
        breakable: bool = False,
        ordinary: bool = False,
        planner: Mapping[str, object] | None = None,
        limits: Mapping[str, float] | None = None,
    ) -> None:
        self.transport, self.directory, self.bundle, self.breakable = transport, directory, bundle, breakable
        thresholds = directory / "thresholds.json"
        manifest = load_manifest(bundle) if bundle else write_stand_in_bundle(directory / "bundle")
        wide_thresholds(manifest, limits or {}).save(thresholds)
        of_bundle: dict[str, object] = {"bundle": bundle} if bundle else {"bundle_hash": manifest.core_hash}
        supervisor: dict[str, object] = {
            "profile": "simulation",
            "thresholds": thresholds,
            "bundle": bundle or directory / "bundle",
            "marker": directory / "driving",
        }
        options: dict[str, dict[str, object]] = {
            PLANNER: {**of_bundle, **(planner or {})},
            CAMERA_GUARD: {},
            SUPERVISOR: supervisor,
        }
        for given in options.values() if ordinary else ():
            given["realtime_priority"] = 0
        self.link = self._make_link()
        environment = {**os.environ, "OMP_NUM_THREADS": "1"}
        specs = [ProcessSpec(name, self.command(name, options[name]), environment) for name in PROCESSES]
        self.processes = ProcessSet(specs, directory / "logs")
        self.processes.start()
        try:
            self.link.wait_ready(LIMIT_S, PROCESSES)
            self.road = StraightRoad(self.link)
            self.road.give_route()
            schedule_this_rig(os.SCHED_FIFO, 5)
        except BaseException:
            # Nobody else has this graph yet; what a subclass adds is not there to be closed.
            Graph.close(self)
            raise

    def command(self, name: str, options: dict[str, object]) -> tuple[str, ...]:
        """The command line of a process."""
        room = "hil" if self.transport == "zmq" else "ros_nodes"
        program: tuple[str, ...] = ("-m", f"onboard_vla.{room}.{name}")
        if name == PLANNER and self.bundle is None:
            program = ("-m", f"{ROOM}.stand_in_planner", self.transport)
        if name == SUPERVISOR and self.breakable:
            program = ("-m", f"{ROOM}.breakable_supervisor", self.transport)
        if self.transport == "zmq":
            words = ["--endpoints", str(self.directory)]
            words += [word for key, value in options.items() for word in (f"--{key.replace('_', '-')}", str(value))]
        else:
            words = ["--ros-args", *(word for key, value in options.items() for word in ("-p", f"{key}:={value}"))]
        return (sys.executable, *program, *words)

    def send_garbage(self) -> None:
        """Bytes that no process can read, in place of a vehicle's state; over ZeroMQ alone."""
        from onboard_vla.hil.vehicle_link import ZmqVehicleLink

        assert isinstance(self.link, ZmqVehicleLink)
        self.link.publish_bytes("ego", MAGIC + b"this is no message")

    def _make_link(self) -> VehicleLink:
        if self.transport == "zmq":
            from onboard_vla.hil.vehicle_link import ZmqVehicleLink

            return ZmqVehicleLink(self.directory)
        from onboard_vla.ros_nodes.environment import unused_domain_id
        from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink

        return RosVehicleLink(unused_domain_id())

    def close(self) -> None:
        """End the processes and the link."""
        schedule_this_rig(os.SCHED_OTHER, 0)
        self.processes.close()
        self.link.close()
