"""`onboard-vla config`: show prints what can be read again, check ends in one line."""

from __future__ import annotations

import yaml

from onboard_vla.app import cli
from onboard_vla.safety.config import LadderSettings, SupervisorConfig
from onboard_vla.safety.config_file import config_hash, read_config


def test_show_without_a_file_prints_the_defaults_as_a_file_that_passes_the_check(tmp_path, capsys):
    assert cli.run(["config", "show"]) == 0
    path = tmp_path / "vehicle.yaml"
    path.write_text(capsys.readouterr().out)

    assert cli.run(["config", "check", str(path)]) == 0
    said = capsys.readouterr().out
    assert said.count("\n") == 1
    assert f"thresholds none: L2 at best; config_hash {config_hash(SupervisorConfig())}" in said


def test_show_with_a_file_prints_what_is_in_effect(tmp_path, capsys):
    path = tmp_path / "vehicle.yaml"
    path.write_text("schema: 1\nladder:\n  dwell_s: 3\n")

    assert cli.run(["config", "show", str(path)]) == 0
    said = capsys.readouterr().out
    path.write_text(said)
    expected = SupervisorConfig(ladder=LadderSettings(dwell_s=3.0))
    assert read_config(path, yaml.compose) == expected
    assert said.startswith(f"# config_hash: {config_hash(expected)}\n")


def test_a_folder_or_no_file_is_told_with_what_was_expected(tmp_path, capsys):
    for path, found in ((tmp_path, "a folder"), (tmp_path / "none.yaml", "No such file or directory")):
        assert cli.run(["config", "check", str(path)]) == 1
        expected = "expected a YAML file, as `onboard-vla config show` writes it"
        assert (
            capsys.readouterr().err == f"onboard-vla: configuration {path} cannot be read: {expected}, found {found}\n"
        )


def test_check_names_place_key_and_value_in_one_line(tmp_path, capsys):
    path = tmp_path / "vehicle.yaml"
    path.write_text("schema: 1\nladder:\n  dwell_s: -1\n")

    assert cli.run(["config", "check", str(path)]) == 1
    error = capsys.readouterr().err
    assert error == f"onboard-vla: {path}, line 3: ladder.dwell_s: expected 0 to 60 s, found '-1'\n"
