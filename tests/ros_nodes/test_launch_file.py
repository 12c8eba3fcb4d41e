"""What `ros2 launch onboard_vla_bringup vla.launch.py` starts for which arguments."""

from __future__ import annotations

import os
import re
import runpy
import subprocess
import sys
import venv
from importlib.util import find_spec
from pathlib import Path

import pytest

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.ros_nodes import deployment
from onboard_vla.ros_nodes.deployment import CORE_NODES, EXTRA_NODES, GATE_STOPS_WITHIN_S, MODES, PACKAGE, mode_file
from onboard_vla.ros_nodes.environment import PROFILE_FILE, node_environment

from . import fake_launch
from .fake_launch import (
    DeclareLaunchArgument,
    ExecuteProcess,
    LaunchContext,
    LogInfo,
    Node,
    ProcessExited,
    SetEnvironmentVariable,
    Shutdown,
    TimerAction,
)

FILE = PACKAGE / "launch" / "vla.launch.py"


@pytest.fixture
def description(monkeypatch, tmp_path):
    for name, module in fake_launch.modules().items():
        monkeypatch.setitem(sys.modules, name, module)
    monkeypatch.setattr("onboard_vla.ros_nodes.shared_memory.free_stale_segments", lambda: 7)
    monkeypatch.delenv("FASTDDS_DEFAULT_PROFILES_FILE", raising=False)
    return runpy.run_path(str(FILE))["generate_launch_description"]()


def started(description, context=None, **arguments):
    return fake_launch.launch(description, context, **arguments)


def nodes(actions):
    return {action.executable: action for action in actions if isinstance(action, Node)}


def variables(actions):
    return {action.name: action.value for action in actions if isinstance(action, SetEnvironmentVariable)}


def test_a_vehicle_gets_its_three_nodes_fallback_first(description):
    found = nodes(started(description, bundle="/b"))

    assert list(found) == list(CORE_NODES) == ["safety_supervisor", "camera_guard", "vla_planner"]
    for name, node in found.items():
        assert (node.package, node.name, node.parameters[0]) == ("onboard_vla_bringup", name, str(mode_file("vehicle")))
    assert found["vla_planner"].parameters[1:] == [{"bundle": "/b"}]
    assert found["safety_supervisor"].parameters[1:] == [{"bundle": "/b"}]
    assert found["camera_guard"].parameters[1:] == []


