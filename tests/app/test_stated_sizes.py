"""What size a bundle's pictures have is shown, held against the world's cameras, and asked for where nobody says it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
import yaml

from onboard_vla.app.cli import run
from onboard_vla.app.demo_cameras import require_cameras
from onboard_vla.app.doctor import State
from onboard_vla.app.ros.check import check_deployment
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.straight_road.stand_in_bundle import write_stand_in_bundle
from onboard_vla.core.bundle_manifest import MANIFEST_NAME, load_manifest, to_json, with_core_hash
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.ros_nodes.deployment import Deployment
from onboard_vla.world.rig import default_rig


@pytest.fixture
def bundle(tmp_path) -> Path:
    folder = tmp_path / "bundle"
    write_stand_in_bundle(folder)
    return folder


def state(folder: Path, size: tuple[int, int] | None) -> Path:
    manifest = load_manifest(folder)
    cameras = tuple(dataclasses.replace(camera, source_size=size) for camera in manifest.cameras)
    (folder / MANIFEST_NAME).write_text(to_json(with_core_hash(dataclasses.replace(manifest, cameras=cameras))))
    return folder


def pictures(folder: Path, bundle: Path, sizes: str):
    own = folder / "own.yaml"
    own.write_text(yaml.safe_dump({"/**/vla_planner": {"ros__parameters": {"cameras.sizes": sizes}}}))
    file = DeploymentFile(Deployment("vehicle", str(bundle), (own,)), "", None)
    (finding,) = (finding for finding in check_deployment(file, 0.0) if finding.name == "pictures")
    return finding


@pytest.mark.parametrize(
    ("size", "option", "row", "says"),
    [
        (None, "", State.WARNING, "no size said, none of front"),
        ((1920, 1280), "", State.OK, "front 1920x1280"),
        (None, "640x480", State.OK, "front 640x480"),
        ((1920, 1280), "front=640x480", State.OK, "front 640x480"),
        ((1920, 1280), "roof=640x480", State.MISSING, "camera size 'roof=640x480'"),
    ],
)
def test_the_check_says_which_pictures_the_planner_will_take(tmp_path, bundle, size, option, row, says):
    finding = pictures(tmp_path, state(bundle, size), option)
    assert finding.state is row
    assert says in finding.found


def test_the_demo_refuses_a_bundle_for_pictures_of_another_shape(bundle):
    front = default_rig()["front"]
    require_cameras(state(bundle, (2 * front.width, 2 * front.height)), default_rig())
    with pytest.raises(ConfigurationError, match=f"camera front sends {front.width}x{front.height}: .* of 500x500"):
        require_cameras(state(bundle, (500, 500)), default_rig())


def test_inspect_shows_the_size_where_it_is_stated(bundle, monkeypatch, capsys):
    monkeypatch.setattr("onboard_vla.core.bundle_manifest.verify_files", lambda *_: None)
    for size, says in ((None, "front 84x56;"), ((1920, 1280), "front 84x56 of 1920x1280;")):
        assert run(["inspect", str(state(bundle, size))]) == 0
        assert says in " ".join(capsys.readouterr().out.split())
