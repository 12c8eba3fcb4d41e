"""A plan passes only if a stop after one cycle of it is free and fits; a stored stop runs when all else dies."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.clock import Now
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import CollisionLimits, RecoveryLimits, RoadLimits, StalenessLimits, StopSettings
from onboard_vla.safety.driving import plan_path
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.forecast import forecast
from onboard_vla.safety.guards.recoverability import check_recovery, recovery_of, stop_time
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.last_resort import ROWS, brake, stop_along, store_stop
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.plan_guard import PlanGuard

from .driving_range import CORE_HASH, make_object, make_plan, simulation_config, straight_poses
from .plans import STAMP, found, history, placed

VEHICLE, LIMITS, STOP = VehicleGeometry(), RecoveryLimits(), StopSettings()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m


def motion_at(speed, acceleration=0.0, **changes):
    values = dict(x_m=0.0, y_m=0.0, heading_rad=0.0, speed_mps=speed, acceleration_mps2=acceleration, yaw_rate_rps=0.0)
    return Motion(**{**values, **changes})


def lane(length=200.0, half_width=2.5, from_m=math.inf, narrow=2.5):
    x = np.arange(-10.0, length, 2.0)
    wide = np.where(x < from_m, half_width, narrow)
    return LaneObservation(STAMP, np.column_stack([x, 0 * x]), wide, wide, 3.5, 0 * x + 30.0, ())


def judge(plan, motion, *rows, lanes=None, objects_stamp=STAMP):
    """What is found against the stop after one cycle of a placed plan."""
    path = plan_path(plan, motion)
    states = np.array(rows, np.float64).reshape(-1, 7)
    none = np.zeros(len(states), bool)
    objects = ObjectSet(states, np.full(len(states), STAMP), none, none, np.full(len(states), 9), states[:, 0] * 0)
    seen = forecast(
        objects, motion.pose[:2], motion.speed_mps, stop_time(motion, LIMITS, STOP), None, CollisionLimits()
    )
    recovery = recovery_of(path, plan, motion, STAMP, LIMITS, STOP)
    reason = check_recovery(recovery, path, plan, seen, lanes, None, VEHICLE, LIMITS, RoadLimits(), StalenessLimits())
    return recovery, path, reason


def fine_stop(speed, acceleration, cycle_s, target):
    """Distance and duration of a cycle towards `target` and an L4 stop after it, integrated at 0.1 ms."""
    distance, v, a, t, dt = (speed + target) / 2 * cycle_s, target, acceleration, cycle_s, 1e-4
    while v > 0.0:
        a = max(a - 12.65 * dt, -6.0)
        distance, v, t = distance + v * dt, v + a * dt, t + dt
    return distance, t


@settings(max_examples=60, deadline=None)
@given(st.floats(1.0, 40.0), st.floats(-3.0, 2.5))
def test_the_stop_equals_an_independent_integration(speed, acceleration):
    plan = placed(straight_poses(speed, acceleration), speed)
    recovery, _, _ = judge(plan, motion_at(speed, acceleration))
    pushing = max(acceleration, plan.acceleration_at(0.2))
    target = max(speed + 0.2 * pushing, plan.speed_at(0.2))
    distance, lasts = fine_stop(speed, pushing, 0.2, target)
    assert recovery.needed_m == pytest.approx(distance, abs=0.05)
    if lasts < 8.0:
        assert recovery.poses[-1, 0] == pytest.approx(min(distance, plan.path.length + 0.5), abs=0.6)
    assert len(recovery.poses) - 1 >= min(lasts / 0.1 - 1e-6, 80)
    assert stop_time(motion_at(speed, acceleration), LIMITS, STOP) >= min(lasts, 8.0) - 0.11


class TestGuard:
    def test_the_stop_must_end_within_the_plans_own_length(self):
        plan, motion = placed(straight_poses(20.0), 20.0), motion_at(20.0)
        recovery, path, reason = judge(plan, motion)
        assert reason is None
        arguments = (plan, forecast(ObjectSet.empty(), motion.pose[:2], 20.0, 5.0, None, CollisionLimits()), None, None)
        rest = (VEHICLE, LIMITS, RoadLimits(), StalenessLimits())
        for known, code in ((recovery.needed_m + 0.01, None), (recovery.needed_m - 0.01, "RECOVERY_LENGTH")):
            short = replace(path, known_m=known)
            reason = check_recovery(recovery, short, *arguments, *rest)
            assert (reason.code if reason else None) == code
            standing = replace(plan, speed_mps=plan.speed_mps * 0)
            assert check_recovery(recovery, short, standing, *arguments[1:], *rest) is None
        far = replace(path, known_m=recovery.needed_m - 1.01)
        assert check_recovery(recovery, far, standing, *arguments[1:], *rest).code == "RECOVERY_LENGTH"

    @pytest.mark.parametrize(("gap", "code"), [(0.1, None), (-0.1, "RECOVERY_COLLISION")])
    def test_the_stop_must_not_touch_a_predicted_object(self, gap, code):
        plan, motion = placed(straight_poses(10.0)), motion_at(10.0)
        needed = judge(plan, motion)[0].needed_m
        reason = judge(plan, motion, [needed + FRONT + 2.3 + gap, 0.0, 0.0, 0.0, 0.0, 4.6, 1.9])[2]
        assert (reason.code if reason else None) == code
        behind = [-12.0, 0.0, 0.0, 14.0, 0.0, 4.6, 1.9]
        assert judge(plan, motion, behind)[2] is None

    def test_crossing_traffic_that_the_plan_itself_would_clear_counts_against_the_stop(self):
        plan, motion = placed(straight_poses(20.0), 20.0), motion_at(20.0)
        config = simulation_config()
        guard, inputs = PlanGuard(config, CORE_HASH), Inputs(config)
        inputs.history = history(20.0)
        for age_s in (0.1, 0.0):
            row = make_object(42.0, -8.0 * (3.7 + age_s), 0.0, 8.0, heading=math.pi / 2)
            inputs.receive(ObjectList(STAMP - round(age_s * 1e9), (row,)), Now(STAMP, STAMP))
        judgement = guard.judge(plan.plan, inputs, motion, None, Now(STAMP, STAMP))
        assert found(judgement.reasons) == {"RECOVERY_COLLISION"}
        assert judgement.reasons[0].measured == pytest.approx(3.4, abs=0.3)
        assert judgement.placed is None

    @pytest.mark.parametrize(("narrow", "code"), [(0.81, None), (0.79, "RECOVERY_OFF_ROAD")])
    def test_the_stop_must_stay_on_the_drivable_area(self, narrow, code):
        plan, motion = placed(straight_poses(10.0)), motion_at(10.0)
        reason = judge(plan, motion, lanes=lane(from_m=8.0, narrow=narrow))[2]
        assert (reason.code if reason else None) == code

    def test_a_plan_that_was_accepted_is_checked_again_with_what_has_come_since(self):
        config = simulation_config()
        guard, inputs = PlanGuard(config, CORE_HASH), Inputs(config)
        inputs.history = history()
        now = Now(STAMP, STAMP)
        judgement = guard.judge(make_plan(STAMP, straight_poses(10.0)), inputs, motion_at(10.0), None, now)
        later = motion_at(10.0, x_m=3.0)
        assert guard.recheck(judgement, inputs, later, STAMP + 300_000_000) == []
        for age_ns in (100_000_000, 0):
            row = make_object(3.0 + FRONT + 8.0, 0.0)
            inputs.receive(ObjectList(STAMP - age_ns, (row,)), now)
        assert found(guard.recheck(judgement, inputs, later, STAMP + 300_000_000)) == {"RECOVERY_COLLISION"}

    def test_a_plan_that_brakes_at_the_limit_is_not_refused_for_its_length(self):
        plan = placed(straight_poses(12.0, -5.5), 12.0)
        plan = replace(plan, acceleration_mps2=plan.acceleration_mps2 * 0 - 5.5)
        assert judge(plan, motion_at(12.0, -5.0))[2] is None
        assert judge(plan, motion_at(12.0, 0.5))[2].code == "RECOVERY_LENGTH"


class TestStoredStop:
    def points(self, speed=10.0):
        t = np.arange(51) * 0.1
        heading = 0.02 * speed * t
        x, y = np.cumsum(speed * 0.1 * np.cos(heading)), np.cumsum(speed * 0.1 * np.sin(heading))
        return np.column_stack([t, x, y, heading, 0 * t + speed, 0 * t])

    def test_it_is_the_emergency_stop_along_the_points_and_cannot_be_changed(self):
        stored = store_stop(self.points(), 5_000, 7)
        assert (stored.points.shape, stored.plan_id) == ((ROWS, 6), 7)
        assert stored.read(5_000, 51) == pytest.approx(stop_along(self.points(), 0.0), abs=1e-9)
        with pytest.raises(ValueError, match="read-only"):
            stored.points[0, 0] = 1.0

    @pytest.mark.parametrize("speed", [0.0, 3.0, 14.0, 45.0])
    def test_read_later_it_is_the_same_motion_and_ends_standing(self, speed):
        stored = store_stop(self.points(speed), 0, 1)
        early, late = stored.read(0, 51), stored.read(700_000_000, 51)
        assert late[:44, 1:] == pytest.approx(early[7:, 1:], abs=1e-9)
        assert (late[0, 0], late[1, 0]) == (0.0, pytest.approx(0.1))
        end = stored.read(30_000_000_000, 51)
        assert (end[:, 4] == 0.0).all()
        assert np.ptp(end[:, 1:4], axis=0) == pytest.approx(0.0, abs=1e-12)

    def test_braking_equals_the_closed_form(self):
        times = np.arange(0.0, 6.0, 0.001)
        distance, speeds, demand = brake(14.0, -1.0, times)
        assert distance[-1] == pytest.approx(fine_stop(14.0, -1.0, 0.0, 14.0)[0], abs=0.01)
        assert speeds[-1] == 0.0
        assert demand.min() == -6.0
