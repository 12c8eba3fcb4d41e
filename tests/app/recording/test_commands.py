"""The commands' words and exit status."""

from __future__ import annotations

import os
import subprocess
import sys

import pytest

pytest.importorskip("rclpy", reason="needs rclpy (extra `ros`)")
pytest.importorskip("rosbags", reason="needs rosbags (extra `bags`)")

from onboard_vla.app.cli import run
from onboard_vla.ros_nodes.environment import ros_environment, unused_domain_id

pytestmark = [pytest.mark.ros, pytest.mark.timeout(150)]
WORLD = ("--world", "7", "--planner", "constant_velocity", "--seconds", "1")


def test_a_drive_is_recorded_repeated_and_looked_at(tmp_path, capsys) -> None:
    bag, picture = tmp_path / "bag", tmp_path / "moment.png"

    assert run(["record", str(bag), *WORLD]) == 0
    assert "messages" in capsys.readouterr().out
    assert run(["replay", str(bag), "--planner", "constant_velocity"]) == 0
    assert "repeated to the bit" in capsys.readouterr().out
    assert run(["snapshot", str(bag), "--at", "2", "--out", str(picture)]) == 0
    assert "fast thinking" in capsys.readouterr().out
    assert picture.read_bytes().startswith(b"\x89PNG")

    assert run(["record", str(bag), *WORLD]) == 1
    assert "exists: name a recording that does not" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("arguments", "words"),
    [
        (("record", "X", "--world", "7", "--pictures", "png"), "--pictures 'png': expected raw or compressed"),
        (("record", "X", "--world", "7", "--profile", "moon"), "--profile 'moon': expected one of"),
        (("replay", "X", "--planner", "expert"), "--planner expert: only model and constant_velocity"),
        (("snapshot", "X"), "is no recording that can be read"),
        (("snapshot", "."), ". is no recording that can be read: expected metadata.yaml in the folder"),
    ],
)
def test_wrong_wishes_are_one_line(tmp_path, capsys, arguments, words) -> None:
    status = run([str(tmp_path / "x") if word == "X" else word for word in arguments])
    assert status == (1 if "snapshot" in arguments else 64)
    error = capsys.readouterr().err
    assert words in error
    assert error.count("\n") == 1


def test_a_live_recording_of_an_empty_domain_says_so(tmp_path) -> None:
    left_out = ("_ROS_WHEELS_BOOTSTRAP_COMPLETE",)
    environment = {k: v for k, v in os.environ.items() if k not in left_out} | ros_environment(unused_domain_id())
    command = [sys.executable, "-m", "onboard_vla.app.cli", "record", str(tmp_path / "bag"), "--seconds", "0.5"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=120)

    assert done.returncode == 1
    assert "holds nothing: no topic of the graph" in done.stderr
