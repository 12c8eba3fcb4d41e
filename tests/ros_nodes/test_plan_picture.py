"""The picture for people: the plan where the road is, never a black camera, and words that say what is missing."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.core.camera_rig import project
from onboard_vla.core.cameras import CAMERAS, CameraFrame, CompressedFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import FAST, PassCount, Plan, PlanRejection, Uncertainty
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.ros_nodes.mode_colours import COLOURS
from onboard_vla.ros_nodes.plan_picture import GREY, draw
from onboard_vla.ros_nodes.plan_scene import PlanScene
from onboard_vla.ros_nodes.plan_view import WORLD_RIG, rig_named
from onboard_vla.ros_nodes.plan_words import words_of
from onboard_vla.runtime.jpeg import encode_frame

STAMP, RECEIVED = 50_000_000_000, 7_000_000_000
NOW = Now(RECEIVED, STAMP)
TILE = 320
TILE_HEIGHT = 180
ROAD = np.full((252, 448, 3), 60, np.uint8)
EGO = EgoState(STAMP, 100.0, 20.0, 0.5, 8.0, 0.0, 0.0)
AHEAD = np.arange(0.0, 30.0, 1.0)
POINTS = np.column_stack(
    (AHEAD / 8.0, 100.0 + AHEAD * np.cos(0.5), 20.0 + AHEAD * np.sin(0.5), *np.full((2, 30), 0.5), AHEAD * 0.0)
)
SAFE = SafeTrajectory(
    STAMP, 1, Engagement.ENGAGED, Mode.IN_LANE_STOP, "stop", 4,
    tuple(Reason(f"CODE_{k}", 1.0, 0.0, f"detail {k}") for k in range(5)),
    POINTS, False, Takeover.MANDATORY, STAMP, -1, (), 0, "c",
)  # fmt: skip
POSES = np.column_stack((np.arange(1.0, 11.0) * 3.0, np.zeros(10), np.zeros(10))).astype(np.float32)
PLAN = Plan(
    4, STAMP, STAMP, 0.5, POSES, POSES, (0,) * 10, FAST, 0.0, "a van brakes", Uncertainty.sure(10, 0.25),
    PassCount(0, 0, 0), {"total": 80.0}, "h",
)  # fmt: skip


def scene(*messages) -> PlanScene:
    made = PlanScene()
    for message in messages:
        made.take(message, NOW)
    return made


def frames() -> list[CameraFrame]:
    return [CameraFrame(camera, STAMP, 0, ROAD) for camera in CAMERAS]


def tile(picture: np.ndarray, column: int, row: int) -> np.ndarray:
    return picture[row * TILE_HEIGHT : (row + 1) * TILE_HEIGHT, column * TILE : (column + 1) * TILE]


def at_ahead(picture: np.ndarray, ahead_m: float, left_m: float = 0.0) -> np.ndarray:
    """The front tile's pixel of a point on the ground before the vehicle."""
    camera = rig_named(WORLD_RIG)(448, 252)["front"]
    pixels, visible = project(camera, np.array([[ahead_m, left_m, 0.0]]))
    assert visible[0]
    x, y = (pixels[0] * TILE / 448).round().astype(int)
    return tile(picture, 1, 0)[y, x].astype(int)


def test_the_trajectory_lies_on_the_road_in_its_modes_colour_and_the_plan_as_white_dots() -> None:
    picture = draw(scene(*frames(), EGO, SAFE, PLAN), rig_named(WORLD_RIG), TILE, NOW)

    red, green, blue = at_ahead(picture, 10.4)
    assert red > 120 > 90 > max(green, blue)
    assert at_ahead(picture, 12.0).min() > 200
    assert at_ahead(picture, 10.4, left_m=2.0).tolist() == [60, 60, 60]
    # Behind the vehicle there is nothing to draw.
    assert (tile(picture, 1, 1)[40:] == 60).all()


def test_the_vehicles_pose_moves_what_is_drawn() -> None:
    turned = dataclasses.replace(EGO, heading_rad=0.5 + 0.2)

    picture = draw(scene(*frames(), turned, SAFE), rig_named(WORLD_RIG), TILE, NOW)

    assert at_ahead(picture, 10.0).tolist() == [60, 60, 60]
    assert at_ahead(picture, 10.0, left_m=-10.0 * np.tan(0.2))[0] > 120


