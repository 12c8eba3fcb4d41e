"""Single figures of the collision guard and of the forecast, each against a formula written out here."""

from __future__ import annotations

import math
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.collision import check_collision, check_room, gate_deceleration
from onboard_vla.safety.guards.forecast import first_overlap, forecast
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.object_memory import ObjectSet

from .driving_range import straight_poses
from .plans import STAMP, placed

VEHICLE, LIMITS = VehicleGeometry(), CollisionLimits()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m


@pytest.mark.parametrize(
    ("speed", "lead", "expected"),
    [
        (10.0, Lead(20.0, 5.0), 100.0 / (2 * (20.0 - 2.0 - 4.0 + 25.0 / 8.0))),
        (10.0, Lead(20.0, 0.5), 100.0 / (2 * (14.0 + 0.25 / 8.0))),
        (10.0, Lead(20.0, -3.0), 100.0 / (2 * 14.0)),
        (10.0, Lead(6.5, 0.0), 100.0),
        (10.0, Lead(6.0, 0.0), math.inf),
        (10.0, Lead(1.0, 0.0), math.inf),
        (10.0, Lead(1.0, 10.0), 0.0),
        (0.5, Lead(9.0, 0.0), 0.25 / (2 * 6.8)),
        (0.0, Lead(1.0, -2.0), 0.0),
    ],
)
def test_the_gate_is_tier_ivs_formula(speed, lead, expected):
    assert gate_deceleration(speed, lead, LIMITS) == pytest.approx(expected)


def room(braking, *leads, speed=10.0):
    plan = placed(straight_poses(speed), speed)
    plan = replace(plan, speed_mps=speed - braking * plan.times_s)
    reasons = check_room(plan, Motion(0.0, 0.0, 0.0, speed, 0.0, 0.0), list(leads), STAMP, LIMITS)
    return {reason.code: reason.measured for reason in reasons}


def standing(required):
    """A standing lead for which the gate asks this much at 10 m/s."""
    return Lead(6.0 + 50.0 / required, 0.0)


@pytest.mark.parametrize(("required", "braking", "refused"), [(4.4, 2.19, True), (4.4, 2.21, False),
                                                              (40.0, 2.99, True), (40.0, 3.01, False)])  # fmt: skip
def test_a_plan_that_brakes_half_as_hard_as_the_gate_asks_passes_it(required, braking, refused):
    found = room(braking, standing(required))
    assert ("REQUIRED_DECELERATION" in found) is refused
    if refused:
        assert found["REQUIRED_DECELERATION"] == pytest.approx(required)


@pytest.mark.parametrize(("braking", "refused"), [(1.99, True), (2.01, False)])
def test_a_plan_that_brakes_half_as_hard_as_drac_passes_it(braking, refused):
    found = room(braking, Lead(4.0 + 50.0 / 4.0, 0.0))
    assert ("DRAC" in found) is refused
    if refused:
        assert found["DRAC"] == pytest.approx(4.0)


@pytest.mark.parametrize(("braking", "refused"), [(0.78, True), (0.79, False)])
def test_a_plan_that_brakes_half_as_hard_as_drac_passes_a_short_time_to_collision(braking, refused):
    """Closing at 5 m/s over 10 m: 2 s, and 25 / (2 (9.99 - 2)) = 1.564 m/s^2."""
    assert ("TTC" in room(braking, Lead(9.99, 5.0))) is refused


def test_the_worst_of_several_leads_counts_for_each_figure():
    near, far = Lead(9.0, 6.0), Lead(17.0, 0.0)
    found = room(0.0, far, near)
    assert found == room(0.0, near, far)
    assert found["REQUIRED_DECELERATION"] == pytest.approx(
        max(gate_deceleration(10.0, lead, LIMITS) for lead in (near, far))
    )
    assert found["DRAC"] == pytest.approx(50.0 / 13.0)
    slow, close = Lead(30.0, 2.0), Lead(4.0, 7.0)
    assert room(0.0, slow, close)["TTC"] == pytest.approx(4.0 / 3.0)


def test_no_more_than_ninety_nine_is_reported():
    assert room(0.0, Lead(4.0 + 50.0 / 98.0, 0.0))["DRAC_FATAL"] == pytest.approx(98.0)
    assert room(0.0, Lead(4.0 + 50.0 / 200.0, 0.0))["DRAC_FATAL"] == 99.0


