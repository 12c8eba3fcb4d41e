"""The check of a bundle that `ros2 launch ... build_only:=true` runs: its line and its exit status."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from onboard_vla.core.errors import BundleError
from onboard_vla.core.process import EXIT_CONFIGURATION
from onboard_vla.ros_nodes import build_only


@pytest.mark.parametrize("arguments", [["/nowhere/bundle"], []])
def test_a_bundle_that_is_not_there_ends_it_with_one_line(arguments, capsys) -> None:
    assert build_only.main(arguments) == EXIT_CONFIGURATION
    lines = capsys.readouterr().err.splitlines()
    assert len(lines) == 1
    assert lines[0].startswith("build_only: ")


def test_engines_that_cannot_be_made_end_it_and_good_ones_are_said_to_be_ready(monkeypatch, capsys) -> None:
    made: list[str] = []

    def build(values):
        if values["bundle"] == "/bad":
            raise BundleError("/bad: vision.onnx is damaged")
        made.append(values["bundle"])

    role = SimpleNamespace(values=lambda given: given, build=build)
    monkeypatch.setattr(build_only, "PLANNER_ROLE", role)

    assert build_only.main(["/bad"]) == EXIT_CONFIGURATION
    assert capsys.readouterr().err == "build_only: /bad: vision.onnx is damaged\n"
    assert build_only.main(["/good"]) == 0
    assert made == ["/good"]
    assert capsys.readouterr().err.startswith("build_only: /good is ready after ")