def test_nothing_is_drawn_without_a_rig_or_an_ego_state_of_the_pictures_time() -> None:
    late = dataclasses.replace(EGO, stamp_ns=STAMP - 200_000_000)

    for made, rig in ((scene(*frames(), EGO, SAFE), None), (scene(*frames(), late, SAFE), rig_named(WORLD_RIG))):
        assert at_ahead(draw(made, rig, TILE, NOW), 10.4).tolist() == [60, 60, 60]
    assert "parameter rig is not set" in words_of(scene(*frames()), False, NOW)[-1]
    assert not any("rig" in line for line in words_of(scene(*frames()), True, NOW))


def test_a_camera_without_a_present_picture_is_grey_with_words_and_never_black() -> None:
    made = scene(*(frame for frame in frames() if frame.camera != "back"), EGO)

    missing = tile(draw(made, None, TILE, NOW), 1, 1)
    silent = tile(draw(made, None, TILE, Now(RECEIVED + 1_100_000_000, STAMP)), 1, 0)

    for shown in (missing, silent):
        assert (shown[60:] == GREY).all()
        assert (shown[:60] == 255).any(), "no words"
    assert made.seen("back", NOW).problem == "no picture yet"
    assert made.seen("front", Now(RECEIVED + 1_100_000_000, STAMP)).problem == "no picture for 1.1 s"
    assert (tile(draw(made, None, TILE, Now(RECEIVED + 900_000_000, STAMP)), 1, 0)[60:] == 60).all()


def test_a_damaged_jpeg_is_named_and_a_whole_one_shown() -> None:
    noise = np.random.default_rng(0).integers(0, 255, (252, 448, 3), np.uint8)
    whole = encode_frame(CameraFrame("front", STAMP, 0, noise))
    holed = whole.data.copy()
    holed[len(holed) // 3 : len(holed) // 2] = 0xFF
    for data in (holed, whole.data[:-500]):
        made = scene(CompressedFrame("front", STAMP, 0, "jpeg", data))
        shown = tile(draw(made, None, TILE, NOW), 1, 0)
        assert (shown[-60:] == GREY).all()
    shown = tile(draw(scene(whole), None, TILE, NOW), 1, 0)
    assert shown[60:].std() > 20


def test_words_say_who_drives_why_what_was_planned_and_its_doubt() -> None:
    lines = words_of(scene(*frames(), EGO, SAFE, PLAN), True, NOW)

    assert lines[0] == "IN LANE STOP, engaged, driven by stop, TAKEOVER MANDATORY"
    assert lines[1] == "CODE_0: detail 0 (1, limit 0)"
    assert lines[4] == "also: CODE_3, CODE_4"
    assert lines[5].startswith("plan 4: fast thinking, made of a picture 0.00 s older, took 80 ms")
    assert "spread up to 0.25 m a step" in lines[6]
    assert "outside the codebook, second way" in lines[6]
    first = dataclasses.replace(PLAN.uncertainty, outside_mass=PLAN.uncertainty.outside_mass[:1])
    known = words_of(scene(*frames(), EGO, SAFE, dataclasses.replace(PLAN, uncertainty=first)), True, NOW)
    assert "outside the codebook at the first step, second way" in known[6]
    assert lines[-1] == "says: a van brakes"
    shed = dataclasses.replace(PLAN, shed=("history", "depth"))
    assert "without history, depth" in words_of(scene(*frames(), EGO, SAFE, shed), True, NOW)
    assert words_of(scene(), True, NOW) == ["no supervisor heard", "no plan yet"]
    rejected = words_of(scene(PLAN, PlanRejection(5, STAMP, "ego_stale", "0.7 s")), True, NOW)
    assert rejected[-1] == "plan 5 rejected: ego_stale: 0.7 s"


def test_every_mode_has_a_colour() -> None:
    assert set(COLOURS) == set(Mode)


def test_a_file_that_is_no_rig_is_one_line(tmp_path) -> None:
    file = tmp_path / "rig.json"
    file.write_text('{"width": 4}')

    with pytest.raises(ConfigurationError, match=r"not a camera rig in the form of world/rig\.json"):
        rig_named(str(file))
    assert rig_named("") is None
