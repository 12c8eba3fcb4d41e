"""The launch file in the real `launch`, where that is installed: it comes with a distribution, on no package index."""

from __future__ import annotations

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from onboard_vla.ros_nodes.deployment import PACKAGE
from onboard_vla.ros_nodes.environment import PROFILE_FILE, PROFILE_VARIABLES

launch = pytest.importorskip("launch", reason="needs ROS 2's launch, which comes with a distribution alone")
if not hasattr(launch, "LaunchService"):
    pytest.skip("the package `launch` here is not ROS 2's", allow_module_level=True)
pytest.importorskip("launch_ros", reason="needs ROS 2's launch_ros")

FILE = PACKAGE / "launch" / "vla.launch.py"
NODE = f"""#!{sys.executable}
import json, os, sys
with open(os.environ["SEEN"], "a") as seen:
    kept = {{name: os.environ.get(name, "") for name in {(*PROFILE_VARIABLES, "MINE")}}}
    seen.write(json.dumps([sys.argv[1:], kept]) + "\\n")
sys.exit(1 if len(open(os.environ["SEEN"]).readlines()) == 1 else 2)
"""
"""Dies once, as a node that crashes, and then says that it was started wrongly: so it is started twice."""
AROUND = """
import sys
from launch import LaunchDescription, LaunchService
from launch.actions import GroupAction, IncludeLaunchDescription, SetEnvironmentVariable
from launch.launch_description_sources import PythonLaunchDescriptionSource
from launch_ros.actions import PushRosNamespace, SetParameter, SetRemap
file, arguments = PythonLaunchDescriptionSource(sys.argv[1]), [tuple(a.split(":=")) for a in sys.argv[2:]]
group = GroupAction([
    SetRemap("~/input/camera/front/image", "/cam0"),
    SetParameter("use_sim_time", True),
    PushRosNamespace("car"),
    SetEnvironmentVariable("MINE", "kept"),
    IncludeLaunchDescription(file, launch_arguments=arguments),
])
service = LaunchService()
service.include_launch_description(LaunchDescription([group]))
sys.exit(service.run())
"""


@pytest.fixture
def run(tmp_path, monkeypatch):
    """Runs the file in a group with remap, parameter, namespace and environment; returns the process that has ended."""
    (tmp_path / "share/ament_index/resource_index/packages").mkdir(parents=True)
    (tmp_path / "share/ament_index/resource_index/packages/onboard_vla_bringup").touch()
    program = tmp_path / "lib/onboard_vla_bringup/safety_supervisor"
    program.parent.mkdir(parents=True)
    program.write_text(NODE)
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("AMENT_PREFIX_PATH", f"{tmp_path}:{os.environ.get('AMENT_PREFIX_PATH', '')}")
    monkeypatch.setenv("SEEN", str(tmp_path / "seen"))
    monkeypatch.setenv("ROS_LOG_DIR", str(tmp_path / "log"))
    monkeypatch.delenv("_ROS_WHEELS_BOOTSTRAP_COMPLETE", raising=False)

    def run(*arguments):
        command = [sys.executable, "-c", AROUND, str(FILE), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)

    return run


def test_a_node_that_is_started_again_has_what_the_group_around_the_file_gave_the_first(run, tmp_path):
    ended = run("vla_planner:=false", "camera_guard:=false", "respawn_delay:=0.1")

    assert ended.returncode == 1, ended.stdout + ended.stderr
    assert "safety_supervisor has ended for good" in ended.stdout + ended.stderr
    lines = (tmp_path / "seen").read_text().splitlines()
    assert len(lines) == 2, ended.stdout + ended.stderr
    for words, environment in map(json.loads, lines):
        assert "~/input/camera/front/image:=/cam0" in words
        assert "use_sim_time:=True" in words
        assert "__ns:=/car" in words
        assert environment["MINE"] == "kept"
        assert str(PROFILE_FILE) in environment.values()


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("bundle:=/nowhere/bundle",), "/nowhere/bundle"),
        (("bundle:=/b", "vla_planner:=false"), "vla_planner is left out"),
    ],
)
def test_engines_that_cannot_be_made_end_the_launch_with_status_1_and_a_line(run, arguments, says):
    ended = run("build_only:=true", *arguments)

    assert ended.returncode == 1
    assert says in ended.stdout + ended.stderr
    assert not (Path(os.environ["SEEN"])).exists(), "no node starts"


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("respawn_delay:=0,5",), "respawn_delay: expected seconds from 0 up, such as 0.5, found '0,5'"),
        (("dds_profile:=/typo.xml",), "dds_profile: expected a file with a Fast DDS profile, found none at /typo.xml"),
    ],
)
def test_an_argument_that_cannot_be_ends_the_launch_before_a_node_starts(run, arguments, says):
    ended = run("vla_planner:=false", *arguments)

    assert ended.returncode == 1
    assert says in ended.stdout + ended.stderr
    assert not (Path(os.environ["SEEN"])).exists(), "no node starts"
