"""What the supervisor keeps of its inputs: floods, faults that end, wheels, moved objects, lanes, and clock steps."""

from __future__ import annotations

import math
import time
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import WheelSpeed
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, PlanRejection
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.guards.lanes import LANE_POINTS_MAX
from onboard_vla.safety.guards.objects import OBJECTS_MAX
from onboard_vla.safety.inputs import Inputs

from .driving_range import Mover, Range, codes, make_ego, make_object, make_plan, straight_poses
from .test_inputs import CONFIG, MS, T0, at, fed, lanes

S = 1_000_000_000


def beat(sequence, started=5, done=5, process="vla_planner", pid=1):
    return Heartbeat(process, pid, sequence, T0, started, done, True, "")


def long_lane(stamp_ns, count):
    x, wide = np.linspace(-30.0, 100.0, count), np.full(count, 2.5)
    return LaneObservation(stamp_ns, np.column_stack([x, 0 * x]), wide, wide, 3.5, 4 * wide, ())


def long_route(count):
    x = np.linspace(-50.0, 3000.0, count)
    return Route("long", np.column_stack([x, 0 * x]), np.full(count, 10.0), ())


def fault_of(inputs, topic):
    fault = inputs.faults.get(topic)
    return None if fault is None else (fault.code, fault.measured, fault.limit)


class TestFloods:
    def test_of_many_plans_the_newest_three_are_judged(self):
        inputs = Inputs(CONFIG)
        for k in range(6):
            inputs.receive(make_plan(T0 + k, straight_poses(), k + 1), at(k))
        assert [plan.plan_id for plan, _ in inputs.plans] == [4, 5, 6]
        assert [received for _, received in inputs.plans] == [T0 + k * MS for k in (3, 4, 5)]

    def test_of_many_commands_the_first_eight_are_obeyed_and_the_newest_eight_others_answered(self):
        inputs = Inputs(CONFIG)
        for k in range(10):
            inputs.receive(OperatorCommand(T0 + k, f"c{k}"), at(0))
            inputs.receive(OperatorCommand(T0 + k, f"c{k}"), at(0))
        assert list(inputs.commands) == [f"c{k}" for k in range(8)]
        answers = ["COMMAND_REPEATED"] * 4 + ["COMMANDS_TOO_MANY", "COMMAND_REPEATED"] * 2
        assert [reason.code for reason in inputs.refused_commands] == answers

    def test_a_list_as_long_as_allowed_is_taken_and_a_longer_one_refused(self):
        for count, code in ((OBJECTS_MAX, None), (OBJECTS_MAX + 1, "OBJECTS_TOO_MANY")):
            inputs = Inputs(CONFIG)
            rows = tuple(make_object(3.0 * k, 50.0, track_id=k) for k in range(count))
            inputs.receive(ObjectList(T0, rows), at(0))
            assert (fault_of(inputs, "objects") or (None,))[0] == code

    def test_the_longest_lane_and_route_leave_the_cycle_its_time_and_longer_ones_are_not_kept(self):
        """One message must not take the supervisor's 20 ms from it: processor time of its thread, the best of three."""
        drive = Range(speed=8.0)
        drive.movers = [Mover(20.0 + 4.0 * k, 6.0) for k in range(50)]
        drive.run(0.3)
        for count in (LANE_POINTS_MAX, 100 * LANE_POINTS_MAX):
            now, spent_ms = drive.now, []
            drive.supervisor.receive(long_route(10 * count), now)
            drive.supervisor.receive(long_lane(now.stamp_ns, count), now)
            drive.silent |= {"lanes"}
            for _ in range(3):
                drive.sense()
                begun = time.thread_time()
                drive.published.append(drive.supervisor.tick(drive.now))
                spent_ms.append(1e3 * (time.thread_time() - begun))
                drive.tick += 1
            assert min(spent_ms) < 10.0
        assert {"LANES_TOO_MANY_POINTS", "ROUTE_TOO_MANY_POINTS"} <= set(codes(drive.published[-1]))


