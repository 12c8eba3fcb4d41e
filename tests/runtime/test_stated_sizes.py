"""A bundle that says what size its cameras' pictures have gets no others, unless the deployment says otherwise."""

from __future__ import annotations

import dataclasses
import shutil

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import MANIFEST_NAME, load_manifest, to_json, with_core_hash
from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.runtime.planner_host import PLANNER_ROLE, build_planner_host

WRONG = "wrong_size front: expected the shape of 1920x1280, found 1920x1080"


@pytest.fixture(scope="module")
def stating(bundles, tmp_path_factory):
    """A bundle that states the size of its first camera's pictures alone."""
    folder = shutil.copytree(bundles(), tmp_path_factory.mktemp("stating") / "bundle")
    manifest = load_manifest(folder)
    front, *others = manifest.cameras
    assert front.role == "front"
    cameras = (dataclasses.replace(front, source_size=(1920, 1280)), *others)
    (folder / MANIFEST_NAME).write_text(to_json(with_core_hash(dataclasses.replace(manifest, cameras=cameras))))
    return folder


@pytest.mark.parametrize(
    ("sizes", "width", "height", "refused"),
    [
        ("", 1920, 1080, True),
        ("", 1920, 1280, False),
        ("", 960, 640, False),
        ("front=1920x1080", 1920, 1080, False),
        ("1920x1080", 1920, 1080, False),
    ],
)
def test_pictures_of_another_shape_are_refused_by_what_the_bundle_states(stating, sizes, width, height, refused):
    body = build_planner_host(PLANNER_ROLE.values({"bundle": str(stating), "cameras.sizes": sizes}))._body
    body.receive(CameraFrame("front", 0, 1, np.zeros((height, width, 3), np.uint8)), Now(0, 0))
    assert body.plan_once(Now(0, 0)) is None
    assert (WRONG in body.heartbeat(Now(0, 0)).detail) is refused


def test_what_the_bundle_states_of_one_camera_says_nothing_of_the_others(stating):
    body = build_planner_host(PLANNER_ROLE.values({"bundle": str(stating)}))._body
    [other] = (camera.role for camera in load_manifest(stating).cameras if camera.role != "front")
    for stamp_ns in range(0, 2_000_000_000, 500_000_000):  # all that a plan needs of the front camera
        body.receive(CameraFrame("front", stamp_ns, 1, np.zeros((1280, 1920, 3), np.uint8)), Now(0, 0))
    body.receive(CameraFrame(other, 0, 1, np.zeros((7, 900, 3), np.uint8)), Now(0, 0))
    assert body.plan_once(Now(0, 0)) is None
    assert f"frame_gap {other}" in body.heartbeat(Now(0, 0)).detail
