"""Probes of what carries messages between the processes: ROS 2, its middleware, shared memory, ZeroMQ."""

from __future__ import annotations

import re
from pathlib import Path

from onboard_vla.app.doctor.finding import Finding, absent, fine, poor
from onboard_vla.app.doctor.machine import Machine
from onboard_vla.ros_nodes.shared_memory import SEGMENT_LOCK

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the folder that Fast DDS uses
BYTES_PER_MIB = 1024 * 1024
LEAST_FREE_SHARED_MEMORY = 512 * BYTES_PER_MIB
"""Bytes; four processes with a 64 MiB segment each (70 MB measured), twice, for one restart before clean-up."""
WHEEL_ARCHITECTURE = "x86_64"
WHEEL_PYTHONS = ((3, 10), (3, 13))
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
ZEROMQ_FOLLOWS = "processes talk over ZeroMQ (--transport zmq)"


def ros2(machine: Machine) -> Finding:
    """Which rclpy there is: the wheels, a sourced distribution, both, or none."""
    environment = machine.environment()
    sourced = environment.get("ROS_DISTRO")
    wheel = machine.package_version("ros-kilted-rclpy") or machine.package_version("ros-jazzy-rclpy")
    distributions = [path.name for path in machine.entries("/opt/ros")]
    if not machine.has_module("rclpy"):
        return _without_rclpy(machine, sourced, distributions)
    found = "; ".join(
        text
        for text in (
            f"wheels, rclpy {wheel}" if wheel else "",
            f"{sourced}, sourced" if sourced else "",
            "" if wheel or sourced else "rclpy of unknown origin",
        )
        if text
    )
    try:
        machine.python_output("import rclpy; rclpy.init(); rclpy.shutdown()")
    except OSError as error:
        remedy = "source one distribution only, or none and use the wheels: pip install 'onboard-vla[ros]'"
        return absent("ros2", f"{found}; does not start: {error}", ZEROMQ_FOLLOWS, remedy)
    if wheel and sourced:
        consequence = "libraries of two distributions in one process"
        return poor("ros2", found, consequence, "use a shell without the sourced set-up, or pip uninstall the wheels")
    return fine("ros2", found)


def _without_rclpy(machine: Machine, sourced: str | None, distributions: list[str]) -> Finding:
    if sourced:
        found = f"{sourced} is sourced, but this Python ({_python(machine)}) has no rclpy"
        remedy = f"use the Python that {sourced} was built for, with --system-site-packages in an environment"
    elif distributions:
        name = distributions[-1]
        found, remedy = f"/opt/ros/{name} is there, not sourced", f"source /opt/ros/{name}/setup.bash"
    elif _has_wheels(machine):
        found, remedy = "not installed", "pip install 'onboard-vla[ros]'"
    else:
        found = f"no wheels for Python {_python(machine)} on {machine.architecture()}"
        remedy = "install a ROS 2 distribution (Humble on JetPack 6, Jazzy on JetPack 7) and source it"
    return absent("ros2", found, ZEROMQ_FOLLOWS, remedy)


def _python(machine: Machine) -> str:
    return ".".join(map(str, machine.python_version()[:2]))


def _has_wheels(machine: Machine) -> bool:
    oldest, newest = WHEEL_PYTHONS
    return machine.architecture() == WHEEL_ARCHITECTURE and oldest <= machine.python_version()[:2] <= newest


def rmw(machine: Machine) -> Finding:
    """Which middleware ROS 2 will load, and where discovery reaches."""
    environment = machine.environment()
    name = environment.get("RMW_IMPLEMENTATION")
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or "default range"
    found = f"{name or 'default'}, domain {environment.get('ROS_DOMAIN_ID') or '0'}, {reach}"
    if name and name != "rmw_fastrtps_cpp":
        consequence = "the shipped profile and the measured figures are for rmw_fastrtps_cpp"
        return poor("rmw", found, consequence, "unset RMW_IMPLEMENTATION, or measure with yours")
    return fine("rmw", found)


def dds_profile(machine: Machine) -> Finding:
    """The Fast DDS profile that keeps six cameras from losing pictures; our launcher sets its own."""
    environment = machine.environment()
    for variable in PROFILE_VARIABLES:
        if path := environment.get(variable):
            if machine.file_size(Path(path)):
                return fine("dds_profile", f"{variable}={path}")
            consequence = "Fast DDS starts without it"
            return poor("dds_profile", f"{variable}={path}: no such file", consequence, f"unset {variable} or mend it")
    return fine("dds_profile", "none set", "onboard-vla demo sets its own; nodes started by hand lose pictures without")


def zeromq(machine: Machine) -> Finding:
    """The transport that needs no ROS."""
    if not machine.package_version("pyzmq"):
        consequence = "no transport without ROS 2"
        return absent("zeromq", "not installed", consequence, "pip install pyzmq")
    return fine(
        "zeromq", machine.python_output("import zmq; print(zmq.__version__, 'on libzmq', zmq.zmq_version())").strip()
    )


def shared_memory(machine: Machine) -> Finding:
    """Room for the segments of Fast DDS."""
    space = machine.space(SHARED_MEMORY)
    if space is None:
        consequence = "Fast DDS falls back to UDP and loses pictures"
        return absent("shared_memory", f"no {SHARED_MEMORY}", consequence, f"mount a tmpfs on {SHARED_MEMORY}")
    total, free = space
    found = f"{total // BYTES_PER_MIB} MiB, {free // BYTES_PER_MIB} MiB free"
    if free < LEAST_FREE_SHARED_MEMORY:
        consequence = "too little for four processes: Fast DDS falls back to UDP and loses pictures"
        remedy = f"remove abandoned segments; in a container start it with --shm-size=1g; else enlarge {SHARED_MEMORY}"
        return poor("shared_memory", found, consequence, remedy)
    return fine("shared_memory", found)


def dds_segments(machine: Machine) -> Finding:
    """Segments that killed processes left behind: those whose lock file nobody holds."""
    held = _held_inodes(machine.read("/proc/locks") or "")
    locks = [path for path in machine.entries(SHARED_MEMORY) if SEGMENT_LOCK.fullmatch(path.name)]
    abandoned = [lock.with_name(lock.name.removesuffix("_el")) for lock in locks if machine.inode(lock) not in held]
    if abandoned:
        size = sum(machine.file_size(path) or 0 for path in abandoned) // BYTES_PER_MIB
        consequence, remedy = "shared memory that nobody frees", "onboard-vla doctor --free-shared-memory"
        return poor("dds_segments", f"{len(abandoned)} of {len(locks)} abandoned, {size} MiB", consequence, remedy)
    return fine("dds_segments", f"{len(locks)}, none abandoned")


def _held_inodes(locks: str) -> set[int]:
    """Inodes of all locked files, from the text of /proc/locks (`1: FLOCK ADVISORY WRITE 4711 00:19:12345 0 EOF`)."""
    return {int(match) for match in re.findall(r"\s[0-9a-f]+:[0-9a-f]+:(\d+)\s", locks)}
