"""A camera that the bundle does not require: plans without it are those of a model that never had it."""

from __future__ import annotations

import dataclasses
import importlib.util
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.core.cameras import FrameSet
from onboard_vla.core.clock import Now
from onboard_vla.core.plan import Plan
from onboard_vla.core.road import Route
from onboard_vla.core.wire import encode
from onboard_vla.export.bundle_writer import export_bundle
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.camera_timing import rig_timing
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner import Planner
from onboard_vla.runtime.planner_body import PlannerBody

REFERENCE = Path(__file__).parents[2] / "world" / "reference"
SPEC = importlib.util.spec_from_file_location("reference_scene", Path(__file__).with_name("reference_scene.py"))
scene = importlib.util.module_from_spec(SPEC)
SPEC.loader.exec_module(scene)
CAMERA = "back"
NOW = Now(0, 0)
ROUTE = Route("r", np.array([[0.0, 0.0], [100.0, 0.0]]), np.full(2, 10.0), ())
OF_SIX_CAMERAS = ("calibration_ranges.npz", "golden_scenes.npz", "vision_reference.npz", "drift_reference.json")


def checkpoint_with(folder: Path, change) -> Path:
    """The reference checkpoint with other cameras and another prompt; `change` gets both tables."""
    shutil.copytree(REFERENCE, folder, ignore=shutil.ignore_patterns(*OF_SIX_CAMERAS))
    files = [folder / "cameras.json", folder / "prompt.json"]
    cameras, prompt = (json.loads(file.read_text()) for file in files)
    change(cameras, prompt)
    for file, table in zip(files, (cameras, prompt), strict=True):
        file.write_text(json.dumps(table))
    return folder


def around(prompt) -> list[int]:
    """Where the camera's pictures stand in the prompt, with the text before and after."""
    place = prompt["segments"].index({"video": CAMERA})
    return [place - 1, place, place + 1]


def spare(cameras, prompt) -> None:
    cameras["least_frames_per_camera"] = 2
    cameras["cameras"][0]["source"] = {"width": 448, "height": 252}
    for camera in cameras["cameras"]:
        camera["required"] = camera["camera"] != CAMERA
    before, _, after = around(prompt)
    for place in (before, after):
        prompt["segments"][place]["camera"] = CAMERA


def remove(cameras, prompt) -> None:
    cameras["cameras"] = [camera for camera in cameras["cameras"] if camera["camera"] != CAMERA]
    gone = around(prompt)
    prompt["segments"] = [segment for place, segment in enumerate(prompt["segments"]) if place not in gone]


@pytest.fixture(scope="module")
def bundle(tmp_path_factory) -> Bundle:
    folder = tmp_path_factory.mktemp("spare")
    checkpoint = checkpoint_with(folder / "checkpoint", spare)
    return Bundle.open(export_bundle(checkpoint, folder / "bundle", precision="fp32"))


def test_the_bundle_says_what_its_checkpoint_was_trained_to_go_without(bundle) -> None:
    assert bundle.optional_cameras == (CAMERA,)
    assert (bundle.manifest.frames.per_camera, bundle.manifest.frames.least_per_camera) == (4, 2)


def test_the_bundle_says_what_size_the_pictures_have_of_which_its_checkpoint_says_it(bundle) -> None:
    front, *others = bundle.manifest.cameras
    assert front.source_size == (448, 252)
    assert {camera.source_size for camera in others} == {None}


def said(plan) -> bytes:
    """Everything but how long it took and whose it is."""
    assert isinstance(plan, Plan), plan
    return bytes(encode(dataclasses.replace(plan, bundle_hash="", stage_ms={})))


def test_plans_are_those_of_a_checkpoint_without_that_camera(bundle, tmp_path) -> None:
    never = checkpoint_with(tmp_path / "checkpoint", remove)
    five = Bundle.open(export_bundle(never, tmp_path / "bundle", precision="fp32"))
    frames = scene.Drive(five.cameras).frame_set(20)

    mine, theirs = (Planner(b).plan(frames, scene.ego(), "keep forward", 1) for b in (bundle, five))

    assert said(mine) == said(theirs)


def test_a_camera_that_is_required_still_is(bundle) -> None:
    drive = scene.Drive([camera for camera in bundle.cameras if camera != "front_left"])
    rejection = Planner(bundle).plan(drive.frame_set(20), scene.ego(), "keep forward", 1)
    assert (rejection.code, rejection.detail[:10]) == ("frames_invalid", "front_left")


def test_half_a_camera_is_refused(bundle) -> None:
    frames = scene.Drive(bundle.cameras).frame_set(20)
    half = FrameSet(frames.stamp_ns, {**frames.images, CAMERA: frames.images[CAMERA][1:]}, frames.stamps_ns)
    rejection = Planner(bundle).plan(half, scene.ego(), "keep forward", 1)
    assert (rejection.code, rejection.detail[:4]) == ("frames_invalid", CAMERA)


def test_a_camera_that_falls_silent_is_left_out_and_comes_back(bundle) -> None:
    frames = bundle.manifest.frames
    timing = rig_timing(bundle.cameras, {}, optional=bundle.optional_cameras)
    ingest = CameraIngest(bundle.cameras, frames.per_camera, frames.spacing_s, timing=timing)
    roles = {camera.role: camera for camera in bundle.manifest.cameras}
    body = PlannerBody(Planner(bundle), ingest, cameras=roles)
    drive = scene.Drive(bundle.cameras)

    def shown(ticks: range, silent: str = "") -> set[str]:
        for tick in ticks:
            for camera in bundle.cameras:
                if camera != silent:
                    body.receive(drive.frame(camera, tick), NOW)
        body.receive(ROUTE, NOW)
        body.receive(scene.ego(stamp_ns=ticks[-1] * scene.PERIOD_NS), NOW)
        plan = body.plan_once(NOW)
        assert isinstance(plan, Plan), plan
        return set(plan.camera_skew_ms)

    everything = set(bundle.cameras)
    assert shown(range(20)) == everything
    assert body.heartbeat(NOW).detail == "plan 1"
    assert shown(range(20, 25), silent=CAMERA) == everything - {CAMERA}
    assert body.heartbeat(NOW).detail == "plan 2, without back"
    assert shown(range(25, 45)) == everything
