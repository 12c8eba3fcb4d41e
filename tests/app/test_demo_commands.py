"""What the demo says when something is missing or asked for wrongly, and the small parts of a real-time run."""

from __future__ import annotations

import itertools
import os
import subprocess
import sys
import time

import pytest
from rich.console import Console

from onboard_vla.app import demo_transport
from onboard_vla.app.cli import run
from onboard_vla.app.closed_loop_record import RunRecord
from onboard_vla.app.demo_bundle import checkpoint_hash
from onboard_vla.app.demo_bundle_view import file_sizes
from onboard_vla.app.demo_commands import parse_seeds
from onboard_vla.app.demo_priority import vehicle_priority
from onboard_vla.app.demo_probe import CpuGauge, LatenessProbe
from onboard_vla.app.demo_run import RealClock
from onboard_vla.app.demo_transport import choose_transport, log_tail, start_processes
from onboard_vla.app.demo_view import LiveView, live_row
from onboard_vla.app.doctor.machine import Machine
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS
from onboard_vla.core.errors import CheckpointError, ConfigurationError, EnvironmentLacksError


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (["demo", "--profile", "moon"], "quiet_road"),
        (["demo", "--sensor", "none"], "perfect, modelled"),
        (["demo", "--planner", "expert"], "--lockstep"),
        (["demo", "--lockstep", "--planner", "teacher"], "constant_velocity"),
        (["demo", "--checkpoint", "nowhere"], "no checkpoint in nowhere"),
        (["evaluate", "--seeds", "1,x"], "whole numbers"),
        (["evaluate", "--planner", "teacher"], "expected one of"),
        (["evaluate", "--sensor", "none"], "perfect, modelled"),
        (["evaluate", "--profile", "moon"], "quiet_road"),
        (["demo", "--transport", "pigeon"], "ros, zmq, auto"),
    ],
)
def test_wrong_wish_is_answered_in_one_line(arguments, words, capsys, tmp_path):
    assert run([*arguments, "--out", str(tmp_path)]) == (1 if "nowhere" in arguments else 64)
    error = capsys.readouterr().err
    assert error.startswith("onboard-vla: ")
    assert words in error
    assert error.count("\n") == 1
    assert not list(tmp_path.iterdir()), "something was exported for a run that cannot be"


class MachineWithoutRos(Machine):
    """No rclpy and no distribution of ROS 2."""

    def __init__(self, version):
        self.version = version

    def python_version(self):
        return self.version

    def architecture(self):
        return "x86_64"

    def has_module(self, name):
        return False

    def entries(self, folder):
        return []

    def environment(self):
        return {}

    def package_version(self, distribution):
        return None


@pytest.mark.parametrize(
    ("version", "found", "remedy"),
    [
        ((3, 12, 1), "not installed", "pip install '\\.\\[ros\\]' in a clone"),
        ((3, 14, 0), "no wheels for Python 3.14 on x86_64", "install a ROS 2 distribution"),
    ],
)
def test_transport_without_rclpy_says_why_and_what_to_do(monkeypatch, version, found, remedy):
    said: list[str] = []
    monkeypatch.setattr(demo_transport, "_has", lambda module: False)
    machine = MachineWithoutRos(version)
    assert choose_transport("auto", said.append, machine) == "zmq"
    assert said == [f"ROS 2: {found}; the processes talk over ZeroMQ instead"]
    with pytest.raises(EnvironmentLacksError, match=rf"rclpy is not installed.*{found}.*{remedy}.*--transport zmq"):
        choose_transport("ros", said.append, machine)
    with pytest.raises(ConfigurationError, match="expected one of ros, zmq, auto"):
        choose_transport("pigeon", said.append, machine)


def test_transport_auto_takes_ros_where_it_is_installed(monkeypatch):
    monkeypatch.setattr(demo_transport, "_has", lambda module: True)
    assert choose_transport("auto", pytest.fail) == "ros"
    assert choose_transport("zmq", pytest.fail) == "zmq"


def test_process_that_dies_at_start_is_named_with_its_last_words(tmp_path):
    with pytest.raises(EnvironmentLacksError, match="vla_planner") as caught:
        start_processes("zmq", tmp_path / "no-bundle", tmp_path / "no-thresholds", tmp_path / "logs")
    assert "manifest.json" in str(caught.value) or "cannot be read" in str(caught.value)


def test_log_tail_joins_the_last_lines(tmp_path):
    log = tmp_path / "x.log"
    assert log_tail(log) == ""
    log.write_text("one\ntwo\nthree\nfour\n")
    assert log_tail(log, 2) == "three | four"


