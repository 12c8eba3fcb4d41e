"""What ROS 2 processes need in their environment, and a check that ROS 2 is there at all."""

from __future__ import annotations

import fcntl
import os
import tempfile
from importlib.metadata import PackageNotFoundError, version
from importlib.util import find_spec
from pathlib import Path

from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.core.heap import M_MMAP_THRESHOLD, M_TRIM_THRESHOLD, set_malloc
from onboard_vla.core.installation import installation

PROFILE_FILE = Path(__file__).with_name("onboard_vla_bringup") / "dds" / "vehicle.xml"
"""Fast DDS profile that does not lose camera frames and finds its peers in 0.2 s."""
PROFILE_VARIABLES = ("FASTDDS_DEFAULT_PROFILES_FILE", "FASTRTPS_DEFAULT_PROFILES_FILE")
FAST_DDS_2 = ("humble", "iron", "jazzy")
FIRST_RCLPY_WITH_FAST_DDS_3 = 9
"""Kilted's."""
MALLOC_THRESHOLD_BYTES = 1 << 30
"""Below this, freed picture buffers stay with the process: saves a million page faults per 6 s of 1600x900 pictures."""
FIRST_DOMAIN, LAST_DOMAIN = 10, 101
"""Domain ids to choose from: 0 is everyone's default, and ports above 101's fall into Linux's ephemeral range."""


FAST_DDS = "rmw_fastrtps_cpp"


def other_middleware() -> str:
    """What RMW_IMPLEMENTATION names instead of Fast DDS, and what does not hold with it; empty for Fast DDS."""
    name = os.environ.get("RMW_IMPLEMENTATION", "")
    if name in ("", FAST_DDS):
        return ""
    return (
        f"RMW_IMPLEMENTATION is {name}: the DDS profile does nothing, and our nodes, their real-time figures and "
        f"answers to services were tried with {FAST_DDS} alone"
    )


def require_rclpy() -> None:
    """Check that rclpy loads.

    Raises:
        EnvironmentLacksError: it does not; the message says what to install.
    """
    if find_spec("rclpy") is not None:
        try:
            import rclpy  # noqa: F401
        except (ImportError, OSError) as error:
            raise EnvironmentLacksError(
                f"rclpy is installed but does not load ({error}): source /opt/ros/<distribution>/setup.bash of the "
                "distribution it belongs to, or use `--transport zmq`"
            ) from None
        return
    raise EnvironmentLacksError(
        f"no rclpy for this Python: {installation('ros')} (x86-64, Python 3.10 to 3.13), or install and source "
        "the distribution's ROS 2, or use `--transport zmq`"
    )


def profile_variables(*, fast_dds_2: bool) -> tuple[str, ...]:
    """The names that Fast DDS reads, the one to set first.

    Fast DDS 2 knows the second name only, and ignores the first without a word; Fast DDS 3 warns of the second.
    """
    return PROFILE_VARIABLES[1:] if fast_dds_2 else PROFILE_VARIABLES


def node_environment(profile: str = "") -> dict[str, str]:
    """Variables to be laid over a node's environment; a profile and a log folder that the user chose stand.

    Raises:
        ConfigurationError: the chosen profile is no file. Fast DDS would start without it, and lose pictures.
    """
    logs = Path(tempfile.gettempdir()) / f"onboard-vla-ros-log-{os.getuid()}"
    return {
        profile_variables(fast_dds_2=has_fast_dds_2())[0]: _chosen_profile(profile),
        "ROS_LOG_DIR": os.environ.get("ROS_LOG_DIR", str(logs)),
        "MALLOC_MMAP_THRESHOLD_": str(MALLOC_THRESHOLD_BYTES),
        "MALLOC_TRIM_THRESHOLD_": str(MALLOC_THRESHOLD_BYTES),
    }


def _chosen_profile(profile: str) -> str:
    choices = {"dds_profile": profile, **{name: os.environ.get(name, "") for name in PROFILE_VARIABLES}}
    for where, path in choices.items():
        if not path:
            continue
        if not Path(path).is_file():
            raise ConfigurationError(
                f"{where}: expected a file with a Fast DDS profile, found none at {path}: mend or unset it (the "
                "shipped profile is taken then)"
            )
        return path
    return str(PROFILE_FILE)


def ros_environment(domain_id: int) -> dict[str, str]:
    """Variables for every process of a graph that stays on this machine."""
    # Later distributions replaced Humble's variable, and warn of it.
    humble = os.environ.get("ROS_DISTRO") == "humble"
    near = {"ROS_LOCALHOST_ONLY": "1"} if humble else {"ROS_AUTOMATIC_DISCOVERY_RANGE": "LOCALHOST"}
    return {"ROS_DOMAIN_ID": str(domain_id), **near, **node_environment()}


def apply_ros_environment(domain_id: int | None = None) -> int:
    """Prepare this process, and all that it starts, for a graph of its own; to be called before rclpy starts.

    Returns:
        The domain id: the given one, or else ROS_DOMAIN_ID's, or else one that is free on this machine.
    """
    if domain_id is None:
        given = os.environ.get("ROS_DOMAIN_ID", "")
        domain_id = int(given) if given.isdigit() else unused_domain_id()
    os.environ.update(ros_environment(domain_id))
    # The variables come too late for a process that runs already.
    set_malloc({M_MMAP_THRESHOLD: MALLOC_THRESHOLD_BYTES, M_TRIM_THRESHOLD: MALLOC_THRESHOLD_BYTES})
    return domain_id


_claims: dict[int, int] = {}
"""By domain id, the file whose lock says that this process has it."""


def unused_domain_id() -> int:
    """A domain id that no other caller on this machine holds; held until it is given back or this process ends.

    Raises:
        EnvironmentLacksError: all are taken.
    """
    folder = Path(tempfile.gettempdir()) / f"onboard-vla-domains-{os.getuid()}"
    folder.mkdir(mode=0o700, exist_ok=True)
    count = LAST_DOMAIN - FIRST_DOMAIN + 1
    for step in range(count):
        domain_id = FIRST_DOMAIN + (os.getpid() + step) % count
        claim = os.open(folder / str(domain_id), os.O_CREAT | os.O_RDWR | os.O_CLOEXEC, 0o600)
        try:
            fcntl.flock(claim, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            os.close(claim)
            continue
        _claims[domain_id] = claim
        return domain_id
    raise EnvironmentLacksError(
        f"all domain ids from {FIRST_DOMAIN} to {LAST_DOMAIN} are in use by runs on this machine"
    )


def give_back_domain_id(domain_id: int) -> None:
    """Another caller may have it; nothing happens with one that this process did not claim."""
    claim = _claims.pop(domain_id, None)
    if claim is not None:
        os.close(claim)


def has_fast_dds_2() -> bool:
    """Whether the distribution is Jazzy or older: the sourced one, or that of the wheels."""
    distribution = os.environ.get("ROS_DISTRO")
    if distribution:
        return distribution in FAST_DDS_2
    try:
        return int(version("ros-rclpy").partition(".")[0]) < FIRST_RCLPY_WITH_FAST_DDS_3
    except PackageNotFoundError:
        return False
