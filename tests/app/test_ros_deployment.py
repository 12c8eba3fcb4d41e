"""Deployment files, what `ros check` says of them, and the launcher with nodes that are small programs."""

from __future__ import annotations

import dataclasses
import io
import json
import os
import signal
import sys
import threading
from collections import Counter
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from onboard_vla.app.cli import run
from onboard_vla.app.doctor import State
from onboard_vla.app.doctor.dds import profile_faults
from onboard_vla.app.processes import ProcessSpec
from onboard_vla.app.ros import launcher, world_drive
from onboard_vla.app.ros.check import check_deployment, check_table
from onboard_vla.app.ros.deployment_file import DeploymentFile, read_deployment
from onboard_vla.app.ros.parameters import node_parameters
from onboard_vla.app.ros.world_drive import with_world
from onboard_vla.core.cameras import CompressedFrame
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.road import Route
from onboard_vla.core.vehicle_gate import GATE_BRAKING_MPS2
from onboard_vla.ros_nodes.bag_messages import MessageReader
from onboard_vla.ros_nodes.deployment import Deployment, NodeStart, node_starts
from onboard_vla.ros_nodes.environment import PROFILE_FILE, PROFILE_VARIABLES

EXAMPLES = Path(__file__).resolve().parents[2] / "examples" / "ros"


PLANNER_START = NodeStart("vla_planner", (), {"bundle": "/b"})


def write(path, **content):
    path.write_text(yaml.safe_dump(content))
    return path


@pytest.mark.parametrize("name", ["replay", "vehicle"])
def test_the_examples_name_a_mode_that_starts(name):
    file = read_deployment(EXAMPLES / f"{name}.yaml")

    assert file.deployment.mode == name
    made = file.deployment if file.world is None else dataclasses.replace(file.deployment, bundle="/made", bag="/made")
    assert "vla_planner" in [start.name for start in node_starts(made)]


def test_a_world_is_driven_once_and_what_the_file_names_stands(tmp_path, monkeypatch):
    monkeypatch.setattr(world_drive, "SECONDS", 0.5)
    file = read_deployment(write(tmp_path / "d.yaml", mode="replay", world=3, bundle="/given"))
    said = Console(file=io.StringIO())

    made = with_world(file, tmp_path / "out", said)
    bag = Path(made.deployment.bag)
    first = {path.name: path.stat().st_mtime_ns for path in bag.iterdir()}
    again = with_world(file, tmp_path / "out", said)

    assert (again, made.deployment.bundle, made.deployment.thresholds) == (made, "/given", "")
    assert {path.name: path.stat().st_mtime_ns for path in bag.iterdir()} == first
    assert [path.name for path in bag.parent.iterdir()] == [bag.name]
    kinds = Counter(type(told.message) for told in MessageReader(bag).messages())
    assert kinds[CompressedFrame] >= 30
    assert kinds[Route] >= 1


def test_a_file_without_a_world_is_left_alone(tmp_path):
    file = read_deployment(write(tmp_path / "d.yaml", mode="replay", bag="b"))
    assert with_world(file, tmp_path, Console()) is file


def test_relative_paths_count_from_the_files_folder_and_a_given_bundle_wins(tmp_path):
    path = write(tmp_path / "d.yaml", mode="vehicle", bundle="b", thresholds="/t", parameters=["p.yaml"], domain_id=7)

    file = read_deployment(path, Path("/other"))

    wanted = Deployment("vehicle", "/other", (tmp_path / "p.yaml",), thresholds="/t")
    assert file == DeploymentFile(wanted, "", 7)
    assert read_deployment(path).deployment.bundle == str(tmp_path / "b")


