"""Camera ingest: which frames a plan gets when frames are late, doubled, dropped, reordered or of another size."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.cameras import CameraFrame
from onboard_vla.core.errors import FrameError
from onboard_vla.runtime.ingest import MAX_FRAMES, CameraIngest

CAMERAS = ("front", "front_left", "back")
PERIOD_NS = 100_000_000


def image(value=0, size=(8, 6)):
    picture = np.full((size[1], size[0], 3), value % 256, np.uint8)
    picture.flags.writeable = False
    return picture


def frame(camera, tick, *, jitter_ns=0, size=(8, 6)):
    return CameraFrame(camera, tick * PERIOD_NS + jitter_ns, tick, image(tick, size))


@pytest.fixture
def ingest():
    return CameraIngest(CAMERAS, 4, 0.5)


def fill(ingest, ticks=range(0, 21), skip=()):
    for tick in ticks:
        for camera in CAMERAS:
            if (camera, tick) not in skip:
                ingest.add(frame(camera, tick))


def test_the_newest_front_frame_is_the_anchor_and_history_is_half_a_second_apart(ingest):
    fill(ingest)
    frames = ingest.frame_set()
    assert frames.stamp_ns == 20 * PERIOD_NS
    assert set(frames.images) == set(CAMERAS)
    for camera in CAMERAS:
        assert frames.stamps_ns[camera] == tuple(tick * PERIOD_NS for tick in (5, 10, 15, 20))
        assert [int(picture[0, 0, 0]) for picture in frames.images[camera]] == [5, 10, 15, 20]
    assert ingest.missing is None


def test_a_newer_frame_moves_the_anchor(ingest):
    fill(ingest)
    fill(ingest, [21])
    assert ingest.frame_set().stamp_ns == 21 * PERIOD_NS


def test_before_the_first_frame_there_is_no_set_and_a_reason(ingest):
    assert ingest.frame_set() is None
    assert (ingest.missing.code, ingest.missing.camera) == ("no_front", "front")


def test_too_short_a_history_gives_no_set(ingest):
    fill(ingest, range(0, 14))
    assert ingest.frame_set() is None
    assert ingest.missing.code == "frame_gap"
    fill(ingest, [14, 15])
    assert ingest.frame_set() is not None


def test_stamps_that_stand_still_are_said_to_do_so(ingest):
    fill(ingest, [0, 0, 0])
    assert ingest.frame_set() is None
    assert "the only stamp of its pictures: do its stamps stand still?" in ingest.missing.detail


def test_a_camera_that_never_spoke_gives_no_set_and_its_name(ingest):
    for tick in range(21):
        ingest.add(frame("front", tick))
        ingest.add(frame("back", tick))
    assert ingest.frame_set() is None
    assert (ingest.missing.code, ingest.missing.camera) == ("camera_silent", "front_left")


def test_a_camera_that_falls_silent_gives_no_set_after_the_grace_period(ingest):
    fill(ingest, range(0, 20))
    for tick in (20, 21):
        ingest.add(frame("front", tick))
        ingest.add(frame("back", tick))
    assert ingest.frame_set() is None
    assert (ingest.missing.code, ingest.missing.camera) == ("frame_gap", "front_left")


def test_while_other_cameras_are_on_their_way_the_set_before_is_used(ingest):
    fill(ingest)
    ingest.add(frame("front", 21))
    assert ingest.frame_set().stamp_ns == 20 * PERIOD_NS


def test_a_dropped_picture_in_the_history_is_not_replaced_by_a_neighbour(ingest):
    fill(ingest, skip={("back", 10)})
    assert ingest.frame_set().stamp_ns == 19 * PERIOD_NS
    fill(ingest, [21])
    assert ingest.frame_set().stamp_ns == 21 * PERIOD_NS


def test_stamps_within_the_tolerance_fit_and_beyond_it_do_not():
    for jitter_ns, fits in ((45_000_000, True), (46_000_000, False)):
        ingest = CameraIngest(("front", "back"), 2, 0.5, 0.045, anchor_lag_s=0.0)
        for tick in (0, 5):
            ingest.add(frame("front", tick))
            ingest.add(frame("back", tick, jitter_ns=jitter_ns))
        assert (ingest.frame_set() is not None) == fits


def test_frames_out_of_order_are_sorted_in(ingest):
    order = [0, 2, 1, 4, 3, *range(5, 15), 16, 15, 18, 17, 20, 19]
    fill(ingest, order)
    assert ingest.frame_set().stamps_ns["back"] == tuple(tick * PERIOD_NS for tick in (5, 10, 15, 20))
    assert ingest.counts.out_of_order == 15


def test_a_duplicate_stamp_is_counted_and_the_first_picture_stays(ingest):
    fill(ingest)
    again = CameraFrame("back", 20 * PERIOD_NS, 99, image(200))
    assert not ingest.add(again)
    assert ingest.counts.duplicates == 1
    assert int(ingest.frame_set().images["back"][-1][0, 0, 0]) == 20


def test_cameras_that_the_model_does_not_see_are_ignored(ingest):
    assert not ingest.add(frame("back_right", 0))
    assert ingest.counts.foreign == 1


@pytest.mark.parametrize(
    "picture",
    [
        np.zeros((6, 8), np.uint8),
        np.zeros((6, 8, 4), np.uint8),
        np.zeros((6, 8, 3), np.float32),
        np.zeros((0, 8, 3), np.uint8),
    ],
)
def test_a_malformed_picture_is_refused(ingest, picture):
    with pytest.raises(FrameError, match="front: expected"):
        ingest.add(CameraFrame("front", 0, 0, picture))


def test_pictures_of_two_sizes_never_stand_in_one_set(ingest):
    fill(ingest)
    ingest.add(frame("back", 21, size=(16, 12)))
    assert ingest.frame_set() is None
    assert ingest.missing.camera == "back"
    assert ingest.counts.resized == 1
    for tick in range(22, 38):
        fill(ingest, [tick], skip={("back", tick)})
        ingest.add(frame("back", tick, size=(16, 12)))
    assert ingest.frame_set().images["back"][0].shape == (12, 16, 3)


def test_read_only_pictures_are_not_copied_and_writeable_ones_are():
    ingest = CameraIngest(("front",), 2, 0.5)
    kept, own = image(1), np.full((6, 8, 3), 2, np.uint8)
    ingest.add(CameraFrame("front", 0, 0, kept))
    ingest.add(CameraFrame("front", 500_000_000, 1, own))
    own[:] = 99
    older, newer = ingest.frame_set().images["front"]
    assert older is kept
    assert int(newer[0, 0, 0]) == 2
    assert not newer.flags.writeable


def test_a_data_clock_that_is_set_back_starts_a_new_history(ingest):
    fill(ingest, range(1000, 1021))
    fill(ingest, range(0, 25))
    assert ingest.counts.restarts == 3
    assert ingest.frame_set().stamp_ns == 24 * PERIOD_NS


def test_one_very_late_frame_is_dropped_and_changes_nothing(ingest):
    fill(ingest, range(100, 121))
    assert not ingest.add(frame("back", 3))
    assert ingest.counts.too_old == 1
    assert ingest.frame_set().stamp_ns == 120 * PERIOD_NS


def test_the_ring_forgets_old_frames_and_a_flood_is_bounded():
    ingest = CameraIngest(("front",), 4, 0.5)
    for tick in range(500):
        ingest.add(frame("front", tick))
    assert len(ingest._rings["front"].pictures) <= 20
    for step in range(2000):
        ingest.add(CameraFrame("front", 500 * PERIOD_NS + step, step, image(1)))
    assert len(ingest._rings["front"].pictures) <= MAX_FRAMES


@settings(max_examples=60, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(CAMERAS), st.integers(0, 40)), max_size=200),
    st.integers(0, 40_000_000),
)
def test_whatever_arrives_a_set_is_complete_in_order_and_within_tolerance(arrivals, jitter_ns):
    ingest = CameraIngest(CAMERAS, 4, 0.5)
    for camera, tick in arrivals:
        ingest.add(frame(camera, tick, jitter_ns=jitter_ns if camera == "back" else 0))
    frames = ingest.frame_set()
    if frames is None:
        assert ingest.missing is not None
        return
    for stamps in frames.stamps_ns.values():
        assert len(stamps) == 4
        assert list(stamps) == sorted(set(stamps))
        for stamp, offset_s in zip(stamps, (1.5, 1.0, 0.5, 0.0), strict=True):
            assert abs(stamp - (frames.stamp_ns - round(offset_s * 1e9))) <= 45_000_000
