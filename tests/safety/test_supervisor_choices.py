"""Single ticks of a supervisor that drives already: where it takes the vehicle to be, and what it lets it follow."""

from __future__ import annotations

import itertools

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import SHADOW, DriverState, Engagement, Mode
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.publication import NO_POINTS

from .driven_range import LADDER, SPEED, driving, ending, quiet, slower
from .driving_range import (
    Mover,
    Range,
    codes,
    simulation_config,
)
from .test_no_perception import blind


class TestMotion:
    def test_a_fresh_state_is_moved_on_by_its_age(self):
        drive = driving()
        drive.silent.add("ego")
        newest = drive.supervisor._inputs.history.newest
        messages = quiet(drive, 5)
        assert [message.points[0, 1] for message in messages] == pytest.approx(
            [newest.x_m + newest.speed_mps * 0.02 * k for k in range(1, 6)]
        )

    def test_a_lost_one_leaves_what_was_published_last(self):
        drive = driving()
        drive.silent.add("ego")
        messages = quiet(drive, 15)
        for before, after in itertools.pairwise(messages[11:]):
            expected = np.interp(0.02, before.points[:, 0], before.points[:, 1])
            assert after.points[0, 1] == pytest.approx(expected)
            assert after.points[0, 4] == pytest.approx(np.interp(0.02, before.points[:, 0], before.points[:, 4]))

    def test_a_demand_goes_on_from_what_was_published(self):
        drive = driving()
        supervisor = drive.supervisor
        points = drive.published[-1].points.copy()
        points[:, 5] = np.linspace(-1.0, -2.0, 51)
        supervisor._last = module.replace(supervisor._last, points=points)
        motion = supervisor._motion(drive.now)
        assert supervisor._demand(motion, drive.now) == pytest.approx(-1.0 - 0.02 / 5.0)

    @pytest.mark.parametrize(("after_s", "published"), [(0.2, True), (0.201, False)])
    def test_until_that_is_two_tenths_old(self, after_s, published):
        drive = driving()
        supervisor = drive.supervisor
        points = drive.published[-1].points.copy()
        points[:, 5] = -1.0
        supervisor._last = module.replace(supervisor._last, points=points)
        later = Now(supervisor._tick_ns + round(after_s * 1e9), drive.now.stamp_ns)
        for measured, expected in ((0.7, 0.7), (-9.0, -6.0), (5.0, 1.2)):
            motion = module.replace(supervisor._motion(drive.now), acceleration_mps2=measured)
            assert supervisor._demand(motion, later) == pytest.approx(-1.0 if published else expected)


