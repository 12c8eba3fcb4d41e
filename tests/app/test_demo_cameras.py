"""A checkpoint whose cameras the vehicle does not have: refused by name before anything starts."""

import shutil

import numpy as np
import pytest

from onboard_vla.app.cli import run
from onboard_vla.app.demo_bundle import REFERENCE_CHECKPOINT
from onboard_vla.app.demo_cameras import require_cameras
from onboard_vla.core.bundle_manifest import load_manifest
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.export.bundle_writer import export_bundle


@pytest.fixture(scope="module")
def bundle_with_roof_camera(tmp_path_factory):
    """The reference checkpoint looking through a roof camera where it had the back left one; fp32, which is quick."""
    folder = tmp_path_factory.mktemp("roof") / "checkpoint"
    shutil.copytree(REFERENCE_CHECKPOINT, folder)
    for name in ("cameras.json", "prompt.json"):
        text = (folder / name).read_text(encoding="utf-8")
        assert '"back_left"' in text
        (folder / name).write_text(text.replace('"back_left"', '"roof"'), encoding="utf-8")
    scenes = dict(np.load(folder / "golden_scenes.npz"))
    scenes["images_roof"] = scenes.pop("images_back_left")
    for name in ("calibration_ranges.npz", "vision_reference.npz", "drift_reference.json"):
        (folder / name).unlink()  # belongs to the reference prompt and cameras
    np.savez_compressed(folder / "golden_scenes.npz", **scenes)
    return export_bundle(folder, folder.parent / "bundle", precision="fp32")


def test_a_camera_that_the_vehicle_lacks_is_named_in_one_line(bundle_with_roof_camera, tmp_path, capsys):
    command = ["demo", "--lockstep", "--seconds", "1", "--bundle", str(bundle_with_roof_camera)]
    status = run([*command, "--out", str(tmp_path)])

    error = capsys.readouterr().err
    assert status == 1
    assert error.count("\n") == 1
    assert error.startswith("onboard-vla: camera roof is missing")
    assert "front_left" in error


def test_a_vehicle_with_more_cameras_than_the_model_uses_is_fine(bundle_with_roof_camera):
    roles = [camera.role for camera in load_manifest(bundle_with_roof_camera).cameras]
    require_cameras(bundle_with_roof_camera, [*roles, "back_left"])
    with pytest.raises(ConfigurationError, match="camera front, roof is missing"):
        require_cameras(bundle_with_roof_camera, [role for role in roles if role not in ("front", "roof")])
