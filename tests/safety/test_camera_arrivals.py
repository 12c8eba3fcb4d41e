"""Pictures that do not come: a dead camera on a clean link, and random loss that must not flap (F4, F5)."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.guards.camera_arrivals import CameraArrivals
from onboard_vla.safety.guards.cameras import camera_requests
from onboard_vla.safety.input_config import CameraArrivalLimits
from onboard_vla.safety.inputs import Inputs

from .driving_range import simulation_config

MS = 1_000_000
LIMITS = CameraArrivalLimits()
CLEAN_S = 0.25


def arrivals(kept, jitter_ms=0.0, limits=LIMITS):
    """Streams by camera: whether each picture of a 10 Hz stream came."""
    watch, rng = CameraArrivals(limits), np.random.default_rng(1)
    for k in range(max(map(len, kept.values()))):
        for camera, row in kept.items():
            if k < len(row) and row[k]:
                watch.add(camera, 10**12 + k * 100 * MS + round(rng.uniform(-jitter_ms, jitter_ms) * MS))
    return watch


def limit_of(streams):
    """How long the front camera may be silent when its last picture has just come."""
    watch = arrivals(streams)
    return watch.silence_limit_s("front", CLEAN_S, 10**12 + (max(map(len, streams.values())) - 1) * 100 * MS)


def test_a_complete_stream_has_lost_nothing_whatever_its_jitter():
    watch = arrivals({"front": [True] * 200}, jitter_ms=24.0)
    assert watch.lost_fraction("front") == 0.0
    assert watch.silence_limit_s("front", CLEAN_S, 0) == CLEAN_S


@pytest.mark.parametrize(("every", "share"), [(2, 0.5), (4, 0.25), (10, 0.1)])
def test_losses_are_counted_over_the_window(every, share):
    watch = arrivals({"front": [k % every != 0 for k in range(300)]})
    assert watch.lost_fraction("front") == pytest.approx(share, abs=0.03)


@pytest.mark.parametrize(("missing", "limit"), [(2, CLEAN_S), (3, 0.95), (4, CLEAN_S)])
def test_pictures_that_several_cameras_miss_now_are_chance_unless_most_of_them_do(missing, limit):
    streams = {camera: [True] * 50 for camera in CAMERAS}
    for camera in CAMERAS[1 : 1 + missing]:
        streams[camera] = [True] * 48
    assert limit_of(streams) == limit


def test_losses_of_long_ago_are_forgotten():
    watch = arrivals({"front": [k % 2 == 0 for k in range(60)] + [True] * 60})
    assert watch.lost_fraction("front") == 0.0


def test_few_pictures_say_nothing_of_a_share():
    assert arrivals({"front": [True, False] * 9}).lost_fraction("front") == 0.0


@pytest.mark.parametrize(("gaps", "limit"), [(2, CLEAN_S), (3, 0.95)])
def test_a_few_single_losses_of_any_cameras_make_a_link_lossy(gaps, limit):
    streams = {camera: [True] * 50 for camera in CAMERAS}
    for camera in CAMERAS[1 : 1 + gaps]:
        streams[camera][45] = False
    assert limit_of(streams) == limit
    later = {camera: row + [True] * 15 for camera, row in streams.items()}
    assert limit_of(later) == CLEAN_S


@pytest.mark.parametrize(("lost", "limit"), [(7, CLEAN_S), (8, 0.95)])
def test_the_lossy_share_holds_on_both_sides(lost, limit):
    spread = {round(k * 49 / lost) + 1 for k in range(lost)}
    watch = arrivals({"front": [True] * 5 + [k not in spread for k in range(51)]},
                     limits=CameraArrivalLimits(lossy_gaps=100))  # fmt: skip
    assert watch.silence_limit_s("front", CLEAN_S, 0) == limit


def test_a_lossy_camera_reduces_the_mode_and_names_its_share():
    config = simulation_config()
    inputs = Inputs(config)
    for k in range(100):
        now = Now(10**12 + k * 100 * MS, 10**12 + k * 100 * MS)
        for camera in CAMERAS:
            if camera != "back" or k % 4:
                inputs.receive(Verdict(camera, now.stamp_ns, k, True, (), ""), now)
    requests = camera_requests(inputs, now, config)
    assert [(r.level, r.reason.code, r.reason.measured) for r in requests] == [
        (Mode.REDUCED, "CAMERA_LOSSY", pytest.approx(0.25, abs=0.02))
    ]
    assert "back:" in requests[0].reason.detail


def test_warnings_are_reported_and_ask_for_nothing():
    config = simulation_config()
    inputs, now = Inputs(config), Now(10**12, 10**12)
    for camera in CAMERAS:
        warning = (Reason("DARK", 15.0, 20.0, "mean grey"),) if camera == "back" else ()
        inputs.receive(Verdict(camera, now.stamp_ns, 1, True, warning, ""), now)
    assert [(r.level, r.reason.code, r.reason.detail) for r in camera_requests(inputs, now, config)] == [
        (Mode.NOMINAL, "DARK", "back: mean grey")
    ]


def test_a_verdict_from_the_future_makes_its_camera_unusable_until_a_good_one():
    config = simulation_config()
    inputs, now = Inputs(config), Now(10**12, 10**12)
    for camera in CAMERAS:
        inputs.receive(Verdict(camera, now.stamp_ns, 1, True, (), ""), now)
    inputs.receive(Verdict("back", now.stamp_ns + 6 * MS, 2, True, (), ""), now)
    assert [(r.level, r.reason.code) for r in camera_requests(inputs, now, config)] == [(1, "STAMP_IN_FUTURE")]
    later = Now(10**12 + 4 * MS, 10**12 + 4 * MS)
    inputs.receive(Verdict("back", later.stamp_ns, 3, True, (), ""), later)
    assert camera_requests(inputs, later, config) == []


def test_a_share_means_something_from_twenty_due_pictures_on():
    row = [True, False] * 9 + [True]
    assert arrivals({"front": row}).lost_fraction("front") == 0.0
    assert arrivals({"front": [*row, True]}).lost_fraction("front") == pytest.approx(9 / 20)


def test_a_share_at_the_limit_is_not_lossy():
    row = [k not in (2, 5, 8) for k in range(20)]
    watch = arrivals({"front": row}, limits=CameraArrivalLimits(lossy_fraction=0.15, lossy_gaps=100))
    assert watch.lost_fraction("front") == pytest.approx(0.15)
    assert watch.silence_limit_s("front", CLEAN_S, 0) == CLEAN_S


def test_gaps_count_within_a_second_before_the_newest_picture_of_any_camera():
    streams = {camera: [True] * 40 for camera in CAMERAS}
    for camera in CAMERAS[1:4]:
        streams[camera][28] = False
    assert limit_of(streams) == 0.95
    dead = {**streams, "back_right": [True] * 5}
    later = {camera: row + [True] * (2 if camera != "back_right" else 0) for camera, row in dead.items()}
    assert limit_of(later) == CLEAN_S


def test_after_a_gap_longer_than_the_window_the_picture_itself_is_all_that_came():
    """50 lost in the window of 50 and one that came; everything before is forgotten."""
    watch = arrivals({"front": [True] * 60 + [False] * 300 + [True]})
    assert watch.lost_fraction("front") == 50 / 51


@pytest.mark.parametrize(("ms", "limit"), [(175, CLEAN_S), (175.001, 0.95)])
def test_a_picture_is_due_after_one_period_and_three_quarters(ms, limit):
    watch = CameraArrivals(CameraArrivalLimits(lossy_gaps=1))
    for camera, k in (("front", 0), ("front", 1), ("front", 2), ("back", -1), ("back", 0), ("left", 2)):
        watch.add(camera, 10**12 + k * 100 * MS)
    assert watch.silence_limit_s("front", CLEAN_S, 10**12 + round(ms * MS)) == limit


@pytest.mark.parametrize(("open_gaps", "limit"), [(2, 0.95), (4, CLEAN_S)])
def test_where_most_cameras_are_due_none_of_them_adds_to_the_gaps(open_gaps, limit):
    """Two gaps have ended; a third makes the link lossy, unless most cameras are silent at once."""
    streams = {camera: [True] * 50 for camera in CAMERAS}
    streams["front"][45] = streams["front"][47] = False
    for camera in CAMERAS[1 : 1 + open_gaps]:
        streams[camera] = [True] * 48
    assert limit_of(streams) == limit


@pytest.mark.parametrize(("span_s", "limit"), [(1.0, 0.95), (0.9, CLEAN_S)])
def test_a_gap_that_ended_exactly_a_span_ago_still_counts(span_s, limit):
    """Picture 49 is the newest of all streams; those 39 and 45 end a gap each."""
    watch = arrivals({"front": [k not in (38, 44) for k in range(50)]},
                     limits=CameraArrivalLimits(lossy_gaps=2, lossy_span_s=span_s))  # fmt: skip
    assert watch.silence_limit_s("front", CLEAN_S, 10**12 + 49 * 100 * MS) == limit


def test_a_camera_nobody_heard_of_has_lost_nothing():
    watch = CameraArrivals(LIMITS)
    assert watch.lost_fraction("front") == 0.0
    assert watch.silence_limit_s("front", CLEAN_S, 0) == CLEAN_S
