"""Plans against the plans before: jumps, and changes that are taken back at once."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.safety.config import ConsistencyLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.oscillation import Change, PlanHistory, change_between
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.plan_guard import PlanGuard

from .driving_range import CORE_HASH, make_plan, simulation_config, straight_poses
from .plans import STAMP, found, history, placed

LIMITS = ConsistencyLimits()
CYCLE_NS = 200_000_000


def beside(offset_m):
    """Straight on at 10 m/s, moving over to `offset_m` within 2 s."""
    poses = straight_poses(10.0)
    poses[:, 1] = offset_m * np.minimum(np.arange(1, 11) / 4, 1.0)
    return poses


def swings(*plans):
    """Codes found for each of these poses, one cycle apart, all placed at the same pose."""
    memory, result = PlanHistory(LIMITS), []
    for poses in plans:
        plan = placed(poses)
        change = memory.change(plan, STAMP)
        result.append(found(memory.check(change)))
        memory.remember(plan, change)
    return result


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_a_change_passes_and_taking_it_back_within_five_plans_does_not(side):
    left = beside(side * 0.8)
    assert swings(beside(0), left, beside(0)) == [set(), set(), {"SWING_LATERAL"}]
    assert swings(beside(0), left, left, left, beside(0))[-1] == {"SWING_LATERAL"}
    assert swings(beside(0), left, left, left, left, left, beside(0))[-1] == set()
    assert swings(beside(0), left, beside(side * 1.6)) == [set(), set(), set()]


@pytest.mark.parametrize(("amount", "expected"), [(0.76, {"SWING_LATERAL"}), (0.74, set())])
def test_the_lateral_limit_holds_on_both_sides(amount, expected):
    assert swings(beside(0), beside(amount), beside(0))[-1] == expected


@pytest.mark.parametrize(("metres", "expected"), [(2.05, {"SWING_LONGITUDINAL"}), (1.95, set())])
def test_the_longitudinal_limit_holds_on_both_sides(metres, expected):
    slower = straight_poses(10.0, -metres / 2)
    assert swings(straight_poses(10.0), slower, straight_poses(10.0))[-1] == expected


@pytest.mark.parametrize(
    ("shift", "code"),
    [((0.0, 0.5), "SHIFT_LATERAL"), ((0.0, -0.5), "SHIFT_LATERAL"), ((1.0, 0.0), "SHIFT_FORWARD"),
     ((-0.3, 0.0), "SHIFT_BACK")],
)  # fmt: skip
def test_jumps_here_and_now_hold_on_both_sides(shift, code):
    before = placed(straight_poses())
    for factor, expected in ((0.98, set()), (1.02, {code})):
        moved = before.fine + np.array([factor * shift[0], factor * shift[1], 0.0])
        memory = PlanHistory(LIMITS)
        memory.remember(before, None)
        assert found(memory.check(memory.change(replace(before, fine=moved), STAMP))) == expected


def test_hard_braking_since_the_earlier_plan_is_no_jump():
    memory = PlanHistory(LIMITS)
    memory.remember(placed(straight_poses()), None)
    now = STAMP + 400_000_000
    for braked, expected in ((-0.77, set()), (-0.79, {"SHIFT_BACK"})):
        plan = placed(straight_poses())
        plan = replace(plan, fine=plan.fine + np.array([braked, 0.0, 0.0]))
        assert found(memory.check(memory.change(plan, now))) == expected


def test_plans_that_do_not_reach_as_far_are_not_compared_and_end_the_memory():
    first, later = placed(straight_poses()), placed(straight_poses())
    assert change_between(later, first, STAMP + 3_000_000_000) is not None
    assert change_between(later, first, STAMP + 3_000_000_001) is None
    memory = PlanHistory(LIMITS)
    for poses in (beside(0), beside(0.8)):
        plan = placed(poses)
        memory.remember(plan, memory.change(plan, STAMP))
    memory.remember(plan, None)
    back = placed(beside(0))
    assert memory.check(memory.change(back, STAMP)) == []


def test_a_plan_that_another_guard_refuses_is_not_remembered():
    config = simulation_config()
    guard, inputs = PlanGuard(config, CORE_HASH), Inputs(config)
    inputs.history = history()
    motion = Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0)
    seen = []
    for k, poses in enumerate((beside(0), beside(0) * [1.0, 1.0, 0.0] + [0.0, 5.0, 0.0], beside(0))):
        now = Now(STAMP + k, STAMP + k)
        seen.append(found(guard.judge(make_plan(STAMP + k, poses), inputs, motion, None, now).reasons))
    assert seen[0] == seen[2] == set()
    assert "JUMP_SIDEWAYS" in seen[1]


def seen_as(now=(0.0, 0.0), later=(0.0, 0.0), since_s=0.0):
    """A change with these values (along, across) here and now and at 2 s; anything in between is huge."""
    along, across = np.full(5, 99.0), np.full(5, 99.0)
    (along[0], across[0]), (along[-1], across[-1]) = now, later
    return Change(along, across, since_s)


@pytest.mark.parametrize(
    ("now", "since_s", "codes"),
    [
        ((0.0, 0.5), 0.0, set()),
        ((0.0, 0.501), 0.0, {"SHIFT_LATERAL"}),
        ((1.0, 0.0), 0.0, set()),
        ((1.001, 0.0), 0.0, {"SHIFT_FORWARD"}),
        ((-0.3, 0.0), 0.0, set()),
        ((-0.301, 0.0), 0.0, {"SHIFT_BACK"}),
        ((1.3749, 0.0), 0.5, set()),
        ((1.3751, 0.0), 0.5, {"SHIFT_FORWARD"}),
        ((-1.0499, 0.0), 0.5, set()),
        ((-1.0501, 0.0), 0.5, {"SHIFT_BACK"}),
    ],
)
def test_shifts_are_read_at_the_present_and_allow_for_what_has_passed_since(now, since_s, codes):
    assert found(PlanHistory(LIMITS).check(seen_as(now, since_s=since_s))) == codes


@pytest.mark.parametrize(
    ("first", "second", "codes"),
    [
        ((0.0, 0.7501), (0.0, -0.7501), {"SWING_LATERAL"}),
        ((0.0, 0.75), (0.0, -0.7501), set()),
        ((0.0, 0.7501), (0.0, -0.75), set()),
        ((2.001, 0.0), (-2.001, 0.0), {"SWING_LONGITUDINAL"}),
        ((2.0, 0.0), (-2.001, 0.0), set()),
        ((2.001, 0.0), (-2.0, 0.0), set()),
        ((2.001, 0.0), (0.0, -0.7501), set()),
    ],
)
def test_swings_are_read_at_two_seconds_and_both_must_exceed_the_limit(first, second, codes):
    memory = PlanHistory(LIMITS)
    memory.remember(placed(straight_poses()), seen_as(later=first))
    assert found(memory.check(seen_as(later=second))) == codes


def test_a_change_is_remembered_for_exactly_the_plans_that_make_five():
    for between, expected in ((3, {"SWING_LATERAL"}), (4, set())):
        memory, plan = PlanHistory(LIMITS), placed(straight_poses())
        for later in ((0.0, 0.8), *((0.0, 0.0),) * between):
            memory.remember(plan, seen_as(later=later))
        assert found(memory.check(seen_as(later=(0.0, -0.8)))) == expected