@pytest.mark.parametrize(
    ("text", "says"),
    [
        ("mode: [", "not a readable YAML file"),
        ("[]", "expected a table of mode"),
        ("mode: vehicle\nbundel: x", "unknown key 'bundel'"),
        ("mode: 3", "mode: expected a text, found 3"),
        ("mode: vehicle\nextra: latency_probe", "extra: expected a list of texts"),
        ("mode: vehicle\ndomain_id: 233", "domain_id: expected 0 to 232"),
        ("mode: replay\nworld: seven", "world: expected a seed from 0 up, found 'seven'"),
        ("mode: replay\nworld: true", "world: expected a seed from 0 up, found True"),
        ("mode: vehicle\nworld: 7", "world is replayed: expected mode replay without a bag"),
        ("mode: replay\nworld: 7\nbag: b", "world is replayed: expected mode replay without a bag"),
        ("mode: vehicle\ndomain_id: true", "domain_id: expected 0 to 232"),
        ("mode: vehicle\nremaps: [a]", "remaps: expected a table of FROM: TO, found ['a']"),
        (
            "mode: vehicle\nremaps: {onboard_vla/wheel_speed: /w}",
            "remaps: expected an input or output such as ~/input/",
        ),
        ("mode: vehicle\nremaps: {~/input/trajectory: /t}", "found '~/input/trajectory'"),
        ("mode: vehicle\nremaps: {~/output/wheel_speed: /t}", "found '~/output/wheel_speed'"),
        ("mode: vehicle\nremaps: {~/input/wheel_speed: 3}", "~/input/wheel_speed: expected a topic's name, found 3"),
        ("mode: vehicle\nremaps: {~/input/wheel_speed: a//b}", "expected a topic's name, found 'a//b'"),
        (
            "mode: vehicle\nremaps: {~/input/wheel_speed: /w, ~/output/trajectory: /w}",
            "expected one input or output for /w",
        ),
        ("mode: replay\nremaps: {~/input/wheel_speed: /w}", "expected none in mode replay"),
    ],
)
def test_a_file_that_is_no_deployment_is_one_line(tmp_path, text, says):
    path = tmp_path / "d.yaml"
    path.write_text(text)

    with pytest.raises(ConfigurationError) as refused:
        read_deployment(path)

    assert says in str(refused.value)
    assert str(path) in str(refused.value)