class TestFaultsThatEnd:
    @pytest.mark.parametrize(
        ("topic", "broken", "sound"),
        [
            ("planner", PlanRejection(1, "then", "", ""), beat(1)),
            ("guard", Verdict("front", T0, 0, "yes", (), ""), Verdict("front", T0, 0, True, (), "")),
            ("operator", DriverState(T0, "no"), OperatorCommand(T0, "engage")),
        ],
    )
    def test_a_message_of_another_type_is_a_fault_until_the_next_sound_one(self, topic, broken, sound):
        inputs = Inputs(CONFIG)
        inputs.receive(broken, at(0))
        assert fault_of(inputs, topic) == ("INPUT_MALFORMED", 1.0, 0.0)
        assert inputs.faults[topic].detail.startswith(type(broken).__name__)
        inputs.receive(sound, at(1))
        assert fault_of(inputs, topic) is None

    def test_of_a_topic_with_a_stored_message_only_a_newer_good_one_ends_it(self):
        inputs = fed()
        inputs.receive(make_ego(T0 + MS, speed_mps="fast"), at(1))
        inputs.receive(make_ego(T0), at(2))
        assert fault_of(inputs, "ego") == ("INPUT_MALFORMED", 1.0, 0.0)
        inputs.receive(make_ego(T0 + 3 * MS), at(3))
        assert fault_of(inputs, "ego") is None

    def test_a_stamp_ahead_says_by_how_much(self):
        inputs = fed(now=at(0))
        inputs.receive(lanes(T0 + 50 * MS), at(0))
        assert fault_of(inputs, "lanes") == ("STAMP_IN_FUTURE", pytest.approx(0.05), 0.005)
        inputs.receive(lanes(T0 + 55 * MS), at(50))
        assert fault_of(inputs, "lanes") is None


class TestWheels:
    def fed(self, speed=10.0):
        inputs = fed()
        inputs.receive(WheelSpeed(T0, speed), at(0))
        return inputs

    def test_the_newest_is_kept(self):
        inputs = self.fed()
        inputs.receive(WheelSpeed(T0 + 20 * MS, 10.1), at(20))
        assert (inputs.wheel.speed_mps, inputs.arrivals["wheel"].received_ns) == (10.1, T0 + 20 * MS)

    @pytest.mark.parametrize("back", [0, 1])
    def test_one_no_newer_changes_nothing_but_a_broken_one_always_counts(self, back):
        inputs = self.fed()
        inputs.receive(WheelSpeed(T0 - back, 10.3), at(20))
        assert (inputs.wheel.speed_mps, inputs.arrivals["wheel"].received_ns) == (10.0, T0)
        inputs.receive(WheelSpeed(T0 - back, math.nan), at(30))
        assert fault_of(inputs, "wheel")[0] == "WHEEL_NOT_FINITE"

    def test_one_from_the_future_is_refused(self):
        inputs = self.fed()
        inputs.receive(WheelSpeed(T0 + 50 * MS, 10.2), at(20))
        assert (inputs.wheel.speed_mps, fault_of(inputs, "wheel")[0]) == (10.0, "STAMP_IN_FUTURE")

    def test_apart_from_the_odometry_is_said_and_taken_back(self):
        inputs = self.fed()
        told = []
        for k in range(1, 9):
            inputs.receive(make_ego(T0 + 20 * k * MS), at(20 * k))
            inputs.receive(WheelSpeed(T0 + 20 * k * MS, 12.4 if k < 5 else 10.0), at(20 * k))
            told.append("speeds" in inputs.faults)
        assert told == [False, False, True, True, False, False, False, False]


