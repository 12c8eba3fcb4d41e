"""What `ros check` says of deployments that cannot start, and of those that do not do what was meant."""

from __future__ import annotations

import dataclasses
import json

import numpy as np
import pytest
import yaml

from onboard_vla.app.cli import run
from onboard_vla.app.doctor import State
from onboard_vla.app.ros import check, launcher
from onboard_vla.app.ros.check import can_start, check_deployment
from onboard_vla.app.ros.deployment_file import DeploymentFile, read_deployment
from onboard_vla.app.ros.engaging import engaging_findings
from onboard_vla.app.ros.launcher import run_deployment
from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.process_graph import VEHICLE, topic_for
from onboard_vla.core.thresholds import SIGNALS, Threshold, Thresholds
from onboard_vla.ros_nodes.bag_messages import MessageRecorder
from onboard_vla.ros_nodes.deployment import Deployment
from onboard_vla.ros_nodes.environment import PROFILE_FILE, PROFILE_VARIABLES
from onboard_vla.safety.config import SHADOW, SIMULATION_PROFILE, SupervisorConfig
from onboard_vla.safety.operating_domain import OperationalDesignDomain


def write(path, **content):
    path.write_text(yaml.safe_dump(content))
    return path


def findings_of(folder, name, **content):
    file = read_deployment(write(folder / "d.yaml", **{"mode": "vehicle", "bundle": "b", **content}))
    return [finding for finding in check_deployment(file, 0.0) if finding.name == name]


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


@pytest.mark.parametrize(
    ("node", "name", "says"),
    [
        ("vla_planner", "thread", "no option 'thread'; the nearest is threads: expected one of bundle"),
        (
            "safety_supervisor",
            "wheel.presense",
            "'wheel.presense'; the nearest is wheel.presence: expected one of config",
        ),
        ("safety_supervisor", "qqq", "no option 'qqq': expected one of config"),
    ],
)
def test_a_wrong_name_is_shown_the_nearest_option_or_setting(tmp_path, node, name, says):
    write(tmp_path / "own.yaml", **{f"/**/{node}": {"ros__parameters": {name: 1}}})

    (finding,) = findings_of(tmp_path, node, parameters=["own.yaml"])

    assert says in finding.found
    assert ("onboard-vla config show" in finding.found) is (node == "safety_supervisor")


def test_a_sound_deployment_but_for_its_bundle_lacks_only_that(tmp_path):
    path = write(tmp_path / "d.yaml", mode="vehicle", bundle="nowhere")

    status = run(["ros", "check", "--config", str(path)])

    assert status == 1
    findings = check_deployment(read_deployment(path), 0.0)
    lacks = {finding.name for finding in findings if finding.state is State.MISSING} - {"rclpy"}
    assert lacks == {"bundle"}
    assert not can_start(findings)


def test_the_check_as_a_document(tmp_path, capsys):
    path = write(tmp_path / "d.yaml", mode="vehicle", bundle="nowhere")

    status = run(["ros", "check", "--config", str(path), "--json"])

    told = capsys.readouterr()
    document = json.loads(told.out)
    assert (status, document["schema"], document["can_start"], document["config"]) == (1, 1, False, str(path))
    assert {"bundle", "vla_planner", "engaging"} <= {finding["name"] for finding in document["findings"]}
    assert list(document["findings"][0]) == ["name", "state", "found", "consequence", "remedy"]
    assert told.err == ""


def test_the_check_writes_nothing_but_its_rows(tmp_path, capsys):
    path = write(tmp_path / "d.yaml", mode="vehicle", bundle="nowhere")

    run(["ros", "check", "--config", str(path)])

    told = capsys.readouterr()
    assert told.out.startswith(f"{path}: cannot start\n")
    assert told.err == ""


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


def test_a_profile_that_is_not_there_is_found_and_nothing_starts_with_it(monkeypatch, tmp_path):
    monkeypatch.setenv("FASTRTPS_DEFAULT_PROFILES_FILE", "/typo.xml")
    file = DeploymentFile(Deployment("vehicle", "/b", ()), "", None)
    says = "FASTRTPS_DEFAULT_PROFILES_FILE: expected a file with a Fast DDS profile, found none at /typo.xml"
    lines: list[str] = []

    finding = {finding.name: finding for finding in check_deployment(file, 0.0)}["dds_profile"]
    with pytest.raises(ConfigurationError, match=says):
        run_deployment(file, tmp_path / "logs", lines.append)

    assert (finding.state, says in finding.found) == (State.MISSING, True)
    assert not any("started" in line for line in lines)


