"""Pictures of another shape than the deployment's cameras have are not squeezed into the model's."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.errors import ConfigurationError, FrameError
from onboard_vla.runtime.camera_shapes import parse_sizes, same_shape
from onboard_vla.runtime.camera_timing import rig_timing
from onboard_vla.runtime.ingest import CameraIngest
from onboard_vla.runtime.planner_body import PlannerBody

CAMERAS, SIZE, PERIOD_NS = ("front", "back"), (448, 252), 100_000_000


def frame(camera, tick, size=SIZE):
    return CameraFrame(camera, tick * PERIOD_NS, tick, np.zeros((size[1], size[0], 3), np.uint8))


def ingest_of(optional=()):
    timing = rig_timing(CAMERAS, {}, optional=optional)
    return CameraIngest(CAMERAS, 1, 0.5, sizes=dict.fromkeys(CAMERAS, SIZE), timing=timing)


@pytest.mark.parametrize("size", [(448, 252), (224, 126), (1920, 1080), (149, 84)])
def test_pictures_of_the_same_shape_are_taken_at_any_scale(size):
    ingest = ingest_of()
    assert all(ingest.add(frame(camera, 0, size)) for camera in CAMERAS)
    assert ingest.frame_set() is not None


@pytest.mark.parametrize("size", [(224, 252), (448, 250), (252, 448), (336, 252)])
@pytest.mark.parametrize("camera", CAMERAS)
def test_another_shape_of_a_required_camera_means_no_plan_and_the_reason(size, camera):
    ingest = ingest_of()
    for tick, sent in ((0, SIZE), (1, size)):
        for each in CAMERAS:
            if each == camera and sent != SIZE:
                with pytest.raises(FrameError, match=f"{camera}: expected the shape of 448x252, found"):
                    ingest.add(frame(each, tick, sent))
            else:
                ingest.add(frame(each, tick))
    assert ingest.frame_set() is None
    assert (ingest.missing.code, ingest.missing.camera) == ("wrong_size", camera)
    assert ingest.counts.misshapen == 1
    for each in CAMERAS:
        ingest.add(frame(each, 2))
    assert ingest.frame_set().stamp_ns == 2 * PERIOD_NS, "pictures of the right shape are back"


def test_a_front_camera_that_never_sent_another_shape_is_told_by_its_reason_too():
    ingest = ingest_of()
    with pytest.raises(FrameError):
        ingest.add(frame("front", 0, (224, 252)))
    assert ingest.frame_set() is None
    assert ingest.missing.code == "wrong_size"


def test_a_camera_that_is_not_required_is_left_out_with_the_reason():
    ingest = ingest_of(optional=("back",))
    ingest.add(frame("front", 0))
    with pytest.raises(FrameError):
        ingest.add(frame("back", 0, (224, 252)))
    assert set(ingest.frame_set().images) == {"front"}
    assert [(one.code, one.camera) for one in ingest.left_out] == [("wrong_size", "back")]


def test_the_heartbeat_says_it():
    body = PlannerBody(type("Planner", (), {"warm_up": lambda self: None})(), ingest_of())
    body.receive(frame("front", 0, (224, 252)), Now(0, 0))
    assert body.plan_once(Now(0, 0)) is None
    assert "wrong_size front: expected the shape of 448x252, found 224x252" in body.heartbeat(Now(0, 0)).detail


def test_sizes_are_read_for_all_cameras_or_for_each():
    assert parse_sizes("", CAMERAS) == {}
    assert parse_sizes("448x252", CAMERAS) == dict.fromkeys(CAMERAS, SIZE)
    assert parse_sizes("448x252 back=1600x900", CAMERAS) == {"front": SIZE, "back": (1600, 900)}


@pytest.mark.parametrize("text", ["448", "0x252", "side=448x252", "front=1x2 front=1x2", "4x3 4x3", "front=", "-4x3"])
def test_what_is_no_size_is_refused(text):
    with pytest.raises(ConfigurationError, match="camera size"):
        parse_sizes(text, CAMERAS)


def test_a_shape_is_kept_by_what_rounding_to_whole_pixels_makes_of_it():
    assert all(same_shape((round(1928 / k), round(1208 / k)), (1928, 1208)) for k in (1, 2, 3, 4, 5, 7, 8))
    assert not same_shape((241, 149), (1928, 1208))


@pytest.mark.parametrize(
    ("whole", "least"),
    [
        ((1928, 1208), [(120, 75), (120, 76), (121, 76)]),
        ((1600, 900), [(100, 56), (100, 57)]),
        ((2880, 1860), [(180, 116), (180, 117)]),
        ((1920, 1080), [(120, 67), (120, 68)]),
    ],
)
def test_a_16th_of_sides_that_do_not_divide_is_taken_either_way_rounded(whole, least):
    assert all(same_shape(size, whole) for size in least)
    width, height = least[0]
    assert not same_shape((width - 1, height), whole)
    assert not same_shape((width, height - 1), whole)


@pytest.mark.parametrize("size", [(1, 1), (3, 1), (2, 1), (16, 9), (119, 67), (120, 66)])
def test_a_pixels_rounding_excuses_no_tiny_picture(size):
    assert not same_shape(size, (1920, 1080))
    assert same_shape((120, 68), (1920, 1080))
