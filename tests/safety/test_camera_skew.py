"""Camera stamps against the learned offset: what is tolerated, what is found, and who is named."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now
from onboard_vla.safety.camera_guard_config import CameraGuardConfig
from onboard_vla.safety.camera_guard_skew import SkewWatch

CONFIG = CameraGuardConfig()
MS = 1_000_000
NATURAL_MS = dict(zip(CAMERAS, (5.0, 12.0, 20.0, 28.0, 36.0, 47.6), strict=True))
"""Ages on arrival, 42.6 ms apart as the stamps of one nuScenes sample."""


class Rig:
    """Six cameras at 10 Hz; pictures arrive with their natural age, jitter, and whatever a test adds."""

    def __init__(self, jitter_ms=2.0, cameras=CAMERAS):
        self.watch, self.rng, self.k = SkewWatch(CONFIG), np.random.default_rng(3), 0
        self.jitter_ms, self.cameras = jitter_ms, cameras

    def run(self, seconds, late_ms=lambda camera, k: 0.0, common_ms=0.0):
        """(pictures since the start of this run, camera, code) of every reason."""
        found = []
        for index in range(round(seconds * 10)):
            arrival = 10**12 + self.k * 100 * MS
            for camera in self.cameras:
                age = NATURAL_MS[camera] + late_ms(camera, index) + common_ms + self.rng.uniform(0, self.jitter_ms)
                reason = self.watch.check(camera, arrival - round(age * MS), Now(arrival, arrival))
                if reason is not None:
                    found.append((index, camera, reason.code))
            self.k += 1
        return found


def skewed(camera, ms):
    return lambda name, k: ms if name == camera else 0.0


def test_the_natural_spread_of_a_rig_is_no_skew():
    assert Rig().run(60.0) == []


@pytest.mark.parametrize("ms", [-40.0, -10.0, 10.0, 40.0])
@pytest.mark.parametrize("camera", ["front", "back_right"])
def test_small_skews_are_tolerated(camera, ms):
    rig = Rig(jitter_ms=0.0)
    rig.run(3.0)
    late = skewed(camera, max(ms, -NATURAL_MS[camera]))
    assert rig.run(20.0, late) == []


@pytest.mark.parametrize("ms", [100.0, 500.0])
@pytest.mark.parametrize("camera", CAMERAS)
def test_late_stamps_of_100_ms_are_found_within_300_ms_and_the_camera_is_named(camera, ms):
    rig = Rig()
    rig.run(3.0)
    found = rig.run(5.0, skewed(camera, ms))
    assert found[0] == (1, camera, "SKEWED")
    assert {name for _, name, _ in found} == {camera}
    assert len(found) == 49
    assert rig.run(5.0) == []


def test_early_stamps_are_future_stamps_or_skew():
    rig = Rig(jitter_ms=0.0)
    for camera in rig.cameras:
        NATURAL_MS[camera]
    rig.run(3.0, common_ms=150.0)
    assert rig.run(1.0, skewed("back", -100.0), common_ms=150.0)[0] == (1, "back", "SKEWED")


@pytest.mark.parametrize(("ahead_ms", "code"), [(5.0, None), (5.1, "STAMP_IN_FUTURE")])
def test_future_stamps_are_refused_at_once(ahead_ms, code):
    watch = SkewWatch(CONFIG)
    reason = watch.check("front", 10**12 + round(ahead_ms * MS), Now(10**12, 10**12))
    assert (reason.code if reason else None) == code


@pytest.mark.parametrize(("ms", "found"), [(69.9, False), (70.1, True)])
@pytest.mark.parametrize("sign", [1, -1])
def test_the_limit_holds_on_both_sides(ms, found, sign):
    rig = Rig(jitter_ms=0.0)
    rig.run(3.0, common_ms=100.0)
    assert bool(rig.run(1.0, skewed("front", sign * ms), common_ms=100.0)) is found


def test_one_late_picture_is_no_skew():
    rig = Rig()
    rig.run(3.0)
    assert rig.run(3.0, lambda camera, k: 300.0 if camera == "front" and k in (4, 12, 20) else 0.0) == []


def test_what_all_cameras_share_is_no_cameras_skew():
    rig = Rig()
    rig.run(3.0)
    late = rig.run(5.0, common_ms=200.0)
    assert {index for index, _, _ in late} <= {0, 1}


def test_a_camera_alone_is_held_against_the_clock():
    rig = Rig(cameras=("front",))
    rig.run(3.0)
    assert rig.run(1.0, skewed("front", 100.0))[0] == (1, "front", "SKEWED")


def test_slow_drift_is_followed():
    rig = Rig(jitter_ms=0.0)
    rig.run(3.0)
    assert rig.run(300.0, lambda camera, k: 0.05 * k if camera == "back" else 0.0) == []


def test_before_the_offset_is_known_nothing_is_judged_but_the_future():
    rig = Rig()
    assert rig.run(1.9, lambda camera, k: 300.0 * (k % 2)) == []


EXACT = CameraGuardConfig(skew_learn_frames=3, skew_frames=2, skew_max_s=0.0625, skew_tracked_s=0.03125,
                          skew_tracking=0.0625)  # fmt: skip
"""Limits that binary fractions of a second can stand on."""
SECOND = 1_000_000_000


class Watched:
    """Ages on arrival of single pictures, as given."""

    def __init__(self):
        self.watch = SkewWatch(EXACT)

    def see(self, camera, *ages_s, at_ns=10**12):
        """What is said of each picture: reason code, measured value and limit."""
        found = []
        for age_s in ages_s:
            reason = self.watch.check(camera, at_ns - round(age_s * SECOND), Now(at_ns, at_ns))
            found.append(None if reason is None else (reason.code, reason.measured, reason.limit))
        return found


def test_the_offset_is_learned_from_exactly_so_many_pictures():
    watched = Watched()
    assert watched.see("front", 0.125, 0.125, 0.125, 0.25, 0.25) == [None] * 4 + [("SKEWED", 0.125, 0.0625)]


def test_a_skew_at_the_limit_is_none():
    watched = Watched()
    watched.see("front", 0.125, 0.125, 0.125)
    assert watched.see("front", *[0.125 + 0.0625] * 5, *[0.125 - 0.0625] * 5) == [None] * 10
    assert watched.see("front", 0.1953125, 0.1953125) == [None, ("SKEWED", 0.0703125, 0.0625)]


@pytest.mark.parametrize(("skew", "followed"), [(0.03125, 0.03125 * 0.0625), (0.0390625, 0.0)])
def test_the_learned_offset_follows_up_to_the_tolerated_skew(skew, followed):
    watched = Watched()
    watched.see("front", 0.125, 0.125, 0.125, 0.125 + skew)
    assert watched.see("front", 0.625, 0.625)[1] == ("SKEWED", 0.5 - followed, 0.0625)


def test_a_future_stamp_is_measured_ahead():
    assert Watched().see("front", -0.5) == [("STAMP_IN_FUTURE", 0.5, EXACT.future_s)]


@pytest.mark.parametrize(("others", "later_ns", "common"), [(2, SECOND // 2, True), (2, SECOND // 2 + 1, False),
                                                            (1, 0, False), (3, 0, True)])  # fmt: skip
def test_what_two_others_of_the_last_half_second_share_is_taken_away(others, later_ns, common):
    watched = Watched()
    for camera in ("front", *"abc"[:others]):
        watched.see(camera, 0.125, 0.125, 0.125)
    for camera in "abc"[:others]:
        watched.see(camera, 0.25)
    found = watched.see("front", 0.25, 0.25, at_ns=10**12 + later_ns)
    assert found == [None, None if common else ("SKEWED", 0.125, 0.0625)]


def test_cameras_that_are_still_learning_say_nothing_about_the_others():
    watched = Watched()
    for camera in ("front", "a", "b"):
        watched.see(camera, 0.125, 0.125, 0.125)
    for camera in "cdef":
        watched.see(camera, 0.125)
    for camera in "ab":
        watched.see(camera, 0.25)
    assert watched.see("front", 0.25, 0.25) == [None, None]