class TestModes:
    def test_a_stop_keeps_to_the_line_that_was_driven_last(self):
        """Were it renewed from the stop's own path, a vehicle beside the line would put off its return for ever."""
        drive = driving()
        line = drive.supervisor._line._followed
        drive.command("stop")
        assert drive.step().mode is Mode.IN_LANE_STOP
        quiet(drive, 5)
        assert line is not None
        assert drive.published[-1].source == "stop"
        assert drive.supervisor._line._followed is line

    def test_in_l1_the_model_drives_at_eight_tenths(self):
        drive = driving()
        drive.bad_cameras.add("back")
        messages = quiet(drive, 25)
        assert messages[-1].mode is Mode.REDUCED
        # 0.8 of 8 m/s: the end of a trajectory nears 6.4.
        assert messages[-1].points[30, 4] == pytest.approx(6.4, abs=0.2)
        assert messages[-1].source == "model"

    def test_in_l2_the_fallback_drives_and_says_of_no_plan(self):
        drive = driving(Mode.FALLBACK)
        message = drive.step()
        assert (message.mode, message.source, message.plan_id) == (Mode.FALLBACK, "fallback", -1)
        assert message.points.shape == (51, 6)

    def test_the_model_s_trajectory_bears_its_plan(self):
        drive = driving()
        message = drive.step()
        assert (message.source, message.plan_id) == ("model", drive.supervisor._accepted.plan_id)

    def test_the_way_back_needs_plans_in_a_row_that_agree(self):
        drive = driving(Mode.FALLBACK)
        drive.silent.discard("planner")
        while drive.step().mode is Mode.FALLBACK:
            assert drive.tick < 400
        assert drive.published[-1].mode is Mode.REDUCED
        assert drive.published[-2].shadow_passes >= LADDER.shadow_passes - 1

    def test_plans_that_differ_from_the_present_path_hand_nothing_back(self):
        drive = driving(Mode.FALLBACK)
        drive.silent.discard("planner")
        drive.edit[Plan] = slower
        for _ in range(150):
            assert drive.step().mode is Mode.FALLBACK
        assert drive.published[-1].shadow_passes >= LADDER.shadow_passes

    def test_a_planner_that_began_anew_has_shown_nothing(self):
        drive = driving(Mode.FALLBACK)
        drive.silent.discard("planner")
        while drive.published[-1].shadow_passes < 1:
            drive.step()
        drive.planner_pid += 1
        for _ in range(2):
            drive.step()
        assert drive.published[-1].shadow_passes == 0

    def test_a_lane_that_is_none_asks_for_the_stop(self):
        drive = driving(Mode.FALLBACK)
        drive.edit[LaneObservation] = lambda lanes: ending(lanes, drive.vehicle.x - 0.5)
        messages = [drive.step() for _ in range(25)]
        assert any("LANE_UNUSABLE" in codes(message) for message in messages)
        assert messages[-1].mode is Mode.IN_LANE_STOP

    def test_a_stop_is_on_the_path_that_was_driven_last(self):
        drive = driving()
        drive.silent.add("objects")
        while drive.step().mode is not Mode.IN_LANE_STOP:
            assert drive.tick < 300
        before = drive.published[-2].points
        message = drive.published[-1]
        assert (message.source, message.plan_id) == ("stop", -1)
        there = message.points[message.points[:, 1] < before[-1, 1]]
        assert np.interp(there[:, 1], before[:, 1], before[:, 2]) == pytest.approx(there[:, 2], abs=0.02)
        assert message.points[-1, 4] < 2.0

    @pytest.mark.parametrize(
        ("silent", "mode", "brake"), [("objects", Mode.IN_LANE_STOP, 1.5), ("ego", Mode.EMERGENCY_STOP, 6.0)]
    )
    def test_each_stop_brakes_as_hard_as_it_is_meant_to(self, silent, mode, brake):
        drive = driving()
        drive.silent.add(silent)
        while drive.step().mode is not mode:
            assert drive.tick < 300
        quiet(drive, 5)
        assert drive.published[-1].points[:, 5].min() == pytest.approx(-brake)

    def test_without_perception_the_stop_ends_where_the_checked_path_does(self):
        drive = blind()
        drive.run(1.0)
        accepted = drive.supervisor._accepted.placed.path
        drive.silent.add("planner")
        drive.edit[Plan] = lambda plan: None
        while drive.step().mode is not Mode.IN_LANE_STOP:
            assert drive.tick < 400
        stop = drive.supervisor._choose(drive.supervisor._motion(drive.now), drive.now)[2]
        assert 0.0 < stop.room_m < accepted.length
        assert drive.published[-1].points[-1, 1] <= accepted.points[-1, 0] + drive.config.recovery.overrun_m

    def test_nobody_who_drives_has_points_in_standby_or_while_the_driver_acts(self):
        drive = driving()
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        message = drive.step()
        assert (message.engagement, message.source) == (Engagement.DRIVER_OVERRIDE, "none")
        assert message.points is NO_POINTS or len(message.points) == 0
        assert drive.supervisor._stored is None

    def test_shadow_says_what_would_be_asked_for_and_watches_the_gate(self):
        drive = Range(simulation_config(authority=SHADOW), speed=SPEED)
        drive.limit_mps = drive.plan_speed = SPEED
        drive.run(0.7)
        message = drive.published[-1]
        assert (message.source, len(message.points), message.mode) == ("shadow", 0, Mode.NOMINAL)
        drive.movers.append(Mover(drive.vehicle.x + 10.0))
        told = set()
        for _ in range(50):
            drive.vehicle.speed = SPEED
            told |= set(codes(drive.step()))
        assert drive.supervisor._gate is not None
        assert told & {"REQUIRED_DECELERATION", "COLLISION", "RECOVERY_COLLISION"}


class TestReasons:
    def test_of_a_refused_plan_they_stand_until_the_next_one(self):
        drive = driving()
        while drive.tick % 10:
            drive.step()
        plan = drive.model_plan()
        drive.edit[Plan] = lambda _: None
        drive.supervisor.receive(PlanRejection(plan.plan_id, drive.now.stamp_ns, "WHY", "not"), drive.now)
        assert all("PLANNER_REJECTION" in codes(drive.step()) for _ in range(5))
        del drive.edit[Plan]
        while drive.tick % 10:
            drive.step()
        assert "PLANNER_REJECTION" not in codes(drive.step())

    def test_a_refused_plan_does_not_end_the_one_in_force(self):
        drive = driving()
        while drive.tick % 10:
            drive.step()
        before = drive.supervisor._accepted
        plan = drive.model_plan()
        drive.edit[Plan] = lambda _: None
        drive.supervisor.receive(PlanRejection(plan.plan_id, drive.now.stamp_ns, "WHY", "not"), drive.now)
        message = drive.step()
        assert drive.supervisor._accepted is before
        assert (message.source, message.plan_id, message.mode) == ("model", before.plan_id, Mode.NOMINAL)

    def test_indicators_are_those_of_this_instant(self):
        drive = driving()
        found = drive.supervisor.indicators(drive.now)
        assert found is not None
        assert found.stamp_ns == drive.now.stamp_ns


def test_a_wall_that_is_too_near_asks_for_the_emergency_stop_by_the_gate():
    drive = driving(Mode.FALLBACK)
    drive.object_latency_s = 0.0
    drive.movers.append(Mover(drive.vehicle.x + 15.0))
    seen = [drive.step() for _ in range(60)]
    assert max(message.mode for message in seen) is Mode.EMERGENCY_STOP
    told = next(r for message in seen for r in message.reasons if r.code == "A_REQ")
    assert told.measured > 4.0