def objects_of(*rows):
    states = np.array(rows, np.float64).reshape(-1, 7)
    none = np.zeros(len(states), bool)
    return ObjectSet(states, np.full(len(states), STAMP), none, none, np.full(len(states), 9), states[:, 0] * 0)


@pytest.mark.parametrize(("speed", "nose"), [(0.49, False), (0.51, True)])
def test_only_a_plan_that_moves_needs_room_in_front(speed, nose):
    t = np.arange(31) * 0.1
    poses = np.column_stack([speed * t, 0 * t, 0 * t])
    seen = forecast(objects_of([speed * 3.0 + FRONT + 0.5 + 2.3, 0.0, 0.0, 0.0, 0.0, 4.6, 1.9]), poses[0, :2], speed,
                    3.0, None, LIMITS)  # fmt: skip
    assert (check_collision(poses, seen, VEHICLE, LIMITS) is not None) is nose


@pytest.mark.parametrize(("beyond", "kept"), [(-0.01, 1), (0.01, 0)])
def test_objects_that_cannot_come_near_are_left_out_and_others_kept(beyond, kept):
    size = math.hypot(4.0, 2.0)
    reach = (10.0 + 5.0) * 3.0 + 30.0 + size
    far = [0.0, reach + beyond, 0.0, -3.0, 4.0, 4.0, 2.0]
    near = [20.0, 0.0, 0.0, 0.0, 0.0, 4.0, 2.0]
    assert len(forecast(objects_of(far), np.zeros(2), 10.0, 3.0, None, LIMITS).objects.states) == kept
    seen = forecast(objects_of(near, far), np.zeros(2), 10.0, 3.0, None, LIMITS)
    assert len(seen.objects.states) == kept + 1
    assert seen.positions.shape == (31, kept + 1, 2)
    assert forecast(objects_of(), np.zeros(2), 10.0, 3.0, None, LIMITS).positions.shape == (31, 0, 2)


@pytest.mark.parametrize(
    ("x", "speed", "fault"), [(-6.0, 12.0, False), (-6.0, 10.0, False), (6.9, 4.0, True), (3.2, 12.0, True)]
)
def test_who_touches_the_rear_half_faster_is_left_out(x, speed, fault):
    t = np.arange(31) * 0.1
    poses = np.column_stack([10.0 * t, 0 * t, 0 * t])
    seen = forecast(objects_of([x, 0.0, 0.0, speed, 0.0, 4.6, 1.9]), poses[0, :2], 10.0, 3.0, None, LIMITS)
    assert (first_overlap(poses, seen, VEHICLE, 0.0) is not None) is fault


@pytest.mark.parametrize(("beyond", "kept"), [(0.0, 1), (0.25, 0)])
def test_an_object_that_could_just_come_near_is_kept(beyond, kept):
    """10 m/s and 3-4-5 m/s for three seconds, 30 m, and the object's own diagonal of 2.5 m; 0.7 m wide."""
    far = [0.0, (10.0 + 5.0) * 3.0 + 30.0 + 2.5 + beyond, 0.0, 3.0, -4.0, 2.4, 0.7]
    assert len(forecast(objects_of(far), np.zeros(2), 10.0, 3.0, None, LIMITS).objects.states) == kept


@pytest.mark.parametrize(("gap", "hit"), [(-0.01, True), (0.01, False)])
def test_corners_touch_within_the_margin_to_the_side(gap, hit):
    """A box of 1 m at the corner of the footprint, 0.3 m wider to either side."""
    t = np.arange(31) * 0.1
    poses = np.column_stack([0 * t, 0 * t, 0 * t])
    x, y = FRONT + 0.5 - 0.01, VEHICLE.width_m / 2 + 0.3 + 0.5 + gap
    seen = forecast(objects_of([x, y, 0.0, 0.0, 0.0, 1.0, 1.0]), poses[0, :2], 0.0, 3.0, None, LIMITS)
    assert (first_overlap(poses, seen, VEHICLE, 0.0) is not None) is hit


@pytest.mark.parametrize(("ahead", "speed", "fault"), [(0.0, 12.0, True), (0.5, 12.0, True), (-0.5, 12.0, False),
                                                       (-0.5, 10.0, True), (-0.5, 9.0, True)])  # fmt: skip