class TestObjects:
    def braked(self, ms):
        inputs = fed()
        for k in range(3):
            inputs.receive(ObjectList(T0 + 100 * k * MS, (make_object(30.0 + k, 0.0, 10.0),)), at(100 * k))
        return inputs, inputs.objects_at(at(ms))

    def test_they_move_on_while_lists_come_and_brake_when_they_end(self):
        _, here = self.braked(500)
        assert (here.states[0, 0], here.states[0, 3]) == (pytest.approx(35.0), pytest.approx(10.0))
        _, later = self.braked(501)
        t = 0.301
        assert later.states[0, 3] == pytest.approx(10.0 - 6.0 * t)
        assert later.states[0, 0] == pytest.approx(32.0 + 10.0 * t - 3.0 * t * t)

    def test_they_are_moved_once_an_instant_and_anew_for_another_or_another_list(self):
        inputs, here = self.braked(300)
        assert inputs.objects_at(at(300)) is here
        assert inputs.objects_at(at(320)).states[0, 0] == pytest.approx(here.states[0, 0] + 0.2)
        inputs.objects_at(at(300))
        inputs.receive(ObjectList(T0 + 300 * MS, (make_object(40.0, 0.0, 10.0),)), at(300))
        assert inputs.objects_at(at(300)).states[:, 0].max() == pytest.approx(33.0)

    def test_before_any_list_there_is_nobody(self):
        assert len(Inputs(CONFIG).objects_at(at(0)).states) == 0


class TestRoad:
    def test_a_lane_is_held_against_the_one_before_while_that_is_remembered(self):
        for age_ms, code in ((1500, "LANES_DOUBTED"), (1501, None)):
            inputs = fed()
            inputs.receive(make_ego(T0 + age_ms * MS - MS), at(age_ms - 1))
            moved = lanes(T0 + age_ms * MS)
            inputs.receive(replace(moved, centreline=moved.centreline + np.array([0.0, 2.5])), at(age_ms))
            assert (fault_of(inputs, "lanes") or (None,))[0] == code

    def test_a_lane_that_jumped_is_held_against_the_one_before_however_old_that_is(self):
        inputs = fed()
        for ms, code in ((100, "LANES_DOUBTED"), (200, "LANES_JUMP"), (5000, "LANES_JUMP")):
            inputs.receive(make_ego(T0 + ms * MS - MS), at(ms - 1))
            inputs.receive(replace(lanes(T0 + ms * MS), centreline=lanes(T0).centreline + np.array([0.0, 2.5])), at(ms))
            assert fault_of(inputs, "lanes")[0] == code
        inputs.lane_place.let_go()
        inputs.receive(replace(lanes(T0 + 5100 * MS), centreline=lanes(T0).centreline + np.array([0.0, 2.5])), at(5100))
        assert fault_of(inputs, "lanes") is None

    @pytest.mark.parametrize(("slope", "code"), [(0.2, None), (0.0, "LANES_DOUBTED"), (-0.2, "LANES_DOUBTED")])
    def test_a_lane_may_turn_off_ahead_with_another_route_alone(self, slope, code):
        inputs = fed()

        def bent(x, by):
            return np.column_stack([x, by * np.maximum(x, 0.0)])

        x = np.arange(-50.0, 150.0, 2.0)
        for ms, by in ((100, 0.0), (200, slope)):
            inputs.receive(make_ego(T0 + ms * MS - MS), at(ms - 1))
            inputs.receive(Route("r", bent(x, by), np.full(len(x), 10.0), ()), at(ms - 1))
            moved = lanes(T0 + ms * MS)
            line = bent(moved.centreline[:, 0], 0.2 if ms == 200 else 0.0)
            inputs.receive(replace(moved, centreline=line), at(ms))
        assert (fault_of(inputs, "lanes") or (None,))[0] == code

    def test_a_lane_is_fresh_by_its_stamp_up_to_the_limit(self):
        inputs, limit_ms = fed(), CONFIG.freshness.lanes_data_s * 1e3
        assert inputs.fresh_lanes(at(limit_ms)) is inputs.lanes is not None
        assert inputs.fresh_lanes(at(limit_ms + 1)) is None
        assert Inputs(CONFIG).fresh_lanes(at(0)) is None

    def test_what_is_no_line_is_refused_though_nothing_is_known_of_the_vehicle(self):
        inputs = Inputs(CONFIG)
        inputs.receive(replace(lanes(T0), centreline=0 * lanes(T0).centreline), at(0))
        assert fault_of(inputs, "lanes")[0] == "INPUT_MALFORMED"
        assert inputs.lanes is None

    def test_without_knowing_where_the_vehicle_is_a_lane_is_taken_as_it_is(self):
        inputs = Inputs(CONFIG)
        inputs.receive(replace(lanes(T0), centreline=lanes(T0).centreline + 500.0), at(0))
        assert inputs.lane_line is not None

    def test_away_from_the_route_is_noted_with_each_lane(self):
        inputs = fed()
        inputs.receive(Route("r", np.array([[0.0, 30.0], [100.0, 30.0]]), np.array([10.0, 10.0]), ()), at(5))
        inputs.receive(lanes(T0 + 10 * MS), at(10))
        assert fault_of(inputs, "place") == ("ROUTE_AWAY", pytest.approx(30.0), 20.0)
        inputs.receive(Route("r", np.array([[0.0, 3.0], [100.0, 3.0]]), np.array([10.0, 10.0]), ()), at(15))
        inputs.receive(lanes(T0 + 20 * MS), at(20))
        assert fault_of(inputs, "place") is None
        assert inputs.arrivals["route"].received_ns == T0 + 15 * MS


