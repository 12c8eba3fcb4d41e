"""Which transport a run uses, and planner, camera guard and supervisor as processes on it."""

from __future__ import annotations

import dataclasses
import importlib.util
import os
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from onboard_vla.app.doctor.machine import Machine
from onboard_vla.app.doctor.transport import ros2
from onboard_vla.app.processes import ProcessSet, ProcessSpec
from onboard_vla.app.simulated_vehicle import SIMULATED_VEHICLE
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.errors import ArgumentError, EnvironmentLacksError
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, PROCESSES, SUPERVISOR
from onboard_vla.core.vehicle_link import VehicleLink
from onboard_vla.safety.config_file import CONFIG_OPTION, write_config

ROS, ZMQ, AUTO = "ros", "zmq", "auto"
TRANSPORTS = (ROS, ZMQ, AUTO)
SINGLE_THREAD = {"OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1", "MKL_NUM_THREADS": "1"}
"""Small matrices on few cores: worker threads of the numerical libraries would only take turns."""
READY_TIMEOUT_S = 60.0
"""From start to connected: interpreter, imports, bundle check, engine loading, discovery, on a loaded machine."""
READY_SLICE_S = 1.0
"""How often to look whether a process has ended instead; twenty heartbeats."""

Options = dict[str, dict[str, str]]


@dataclasses.dataclass
class RunningProcesses:
    """Processes behind a link; `close` ends both."""

    transport: str
    link: VehicleLink
    processes: ProcessSet
    directory: tempfile.TemporaryDirectory[str]

    def pids(self) -> dict[str, int]:
        """Process ids of those that run now."""
        found = {name: self.processes.pid(name) for name in PROCESSES}
        return {name: pid for name, pid in found.items() if pid is not None}

    def close(self) -> None:
        """End processes, link and sockets."""
        self.processes.close()
        self.link.close()
        self.directory.cleanup()


def choose_transport(asked: str, say: Callable[[str], None], machine: Machine | None = None) -> str:
    """ROS 2 where it is installed, ZeroMQ otherwise; an explicit wish is fulfilled or refused.

    Args:
        asked: one of `TRANSPORTS`.
        say: told why it is not ROS 2.
        machine: what the reason is read from; this one.

    Raises:
        ArgumentError: no such transport.
        EnvironmentLacksError: it was asked for by name and is not installed.
    """
    if asked not in TRANSPORTS:
        raise ArgumentError(f"transport {asked!r}: expected one of {', '.join(TRANSPORTS)}")
    if asked == ZMQ or (asked == ROS and _has("rclpy")):
        return asked
    if asked == ROS:
        found = ros2(machine or Machine())
        raise EnvironmentLacksError(
            f"transport ros: rclpy is not installed ({found.found}): {found.remedy}; or use --transport zmq"
        )
    if _has("rclpy"):
        return ROS
    say(f"ROS 2: {ros2(machine or Machine()).found}; the processes talk over ZeroMQ instead")
    return ZMQ


def start_processes(transport: str, bundle: Path, thresholds: Path, logs: Path) -> RunningProcesses:
    """Start the three processes and connect the vehicle's end.

    Raises:
        EnvironmentLacksError: a process ended at once or did not appear; the message has its log's last lines.
    """
    directory = tempfile.TemporaryDirectory(prefix="onboard-vla-")
    configuration = Path(directory.name) / "supervisor.yaml"
    configuration.write_text(write_config(SIMULATED_VEHICLE), encoding="utf-8")
    options: Options = {
        PLANNER: {"bundle": str(bundle)},
        CAMERA_GUARD: {CONFIG_OPTION.name: str(configuration)},
        SUPERVISOR: {
            CONFIG_OPTION.name: str(configuration),
            "thresholds": str(thresholds),
            "bundle": str(bundle),
            "marker": str(Path(directory.name) / "driving"),
        },
    }
    try:
        link = _ros_link() if transport == ROS else _zmq_link(Path(directory.name))
    except BaseException:
        directory.cleanup()
        raise
    commands = _ros_commands(options) if transport == ROS else _zmq_commands(options, Path(directory.name))
    environment = {**os.environ, **SINGLE_THREAD}  # after the link: it sets the DDS domain for who comes after it
    processes = ProcessSet([ProcessSpec(name, command, environment) for name, command in commands.items()], logs)
    running = RunningProcesses(transport, link, processes, directory)
    try:
        processes.start()
        _wait_ready(link, processes)
    except EnvironmentLacksError as error:
        running.close()
        raise _with_logs(error, processes) from None
    except BaseException:
        running.close()
        raise
    return running


def log_tail(path: Path, lines: int = 3) -> str:
    """The last lines of a log in one line; empty when there is none."""
    if not path.exists():
        return ""
    return " | ".join(path.read_text(encoding="utf-8", errors="replace").strip().splitlines()[-lines:])


def _wait_ready(link: VehicleLink, processes: ProcessSet) -> None:
    """Wait for all three, but no longer than the first that has ended for good."""
    deadline_ns = time.monotonic_ns() + nanoseconds(READY_TIMEOUT_S)
    while True:
        processes.check()
        try:
            return link.wait_ready(READY_SLICE_S, PROCESSES)
        except EnvironmentLacksError:
            if time.monotonic_ns() > deadline_ns:
                raise


def _with_logs(error: EnvironmentLacksError, processes: ProcessSet) -> EnvironmentLacksError:
    tails = {name: log_tail(processes.log_path(name)) for name in PROCESSES}
    words = "; ".join(f"{name} said: {tail}" for name, tail in tails.items() if tail)
    return EnvironmentLacksError(f"{error}. {words}" if words else str(error))


def _zmq_commands(options: Options, directory: Path) -> dict[str, tuple[str, ...]]:
    return {
        name: (
            sys.executable,
            "-m",
            f"onboard_vla.hil.{name}",
            "--endpoints",
            str(directory),
            *(word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", value)),
        )
        for name, given in options.items()
    }


def _ros_commands(options: Options) -> dict[str, tuple[str, ...]]:
    return {
        name: (
            sys.executable,
            "-m",
            f"onboard_vla.ros_nodes.{name}",
            "--ros-args",
            *(word for key, value in given.items() for word in ("-p", f"{key}:={value}")),
        )
        for name, given in options.items()
    }


def _zmq_link(directory: Path) -> VehicleLink:
    from onboard_vla.hil.vehicle_link import ZmqVehicleLink

    return ZmqVehicleLink(directory)


def _ros_link() -> VehicleLink:
    from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink

    return RosVehicleLink()


def _has(module: str) -> bool:
    return importlib.util.find_spec(module) is not None
