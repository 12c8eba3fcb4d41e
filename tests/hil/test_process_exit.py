"""How processes start wrongly, end, and die: the same over both transports."""

from __future__ import annotations

import os
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.app.straight_road.stand_in_bundle import write_stand_in_bundle
from onboard_vla.calibration.provisional import provisional_thresholds
from onboard_vla.core.cameras import FRONT, CameraFrame
from onboard_vla.core.clock import system_now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.process import EXIT_CONFIGURATION, EXIT_FAILURE
from onboard_vla.core.process_graph import CAMERA_GUARD, PLANNER, SUPERVISOR

STAND_IN_PLANNER = "onboard_vla.app.straight_road.stand_in_planner"
LIMIT_S = 30.0
TRANSPORTS = ["zmq", pytest.param("ros", marks=pytest.mark.ros)]
pytestmark = pytest.mark.parametrize("transport", TRANSPORTS)


@pytest.fixture
def directory(transport, tmp_path_factory, monkeypatch) -> Iterator[Path]:
    monkeypatch.setenv("OMP_NUM_THREADS", "1")
    if transport == "ros":
        from onboard_vla.ros_nodes.environment import give_back_domain_id, ros_environment, unused_domain_id

        domain_id = unused_domain_id()
        for name, value in ros_environment(domain_id).items():
            monkeypatch.setenv(name, value)
    yield tmp_path_factory.mktemp("e")
    if transport == "ros":
        give_back_domain_id(domain_id)


def command(transport: str, directory: Path, name: str, *options: tuple[str, object]) -> list[str]:
    program = ["-m", STAND_IN_PLANNER, transport] if name == "stand_in" else None
    room = "hil" if transport == "zmq" else "ros_nodes"
    words = [sys.executable, *(program or ["-m", f"onboard_vla.{room}.{name}"])]
    if transport == "zmq":
        words += ["--endpoints", str(directory)]
        return [*words, *(word for key, value in options for word in (f"--{key.replace('_', '-')}", str(value)))]
    return [*words, "--ros-args", *(word for key, value in options for word in ("-p", f"{key}:={value}"))]


def ends(words: list[str]) -> tuple[int, list[str]]:
    """Exit status and the lines said."""
    ended = subprocess.run(words, capture_output=True, text=True, timeout=LIMIT_S, check=False)
    return ended.returncode, (ended.stdout + ended.stderr).strip().splitlines()


@pytest.mark.parametrize(
    ("options", "words"),
    [
        ([], "bundle is not set"),
        ([("bundle", "x"), ("threads", "many")], "threads"),
        ([("bundle", "x"), ("colour", "red")], "colour"),
    ],
)
def test_wrong_start_is_one_line_and_status_2(transport, directory, options, words) -> None:
    status, lines = ends(command(transport, directory, PLANNER, *options))

    assert status == EXIT_CONFIGURATION
    assert len(lines) == 1, lines
    assert lines[0].startswith(f"{PLANNER}: ")
    assert words in lines[0]


def test_a_bundle_that_is_not_there_ends_a_process_and_leaves_a_lifecycle_node_unconfigured(
    transport, directory
) -> None:
    words = command(transport, directory, PLANNER, ("bundle", "/no/such/bundle"), ("threads", 1))
    planner = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    if transport == "ros":
        assert '"event": "started"' in planner.stderr.readline()
    said = planner.stderr.readline()

    assert "/no/such/bundle" in said
    if transport == "ros":
        # The log ends with why it could not be configured.
        assert '"event": "not_configured"' in said
        planner.terminate()
    planner.communicate(timeout=LIMIT_S)
    assert planner.returncode == (EXIT_CONFIGURATION if transport == "zmq" else 0)


def test_an_engine_that_loads_but_does_not_run_ends_a_process_and_leaves_a_lifecycle_node_unconfigured(
    transport, directory
) -> None:
    words = command(transport, directory, "stand_in", ("warm_up_fails", "true"))
    planner = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    if transport == "ros":
        assert '"event": "started"' in planner.stderr.readline()
    said = planner.stderr.readline()

    assert "the engine does not run" in said
    if transport == "ros":
        planner.terminate()
    planner.communicate(timeout=LIMIT_S)
    assert planner.returncode == (EXIT_CONFIGURATION if transport == "zmq" else 0)


def test_a_warm_up_longer_than_a_pass_may_last_ends_no_process(transport, directory) -> None:
    options = (("warm_up_s", 2.0), ("silent_after_s", 0.5), ("stuck_after_s", 1.0))
    words = command(transport, directory, "stand_in", *options)
    planner = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    wanted = "started" if transport == "zmq" else "configured"

    said = planner.stderr.readline()
    while wanted not in said:
        assert said, "it ended"
        said = planner.stderr.readline()

    with pytest.raises(subprocess.TimeoutExpired):
        planner.wait(1.5)
    planner.terminate()
    planner.communicate(timeout=LIMIT_S)
    assert planner.returncode == 0


