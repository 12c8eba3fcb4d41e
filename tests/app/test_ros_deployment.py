"""Deployment files, and what of them stands on a node's command line."""

from __future__ import annotations

import dataclasses
import io
from collections import Counter
from pathlib import Path

import pytest
import yaml
from rich.console import Console

from onboard_vla.app.doctor.dds import profile_faults
from onboard_vla.app.ros import launcher, world_drive
from onboard_vla.app.ros.deployment_file import DeploymentFile, read_deployment
from onboard_vla.app.ros.world_drive import with_world
from onboard_vla.core.cameras import CompressedFrame
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.road import Route
from onboard_vla.ros_nodes.bag_messages import MessageReader
from onboard_vla.ros_nodes.deployment import Deployment, NodeStart, node_starts, planner_start
from onboard_vla.ros_nodes.environment import PROFILE_FILE
from onboard_vla.ros_nodes.parameter_files import node_parameters

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
    text = io.StringIO()
    said = Console(file=text)

    made = with_world(file, tmp_path / "out", said)
    bag = Path(made.deployment.bag)
    assert text.getvalue().splitlines()[0].endswith(f"{bag.name}: records a simulated drive of 0.5 s first")
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
        ("mode: vehicle\nnamespace: a b", "namespace: expected words of letters, digits and _"),
        ("mode: vehicle\nnamespace: car//front", "found 'car//front'"),
        ("mode: vehicle\nnamespace: 9lives", "found '9lives'"),
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
        ({"bag": "/r"}, "bag: nothing plays it in mode vehicle: expected mode replay, or no bag"),
        ({"bag": "/r", "mode": "simulation"}, "bag: nothing plays it in mode simulation"),
        ({"bag": "/r", "mode": "replay", "without": ("camera_replay",)}, "bag: nothing plays it without camera_replay"),
        ({"thresholds": "/t", "without": ("safety_supervisor",)}, "thresholds: nothing reads it without safety_super"),
        ({"config": "/c", "without": ("safety_supervisor", "camera_guard")}, "config: nothing reads it without safety"),
        ({"extra": ("plan_view", "plan_view")}, "extra: expected each node once, found plan_view twice"),
    ],
)
def test_a_deployment_that_cannot_be_is_refused(change, says):
    with pytest.raises(ConfigurationError) as refused:
        node_starts(dataclasses.replace(Deployment("vehicle", "/b"), **change))

    assert says in str(refused.value)


@pytest.mark.parametrize("mode", ["vehicle", "replay"])
def test_who_makes_engines_alone_needs_nothing_of_the_other_nodes_and_may_have_named_it(mode):
    wanted = Deployment(mode, "/b", config="/c", thresholds="/t", bag="/r" if mode == "replay" else "")

    assert planner_start(wanted).parameters == {"bundle": "/b"}


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