def test_only_who_is_behind_the_middle_and_faster_runs_into_the_vehicle(ahead, speed, fault):
    t = np.arange(31) * 0.1
    poses = np.column_stack([10.0 * t, 0 * t, 0 * t])
    beside = [VEHICLE.centre_offset_m + ahead, 1.5, 0.0, speed, 0.0, 4.0, 2.0]
    hit = first_overlap(poses, forecast(objects_of(beside), poses[0, :2], 10.0, 3.0, None, LIMITS), VEHICLE, 0.0)
    assert (None if hit is None else (hit.time_s, hit.row)) == ((0.0, 0) if fault else None)


@pytest.mark.parametrize(("ahead", "fault"), [(0.01, True), (-0.01, False)])
@pytest.mark.parametrize("nose_m", [0.0, 1.0])
def test_room_in_front_moves_the_middle_of_nobody(ahead, fault, nose_m):
    t = np.arange(31) * 0.1
    poses = np.column_stack([10.0 * t, 0 * t, 0 * t])
    beside = [VEHICLE.centre_offset_m + ahead, 1.5, 0.0, 12.0, 0.0, 4.0, 2.0]
    seen = forecast(objects_of(beside), poses[0, :2], 10.0, 3.0, None, LIMITS)
    assert (first_overlap(poses, seen, VEHICLE, nose_m) is not None) is fault


EXACT = CollisionLimits(delay_s=0.5)
"""Half a second makes the figures below exact: gaps less 2 m and half the speed, or half the closing speed."""


def room_figures(speed, gap, lead=0.0, braking=0.0, limits=EXACT):
    plan = SimpleNamespace(stamp_ns=STAMP, speed_at=lambda t: speed - braking * t)
    found = check_room(plan, Motion(0.0, 0.0, 0.0, speed, 0.0, 0.0), [Lead(gap, lead)], STAMP, limits)
    return [(reason.code, reason.measured, reason.limit) for reason in found]


def test_the_required_deceleration_may_be_at_its_limit():
    """64 / (2 (gap - 2 - 4)); the closing speed asks for 64 / (2 (gap - 4))."""
    calm = CollisionLimits(delay_s=0.5, drac_danger_mps2=3.5, ttc_s=0.5)
    assert room_figures(8.0, 14.0, limits=calm) == []
    assert room_figures(8.0, 13.5, limits=calm) == [("REQUIRED_DECELERATION", 64 / 15, 4.0)]


def test_a_plan_that_brakes_exactly_half_as_hard_as_the_fatal_rate_passes_there():
    """36 / (2 (6 - 3)) = 6, the fatal rate itself; the gate asks for 18, of which no more than 6 counts."""
    assert room_figures(6.0, 6.0, braking=3.0) == []
    assert room_figures(6.0, 6.0, braking=2.75) == [("REQUIRED_DECELERATION", 18.0, 4.0), ("DRAC", 6.0, 3.0)]
    assert [code for code, *_ in room_figures(6.0, 5.75, braking=3.0)] == ["DRAC_FATAL"]


def test_rates_and_times_at_their_limits_do_not_count():
    """36 / (2 (9 - 3)) = 3 is no danger yet, but 9 m at 6 m/s are 1.5 s; 12 m are 2 s; 9 / (2 (4.5 - 1.5)) = 1.5."""
    lax = CollisionLimits(delay_s=0.5, a_req_mps2=8.0)
    assert room_figures(6.0, 9.0, limits=lax) == [("TTC", 1.5, 2.0)]
    assert room_figures(6.0, 9.0, braking=1.5, limits=lax) == []
    assert room_figures(6.0, 12.0) == []
    assert room_figures(3.0, 4.5, limits=lax) == []
    assert room_figures(3.0, 4.25, limits=lax) == [("TTC", 4.25 / 3.0, 2.0)]


def test_braking_is_what_the_plan_loses_in_a_second_from_now_on():
    plan = SimpleNamespace(stamp_ns=STAMP - 1_000_000_000, speed_at=lambda t: 6.0 - 3.0 * max(t - 1.0, 0.0))
    motion = Motion(0.0, 0.0, 0.0, 6.0, 0.0, 0.0)
    assert check_room(plan, motion, [Lead(6.0, 0.0)], STAMP, EXACT) == []


def test_half_a_metre_a_second_is_not_moving():
    poses = np.column_stack([np.linspace(0.0, 1.5, 31), np.zeros(31), np.zeros(31)])
    seen = forecast(objects_of([1.5 + FRONT + 0.5 + 2.3, 0.0, 0.0, 0.0, 0.0, 4.6, 1.9]), poses[0, :2], 0.5, 3.0, None,
                    LIMITS)  # fmt: skip
    assert check_collision(poses, seen, VEHICLE, LIMITS) is None