def test_arguments_reach_the_nodes_that_they_are_for(description, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("{}")

    found = nodes(
        started(
            description,
            bundle="/b",
            params_file=str(own),
            config="/c",
            thresholds="/t",
            namespace="car",
            mode="simulation",
        )
    )

    assert [node.namespace for node in found.values()] == ["car"] * 3
    files = [str(mode_file("simulation")), str(own)]
    assert found["safety_supervisor"].parameters == [*files, {"bundle": "/b", "config": "/c", "thresholds": "/t"}]
    assert found["camera_guard"].parameters == [*files, {"config": "/c"}]
    assert found["vla_planner"].parameters == [*files, {"bundle": "/b"}]


def test_a_replay_plays_its_recording_and_ends_with_it(description):
    found = nodes(started(description, bundle="/b", mode="replay", bag="/r"))

    assert list(found) == [*CORE_NODES, "camera_replay"]
    assert found["camera_replay"].parameters == [
        str(mode_file("replay")),
        {"bag": "/r", "listeners": "vla_planner,camera_guard"},
    ]
    (after,) = found["camera_replay"].on_exit(ProcessExited(0), LaunchContext())
    assert isinstance(after, Shutdown)
    with pytest.raises(RuntimeError, match="camera_replay ended with status 2"):
        found["camera_replay"].on_exit(ProcessExited(2), LaunchContext())
    assert found["camera_replay"].on_exit(ProcessExited(-2), LaunchContext(is_shutdown=True)) == []


@pytest.mark.parametrize("name", CORE_NODES)
def test_each_node_can_be_left_out(description, name):
    found = nodes(started(description, bundle="/b", **{name: "false"}))

    assert set(found) == {*CORE_NODES} - {name}


@pytest.mark.parametrize("name", EXTRA_NODES)
def test_other_nodes_can_be_added(description, name):
    assert set(nodes(started(description, bundle="/b", **{name: "true"}))) == {*CORE_NODES, name}


def test_who_dies_is_started_again_and_again_with_the_same(description):
    node = nodes(started(description, bundle="/b", respawn_delay="0.25"))["vla_planner"]

    for status in (-9, -11, 70, 1, 0):
        (timer,) = node.on_exit(ProcessExited(status), LaunchContext())
        assert isinstance(timer, TimerAction)
        assert timer.period == 0.25
        (again,) = fake_launch.visit(timer.actions, LaunchContext())
        assert again.node is not node
        assert (again.node.executable, again.node.parameters) == (node.executable, node.parameters)
        node = again.node


def test_a_probe_that_has_measured_its_seconds_is_not_started_again_unless_it_crashed(description):
    node = nodes(started(description, bundle="/b", latency_probe="true"))["latency_probe"]

    (said,) = node.on_exit(ProcessExited(0), LaunchContext())
    assert (type(said), said.msg) == (LogInfo, "latency_probe has finished")
    assert isinstance(*node.on_exit(ProcessExited(70), LaunchContext()), TimerAction)


def test_who_is_started_again_has_remaps_and_environment_of_the_group_around_the_file(description):
    remap = ("~/input/camera/front/image", "/cam0")
    inside = LaunchContext({"ros_remaps": [remap]}, environment={"MINE": "kept"})
    (first, *_) = fake_launch.visit(started(description, inside, bundle="/b"), inside)
    inside.launch_configurations["ros_remaps"].append(("~/input/odometry", "/of/the/next/node"))
    outside = LaunchContext(environment={"OTHER": "stays"})

    (timer,) = first.node.on_exit(ProcessExited(-9), outside)
    (again,) = fake_launch.visit(timer.actions, outside)

    assert first.remaps == again.remaps == [remap]
    assert again.environment == first.environment | {"OTHER": "stays"}
    assert again.environment["FASTDDS_DEFAULT_PROFILES_FILE"] == str(PROFILE_FILE)
    assert (outside.launch_configurations, outside.environment) == ({}, {"OTHER": "stays"})


def test_who_was_started_wrongly_or_is_told_to_end_is_not(description):
    node = nodes(started(description, bundle="/b"))["vla_planner"]
    (said,) = node.on_exit(ProcessExited(2), LaunchContext())

    assert isinstance(said, LogInfo)
    assert node.on_exit(ProcessExited(-15), LaunchContext(is_shutdown=True)) == []
    once = nodes(started(description, bundle="/b", respawn="false"))["vla_planner"]
    assert once.on_exit(ProcessExited(-9), LaunchContext()) == []


@pytest.mark.parametrize(("respawn", "status"), [("true", 2), ("false", -9), ("false", 2), ("false", 0)])
def test_a_launch_ends_with_status_1_when_its_supervisor_has_ended_for_good(description, respawn, status):
    node = nodes(started(description, bundle="/b", respawn=respawn))["safety_supervisor"]

    with pytest.raises(RuntimeError, match="safety_supervisor has ended for good"):
        fake_launch.visit(node.on_exit(ProcessExited(status), LaunchContext()), LaunchContext())
    assert node.on_exit(ProcessExited(status), LaunchContext(is_shutdown=True)) == []


def test_a_gate_beside_the_supervisor_has_time_to_stop_the_vehicle_before_the_launch_ends(description):
    found = nodes(started(description, bundle="/b", vehicle_gate="true"))

    *_, timer = found["safety_supervisor"].on_exit(ProcessExited(2), LaunchContext())
    assert isinstance(timer, TimerAction)
    assert timer.period == GATE_STOPS_WITHIN_S
    with pytest.raises(RuntimeError, match="safety_supervisor has ended for good"):
        fake_launch.visit(timer.actions, LaunchContext())


def test_the_environment_is_set_and_shared_memory_freed_before_any_node(description):
    actions = started(description, bundle="/b")

    kinds = [type(action) for action in actions]
    assert max(i for i, kind in enumerate(kinds) if kind is SetEnvironmentVariable) < kinds.index(Node)
    assert variables(actions) == node_environment()
    assert variables(actions)["FASTDDS_DEFAULT_PROFILES_FILE"] == str(PROFILE_FILE)
    assert "freed 7 bytes" in next(action.msg for action in actions if isinstance(action, LogInfo))


@pytest.mark.parametrize(("name", "said"), [("rmw_cyclonedds_cpp", True), ("rmw_fastrtps_cpp", False), ("", False)])
def test_another_middleware_is_said(description, monkeypatch, name, said):
    monkeypatch.setenv("RMW_IMPLEMENTATION", name)

    lines = [action.msg for action in started(description, bundle="/b") if isinstance(action, LogInfo)]

    assert any("RMW_IMPLEMENTATION is rmw_cyclonedds_cpp" in line for line in lines) is said


def test_a_chosen_profile_and_log_folder_win(description, monkeypatch, tmp_path):
    environments, mine = str(tmp_path / "environment.xml"), str(tmp_path / "mine.xml")
    for path in (environments, mine):
        Path(path).write_text("<profiles/>")
    monkeypatch.setenv("FASTDDS_DEFAULT_PROFILES_FILE", environments)
    assert variables(started(description, bundle="/b"))["FASTDDS_DEFAULT_PROFILES_FILE"] == environments

    chosen = variables(started(description, bundle="/b", dds_profile=mine, log_dir="/logs"))
    assert (chosen["FASTDDS_DEFAULT_PROFILES_FILE"], chosen["ROS_LOG_DIR"]) == (mine, "/logs")

    monkeypatch.setenv("ROS_DISTRO", "jazzy")
    older = variables(started(description, bundle="/b", dds_profile=mine))
    assert older["FASTRTPS_DEFAULT_PROFILES_FILE"] == mine


def test_build_only_makes_engines_with_the_parameters_of_the_planner_and_ends(description, tmp_path):
    own = tmp_path / "own.yaml"
    own.write_text("{}")
    given = {"bundle": "/b", "params_file": str(own), "namespace": "car", "mode": "replay"}
    (process,) = started(description, build_only="true", **given)

    assert isinstance(process, ExecuteProcess)
    assert process.cmd[:2] == ["python3", "-m"]
    assert find_spec(process.cmd[2]) is not None
    words = ["--bundle", "/b", "--namespace", "car"]
    files = ["--params-file", str(mode_file("replay")), "--params-file", str(own)]
    assert process.cmd[3:] == [*words, *files]
    assert [type(action) for action in process.on_exit(ProcessExited(0), LaunchContext())] == [Shutdown]
    with pytest.raises(RuntimeError, match="status 2"):
        process.on_exit(ProcessExited(2), LaunchContext())


@pytest.mark.parametrize(
    ("around", "own", "expected"),
    [("", "", None), ("fleet", "car", "fleet/car"), ("/fleet", "", "fleet"), ("fleet", "/car", "/car")],
)
def test_build_only_reads_the_sections_of_the_namespace_that_the_node_would_have(description, around, own, expected):
    inside = LaunchContext({"ros_namespace": around} if around else {})

    (process,) = started(description, inside, bundle="/b", namespace=own, build_only="true")

    words = process.cmd
    assert (words[words.index("--namespace") + 1] if "--namespace" in words else None) == expected


def test_rviz_comes_with_the_node_that_draws_its_picture(description):
    actions = started(description, bundle="/b", rviz="true", namespace="car")

    assert nodes(actions)["rviz2"].namespace == "car", "the topics of its file are relative"
    assert {"rviz2", "plan_view"} <= set(nodes(actions))
    assert nodes(actions)["rviz2"].arguments == ["-d", str(FILE.resolve().parents[1] / "rviz/onboard_vla.rviz")]
    assert set(nodes(started(description, bundle="/b", rviz="true", plan_view="true"))) == set(nodes(actions))


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({}, "bundle is not set"),
        ({"bundle": "/b", "mode": "replay"}, "bag is not set"),
        ({"bundle": "/b", "bag": "/r"}, "bag: nothing plays it in mode vehicle"),
        ({"bundle": "/b", "thresholds": "/t", "safety_supervisor": "false"}, "thresholds: nothing reads it"),
        ({"bundle": "/b", "params_file": "/nowhere.yaml"}, "no file /nowhere.yaml"),
        ({"bundle": "/b", "dds_profile": "/typo.xml"}, "dds_profile: expected a file .* found none at /typo.xml"),
        ({"build_only": "true"}, "bundle is not set"),
        ({"bundle": "/b", "build_only": "true", "vla_planner": "false"}, "vla_planner is left out"),
    ],
)
def test_what_cannot_work_is_one_line_before_anything_starts(description, arguments, says):
    with pytest.raises(ConfigurationError, match=says):
        started(description, **arguments)