def test_checkpoint_hash_changes_with_content_and_name(tmp_path):
    (tmp_path / "a").write_text("1")
    with pytest.raises(CheckpointError, match=r"no config\.json"):
        checkpoint_hash(tmp_path)
    (tmp_path / "config.json").write_text("{}")
    first = checkpoint_hash(tmp_path)
    (tmp_path / "a").write_text("2")
    second = checkpoint_hash(tmp_path)
    (tmp_path / "a").rename(tmp_path / "b")
    assert len({first, second, checkpoint_hash(tmp_path)}) == 3


def test_seeds_by_name():
    assert parse_seeds("1, 2,30") == (1, 2, 30)


def test_real_clock_waits_for_what_is_due_and_not_for_what_is_late():
    clock = RealClock()
    begin = time.monotonic_ns()
    now = clock.wait(30 * MILLISECOND_NS)
    assert now.monotonic_ns - clock.base.monotonic_ns >= 30 * MILLISECOND_NS
    assert clock.wait(-SECOND_NS).monotonic_ns >= begin


def test_probe_notes_how_late_each_firing_was():
    probe = LatenessProbe()
    begin = time.monotonic_ns()
    probe.start()
    while len(probe.since(begin)) < 5:
        time.sleep(0.005)
    probe.stop()
    samples = probe.since(begin)
    assert all(lateness >= 0.0 for _, lateness in samples)
    assert {b[0] - a[0] for a, b in itertools.pairwise(samples)} == {20 * MILLISECOND_NS}
    assert probe.since(time.monotonic_ns() + SECOND_NS) == []


def test_gauge_counts_a_replaced_process_under_its_name():
    gauge = CpuGauge({"own": os.getpid(), "gone": 2**22 + 1})
    deadline = time.process_time() + 0.05
    while time.process_time() < deadline:
        pass
    with subprocess.Popen([sys.executable, "-c", "input()"], stdin=subprocess.PIPE) as other:
        gauge.sample({"own": os.getpid(), "gone": other.pid})
        share = gauge.percent()
    assert share["own"] > 0.0
    assert set(share) == {"own", "gone"}


def test_live_view_without_a_terminal_prints_plain_lines(record: RunRecord):
    class Loop:
        run_ns = 3 * SECOND_NS

    console = Console(record=True, width=200, force_terminal=False, file=open(os.devnull, "w"))  # noqa: SIM115
    with LiveView(console, 60 * SECOND_NS) as view:
        view.update(Loop(), record)
        view.update(Loop(), record)
    text = console.export_text()
    assert text.count("time 3.0 s") == 1
    assert live_row(3 * SECOND_NS, record)["passes"] == "6/1/9"


def test_live_view_draws_a_bar_on_a_terminal(record: RunRecord):
    class Loop:
        run_ns = 30 * SECOND_NS

    console = Console(record=True, width=120, force_terminal=True, file=open(os.devnull, "w"))  # noqa: SIM115
    with LiveView(console, 60 * SECOND_NS) as view:
        view.update(Loop(), record)
    assert "driving" in console.export_text()


def test_priority_of_the_vehicle_ends_with_the_drive_and_is_not_inherited():
    with vehicle_priority() as granted:
        during = os.sched_getscheduler(0) & ~os.SCHED_RESET_ON_FORK
        child = subprocess.run(
            [sys.executable, "-c", "import os; print(os.sched_getscheduler(0))"], capture_output=True
        )
    assert during == (os.SCHED_FIFO if granted else os.SCHED_OTHER)
    assert int(child.stdout) == os.SCHED_OTHER
    assert os.sched_getscheduler(0) == os.SCHED_OTHER


def test_bundle_table_shows_golden_scenes_as_one_row():
    sizes = {"language.onnx": 300, "golden/a.npz": 100, "golden/b.npz": 250, "prompt.json": 1}
    assert file_sizes(sizes) == [("2 golden scenes", 350), ("language.onnx", 300), ("prompt.json", 1)]


@pytest.mark.parametrize(
    ("options", "named"),
    [(["--lockstep", "--transport", "zmq"], "--transport zmq"), (["--latency-ms", "50"], "--latency-ms")],
)
def test_an_option_that_would_have_no_effect_is_refused_before_anything_is_done(tmp_path, capsys, options, named):
    assert run(["demo", "--out", str(tmp_path / "out"), *options]) == 64
    assert named in capsys.readouterr().err
    assert not (tmp_path / "out").exists()