@pytest.mark.parametrize("name", ["", "rmw_fastrtps_cpp", "rmw_cyclonedds_cpp"])
def test_another_middleware_is_said_by_check_and_start(monkeypatch, tmp_path, name):
    monkeypatch.setenv("RMW_IMPLEMENTATION", name)
    monkeypatch.setattr(launcher, "judged_starts", lambda wanted, namespace: ())
    lines: list[str] = []

    found = findings_of(tmp_path, "rmw")
    run_deployment(read_deployment(tmp_path / "d.yaml"), tmp_path / "logs", lines.append)

    other = name == "rmw_cyclonedds_cpp"
    assert [finding.state for finding in found] == [State.WARNING] * other
    assert sum("RMW_IMPLEMENTATION is rmw_cyclonedds_cpp: the DDS profile does nothing" in x for x in lines) == other


FRONT, PACKED = "~/input/camera/front/image", "~/input/camera/front/image/compressed"


@pytest.mark.parametrize(
    ("transports", "remap", "says"),
    [
        (("raw", "raw"), FRONT, None),
        (("compressed", "raw"), FRONT, None),
        (("compressed", "compressed"), PACKED, None),
        (("compressed", "compressed"), FRONT, f"vla_planner, camera_guard take {PACKED} instead"),
        (("raw", "raw"), PACKED, f"vla_planner, camera_guard take {FRONT} instead"),
        (("raw", "raw"), "~/input/wheel_speed", None),
        (("raw", "raw"), "~/output/trajectory", None),
    ],
)
def test_a_remap_of_pictures_in_the_form_that_nobody_takes_is_a_warning(tmp_path, transports, remap, says):
    nodes = zip(("vla_planner", "camera_guard"), transports, strict=True)
    sections = {f"/**/{node}": {"ros__parameters": {"cameras.transport": form}} for node, form in nodes}
    write(tmp_path / "own.yaml", **sections)

    found = findings_of(tmp_path, "remaps", parameters=["own.yaml"], remaps={remap: "/cam0"})

    assert [finding.state for finding in found] == [State.WARNING] * (says is not None)
    if says is not None:
        assert says in found[0].found
        assert found[0].consequence == "/cam0 is not listened to"


def test_a_remap_of_an_input_that_no_node_of_the_deployment_has_is_a_warning(tmp_path):
    (found,) = findings_of(
        tmp_path, "remaps", without=["safety_supervisor"], remaps={"~/input/wheel_speed": "/can/speed"}
    )

    assert (found.state, found.found) == (State.WARNING, "~/input/wheel_speed: no node of this deployment takes it")


def test_settings_that_the_supervisor_would_refuse_are_found(tmp_path):
    (tmp_path / "supervisor.yaml").write_text("nonsense: 1\n")
    path = write(tmp_path / "d.yaml", mode="vehicle", bundle="b", config="supervisor.yaml")

    findings = {finding.name: finding for finding in check_deployment(read_deployment(path), 0.0)}

    assert findings["safety_supervisor"].state is State.MISSING
    assert "supervisor.yaml: schema: expected 1" in findings["safety_supervisor"].found


@pytest.mark.parametrize(
    ("section", "namespace", "state", "remedy"),
    [
        ("vla_planer", "", State.MISSING, "write vla_planner"),
        ("/**/saftey_supervisor", "car", State.MISSING, "write safety_supervisor"),
        ("/**/plan_view", "", State.WARNING, "mend its name, or let it be"),
        ("/bus/vla_planner", "car", State.WARNING, "mend its name, or let it be"),
        ("/sensing/lidar_driver", "", State.WARNING, "mend its name, or let it be"),
    ],
)
def test_parameters_that_reach_no_node_are_named(tmp_path, section, namespace, state, remedy):
    own = write(tmp_path / "own.yaml", **{section: {"ros__parameters": {"threads": 2}}})

    (finding,) = findings_of(tmp_path, "parameters", parameters=["own.yaml"], namespace=namespace)

    assert (finding.state, remedy in finding.remedy) == (state, True)
    assert finding.found == f"{own}: section {section!r} is for no node of this deployment"


def test_sections_that_meet_a_node_and_the_shipped_ones_are_not_named(tmp_path):
    write(tmp_path / "own.yaml", **{"/**/vla_planner": {"ros__parameters": {"threads": 2}}})

    assert findings_of(tmp_path, "parameters", parameters=["own.yaml"]) == []


def test_settings_that_do_not_fit_each_other_are_found_in_parameter_files_too(tmp_path):
    write(tmp_path / "own.yaml", **{"/**/safety_supervisor": {"ros__parameters": {"odd.speed_max_mps": 1.0}}})

    (finding,) = findings_of(tmp_path, "safety_supervisor", parameters=["own.yaml"])

    assert finding.state is State.MISSING
    assert "odd" in finding.found