@pytest.mark.parametrize("text", ["0,5", "", "-1", "nan", "inf", "soon"])
def test_a_delay_that_is_none_is_refused_before_anything_starts_not_when_a_node_dies(description, text):
    with pytest.raises(RuntimeError, match=f"respawn_delay: expected seconds from 0 up, such as 0.5, found '{text}'"):
        started(description, bundle="/b", respawn_delay=text)


@pytest.mark.parametrize(("around", "own"), [("", "car"), ("/fleet", "car"), ("fleet", "/car"), ("", "")])
def test_engines_that_nobody_has_judged_are_refused_beside_a_vehicles_supervisor(description, tmp_path, around, own):
    full = own if own.startswith("/") else f"{around}/{own}"
    section = "/".join(("", *f"{full}/vla_planner".strip("/").split("/")))
    (tmp_path / "own.yaml").write_text(f"{section}: {{ros__parameters: {{unjudged_engines: true}}}}\n")
    given = {"bundle": "/b", "namespace": own, "params_file": str(tmp_path / "own.yaml")}
    inside = {"ros_namespace": around} if around else {}

    with pytest.raises(ConfigurationError, match="unjudged_engines of vla_planner beside profile vehicle"):
        started(description, LaunchContext(dict(inside)), **given)
    assert nodes(started(description, LaunchContext(dict(inside)), **given, safety_supervisor="false"))
    assert nodes(started(description, LaunchContext(dict(inside)), **given, mode="simulation"))