@pytest.mark.parametrize(
    ("change", "says"),
    [
        ({"mode": "race"}, "mode: expected vehicle, replay, simulation, found 'race'"),
        ({"bundle": ""}, "bundle is not set"),
        ({"mode": "replay"}, "bag is not set"),
        ({"extra": ("camera",)}, "extra: expected nodes of vehicle_gate"),
        ({"without": ("camera_replay",)}, "without: expected nodes of safety_supervisor"),
        ({"parameters": (Path("/nowhere.yaml"),)}, "no file /nowhere.yaml"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(change, says):
    with pytest.raises(ConfigurationError) as refused:
        node_starts(dataclasses.replace(Deployment("vehicle", "/b"), **change))

    assert says in str(refused.value)


def test_the_section_whose_name_appeared_last_wins_as_in_rcl(tmp_path):
    """Measured with rclpy of Jazzy and Kilted; see also tests/ros_nodes/test_workspace.py."""
    planner, full = "/**/vla_planner", "/car/vla_planner"
    first = write(tmp_path / "1.yaml", **{full: {"ros__parameters": {"threads": 2, "stuck_after_s": 20}}})
    second = write(
        tmp_path / "2.yaml",
        **{
            planner: {"ros__parameters": {"threads": 3, "cameras": {"tolerance_s": 0.02}, "bundle": "/file"}},
            "/bus/vla_planner": {"ros__parameters": {"plan_period_s": 2}},
        },
    )
    third = write(tmp_path / "3.yaml", **{full: {"ros__parameters": {"plan_period_s": 1}}})
    start = dataclasses.replace(PLANNER_START, files=(first, second, third))

    values = node_parameters(start, "car")

    assert (values["threads"], values["cameras.tolerance_s"], values["plan_period_s"]) == (3, 0.02, 1.0)
    assert (values["bundle"], values["autostart"], values["stuck_after_s"]) == ("/b", True, 20.0)


def test_a_nodes_own_words_stand_under_its_full_name():
    section = {"ros__parameters": {"bundle": "/b"}}

    assert yaml.safe_load(PLANNER_START.own_section("")) == {"/vla_planner": section}
    assert yaml.safe_load(PLANNER_START.own_section("/a/b/")) == {"/a/b/vla_planner": section}


@pytest.mark.parametrize(
    ("content", "says"),
    [
        ({"/**/vla_planner": {"ros__parameters": {"thread": 1}}}, "no option 'thread'"),
        ({"/**/vla_planner": {"ros__parameters": {"threads": 65}}}, "threads: expected 1 to 64, found 65"),
        ({"/**/vla_planner": {"threads": 1}}, "expected a table with ros__parameters alone"),
        ([], "expected a table of nodes"),
    ],
)
def test_parameters_that_the_node_would_refuse_are_found_before_it_starts(tmp_path, content, says):
    own = tmp_path / "own.yaml"
    own.write_text(yaml.safe_dump(content))
    file = DeploymentFile(Deployment("vehicle", "/b", (own,)), "", None)

    findings = {finding.name: finding for finding in check_deployment(file, 0.0)}

    assert findings["vla_planner"].state is State.MISSING
    assert says in findings["vla_planner"].found


def test_a_sound_deployment_but_for_its_bundle_lacks_only_that(tmp_path):
    path = write(tmp_path / "d.yaml", mode="vehicle", bundle="nowhere")

    status = run(["ros", "check", "--config", str(path)])

    assert status == 1
    findings = check_deployment(read_deployment(path), 0.0)
    lacks = {finding.name for finding in findings if finding.state is State.MISSING} - {"rclpy"}
    assert lacks == {"bundle"}
    text = io.StringIO()
    Console(file=text, width=200).print(check_table(findings, "d"))
    assert "cannot start" in text.getvalue()


@pytest.mark.parametrize(
    ("distribution", "name", "state"),
    [
        ("kilted", "FASTDDS", State.OK),
        ("jazzy", "FASTRTPS", State.OK),
        ("jazzy", "FASTDDS", State.WARNING),
    ],
)
def test_a_profile_under_a_name_that_is_not_read_is_found(monkeypatch, distribution, name, state):
    for variable in PROFILE_VARIABLES:
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setenv(f"{name}_DEFAULT_PROFILES_FILE", str(PROFILE_FILE))
    monkeypatch.setenv("ROS_DISTRO", distribution)
    file = DeploymentFile(Deployment("vehicle", "/b", ()), "", None)

    finding = {finding.name: finding for finding in check_deployment(file, 0.0)}["dds_profile"]

    assert finding.state is state
    assert finding.remedy == ("" if state is State.OK else f"export FASTRTPS_DEFAULT_PROFILES_FILE={PROFILE_FILE}")


def test_settings_that_the_supervisor_would_refuse_are_found(tmp_path):
    (tmp_path / "supervisor.yaml").write_text("nonsense: 1\n")
    path = write(tmp_path / "d.yaml", mode="vehicle", bundle="b", config="supervisor.yaml")

    findings = {finding.name: finding for finding in check_deployment(read_deployment(path), 0.0)}

    assert findings["safety_supervisor"].state is State.MISSING
    assert "supervisor.yaml: schema: expected 1" in findings["safety_supervisor"].found


def test_the_shipped_profile_is_without_fault_and_weaker_ones_are_named():
    text = PROFILE_FILE.read_text()

    assert profile_faults(text) == []
    assert profile_faults(text.replace("67108864", "524288")) == ["segment_size below 16777216 bytes"]
    assert profile_faults(text.replace("8388608", "65536")) == ["maxMessageSize below 5242880 bytes"]
    assert profile_faults(text.replace("<count>20</count>", "<count>5</count>")) == [
        "fewer than 10 initial announcements"
    ]
    assert profile_faults(text.replace('is_default_profile="true"', "")) == ["no participant with is_default_profile"]
    assert "no shared-memory transport of its own" in profile_faults(text.replace("<type>SHM", "<type>UDPv4"))
    assert profile_faults("<dds") != []


def test_remaps_stand_on_every_nodes_command_line(tmp_path):
    path = write(tmp_path / "d.yaml", mode="vehicle", namespace="car", remaps={"~/input/wheel_speed": "/can/speed"})

    command = launcher._spec(PLANNER_START, read_deployment(path), tmp_path).command

    words = command[command.index("--ros-args") :]
    assert words[:3] == ("--ros-args", "-r", "__ns:=/car")
    assert words[-2:] == ("-r", "~/input/wheel_speed:=/can/speed")


def test_who_of_ours_takes_a_renamed_output_takes_it_by_its_new_name(tmp_path):
    path = write(tmp_path / "d.yaml", mode="vehicle", remaps={"~/output/trajectory": "/planning/trajectory"})

    command = launcher._spec(PLANNER_START, read_deployment(path), tmp_path).command

    names = ("~/output/trajectory", "~/input/trajectory", "onboard_vla/trajectory")
    assert command[-6:] == tuple(word for name in names for word in ("-r", f"{name}:=/planning/trajectory"))


class Nodes:
    """Nodes of the launcher as programs of a few lines."""

    def __init__(self, monkeypatch, folder):
        self.lines: list[str] = []
        self.news = threading.Condition()
        self.folder, self._monkeypatch = folder, monkeypatch

    def run(self, mode, **programs):
        starts = tuple(NodeStart(name, (), {}, name != "camera_replay") for name in programs)
        self._monkeypatch.setattr(launcher, "node_starts", lambda wanted: starts)
        self._monkeypatch.setattr(launcher, "_spec", lambda start, file, logs: self._spec(start, programs[start.name]))
        return launcher.run_deployment(DeploymentFile(Deployment(mode, "/b"), "", None), self.folder, self.say)

    def _spec(self, start, program):
        return ProcessSpec(start.name, (sys.executable, "-c", program), dict(os.environ), start.restart)

    def say(self, line):
        with self.news:
            self.lines.append(line)
            self.news.notify_all()

    def wait_for(self, words):
        with self.news:
            assert self.news.wait_for(lambda: any(words in line for line in self.lines), 30.0), self.lines


@pytest.fixture
def nodes(monkeypatch, tmp_path):
    return Nodes(monkeypatch, tmp_path / "logs")


WAIT = "import signal; signal.signal(signal.SIGTERM, lambda *_: exit(0)); signal.pause()"


def test_a_recording_that_was_played_ends_the_run_well(nodes):
    assert nodes.run("replay", safety_supervisor=WAIT, camera_replay="pass") == 0
    assert nodes.lines[-1] == "camera_replay: the recording has been played"


def test_a_node_that_was_started_wrongly_ends_a_simulation_and_its_line_is_shown(nodes):
    assert (
        nodes.run("simulation", safety_supervisor=WAIT, vla_planner="import sys; print('no bundle'); sys.exit(2)") == 1
    )
    assert "vla_planner: ended with status 2: no bundle" in nodes.lines
    assert any("is not started again" in line for line in nodes.lines)


NOT_CONFIGURED = """print('{"process": "vla_planner", "event": "started"}')
print('{"process": "vla_planner", "event": "not_configured", "reason": "/b: no manifest.json"}', flush=True)
"""


def test_a_planner_that_cannot_be_configured_ends_a_replay_and_its_reason_is_shown(nodes):
    assert nodes.run("replay", vla_planner=NOT_CONFIGURED + WAIT, camera_replay=WAIT) == 1
    assert nodes.lines[-1] == "vla_planner: runs, but does not work: /b: no manifest.json"


def test_the_newest_word_on_configuring_counts():
    bad, good = ('{"event": "not_configured", "reason": "r"}', '{"event": "configured"}')
    assert launcher.not_configured([bad]) == "r"
    assert launcher.not_configured([bad, good, "no JSON", "7"]) is None
    assert launcher.not_configured([good, bad, '{"event": "refused"}']) == "r"
    assert launcher.not_configured([]) is None
    broken = {"event": "transition_failed", "name": "on_configure", "reason": "Traceback:\n  x\nRuntimeError: r\n"}
    assert launcher.not_configured([good, json.dumps(broken)]) == "RuntimeError: r"
    assert launcher.not_configured([json.dumps(broken), good]) is None


def test_a_replays_end_says_what_came_of_it(nodes):
    program = """print('{"event": "heard", "total": 60, "plans": 7, "rejected": 2}')"""
    assert nodes.run("replay", safety_supervisor=WAIT, camera_replay=program) == 0
    played = "camera_replay: the recording has been played: 60 messages; heard 7 plans, 2 rejected"
    assert nodes.lines[-1] == played
    none = '{"event": "heard", "total": 60, "plans": 0, "rejected": 0}'
    assert launcher.heard_of([none]).endswith("heard 0 plans, 0 rejected: see the log of vla_planner")


@pytest.fixture
def interruptible():
    """Ctrl-C reaches this process even where the tests were started in the background, which ignores it."""
    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    yield
    signal.signal(signal.SIGINT, before)


def test_on_a_vehicle_the_others_go_on_until_they_are_told_to_end(nodes, interruptible):
    ended: list[int] = []

    def interrupt():
        nodes.wait_for("is not started again")
        nodes.wait_for("safety_supervisor: started")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        ended.append(nodes.run("vehicle", safety_supervisor=WAIT, vla_planner="import sys; sys.exit(2)"))

    assert ended == []


WRONGLY_STARTED = "import sys; sys.exit(2)"


@pytest.mark.parametrize("others", [WAIT, WRONGLY_STARTED])
def test_on_a_vehicle_all_end_with_a_supervisor_that_ended_for_good(nodes, others):
    assert nodes.run("vehicle", safety_supervisor=WRONGLY_STARTED, camera_guard=others, vla_planner=others) == 1
    assert nodes.lines[-1].endswith(("has ended for good, and nobody else makes trajectories: all end", "for good"))


def test_on_a_vehicle_without_a_supervisor_of_its_own_the_run_ends_when_no_node_is_left(nodes):
    assert nodes.run("vehicle", camera_guard=WRONGLY_STARTED, vla_planner=WRONGLY_STARTED) == 1
    assert nodes.lines[-1] == "all nodes have ended for good"


def test_a_gate_keeps_its_time_to_stop_the_vehicle_after_its_supervisor():
    names, limit_ns = {"safety_supervisor", "vehicle_gate"}, round(launcher.GATE_STOPS_WITHIN_S * 1e9)

    assert launcher.GATE_STOPS_WITHIN_S * GATE_BRAKING_MPS2 > 50.0
    assert launcher.why_over(names, {"vehicle_gate": 5}, 10 * limit_ns) is None
    assert launcher.why_over(names, {"safety_supervisor": 5}, limit_ns) is None
    assert "all end" in launcher.why_over(names, {"safety_supervisor": 5}, limit_ns + 6)
    assert launcher.why_over(names, {"safety_supervisor": 5, "vehicle_gate": 6}, 7) == "all nodes have ended for good"
    assert "all end" in launcher.why_over({*names, "camera_guard"}, {"safety_supervisor": 5, "vehicle_gate": 6}, 7)


def test_on_a_vehicle_a_planner_that_cannot_be_configured_is_named_once_and_the_others_go_on(nodes, interruptible):
    def interrupt():
        nodes.wait_for("mend that, then configure and activate it")
        os.kill(os.getpid(), signal.SIGINT)

    threading.Thread(target=interrupt, daemon=True).start()
    with pytest.raises(KeyboardInterrupt):
        nodes.run("vehicle", safety_supervisor=WAIT, vla_planner=NOT_CONFIGURED + WAIT)

    assert sum("does not work: /b: no manifest.json" in line for line in nodes.lines) == 1


def test_who_dies_is_started_again(nodes):
    program = (
        "import os, pathlib; p = pathlib.Path(os.environ['MARK']); n = p.exists(); p.touch(); exit(2 if n else 70)"
    )
    nodes._monkeypatch.setenv("MARK", str(nodes.folder.parent / "mark"))

    assert nodes.run("simulation", camera_guard=program) == 1
    assert [line.split(", pid")[0] for line in nodes.lines if "started, pid" in line] == ["camera_guard: started"] * 2
    assert any(line.endswith("restart 1") for line in nodes.lines)
