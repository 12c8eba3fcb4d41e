"""Camera synchronisation: offsets, tolerances, cameras that may be missing, drops, reordering and clock jumps."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from onboard_vla.core.cameras import CameraFrame, FrameSet
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.runtime.camera_timing import CameraTiming, parse_offsets, rig_timing
from onboard_vla.runtime.ingest import RESTART_FRAMES, CameraIngest

CAMERAS = ("front", "left", "back")
MS = 1_000_000
PERIOD_NS = 100 * MS
OFFSETS_MS = {"front": 0, "left": 17, "back": -28}
"""As of cameras that a rotating lidar triggers one after the other."""
HISTORY = (5, 0)
RECOVERY_TICKS = 5 + 2 + RESTART_FRAMES
"""History, the anchor's grace, and the frames that a restarted clock costs."""


def frame(camera: str, stamp_ns: int, value: int = 0) -> CameraFrame:
    image = np.full((2, 2, 3), value % 256, np.uint8)
    image.flags.writeable = False
    return CameraFrame(camera, stamp_ns, 0, image)


def rig(tolerance_s: float = 0.02, optional: tuple[str, ...] = ()) -> CameraIngest:
    timing = {c: CameraTiming(OFFSETS_MS[c] / 1e3, tolerance_s, c not in optional) for c in CAMERAS}
    return CameraIngest(CAMERAS, 2, 0.5, timing=timing)


def shot(camera: str, tick: int, jitter_ms: float = 0.0, shift_ns: int = 0) -> CameraFrame:
    return frame(camera, tick * PERIOD_NS + round((OFFSETS_MS[camera] + jitter_ms) * MS) + shift_ns, tick)


def ticks_of(frames: FrameSet, camera: str) -> list[int]:
    return [int(picture[0, 0, 0]) for picture in frames.images[camera]]


def test_each_camera_is_matched_at_its_own_offset() -> None:
    ingest = rig(tolerance_s=0.001)
    for tick in range(8):
        for camera in CAMERAS:
            ingest.add(shot(camera, tick))
    frames = ingest.frame_set()

    assert frames.stamp_ns == 7 * PERIOD_NS
    assert frames.stamps_ns["left"] == (2 * PERIOD_NS + 17 * MS, 7 * PERIOD_NS + 17 * MS)
    assert frames.stamps_ns["back"] == (2 * PERIOD_NS - 28 * MS, 7 * PERIOD_NS - 28 * MS)
    assert frames.skew_ns == {"front": 0, "left": 0, "back": 0}


def test_without_its_offset_the_same_camera_does_not_fit() -> None:
    ingest = CameraIngest(CAMERAS, 2, 0.5, tolerance_s=0.02)
    for tick in range(8):
        for camera in CAMERAS:
            ingest.add(shot(camera, tick))

    assert ingest.frame_set() is None
    assert (ingest.missing.code, ingest.missing.camera) == ("frame_gap", "back")


def test_skew_is_the_newest_pictures_distance_from_where_it_was_wanted() -> None:
    ingest = rig()
    for tick in range(8):
        for camera, jitter_ms in (("front", 0.0), ("left", 12.0), ("back", -20.0)):
            ingest.add(shot(camera, tick, jitter_ms))

    assert ingest.frame_set().skew_ns == {"front": 0, "left": 12 * MS, "back": -20 * MS}


def test_tolerances_are_each_cameras_own() -> None:
    timing = {"left": CameraTiming(0.0, 0.03), "back": CameraTiming(0.0, 0.01)}
    for camera, fits in (("left", True), ("back", False)):
        ingest = CameraIngest(("front", camera), 1, 0.5, timing={camera: timing[camera]})
        ingest.add(frame("front", PERIOD_NS))
        ingest.add(frame(camera, PERIOD_NS + 25 * MS))
        assert (ingest.frame_set() is not None) == fits


def test_a_camera_that_may_be_missing_is_left_out_and_comes_back() -> None:
    ingest = rig(optional=("back",))
    for tick in range(8):
        for camera in ("front", "left"):
            ingest.add(shot(camera, tick))
    frames = ingest.frame_set()

    assert set(frames.images) == set(frames.skew_ns) == {"front", "left"}
    assert [(miss.code, miss.camera) for miss in ingest.left_out] == [("camera_silent", "back")]
    for tick in (2, 7):
        ingest.add(shot("back", tick))
    assert ticks_of(ingest.frame_set(), "back") == [2, 7]
    assert ingest.left_out == ()


def test_a_whole_set_goes_before_a_newer_one_without_a_camera_that_may_be_missing() -> None:
    ingest = rig(optional=("back",))
    for tick in range(8):
        for camera in CAMERAS:
            ingest.add(shot(camera, tick))
    for camera in ("front", "left"):
        ingest.add(shot(camera, 8))

    # Back's picture is on its way.
    assert ingest.frame_set().stamp_ns == 7 * PERIOD_NS
    for camera in ("front", "left"):
        ingest.add(shot(camera, 9))
    # It has not come, and the last whole set has grown too old.
    assert ingest.frame_set().stamp_ns == 9 * PERIOD_NS
    assert [miss.camera for miss in ingest.left_out] == ["back"]


