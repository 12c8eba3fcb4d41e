"""Real nodes as processes of one distribution or another, and a client of them in the test's own process."""

from __future__ import annotations

import ctypes
import os
import signal
import subprocess
import sys
import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

import onboard_vla
from onboard_vla.ros_nodes.environment import FAST_DDS_2, PROFILE_VARIABLES, profile_variables

LIMIT_S = 60.0
"""Ends what hangs, and nothing else: who waits goes on as soon as it has come."""
JAZZY = Path(os.environ.get("JAZZY_VENV", f"{sys.prefix}-jazzy")) / "bin" / "python"
"""Made by `make test` beside its own: the wheels of two distributions do not fit into one environment."""
STAND_IN = ("-m", "onboard_vla.app.straight_road.stand_in_planner", "ros")
SUPERVISOR = ("-m", "onboard_vla.ros_nodes.safety_supervisor")
GUARD = ("-m", "onboard_vla.ros_nodes.camera_guard")


def python_of(distribution: str) -> str:
    """The interpreter of a distribution; skips where it is not installed."""
    if distribution == "kilted":
        return sys.executable
    if not JAZZY.exists():
        pytest.skip(f"no Jazzy environment at {JAZZY.parents[1]}: `make test` makes it where wheels exist")
    return str(JAZZY)


PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when the one that started it dies."""


def _die_with_the_test() -> None:
    ctypes.CDLL(None).prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)


def environment_of(distribution: str, directory: Path) -> dict[str, str]:
    """For a process of this distribution that imports the code under test; a link to it is put into the directory."""
    link = directory / "onboard_vla"
    if not link.exists():
        link.symlink_to(Path(onboard_vla.__file__).parent, target_is_directory=True)
    # Another environment's wheels: it must look for its own libraries.
    left_out = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE", "LD_LIBRARY_PATH", "AMENT_PREFIX_PATH")
    environment = {key: value for key, value in os.environ.items() if key not in left_out}
    environment |= {"PYTHONPATH": str(directory), "OMP_NUM_THREADS": "1"}
    for name in PROFILE_VARIABLES:
        if profile := environment.pop(name, ""):
            environment[profile_variables(fast_dds_2=distribution in FAST_DDS_2)[0]] = profile
    return environment


class NodeProcess:
    """One node as a child process; its output is kept in a file."""

    def __init__(self, distribution: str, directory: Path, program: tuple[str, ...], **parameters: object) -> None:
        python = python_of(distribution)
        environment = environment_of(distribution, directory)
        words = [word for key, value in parameters.items() for word in ("-p", f"{key}:={value}")]
        self.log = directory / f"node-{time.monotonic_ns()}.log"
        with self.log.open("wb") as log:
            command = [python, *program, "--ros-args", *words]
            self.process = subprocess.Popen(
                command, stdout=log, stderr=subprocess.STDOUT, env=environment, preexec_fn=_die_with_the_test
            )

    def said(self) -> str:
        return self.log.read_text(errors="replace")

    def close(self) -> int:
        if self.process.poll() is None:
            self.process.terminate()
        try:
            return self.process.wait(LIMIT_S)
        except subprocess.TimeoutExpired:
            self.process.kill()
            return self.process.wait()


class Client:
    """A node of the test itself; its executor runs in whoever waits."""

    def __init__(self, domain_id: int) -> None:
        import rclpy
        from rclpy.context import Context
        from rclpy.executors import SingleThreadedExecutor

        self.context = Context()
        rclpy.init(args=[], context=self.context, domain_id=domain_id)
        self.node = rclpy.create_node("test_client", context=self.context, use_global_arguments=False)
        self._executor = SingleThreadedExecutor(context=self.context)
        self._executor.add_node(self.node)
        self._thread: threading.Thread | None = None
        self._ending = threading.Event()

    def call(self, kind: type, name: str, request=None, limit_s: float = LIMIT_S):
        """A service's answer."""
        client = self.node.create_client(kind, name)
        try:
            # A request that is sent before both directions are matched would be lost.
            assert client.wait_for_service(limit_s), f"no service {name}"
            future = client.call_async(request or kind.Request())
            self.until(future.done, f"answer of {name}", limit_s)
            return future.result()
        finally:
            self.node.destroy_client(client)

    def until(self, condition: Callable[[], bool], what: str, limit_s: float = LIMIT_S) -> None:
        """Serve callbacks until something holds."""
        end = time.monotonic() + limit_s
        while not condition():
            assert time.monotonic() < end, f"not within {limit_s} s: {what}"
            self._executor.spin_once(timeout_sec=0.05)

    def spin_beside(self) -> None:
        """Serve callbacks in a thread of its own, for tests that have a clock to keep; then nobody may wait with it."""
        self._thread = threading.Thread(target=self._spin, daemon=True)
        self._thread.start()

    def _spin(self) -> None:
        while not self._ending.is_set():
            self._executor.spin_once(timeout_sec=0.1)

    def close(self) -> None:
        self._ending.set()
        if self._thread is not None:
            self._thread.join()
        self._executor.shutdown()
        self.node.destroy_node()
        self.context.try_shutdown()