def test_a_vehicle_with_the_default_settings_learns_before_it_starts_that_nobody_can_engage(tmp_path):
    found = findings_of(tmp_path, "engaging")

    assert [(finding.state, finding.found.partition(":")[0]) for finding in found] == [
        (State.WARNING, "ODD_UNDECLARED"),
        (State.WARNING, "THRESHOLDS_MISSING"),
    ]
    assert "road_class, light, weather, area" in found[0].found
    assert "L2 at best" in found[1].found


@pytest.mark.parametrize(("profile", "refused"), [("vehicle", True), ("simulation", False)])
def test_engines_that_nobody_judged_are_refused_beside_a_vehicles_supervisor(tmp_path, profile, refused):
    sections = {"vla_planner": {"unjudged_engines": True}, "safety_supervisor": {"profile": profile}}
    write(tmp_path / "own.yaml", **{f"/**/{name}": {"ros__parameters": given} for name, given in sections.items()})

    found = findings_of(tmp_path, "unjudged_engines", parameters=["own.yaml"])

    assert [finding.state for finding in found] == [State.MISSING] * refused
    if refused:
        file = read_deployment(tmp_path / "d.yaml")
        with pytest.raises(ConfigurationError, match="unjudged_engines of vla_planner beside profile vehicle"):
            run_deployment(file, tmp_path / "logs", lambda _: None)
        assert not (tmp_path / "logs").exists()


DECLARED = OperationalDesignDomain(road_classes=("urban",), lights=("day",), weathers=("dry",), areas=("test",))
LIMITS = tuple(Threshold(signal, 0.5, unit, direction, "test") for signal, (unit, direction) in SIGNALS.items())
PROVISIONAL = Thresholds("c0", "int8", True, "table", "test", 0, 1.0, 1.0, "2026-01-01", LIMITS, {}, {})
CALIBRATED = dataclasses.replace(PROVISIONAL, provisional=False, n_scenes=300, alpha=0.01, delta=0.01)


@pytest.mark.parametrize(
    ("changes", "codes"),
    [
        ({}, []),
        ({"thresholds": PROVISIONAL}, ["THRESHOLDS_PROVISIONAL"]),
        ({"thresholds": PROVISIONAL, "profile": SIMULATION_PROFILE}, []),
        ({"thresholds": None, "profile": SIMULATION_PROFILE}, ["THRESHOLDS_MISSING"]),
        ({"authority": SHADOW}, ["SHADOW_ONLY"]),
        ({"odd": dataclasses.replace(DECLARED, areas=())}, ["ODD_UNDECLARED"]),
    ],
)
def test_what_stands_against_engaging_whatever_the_inputs_say_is_a_warning(changes, codes):
    found = engaging_findings(SupervisorConfig(**{"odd": DECLARED, "thresholds": CALIBRATED, **changes}))

    assert [finding.found.partition(":")[0] for finding in found if finding.state is State.WARNING] == codes
    assert [finding.state for finding in found if finding.state is not State.WARNING] == [State.OK] * (not codes)


EGO = EgoState(5_000, 1.0, 2.0, 0.3, 4.0, 0.5, 0.01)
PICTURE = CameraFrame("front", 7, 0, np.zeros((48, 64, 3), np.uint8))


def record(path, pictures, *messages):
    recorder = MessageRecorder(path, pictures)
    for time_ns, message in enumerate(messages):
        recorder.write(topic_for(VEHICLE, message), message, time_ns)
    recorder.close()


@pytest.mark.parametrize(
    ("pictures", "state", "says"),
    [
        ("", State.MISSING, "is no recording that can be read"),
        ("compressed", State.OK, "pictures compressed"),
        ("raw", State.MISSING, "expected pictures that are compressed, as cameras.transport of camera_guard"),
    ],
)
def test_a_replay_opens_its_recording_before_it_starts(tmp_path, pictures, state, says):
    if pictures:
        record(tmp_path / "drive", pictures, PICTURE, EGO)

    (finding,) = findings_of(tmp_path, "recording", mode="replay", bag="drive")

    assert finding.state is state
    assert says in finding.found


def test_nodes_that_run_already_matter_to_who_means_to_start_and_not_to_who_looks_at_a_driving_vehicle(monkeypatch):
    monkeypatch.setattr(check, "held_names", lambda file, names: ["/vla_planner"])
    (finding,) = check._second(DeploymentFile(Deployment("vehicle", "/b"), "", None), ())

    assert (finding.state, finding.found) == (State.WARNING, "/vla_planner run already")
    assert finding.remedy == "if you mean to start one, end the first one before"


def test_that_nobody_could_be_looked_for_is_said(monkeypatch):
    def fail(file, names):
        raise OSError("no middleware")

    monkeypatch.setattr(check, "running_already", fail)
    (finding,) = check._second(DeploymentFile(Deployment("vehicle", "/b"), "", None), ())

    assert (finding.name, finding.state) == ("second_start", State.WARNING)
    assert finding.found == "whether its nodes run already is not known: no middleware"
