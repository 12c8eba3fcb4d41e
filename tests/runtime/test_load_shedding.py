"""What plans go without while time or power is short: only what the bundle permits, in order, back with patience."""

from __future__ import annotations

import dataclasses
import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.bundle_manifest import CameraInput, FrameSelection
from onboard_vla.core.cameras import FrameSet
from onboard_vla.runtime.load_shedding import (
    FULL,
    LEAST,
    SAVING,
    LoadShedding,
    ShedState,
    floor_of,
    shed,
    steps_of,
)

SECOND, PERIOD_S = 1_000_000_000, 0.2
STEPS = ("history", "depth", "camera back", "camera left")
plan_times = st.lists(st.sampled_from([0.05, 0.119, 0.121, 0.19, 0.2, 0.21, 0.5, math.nan, math.inf]), max_size=200)


@dataclasses.dataclass(frozen=True)
class Manifest:
    """The two fields of a manifest that tell what a model can do without."""

    frames: FrameSelection
    cameras: tuple[CameraInput, ...]


def manifest(least=2, spare=("left", "back")):
    cameras = tuple(
        CameraInput(role, 28, 28, (0.0, 0.0, 1.0, 1.0), 2, 2, "v", None, role not in spare, None)
        for role in ("front", "left", "back")
    )
    return Manifest(FrameSelection(4, 0.5, least), cameras)


def drive(times, state=None, floor=0, start_ns=0, most=4):
    """Levels after each of some plans, 0.2 s apart."""
    state, now_ns, levels = state or ShedState(), start_ns, []
    for plan_s in times:
        now_ns += round(PERIOD_S * SECOND)
        state = shed(state, plan_s, PERIOD_S, floor, most, now_ns)
        levels.append(state.level)
    return levels, state, now_ns


def test_older_pictures_go_first_then_thinking_then_cameras_from_the_prompts_end():
    assert steps_of(manifest(), thinks=True) == STEPS
    assert steps_of(manifest(least=4), thinks=True) == ("depth", "camera back", "camera left")
    assert steps_of(manifest(spare=()), thinks=False) == ("history",)
    assert steps_of(manifest(least=4, spare=()), thinks=False) == ()


@given(plan_times, st.integers(0, 4), st.integers(0, 4))
def test_levels_change_by_steps_stay_in_range_and_come_back_with_patience(times, floor, most):
    levels, _, _ = drive(times, floor=min(floor, most), most=most)
    assert all(0 <= level <= most for level in levels)
    assert all(after - before >= -1 for before, after in itertools.pairwise([0, *levels]))
    changed = 0
    for place, (before, after) in enumerate(itertools.pairwise([0, *levels])):
        if after < before:
            quiet = times[place - 49 : place + 1]
            assert len(quiet) == 50, "ten seconds of plans"
            assert all(plan_s <= 0.6 * PERIOD_S for plan_s in quiet)
            assert place - changed >= 50
        if after != before:
            changed = place


@given(plan_times)
def test_more_is_left_out_only_after_two_late_plans_of_three(times):
    levels = [0, *drive(times)[0]]
    for place, (before, after) in enumerate(itertools.pairwise(levels)):
        if after > before:
            assert sum(not plan_s <= PERIOD_S for plan_s in times[max(0, place - 2) : place + 1]) >= 2


def test_known_courses():
    assert drive([0.21, 0.1, 0.21])[0] == [0, 0, 1]
    assert drive([0.21, 0.1, 0.1, 0.21])[0] == [0] * 4
    assert drive([0.2] * 20)[0] == [0] * 20, "a plan that takes its whole period is not late"
    levels, state, now_ns = drive([0.3] * 20)
    assert levels == [0, 1, 1, 2, 2, 3, 3, *[4] * 13]
    # 2.4 s at the limit of what counts as easy bring nothing back, ten easy seconds one step each.
    assert drive([0.13] * 200, state, start_ns=now_ns)[0] == [4] * 200
    assert drive([0.12] * 110, state, start_ns=now_ns)[0] == [*[4] * 49, *[3] * 50, *[2] * 11]


def test_what_power_leaves_out_already_is_not_waited_for():
    assert drive([0.3, 0.3], floor=2)[0] == [0, 3]


def test_power_modes_act_at_once_both_ways():
    assert [floor_of(power, STEPS) for power in (FULL, SAVING, LEAST)] == [0, 2, 4]
    shedding = LoadShedding(manifest(), PERIOD_S, SAVING, thinks=True, by_time=True)
    assert shedding.left_out == STEPS[:2]
    shedding.power = LEAST
    assert shedding.left_out == STEPS
    shedding.power = FULL
    assert shedding.left_out == ()


@pytest.mark.parametrize(("period_s", "by_time"), [(0.0, True), (PERIOD_S, False)])
def test_without_a_period_or_when_told_so_no_plan_is_late(period_s, by_time):
    shedding = LoadShedding(manifest(), period_s, FULL, thinks=True, by_time=by_time)
    for tick in range(10):
        shedding.note(5.0, tick * SECOND)
    assert shedding.left_out == ()


def test_a_frame_set_keeps_its_newest_pictures_and_its_other_cameras():
    roles = ("front", "left", "back")
    frames = FrameSet(
        9, dict.fromkeys(roles, ("a", "b", "c", "d")), dict.fromkeys(roles, (0, 3, 6, 9)), dict.fromkeys(roles, 1)
    )
    shedding = LoadShedding(manifest(), PERIOD_S, FULL, thinks=True, by_time=True)
    less = shedding.reduced(frames, STEPS[:3])
    assert less.images == dict.fromkeys(("front", "left"), ("c", "d"))
    assert less.stamps_ns == dict.fromkeys(("front", "left"), (6, 9))
    assert (less.stamp_ns, less.skew_ns) == (9, {"front": 1, "left": 1})
    assert shedding.reduced(frames, ()).images == frames.images