class TestProcesses:
    def progress(self, *beats):
        inputs = Inputs(CONFIG)
        for k, (started, done) in enumerate(beats):
            inputs.receive(beat(k + 1, started, done), at(50 * k))
        return (inputs.pulses["vla_planner"].progress_ns - T0) / MS

    def test_progress_is_work_done_or_nothing_to_do_or_only_just_begun(self):
        assert self.progress((5, 5), (5, 5), (5, 5)) == 100
        assert self.progress((5, 5), (6, 5)) == 50
        assert self.progress((5, 5), (6, 5), (6, 5), (6, 5)) == 50
        assert self.progress((5, 5), (6, 5), (7, 6)) == 100
        assert self.progress((6, 5), (6, 5)) == 0
        assert self.progress((6, 5), (6, 5), (6, 6)) == 100

    def test_nobody_else_is_listened_to(self):
        inputs = Inputs(CONFIG)
        inputs.receive(beat(1, process="somebody"), at(0))
        assert inputs.pulses == {}

    def test_another_planner_begins_its_plans_anew_and_another_guard_is_none(self):
        inputs = Inputs(CONFIG)
        inputs.receive(beat(1), at(0))
        assert not inputs.planner_restarted
        inputs.receive(make_plan(T0, straight_poses(), 50), at(0))
        inputs.receive(beat(1, process="camera_guard"), at(10))
        inputs.receive(beat(1, process="camera_guard", pid=9), at(20))
        assert not inputs.planner_restarted
        inputs.receive(beat(1, pid=2), at(2000))
        assert inputs.planner_restarted
        inputs.receive(make_plan(T0 + MS, straight_poses(), 1), at(2001))
        assert [plan.plan_id for plan, _ in inputs.plans] == [50, 1]


