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
JOIN_M = 20.0
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
    recovery = recovery_of(path, plan, motion, STAMP, LIMITS, STOP, JOIN_M)
    reason = check_recovery(recovery, path, plan, seen, lanes, VEHICLE, LIMITS, RoadLimits(), StalenessLimits())
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
        arguments = (plan, forecast(ObjectSet.empty(), motion.pose[:2], 20.0, 5.0, None, CollisionLimits()), None)
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

    @pytest.mark.parametrize(("gap", "code"), [(0.01, None), (-0.01, "RECOVERY_COLLISION")])
    @pytest.mark.parametrize("side", [-1, 1])
    def test_the_stop_begins_where_the_vehicle_is_and_not_where_the_plan_would_have_it(self, side, gap, code):
        """0.8 m beside the plan, a box stands beside the bumper; by its own line the plan would pass it."""
        motion = motion_at(10.0, y_m=0.8 * side)
        plan = placed(straight_poses(10.0))
        box = [FRONT - 0.5, side * (0.8 + VEHICLE.width_m / 2 + 0.3 + 0.05 + gap), 0.0, 0.0, 0.0, 1.0, 0.1]
        assert judge(plan, motion_at(10.0), box)[2] is None
        recovery, _, reason = judge(plan, motion, box)
        assert (reason.code if reason else None) == code
        assert recovery.driven[0].tolist() == motion.pose.tolist()
        assert recovery.poses[0].tolist() == [0.0, 0.0, 0.0]

    @pytest.mark.parametrize(("gap", "code"), [(0.05, None), (-0.05, "RECOVERY_COLLISION")])
    @pytest.mark.parametrize("side", [-1, 1])
    def test_who_comes_onto_the_plan_at_once_stops_on_its_line(self, side, gap, code):
        """0.8 m beside the plan, and a box on the other side of it, which a vehicle late on the plan would miss."""
        box = [9.0, -side * (VEHICLE.width_m / 2 + 0.3 + 0.05 + gap), 0.0, 0.0, 0.0, 1.0, 0.1]
        reason = judge(placed(straight_poses(10.0)), motion_at(10.0, y_m=0.8 * side), box)[2]
        assert (reason.code if reason else None) == code

    def test_a_vehicle_turned_away_from_the_plan_sweeps_with_its_corners(self):
        """At walking pace the plan has turned away from a wall that the vehicle still stands against."""
        plan, turned = placed(straight_poses(0.4), 0.4), motion_at(0.4, heading_rad=0.3)
        wall = [FRONT - 0.3, 1.5, 0.0, 0.0, 0.0, 1.0, 0.3]
        assert judge(plan, motion_at(0.4), wall)[2] is None
        assert judge(plan, turned, wall)[2].code == "RECOVERY_COLLISION"
        recovery = judge(plan, replace(turned, heading_rad=0.3 + 2 * math.pi))[0]
        assert recovery.driven[0, 2] == pytest.approx(0.3)

    def test_past_the_join_the_stop_is_the_plans_line(self):
        recovery = judge(placed(straight_poses(20.0), 20.0), motion_at(20.0, y_m=0.5))[0]
        past = recovery.poses[:, 0] >= JOIN_M
        assert past.any()
        np.testing.assert_array_equal(recovery.driven[past], recovery.poses[past])
        half = np.interp(JOIN_M / 2, recovery.poses[:, 0], recovery.driven[:, 1])
        assert half == pytest.approx(0.25)

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