def test_supervisor_refuses_thresholds_that_are_none(transport, directory) -> None:
    path = directory / "thresholds.json"
    path.write_text("{}")

    status, lines = ends(command(transport, directory, "safety_supervisor", ("thresholds", path)))

    assert (status, len(lines)) == (EXIT_CONFIGURATION, 1)


@pytest.mark.parametrize("process", ["safety_supervisor", "camera_guard"])
def test_a_configuration_that_is_not_acceptable_is_one_line_and_status_2(transport, directory, process) -> None:
    path = directory / "vehicle.yaml"
    path.write_text("schema: 1\nfreshness:\n  ego_stop_s: .nan\n")

    status, lines = ends(command(transport, directory, process, ("config", path)))

    expected = f"{process}: {path}, line 3: freshness.ego_stop_s: expected 0.04 to 1 s, found '.nan'"
    assert (status, lines) == (EXIT_CONFIGURATION, [expected])


def test_supervisor_refuses_thresholds_of_another_precision_with_field_and_both_values(transport, directory) -> None:
    manifest = write_stand_in_bundle(directory / "bundle", precision="fp32")
    provisional_thresholds(manifest.core_hash, "int8").save(directory / "thresholds.json")
    options = [("thresholds", directory / "thresholds.json"), ("profile", "simulation")]

    status, lines = ends(command(transport, directory, SUPERVISOR, *options, ("bundle", directory / "bundle")))

    assert (status, len(lines)) == (EXIT_CONFIGURATION, 1), lines
    assert "thresholds precision is 'int8', the bundle's is 'fp32'" in lines[0]


def test_supervisor_refuses_thresholds_without_a_bundle_to_hold_them_against(transport, directory) -> None:
    provisional_thresholds("core", "int8").save(directory / "thresholds.json")

    status, lines = ends(command(transport, directory, SUPERVISOR, ("thresholds", directory / "thresholds.json")))

    assert (status, len(lines)) == (EXIT_CONFIGURATION, 1), lines
    assert "bundle is not set" in lines[0]


def make_link(transport: str, directory: Path):
    if transport == "zmq":
        from onboard_vla.hil.vehicle_link import ZmqVehicleLink

        return ZmqVehicleLink(directory)
    from onboard_vla.ros_nodes.vehicle_link import RosVehicleLink

    return RosVehicleLink()


def test_dead_worker_ends_the_planner_with_status_70(transport, directory) -> None:
    # A whole number for an option that is a float must pass.
    words = command(transport, directory, "stand_in", ("dies_after", 1), ("plan_period_s", 0))
    planner = subprocess.Popen(words, stderr=subprocess.PIPE, text=True)
    with make_link(transport, directory) as link:
        link.wait_ready(LIMIT_S, (PLANNER,))
        image = np.zeros((8, 8, 3), np.uint8)
        end = time.monotonic() + LIMIT_S
        while planner.poll() is None and time.monotonic() < end:
            stamp = time.time_ns()
            link.publish(EgoState(stamp, 0.0, 0.0, 0.0, 1.0, 0.0, 0.0))
            link.publish(CameraFrame(FRONT, stamp, 0, image))
            try:
                planner.wait(0.05)
            except subprocess.TimeoutExpired:
                continue
        messages = [type(message).__name__ for message, _ in link.poll()]
    _, said = planner.communicate(timeout=LIMIT_S)

    assert planner.returncode == EXIT_FAILURE
    assert "the engine broke" in said
    assert "Plan" in messages


def test_waiting_for_a_process_that_is_not_there_names_it(transport, directory) -> None:
    with make_link(transport, directory) as link, pytest.raises(EnvironmentLacksError, match=CAMERA_GUARD):
        link.wait_ready(0.2, (CAMERA_GUARD,))


def test_link_keeps_reception_times(transport, directory) -> None:
    begin_ns = system_now().monotonic_ns
    guard = subprocess.Popen(command(transport, directory, CAMERA_GUARD), stderr=subprocess.DEVNULL)
    try:
        with make_link(transport, directory) as link:
            link.wait_ready(LIMIT_S, (CAMERA_GUARD,))
            ready_ns = system_now().monotonic_ns
            times = [now.monotonic_ns for _, now in link.poll()]
            assert times == sorted(times)
            # The first message has made it ready: its time is not that at which somebody asks for it.
            assert begin_ns < times[0] <= ready_ns
            assert times[-1] <= system_now().monotonic_ns
    finally:
        guard.terminate()
    assert guard.wait(LIMIT_S) == 0


def test_open_directory_is_refused(transport, directory) -> None:
    if transport == "ros":
        pytest.skip("endpoints are ZeroMQ's")
    os.chmod(directory, 0o755)

    status, lines = ends(command(transport, directory, CAMERA_GUARD))

    assert (status, len(lines)) == (EXIT_CONFIGURATION, 1)
    assert "expected 700" in lines[0]