def test_a_python_without_the_wheel_says_what_to_install_as_the_pages_do(description, monkeypatch):
    monkeypatch.setitem(sys.modules, "onboard_vla.ros_nodes.deployment", None)

    with pytest.raises(RuntimeError) as raised:
        started(description, bundle="/b")
    steps = str(raised.value).partition("in a clone of Onboard VLA: ")[2].split(" && ")
    assert f"for {sys.executable}" in str(raised.value)
    assert [step.partition(" ")[0] for step in steps] == ["python3", "ENV/bin/pip", "export"]
    for page in (PACKAGE / "README.md", Path(__file__).resolve().parents[2] / "README.md"):
        lines = [line.strip() for line in page.read_text(encoding="utf-8").splitlines()]
        assert [line for line in lines if line in steps] == steps, page


def test_the_line_that_shows_the_launch_an_environment_puts_its_packages_first_on_the_path(description, tmp_path):
    venv.create(tmp_path / "ENV", symlinks=True)
    step = next(line for line in (PACKAGE / "README.md").read_text().splitlines() if "export PYTHONPATH=" in line)

    shell = f"{step}\necho $PYTHONPATH"
    shown = subprocess.run(["bash", "-c", shell], cwd=tmp_path, capture_output=True, text=True, check=True).stdout

    first, _, rest = shown.strip().partition(":")
    assert (Path(first).name, Path(first).is_dir()) == ("site-packages", True)
    assert Path(first).is_relative_to(tmp_path / "ENV")
    assert rest == os.environ.get("PYTHONPATH", "")


@pytest.mark.parametrize("arguments", [{"mode": "race"}, {"respawn": "maybe"}, {"bundel": "/b"}])
def test_words_that_the_file_does_not_know_are_refused(description, arguments):
    with pytest.raises(ValueError, match=r"none of|no argument"):
        started(description, **{"bundle": "/b", **arguments})


def test_every_argument_says_what_it_is_and_the_words_are_those_of_the_deployment(description):
    declared = {entity.name: entity for entity in description.entities if isinstance(entity, DeclareLaunchArgument)}

    assert all(argument.description for argument in declared.values())
    assert declared["mode"].choices == list(MODES)
    assert {*CORE_NODES, *EXTRA_NODES} <= set(declared)


def test_the_package_installs_a_program_for_every_node_and_the_folders_that_it_has():
    text = (PACKAGE / "CMakeLists.txt").read_text(encoding="utf-8")
    (programs,) = re.findall(r"foreach\(node ([\w ]+)\)", text)
    (folders,) = re.findall(r"install\(DIRECTORY ([\w ]+?) DESTINATION", text)

    assert set(programs.split()) == {*CORE_NODES, *EXTRA_NODES, deployment.CAMERA_REPLAY}
    assert set(folders.split()) == {path.name for path in PACKAGE.iterdir() if path.is_dir()} - {
        "scripts",
        "__pycache__",
    }
    assert os.access(PACKAGE / "scripts" / "node", os.X_OK)


def test_versions_are_those_of_the_wheel():
    from onboard_vla import __version__

    for package in ("onboard_vla_bringup", "onboard_vla_msgs"):
        text = (PACKAGE.parent / package / "package.xml").read_text(encoding="utf-8")
        assert f"<version>{__version__}</version>" in text