class TestVerdicts:
    def bad(self, ms, camera="front"):
        return Verdict(camera, T0 + ms * MS, ms, False, (Reason("BLACK", 0.0, 8.0, ""),), "")

    def good(self, ms, camera="front"):
        return Verdict(camera, T0 + ms * MS, ms, True, (), "")

    def test_the_last_bad_picture_is_remembered_by_both_clocks(self):
        inputs = Inputs(CONFIG)
        inputs.receive(self.good(0), at(5))
        assert (inputs.cameras["front"].bad_received_ns, inputs.cameras["front"].bad_stamp_ns) == (None, None)
        inputs.receive(self.bad(100), at(120))
        inputs.receive(self.good(200), at(220))
        health = inputs.cameras["front"]
        assert (health.bad_received_ns, health.bad_stamp_ns) == (T0 + 120 * MS, T0 + 100 * MS)
        assert (health.received_ns, health.verdict.usable) == (T0 + 220 * MS, True)

    def test_the_newest_bad_picture_counts_whatever_order_verdicts_come_in(self):
        inputs = Inputs(CONFIG)
        for ms, expected in ((300, 300), (100, 300), (400, 400)):
            inputs.receive(self.bad(ms), at(ms + 300))
            assert inputs.cameras["front"].bad_stamp_ns == T0 + expected * MS

    @pytest.mark.parametrize("first", [True, False])
    def test_a_picture_from_the_future_is_unusable_and_stands_in_nobodys_way(self, first):
        inputs = Inputs(CONFIG)
        if not first:
            inputs.receive(self.good(0), at(0))
        inputs.receive(self.good(9000), at(100))
        health = inputs.cameras["front"]
        reason = health.verdict.reasons[0]
        assert (reason.code, reason.measured, reason.limit) == ("STAMP_IN_FUTURE", pytest.approx(8.9), 0.005)
        assert not health.verdict.usable
        assert health.verdict.stamp_ns == (T0 + 100 * MS if first else T0)
        inputs.receive(self.good(200), at(200))
        assert inputs.cameras["front"].verdict.usable

    def test_a_stamp_ahead_within_the_tolerance_is_believed(self):
        inputs = Inputs(CONFIG)
        inputs.receive(self.good(5), at(0))
        assert inputs.cameras["front"].verdict.usable

    def test_arrivals_are_counted_once_a_picture(self):
        inputs, seen = Inputs(CONFIG), []
        inputs.camera_arrivals.add = lambda camera, stamp_ns: seen.append((camera, (stamp_ns - T0) // MS))
        for verdict in (self.good(0), self.good(0), self.bad(0), self.good(100), self.good(9000)):
            inputs.receive(verdict, at(100))
        assert seen == [("front", 0), ("front", 100)]
        assert set(inputs.cameras) <= set(CAMERAS)


class TestClockSteps:
    STEP_MS = 700

    def stepped(self):
        """Everything received at 0, the data clock 0.7 s ahead of itself from 20 ms on."""
        inputs = fed()
        inputs.receive(WheelSpeed(T0, 10.0), at(0))
        inputs.receive(Verdict("front", T0, 0, False, (), ""), at(0))
        inputs.receive(Verdict("back", T0, 0, True, (), ""), at(0))
        inputs.receive(make_plan(T0, straight_poses(), 9), at(0))
        told = [
            inputs.clock_stepped(Now(T0 + ms * MS, T0 + (ms + (self.STEP_MS if ms else 0)) * MS)) is not None
            for ms in (0, 20, 40)
        ]
        return inputs, told

    def test_it_is_told_once(self):
        assert self.stepped()[1] == [False, False, True]

    def test_everything_kept_is_restated_and_plans_begin_anew(self):
        inputs, _ = self.stepped()
        then = T0 + self.STEP_MS * MS
        assert {a.stamp_ns for topic, a in inputs.arrivals.items()} == {then}
        assert inputs.wheel.stamp_ns == inputs.history.newest.stamp_ns == then
        assert inputs.cameras["front"].verdict.stamp_ns == inputs.cameras["front"].bad_stamp_ns == then
        assert inputs.cameras["back"].bad_stamp_ns is None
        assert not inputs.plans
        inputs.receive(make_plan(then, straight_poses(), 1), Now(T0 + 40 * MS, then + 40 * MS))
        assert len(inputs.plans) == 1

    def test_without_wheels_as_well(self):
        inputs = fed()
        for ms in (0, 20, 40):
            stepped = inputs.clock_stepped(Now(T0 + ms * MS, T0 + (ms + (self.STEP_MS if ms else 0)) * MS))
        assert stepped is not None
        assert inputs.wheel is None

    def test_a_steady_clock_changes_nothing(self):
        inputs = fed()
        assert not any(inputs.clock_stepped(at(ms)) for ms in range(0, 200, 20))
        assert inputs.history.newest.stamp_ns == T0