def test_a_rig_requires_what_its_model_cannot_do_without() -> None:
    timing = rig_timing(CAMERAS, {}, optional=("back",))
    assert {camera: when.required for camera, when in timing.items()} == {"front": True, "left": True, "back": False}


@pytest.mark.parametrize(
    ("timing", "message"),
    [
        ({"roof": CameraTiming()}, "timing of camera roof: expected one of front, left, back"),
        ({"front": CameraTiming(0.01)}, "front is the anchor"),
        ({"front": CameraTiming(required=False)}, "front is the anchor"),
    ],
)
def test_timing_that_cannot_be_is_refused(timing, message) -> None:
    with pytest.raises(ConfigurationError, match=message):
        CameraIngest(CAMERAS, 2, 0.5, timing=timing)


@pytest.mark.parametrize("values", [(0.6, 0.01), (float("nan"), 0.01), (0.0, -0.01), (0.0, float("nan"))])
def test_offsets_and_tolerances_out_of_range_are_refused(values) -> None:
    with pytest.raises(ConfigurationError, match="expected"):
        CameraTiming(*values)


def test_offsets_are_read_from_an_option() -> None:
    offsets = parse_offsets("left=0.017  back=-0.028", CAMERAS)

    assert offsets == {"left": 0.017, "back": -0.028}
    assert rig_timing(CAMERAS, offsets, 0.02)["back"] == CameraTiming(-0.028, 0.02, True)
    assert parse_offsets("", CAMERAS) == {}
    for bad in ("roof=0.1", "left=0.1 left=0.2", "left", "left=soon"):
        with pytest.raises(ConfigurationError, match="camera offset"):
            parse_offsets(bad, CAMERAS)


arrivals = st.lists(
    st.tuples(st.sampled_from(CAMERAS), st.integers(0, 14), st.sampled_from((-30, -20, 0, 5, 20, 30))), max_size=90
)


@settings(max_examples=150, deadline=None)
@given(arrivals)
def test_the_newest_anchor_that_has_everything_wins_whatever_the_order_of_arrival(seen) -> None:
    """Against a search through all that arrived; all stamps lie within the ring's reach."""
    ingest = rig()
    stamps = {camera: set() for camera in CAMERAS}
    for camera, tick, jitter_ms in seen:
        sent = shot(camera, tick, jitter_ms)
        ingest.add(sent)
        stamps[camera].add(sent.stamp_ns)
        # What the ring may have forgotten is no candidate.
        newest = max(stamps[camera])
        stamps[camera] = {s for s in stamps[camera] if s >= newest - ingest._rings[camera]._keep_ns}

    def complete(anchor_ns: int) -> bool:
        return all(
            any(abs(s - (anchor_ns - k * PERIOD_NS + OFFSETS_MS[camera] * MS)) <= 20 * MS for s in stamps[camera])
            for camera in CAMERAS
            for k in HISTORY
        )

    newest = max(stamps["front"], default=0)
    possible = [anchor for anchor in stamps["front"] if newest - anchor <= 150 * MS and complete(anchor)]
    frames = ingest.frame_set()
    assert (frames.stamp_ns if frames else None) == (max(possible) if possible else None)


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.sampled_from(CAMERAS), st.integers(-(10**6), 10**6), st.integers(1, 12)), max_size=6),
    st.randoms(use_true_random=False),
)
def test_after_any_clock_jumps_and_drops_a_clean_stretch_gives_the_newest_set_again(jumps, random) -> None:
    """A jump moves one camera's clock for a while, in milliseconds; pictures get lost and overtake each other."""
    ingest, tick, wrong = rig(), 1000, []
    for camera, jump_ms, length in jumps:
        batch = [shot(c, tick + k, shift_ns=jump_ms * MS if c == camera else 0) for k in range(length) for c in CAMERAS]
        random.shuffle(batch)
        for sent in batch[: len(batch) * 2 // 3]:
            ingest.add(sent)
            wrong += [sent.stamp_ns] * (sent.camera == camera)
        tick += length
        frames = ingest.frame_set()
        assert frames is not None or ingest.missing is not None
    # A wrong stamp that comes true in the clean stretch is told from right ones by no stamp; the camera guard, with its
    # clock, refuses pictures from the future.
    begin_ns, end_ns = (tick - 1) * PERIOD_NS, (tick + RECOVERY_TICKS) * PERIOD_NS
    assume(not any(begin_ns <= stamp <= end_ns for stamp in wrong))
    for _ in range(RECOVERY_TICKS):
        for camera in CAMERAS:
            ingest.add(shot(camera, tick))
        tick += 1

    frames = ingest.frame_set()
    assert frames is not None, ingest.missing
    assert frames.stamp_ns == (tick - 1) * PERIOD_NS
    assert frames.skew_ns == dict.fromkeys(CAMERAS, 0)
