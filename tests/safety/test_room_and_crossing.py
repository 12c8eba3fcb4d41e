"""Room to brake and crossing traffic: closed forms, both sides of every limit, any frame."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import compose
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.collision import check_collision, check_encroachment, check_room
from onboard_vla.safety.guards.forecast import forecast
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.object_memory import ObjectSet

from .driving_range import straight_poses
from .plans import STAMP, placed

VEHICLE, LIMITS = VehicleGeometry(), CollisionLimits()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m


def room(speed, lead, acceleration=0.0):
    """Codes and values found behind one lead, for a plan of constant acceleration."""
    plan = placed(straight_poses(speed, acceleration), speed)
    motion = Motion(0.0, 0.0, 0.0, speed, 0.0, 0.0)
    return {reason.code: reason.measured for reason in check_room(plan, motion, [lead], STAMP, LIMITS)}


class TestRoom:
    """A standing lead 10 m/s ahead: DRAC is 50 / (gap - 4)."""

    @pytest.mark.parametrize(("needed", "expected"), [(6.01, True), (5.99, False)])
    def test_the_fatal_rate_rejects_even_a_plan_that_brakes_hard(self, needed, expected):
        for acceleration in (0.0, -5.9):
            found = room(10.0, Lead(4.0 + 50.0 / needed, 0.0), acceleration)
            assert ("DRAC_FATAL" in found) is expected

    @pytest.mark.parametrize(("needed", "expected"), [(3.01, True), (2.99, False)])
    def test_the_danger_rate_rejects_a_plan_that_does_not_brake_half_as_hard(self, needed, expected):
        lead = Lead(4.0 + 50.0 / needed, 0.0)
        assert ("DRAC" in room(10.0, lead)) is expected
        assert "DRAC" not in room(10.0, lead, -3.5)

    @pytest.mark.parametrize(("gap", "expected"), [(9.99, True), (10.01, False)])
    def test_a_short_time_to_collision_rejects_above_the_safe_rate(self, gap, expected):
        found = room(10.0, Lead(gap, 5.0))
        assert found.get("TTC") == (pytest.approx(gap / 5.0) if expected else None)
        assert "TTC" not in room(10.0, Lead(gap, 5.0), -3.0)

    @pytest.mark.parametrize(("closing", "expected"), [(2.45, True), (2.35, False)])
    def test_below_the_safe_rate_the_time_to_collision_is_not_judged(self, closing, expected):
        lead = Lead(0.4 * closing + closing**2 / (2 * 1.5 * closing / 2.4), 10.0 - closing)
        assert lead.gap_m / closing < 2.0
        assert ("TTC" in room(10.0, lead)) is expected

    def test_a_lead_that_pulls_away_asks_for_nothing(self):
        assert room(10.0, Lead(3.0, 12.0)) == room(10.0, Lead(-0.5, 10.0)) == {}
        assert "DRAC_FATAL" in room(10.0, Lead(-0.5, 9.99))


def crossing(frame, after_s, speed=8.0, x=20.0, side=-1.0, kind="vehicle"):
    """A crossing object that reaches the vehicle's flank `after_s` after the vehicle's rear has passed it."""
    length, width = (4.6, 1.9) if kind == "vehicle" else (0.5, 0.5)
    leaves_s = (x + width / 2 + VEHICLE.rear_overhang_m) / 10.0
    distance = VEHICLE.width_m / 2 + length / 2 + speed * (leaves_s + after_s)
    start = compose(np.array(frame), np.array([x, side * distance, -side * math.pi / 2]))
    velocity = speed * np.array([math.cos(start[2]), math.sin(start[2])])
    return [*start, *velocity, length, width]


def encroachment(frame, *rows, check=check_encroachment):
    states = np.array(rows, np.float64).reshape(-1, 7)
    small = states[:, 5] < 1.0
    objects = ObjectSet(states, np.full(len(states), STAMP), small, small, np.full(len(states), 9), states[:, 0] * 0)
    seen = forecast(objects, np.array(frame[:2]), 10.0, 3.0, None, LIMITS)
    t = seen.times_s
    poses = compose(np.array(frame), np.column_stack([10.0 * t, 0 * t, 0 * t]))
    return check(poses, seen, VEHICLE, LIMITS)


@pytest.mark.parametrize("frame", [(0.0, 0.0, 0.0), (300.0, -200.0, 0.7), (12.0, 7.0, 3.1), (1.0, 2.0, -2.3)])
class TestCrossing:
    @pytest.mark.parametrize("side", [1.0, -1.0])
    @pytest.mark.parametrize(("after_s", "code"), [(0.4, "PET_BEFORE"), (0.75, None)])
    def test_an_object_must_not_come_soon_after_the_vehicle(self, frame, side, after_s, code):
        reason = encroachment(frame, crossing(frame, after_s, side=side))
        assert (reason.code if reason else None) == code
        if reason:
            assert reason.measured == pytest.approx(after_s, abs=0.11)

    @pytest.mark.parametrize(("after_s", "code"), [(-0.15, "PET_AFTER"), (-0.5, None)])
    def test_the_vehicle_must_not_come_soon_after_an_object(self, frame, after_s, code):
        """The object's rear edge leaves the flank `after_s` before the vehicle's front comes."""
        comes_s = (20.0 - 0.95 - FRONT) / 10.0
        leaves_s = (20.0 + 0.95 + VEHICLE.rear_overhang_m) / 10.0
        shift_s = comes_s + after_s - (2.0 + 4.6) / 8.0 - leaves_s
        reason = encroachment(frame, crossing(frame, shift_s))
        assert (reason.code if reason else None) == code
        assert encroachment(frame, crossing(frame, shift_s), check=check_collision) is None or after_s == -0.15

    def test_followed_oncoming_and_standing_objects_cross_nothing(self, frame):
        def along(x, y, heading, speed):
            px, py, turned = compose(np.array(frame), np.array([x, y, heading]))
            return [px, py, turned, speed * math.cos(turned), speed * math.sin(turned), 4.6, 1.9]

        rows = along(9.0, 0.0, 0.0, 10.0), along(80.0, 3.2, math.pi, 10.0), along(25.0, -3.2, math.pi / 2, 0.5)
        assert encroachment(frame, *rows) is None
        assert encroachment(frame) is None

    def test_the_sooner_of_several_counts(self, frame):
        rows = crossing(frame, 0.5, x=12.0), crossing(frame, 0.2, x=20.0), crossing(frame, 3.0, x=16.0)
        assert encroachment(frame, *rows).measured == pytest.approx(0.2, abs=0.11)
