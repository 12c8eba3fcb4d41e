"""A checkpoint whose cameras the vehicle does not have: refused by name before anything starts."""

import shutil

import numpy as np
import pytest

from onboard_vla.app.cli import run
from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT


@pytest.fixture(scope="module")
def checkpoint_with_roof_camera(tmp_path_factory):
    """The reference checkpoint looking through a roof camera where it had the back left one."""
    folder = tmp_path_factory.mktemp("roof") / "checkpoint"
    shutil.copytree(REFERENCE_CHECKPOINT, folder)
    for name in ("cameras.json", "prompt.json"):
        text = (folder / name).read_text(encoding="utf-8")
        assert '"back_left"' in text
        (folder / name).write_text(text.replace('"back_left"', '"roof"'), encoding="utf-8")
    scenes = dict(np.load(folder / "golden_scenes.npz"))
    scenes["images_roof"] = scenes.pop("images_back_left")
    np.savez_compressed(folder / "golden_scenes.npz", **scenes)
    return folder


@pytest.mark.parametrize("command", [["demo", "--lockstep", "--seconds", "1"], ["evaluate", "--episodes", "1"]])
def test_a_camera_that_the_vehicle_lacks_is_named_in_one_line(command, checkpoint_with_roof_camera, tmp_path, capsys):
    status = run([*command, "--checkpoint", str(checkpoint_with_roof_camera), "--out", str(tmp_path)])

    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    assert error.startswith("onboard-vla: camera roof is missing")
    assert "front_left" in error


def test_a_vehicle_with_more_cameras_than_the_model_uses_is_fine(tmp_path):
    from onboard_vla.app.demo_cameras import require_cameras
    from onboard_vla.core.bundle_manifest import load_manifest
    from onboard_vla.export.bundle_writer import export_bundle

    bundle = export_bundle(REFERENCE_CHECKPOINT, tmp_path / "bundle")
    roles = [camera.role for camera in load_manifest(bundle).cameras]
    require_cameras(bundle, [*roles, "roof"])
