"""The packages as colcon installed them for Jazzy: programs, files, and messages that pass between distributions."""

from __future__ import annotations

import os
import subprocess
from pathlib import Path

import pytest

import onboard_vla
from onboard_vla.core.objects import ObjectList, TrackedObject
from onboard_vla.core.process import EXIT_CONFIGURATION

from .nodes import JAZZY, LIMIT_S, python_of

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytestmark = pytest.mark.ros
ENVIRONMENT = JAZZY.parents[1]
WORKSPACE = ENVIRONMENT / "workspace" / "install"
SOURCED = ("bash", "-c", f'. {WORKSPACE}/local_setup.bash && exec "$@"', "sourced")
PACKAGE = "onboard_vla_bringup"
ECHO = """
import rclpy
from onboard_vla_msgs.msg import ObjectList
from onboard_vla.ros_nodes.typed_codec import from_objects, to_objects
rclpy.init()
node = rclpy.create_node("echo")
back = node.create_publisher(ObjectList, "objects_back", 1)
node.create_subscription(ObjectList, "objects", lambda message: back.publish(to_objects(from_objects(message))), 1)
try:
    rclpy.spin(node)
except rclpy.executors.ExternalShutdownException:
    pass
"""


class Sourced:
    """Processes in the sourced workspace, with the package `onboard_vla` of this run or without."""

    def __init__(self, folder: Path):
        python_of("jazzy")
        if not (WORKSPACE / "local_setup.bash").exists():
            pytest.skip(f"no colcon workspace at {WORKSPACE}: `make test` builds it")
        (folder / "onboard_vla").symlink_to(Path(onboard_vla.__file__).parent, target_is_directory=True)
        left_out = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "PYTHONPATH")
        self._environment = {name: value for name, value in os.environ.items() if name not in left_out}
        self._environment["PATH"] = f"{ENVIRONMENT / 'bin'}:{os.environ['PATH']}"
        self._environment["AMENT_PREFIX_PATH"] = str(ENVIRONMENT)
        self._folder = folder
        self._log = (folder / "log").open("wb")
        self._running: list[subprocess.Popen] = []

    def start(self, *command: str) -> subprocess.Popen:
        environment = {**self._environment, "PYTHONPATH": str(self._folder)}
        process = subprocess.Popen([*SOURCED, *command], env=environment, stdout=self._log, stderr=subprocess.STDOUT)
        self._running.append(process)
        return process

    def output(self, *command: str) -> subprocess.CompletedProcess:
        return subprocess.run(
            [*SOURCED, *command], env=self._environment, capture_output=True, text=True, timeout=60, check=False
        )

    def close(self) -> None:
        for process in self._running:
            process.terminate()
            process.wait(LIMIT_S)
        self._log.close()


@pytest.fixture
def sourced(domain_id, tmp_path):
    sourced = Sourced(tmp_path)
    yield sourced
    sourced.close()


def program(name: str) -> str:
    return str(WORKSPACE / PACKAGE / "lib" / PACKAGE / name)


def share(name: str) -> Path:
    return WORKSPACE / PACKAGE / "share" / PACKAGE / name


def test_an_installed_program_is_the_node_with_the_installed_parameters(sourced, client):
    from rcl_interfaces.srv import GetParameters

    parameters = str(share("config/simulation.param.yaml"))
    sourced.start(program("safety_supervisor"), "--ros-args", "--params-file", parameters, "-p", "realtime_priority:=0")

    request = GetParameters.Request(names=["profile", "use_sim_time", "realtime_priority"])
    answer = client.call(GetParameters, "/safety_supervisor/get_parameters", request)

    profile, simulated, priority = answer.values
    assert (profile.string_value, simulated.bool_value, priority.integer_value) == ("simulation", True, 0)


def test_the_packages_are_found_with_all_that_they_hold(sourced):
    program = (
        "from ament_index_python.packages import get_package_share_directory as f; print(f('onboard_vla_bringup'))"
    )

    found = sourced.output(str(JAZZY), "-c", program)

    assert found.stdout.strip() == str(share("")).rstrip("/"), found.stderr
    source = Path(onboard_vla.__file__).parent / "ros_nodes" / PACKAGE
    for folder in ("config", "dds", "foxglove", "launch", "rviz"):
        names = sorted(path.name for path in (source / folder).iterdir() if path.is_file())
        assert sorted(path.name for path in share(folder).iterdir()) == names, "run make test: the workspace is older"


def test_a_program_without_the_wheel_says_what_to_install(sourced):
    ended = sourced.output(program("vla_planner"))

    assert ended.returncode == EXIT_CONFIGURATION, "a launch does not start it again"
    assert "pip install . in a clone of Onboard VLA" in ended.stderr
    assert ended.stderr.count("\n") == 1


def test_typed_messages_pass_between_the_distributions_to_the_bit(sourced, client):
    messages = pytest.importorskip(
        "onboard_vla_msgs.msg", reason="onboard_vla_msgs is not built: `make test` builds it"
    )
    from onboard_vla.ros_nodes.typed_codec import from_objects, to_objects

    objects = ObjectList(
        1_795_000_000_123_456_789, (TrackedObject(-7, "cyclist", 0.1, -2e300, 3.0, float("inf"), 5e-324, 6.0, 7.0),)
    )
    sourced.start(str(JAZZY), "-c", ECHO)
    received = []
    client.node.create_subscription(messages.ObjectList, "objects_back", received.append, 1)
    publisher = client.node.create_publisher(messages.ObjectList, "objects", 1)
    client.until(
        lambda: publisher.get_subscription_count() and client.node.count_publishers("objects_back"), "the other end"
    )

    def back() -> bool:
        # The other end may not know our reader yet when its first answer goes out.
        publisher.publish(to_objects(objects))
        return bool(received)

    client.until(back, "the way back")

    assert from_objects(received[0]) == objects
