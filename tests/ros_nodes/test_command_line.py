"""What a node does with words on its command line that are not ROS's."""

from __future__ import annotations

import subprocess
import sys

import pytest

from onboard_vla.ros_nodes.command_line import answered, help_text, own_words
from onboard_vla.ros_nodes.documents import ROLES

from .command import LIMIT_S


@pytest.mark.parametrize(
    ("line", "own"),
    [
        ("", []),
        ("--ros-args -p a:=--help -r x:=y", []),
        ("--ros-args -p a:=1 -- --help", ["--help"]),
        ("-p a:=1 --ros-args -p b:=2 --", ["-p", "a:=1"]),
        ("--ros-args -p a:=1 -- x --ros-args -p b:=2", ["x"]),
    ],
)
def test_words_between_ros_args_and_two_dashes_are_ross(line, own):
    assert own_words(line.split()) == own


@pytest.mark.parametrize("role", ROLES, ids=lambda role: role.name)
def test_help_names_every_parameter_and_its_default(role, capsys):
    assert answered(role, ["--help"]) == 0

    told = capsys.readouterr().out
    assert told == help_text(role)
    assert f"python -m onboard_vla.ros_nodes.{role.name} " in told
    for option in role.options:
        assert f"\n  {option.name}: {option.description}" in told


def test_other_words_are_refused_in_one_line(capsys):
    assert answered(ROLES[0], ["bundle:=/b"]) == 2
    assert answered(ROLES[0], []) is None

    told = capsys.readouterr()
    assert told.err == (
        "vla_planner: expected --ros-args before ROS's arguments and no others, found bundle:=/b: see --help\n"
    )


@pytest.mark.parametrize(("node", "word", "status"), [("safety_supervisor", "--help", 0), ("plan_view", "bundle", 2)])
def test_a_process_and_a_tool_that_are_given_such_words_do_not_start(node, word, status):
    command = [sys.executable, "-m", f"onboard_vla.ros_nodes.{node}", word]

    ended = subprocess.run(command, capture_output=True, text=True, timeout=LIMIT_S, check=False)

    assert ended.returncode == status
    assert '"event"' not in ended.stderr