class TestFigures:
    """Single figures of the stop, each against a formula written out here."""

    def test_during_the_cycle_the_speed_rises_evenly_to_the_plans(self):
        plan = replace(placed(straight_poses(10.0)), acceleration_mps2=np.zeros(11))
        recovery, _, _ = judge(plan, motion_at(9.0))
        assert recovery.poses[1, 0] == pytest.approx(9.0 * 0.1 + (10.0 - 9.0) / 0.2 * 0.1**2 / 2, abs=1e-6)
        assert recovery.poses[2, 0] == pytest.approx((9.0 + 10.0) / 2 * 0.2, abs=1e-6)

    @pytest.mark.parametrize("time_s", [0.5, 1.0, 1.5])
    def test_halfway_it_is_where_braking_from_the_end_of_the_cycle_leads(self, time_s):
        plan = replace(placed(straight_poses(10.0)), acceleration_mps2=np.zeros(11))
        recovery, _, _ = judge(plan, motion_at(10.0))
        v, a, x, dt = 10.0, 0.0, 2.0, 1e-4
        for _ in range(round((time_s - 0.2) / dt)):
            a = max(a - 12.65 * dt, -6.0)
            x, v = x + v * dt, v + a * dt
        assert recovery.poses[round(time_s * 10), 0] == pytest.approx(x, abs=0.02)

    @pytest.mark.parametrize(("speed", "acceleration"), [(10.0, 0.0), (10.0, 2.0), (25.0, 0.0), (0.5, 0.0)])
    def test_samples_and_horizon_reach_to_standstill_and_no_farther(self, speed, acceleration):
        plan = placed(straight_poses(speed, acceleration), speed)
        plan = replace(plan, acceleration_mps2=np.full(11, acceleration))
        target = max(plan.speed_at(0.2), speed + 0.2 * acceleration)
        lasts = 0.2 + (acceleration + 6.0) / 12.65 + target / 6.0
        assert len(judge(plan, motion_at(speed, acceleration))[0].poses) == math.ceil(lasts / 0.1) + 1
        expected = 0.2 + 9.0 / 12.65 + (speed + 3.0 * 0.2) / 6.0
        assert stop_time(motion_at(speed), LIMITS, STOP) == pytest.approx(expected)

    def test_both_are_bounded_by_the_samples(self):
        short = RecoveryLimits(samples=20)
        plan, motion = placed(straight_poses(30.0), 30.0), motion_at(30.0)
        assert stop_time(motion, short, STOP) == pytest.approx(2.0)
        assert len(recovery_of(plan_path(plan, motion), plan, motion, STAMP, short, STOP, JOIN_M).poses) == 21

    def test_more_than_the_kinematic_limit_is_not_taken_for_acceleration(self):
        plan = replace(placed(straight_poses(10.0)), acceleration_mps2=np.zeros(11))
        needed = {a: judge(plan, motion_at(10.0, a))[0].needed_m for a in (2.9, 3.0, 5.0, -9.0, -6.0)}
        assert needed[2.9] < needed[3.0] == needed[5.0]
        assert needed[-9.0] == needed[-6.0]

    def test_backward_motion_counts_as_standstill(self):
        plan = replace(placed(np.zeros((10, 3)), 0.0), acceleration_mps2=np.zeros(11))
        assert judge(plan, motion_at(-1.0))[0].needed_m == pytest.approx(judge(plan, motion_at(0.0))[0].needed_m)
        assert stop_time(motion_at(-1.0), LIMITS, STOP) == stop_time(motion_at(0.0), LIMITS, STOP)

    def test_limits_themselves_pass(self):
        plan, motion = placed(straight_poses(10.0)), motion_at(10.0)
        recovery, path, _ = judge(plan, motion)
        seen = forecast(ObjectSet.empty(), motion.pose[:2], 10.0, 3.0, None, CollisionLimits())
        rest = (VEHICLE, LIMITS, RoadLimits(), StalenessLimits())
        exact = replace(path, known_m=recovery.needed_m)
        assert check_recovery(recovery, exact, plan, seen, None, *rest) is None
        slow = replace(plan, speed_mps=np.full(11, 0.5))
        short = replace(path, known_m=recovery.needed_m - 0.9)
        assert check_recovery(recovery, short, slow, seen, None, *rest) is None

    def test_the_reason_names_when_and_up_to_when(self):
        plan, motion = placed(straight_poses(10.0)), motion_at(10.0)
        recovery, _, reason = judge(plan, motion, [14.0, 0.0, 0.0, 0.0, 0.0, 4.6, 1.9])
        assert reason.limit == pytest.approx((len(recovery.poses) - 1) * 0.1)
        assert 0.7 <= reason.measured <= 1.3
