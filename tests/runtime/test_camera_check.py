"""A camera's model held against the bundle's, and what becomes of a camera that does not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import CameraInput
from onboard_vla.core.cameras import CameraFrame, CameraModel
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.plan import PlanRejection
from onboard_vla.core.road import Route
from onboard_vla.runtime.camera_check import calibration_mismatch, model_intrinsics
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner_body import PlannerBody
from onboard_vla.runtime.planner_host import PlannerHost
from onboard_vla.world.rig import default_rig

RIG = default_rig(1600, 900)["front"]
SMALL = default_rig(448, 252)["front"].intrinsics
"""The same lens on the picture size that the model was trained with, before its crop."""
CROP = (0.125, 0.25, 0.875, 0.97)
SCALE = 168 / 336, 112 / 181
WANTED = np.diag([SCALE[0], SCALE[1], 1.0]) @ (SMALL - [[0, 0, 56], [0, 0, 63], [0, 0, 0]])
CAMERA = CameraInput("front", 168, 112, CROP, 8, 12, "vision.onnx", tuple(WANTED.ravel()), True, None)
MODEL = CameraModel("front", 1600, 900, RIG.intrinsics, "plumb_bob", np.zeros(5))
NOW = Now(0, 0)


def with_intrinsics(**changes: float) -> CameraModel:
    intrinsics = MODEL.intrinsics.copy()
    places = {"fx": (0, 0), "fy": (1, 1), "cx": (0, 2), "cy": (1, 2)}
    for name, factor in changes.items():
        intrinsics[places[name]] *= factor
    return dataclasses.replace(MODEL, intrinsics=intrinsics)


def test_the_same_lens_with_more_pixels_fits():
    assert calibration_mismatch(MODEL, CAMERA, (1600, 900)) is None
    np.testing.assert_allclose(model_intrinsics(MODEL, CAMERA)[[0, 1], [0, 1]], WANTED[[0, 1], [0, 1]], rtol=0.01)


def test_a_ray_falls_on_the_same_spot_through_crop_and_resize():
    """Against pixels as areas: an edge at u in the source is at (u - first) * scale, centres half a pixel inside."""
    ray = np.array([0.3, -0.1, 1.0])
    source = RIG.intrinsics @ ray
    u, v = source[:2] + 0.5
    expected = (u - 200) * 168 / 1200 - 0.5, (v - 225) * 112 / (873 - 225) - 0.5

    np.testing.assert_allclose((model_intrinsics(MODEL, CAMERA) @ ray)[:2], expected)


@pytest.mark.parametrize(
    ("model", "words"),
    [
        (with_intrinsics(fx=1.06), "focal length across is .* trained with"),
        (with_intrinsics(fy=0.94), "focal length down"),
        (with_intrinsics(cx=1.08), "optical centre across"),
        (with_intrinsics(cy=0.88), "optical centre down"),
        (with_intrinsics(fx=float("nan")), "not finite"),
        (
            dataclasses.replace(MODEL, distortion=np.array([-0.3, 0.1, 0, 0, 0])),
            "distorted .plumb_bob.*image_rect.*cameras.rectified.*D = 0 and K = P",
        ),
        (dataclasses.replace(MODEL, width=1280), "for 1280x900, pictures are 1600x900"),
        (dataclasses.replace(MODEL, width=0), "no size"),
    ],
)
def test_another_camera_is_named_with_both_values(model, words):
    with pytest.raises(AssertionError, match=words):
        raise AssertionError(calibration_mismatch(model, CAMERA, (1600, 900)))


@pytest.mark.parametrize("model", [with_intrinsics(fx=1.04, fy=0.96), with_intrinsics(cx=1.03, cy=0.98)])
def test_what_mounting_and_calibration_move_is_accepted(model):
    assert calibration_mismatch(model, CAMERA, None) is None


def test_a_bundle_without_intrinsics_checks_the_size_alone():
    bare = dataclasses.replace(CAMERA, intrinsics=None)
    assert calibration_mismatch(with_intrinsics(fx=2.0), bare, (1600, 900)) is None
    assert "1600x900" in calibration_mismatch(MODEL, bare, (640, 480))


class Planner:
    def warm_up(self) -> None:
        pass

    def plan(self, frames, ego, command, plan_id):
        return PlanRejection(plan_id, frames.stamp_ns, "seen", "")


def test_whether_a_lens_was_said_is_known_of_cameras_that_it_is_held_against():
    bare = dataclasses.replace(CAMERA, role="back", intrinsics=None)
    ingest = CameraIngest(("front", "back"), 1, 0.5)
    body = PlannerBody(Planner(), ingest, cameras={"front": CAMERA, "back": bare})
    host = PlannerHost(body)

    assert host.cameras_heard() == {"front": False}
    host.receive(dataclasses.replace(MODEL, camera="back"), NOW)
    assert host.cameras_heard() == {"front": False}
    host.receive(with_intrinsics(fx=1.5), NOW)
    assert host.cameras_heard() == {"front": True}


def test_no_plan_is_made_with_a_wrong_camera_and_the_heartbeat_says_which():
    body = PlannerBody(Planner(), CameraIngest(("front",), 1, 0.5), cameras={"front": CAMERA})
    body.receive(EgoState(0, 0.0, 0.0, 0.0, 5.0, 0.0, 0.0), NOW)
    body.receive(Route("r", np.array([[0.0, 0.0], [9.0, 0.0]]), np.full(2, 9.0), ()), NOW)
    body.receive(CameraFrame("front", 0, 0, np.zeros((900, 1600, 3), np.uint8)), NOW)

    body.receive(with_intrinsics(fx=1.5), NOW)
    assert body.plan_once(NOW) is None
    assert "camera_barred front: focal length across" in body.heartbeat(NOW).detail

    body.receive(MODEL, NOW)
    assert body.plan_once(NOW).code == "seen"
