"""Scenes collected from drives fit the bundle that they were collected for."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.app.scene_collection import main
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.verification import shapes_of
from onboard_vla.runtime.bundle import Bundle

pytest.importorskip("numba")


def test_a_short_drive_gives_scenes_that_the_bundle_takes(fp32_bundle, tmp_path, capsys):
    out = tmp_path / "scenes.npz"
    assert main([str(out), "--bundle", str(fp32_bundle), "--worlds", "1", "--seconds", "2.5"]) == 0
    assert "2 scenes of 1 drives" in capsys.readouterr().out
    bundle = Bundle.open(fp32_bundle)
    scenes = load_scenes(out, shapes_of(bundle))
    assert len(scenes) == 2
    for camera in bundle.cameras:
        first, second = (scene.images[camera] for scene in scenes)
        np.testing.assert_array_equal(first[1:], second[:-1], err_msg="half a second later, the history has moved on")


def test_a_folder_that_is_no_bundle_is_one_line(tmp_path, capsys):
    assert main([str(tmp_path / "scenes.npz"), "--bundle", str(tmp_path)]) == 1
    assert "is no bundle" in capsys.readouterr().err


@pytest.mark.parametrize("seconds", ["1", "-3", "nan"])
def test_drives_shorter_than_a_history_are_one_line(fp32_bundle, tmp_path, capsys, seconds):
    assert main([str(tmp_path / "s.npz"), "--bundle", str(fp32_bundle), "--worlds", "1", "--seconds", seconds]) == 1
    assert "expected at least 2 s" in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("name", ["scenes", "file/scenes.npz"])
def test_a_file_that_cannot_be_written_is_one_line_before_any_drive(fp32_bundle, tmp_path, capsys, name):
    (tmp_path / "file").write_text("")
    assert main([str(tmp_path / name), "--bundle", str(fp32_bundle), "--worlds", "100000"]) == 1
    said = capsys.readouterr().err
    assert said.startswith("error: ")
    assert said.count("\n") == 1


def test_an_interrupt_ends_it_without_a_word_and_leaves_nothing(fp32_bundle, tmp_path, monkeypatch, capsys):
    def interrupted(*_):
        raise KeyboardInterrupt

    monkeypatch.setattr("onboard_vla.world.dataset_episode.record_episode", interrupted)
    assert main([str(tmp_path / "scenes.npz"), "--bundle", str(fp32_bundle), "--worlds", "1"]) == 130
    assert capsys.readouterr() == ("", "")
    assert not list(tmp_path.iterdir())
