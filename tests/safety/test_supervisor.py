"""The supervisor in closed loop: faults, reactions in time, recovery, and what must hold whatever comes in."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode, Takeover
from onboard_vla.core.wire import decode, encode
from onboard_vla.safety import hot_standby
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.config import LadderSettings, SupervisorConfig
from onboard_vla.safety.supervisor import Supervisor

from .driving_range import (
    DECLARED,
    Mover,
    Range,
    codes,
    make_object,
    make_plan,
    make_thresholds,
    simulation_config,
    straight_poses,
)

QUICK = LadderSettings(clear_s=0.5, dwell_s=0.4, handback_clear_s=0.4, shadow_passes=3)


def nominal(speed=8.0, **config):
    """A range in which the model has just got the wheel, in L0."""
    drive = Range(simulation_config(ladder=QUICK, **config), speed=speed)
    drive.limit_mps = speed
    drive.plan_speed = speed
    drive.engage(0.7)
    drive.run(2.2)
    assert (drive.published[-1].mode, drive.published[-1].source) == (Mode.NOMINAL, "model"), codes(drive.published[-1])
    return drive


def until(drive, condition, limit_s=3.0):
    """Seconds until a published message fulfils the condition."""
    for k in range(round(limit_s / 0.02)):
        if condition(drive.step()):
            return k * 0.02
    raise AssertionError(f"not within {limit_s} s: {drive.published[-1].mode}, {codes(drive.published[-1])}")


def check_outputs(drive):
    for message in drive.published:
        assert np.isfinite(message.points).all()
        assert message.points.shape in ((0, 6), (51, 6))
        assert all(math.isfinite(r.measured) and math.isfinite(r.limit) for r in message.reasons)
        decode(encode(message))


class TestStart:
    def test_it_publishes_from_the_first_tick_without_any_input(self):
        message = Supervisor(simulation_config()).tick(Now(0, 0))
        assert (message.engagement, message.source, len(message.points)) == (Engagement.STANDBY, "none", 0)
        assert "EGO_MISSING" in codes(message)

    def test_engaging_without_inputs_is_refused(self):
        drive = Range()
        drive.silent = {"lanes"}
        message = drive.engage(0.5)
        assert message.engagement is Engagement.STANDBY
        assert "LANES_MISSING" in codes(message)

    def test_the_model_gets_the_wheel_after_ten_passes_and_two_seconds(self):
        drive = Range(speed=8.0)
        drive.limit_mps = drive.plan_speed = 8.0
        message = drive.engage(0.6)
        assert (message.mode, message.source) == (Mode.FALLBACK, "fallback")
        assert until(drive, lambda m: m.mode is Mode.REDUCED) >= 1.9
        assert until(drive, lambda m: m.mode is Mode.NOMINAL, 8.0) >= 4.9
        check_outputs(drive)

    def test_reduced_mode_drives_at_eight_tenths_of_the_limit(self):
        drive = Range(speed=8.0)
        drive.limit_mps = drive.plan_speed = 8.0
        drive.engage(0.6)
        until(drive, lambda m: m.mode is Mode.REDUCED)
        drive.run(4.5)
        assert drive.published[-1].mode is Mode.REDUCED
        assert drive.vehicle.speed == pytest.approx(6.4, abs=0.3)


class TestThresholds:
    @pytest.mark.parametrize(
        ("config", "code"),
        [
            (SupervisorConfig(profile="vehicle", ladder=QUICK, odd=DECLARED), "THRESHOLDS_MISSING"),
            (SupervisorConfig(profile="simulation", ladder=QUICK), "THRESHOLDS_MISSING"),
            (
                SupervisorConfig(profile="vehicle", ladder=QUICK, odd=DECLARED, thresholds=make_thresholds()),
                "THRESHOLDS_PROVISIONAL",
            ),
        ],
    )
    def test_without_valid_thresholds_the_fallback_drives_at_best(self, config, code):
        drive = Range(config, speed=8.0)
        drive.limit_mps = drive.plan_speed = 8.0
        drive.engage(0.7)
        drive.run(3.0)
        assert drive.published[-1].mode is Mode.FALLBACK
        assert code in codes(drive.published[-1])
        assert drive.vehicle.speed == pytest.approx(8.0, abs=0.5)

    def test_certified_thresholds_let_a_vehicle_reach_nominal(self):
        nominal(profile="vehicle", odd=DECLARED, thresholds=make_thresholds(provisional=False))

    def test_plans_of_another_bundle_lead_to_the_fallback_at_once(self):
        drive = nominal()
        drive.edit[Plan] = lambda plan: replace(plan, bundle_hash="other")
        assert until(drive, lambda m: m.mode is Mode.FALLBACK) <= 0.2
        assert "PLAN_BUNDLE" in codes(drive.published[-1])


class TestFaults:
    @pytest.mark.parametrize("phase", range(10))
    def test_a_killed_planner_is_answered_within_a_quarter_second(self, phase):
        drive = nominal()
        drive.run(0.02 * phase)
        drive.silent.add("planner")
        assert until(drive, lambda m: m.mode >= Mode.FALLBACK) <= 0.25
        assert "PLANNER_SILENT" in codes(drive.published[-1])

    def test_a_restarted_planner_is_handed_back_to_after_new_shadow_passes(self):
        drive = nominal()
        drive.silent.add("planner")
        drive.run(1.5)
        drive.silent.clear()
        drive.planner_pid += 1
        drive.step()
        assert drive.published[-1].shadow_passes == 0
        assert until(drive, lambda m: m.mode is Mode.REDUCED) >= 0.4
        assert drive.published[-1].source == "model"

    def test_black_front_pictures_lead_to_the_fallback_in_the_next_tick_and_recover(self):
        drive = nominal()
        while drive.tick % 5:
            drive.step()
        drive.bad_cameras.add("front")
        assert until(drive, lambda m: m.mode is Mode.FALLBACK) == 0.0
        assert codes(drive.published[-1])[0] == "BLACK"
        state = drive.supervisor.state
        assert (len(state.outside_entries_ns), state.entries_ns) == (1, ())
        drive.run(3.0)
        drive.bad_cameras.clear()
        recovered = until(drive, lambda m: m.mode is Mode.REDUCED, 15.0)
        assert 2.9 <= recovered <= 6.0
        check_outputs(drive)

    def test_a_dead_camera_guard_leads_to_the_fallback(self):
        drive = nominal()
        drive.silent |= {"verdicts", "guard"}
        assert until(drive, lambda m: m.mode is Mode.FALLBACK) <= 0.30

    def test_one_lost_side_camera_reduces_and_two_fall_back(self):
        drive = nominal()
        drive.bad_cameras = {"back"}
        assert until(drive, lambda m: m.mode is Mode.REDUCED) <= 0.1
        drive.bad_cameras = {"back", "back_left"}
        assert until(drive, lambda m: m.mode is Mode.FALLBACK) <= 0.1

    @pytest.mark.parametrize(("topic", "limit_s"), [("objects", 0.42), ("lanes", 0.42), ("ego", 0.24)])
    def test_lost_inputs_of_the_fallback_lead_to_a_stop_that_latches(self, topic, limit_s):
        drive = nominal()
        drive.silent.add(topic)
        assert until(drive, lambda m: m.mode >= Mode.IN_LANE_STOP) <= limit_s
        message = drive.published[-1]
        assert (message.source, message.hazard_lights, message.takeover) == ("stop", True, Takeover.MANDATORY)
        drive.silent.clear()
        until(drive, lambda m: m.engagement is Engagement.LATCHED, 20.0)
        assert drive.vehicle.speed < 0.1
        drive.command("engage")
        assert drive.step().engagement is Engagement.LATCHED
        drive.run(1.0)
        drive.command("rearm")
        assert drive.step().engagement is Engagement.STANDBY
        drive.command("engage")
        assert drive.step().engagement is Engagement.ENGAGED
        check_outputs(drive)

    def test_a_lost_ego_state_is_an_emergency_after_half_a_second_and_the_path_is_still_followed(self):
        drive = nominal()
        drive.silent.add("ego")
        assert until(drive, lambda m: m.mode is Mode.EMERGENCY_STOP) <= 0.54
        until(drive, lambda m: m.engagement is Engagement.LATCHED, 10.0)
        check_outputs(drive)

    def test_rejected_plans_lead_to_the_fallback_at_the_second_and_the_last_good_one_drives_until_then(self):
        drive = nominal()
        drive.edit[Plan] = lambda plan: PlanRejection(plan.plan_id, plan.stamp_ns, "TOKENS", "")
        seen = [drive.step() for _ in range(25)]
        first = next(i for i, m in enumerate(seen) if "PLANNER_REJECTION" in codes(m))
        second = next(i for i, m in enumerate(seen) if m.mode is Mode.FALLBACK)
        assert second - first == 10
        assert all(m.source == "model" for m in seen[first:second])

    def test_a_plan_with_nan_leads_to_the_fallback_in_the_same_tick(self):
        drive = nominal()
        while drive.tick % 10:
            drive.step()
        drive.edit[Plan] = lambda plan: replace(plan, poses=plan.poses * np.float32(np.nan))
        message = drive.step()
        assert (message.mode, message.source) == (Mode.FALLBACK, "fallback")
        assert "PLAN_NOT_FINITE" in codes(message)

    def test_no_new_plans_at_all_age_into_the_fallback(self):
        drive = nominal()
        drive.edit[Plan] = lambda plan: None
        waited = until(drive, lambda m: m.mode is Mode.FALLBACK)
        assert 1.28 <= waited <= 1.54
        assert "PLAN_STALE" in codes(drive.published[-1])

    def test_doubt_reduces_at_once_and_falls_back_at_two_of_three(self):
        drive = nominal()

        def doubtful(level):
            def edit(plan):
                spread = plan.uncertainty.spread_m * 0 + np.float32(level)
                return replace(plan, uncertainty=replace(plan.uncertainty, spread_m=spread))

            return edit

        drive.edit[Plan] = doubtful(0.6)
        assert until(drive, lambda m: m.mode is Mode.REDUCED) <= 0.2
        drive.edit[Plan] = doubtful(0.45)
        drive.run(1.5)
        assert drive.published[-1].mode is Mode.REDUCED
        drive.edit[Plan] = doubtful(0.3)
        assert until(drive, lambda m: m.mode is Mode.NOMINAL) >= 0.4
        drive.edit[Plan] = doubtful(1.2)
        assert 0.18 <= until(drive, lambda m: m.mode is Mode.FALLBACK) <= 0.42

    def test_a_gap_between_ticks_is_reported_and_a_long_one_stops(self):
        drive = nominal()
        drive.supervisor.tick(drive.now)
        drive.tick += 3
        assert "TICK_GAP" in codes(drive.step())
        assert drive.published[-1].mode is Mode.NOMINAL
        drive.tick += 11
        assert "TICK_STARVED" in codes(drive.step())
        assert drive.published[-1].mode is Mode.IN_LANE_STOP

    def test_three_fallbacks_in_ten_minutes_stop_the_vehicle(self):
        drive = nominal()
        for k in range(3):
            drive.planner_ready = False
            until(drive, lambda m: m.mode >= Mode.FALLBACK)
            assert drive.published[-1].mode is (Mode.IN_LANE_STOP if k == 2 else Mode.FALLBACK)
            drive.planner_ready = True
            if k < 2:
                until(drive, lambda m: m.mode is Mode.REDUCED)


class TestDriver:
    def test_override_hands_over_at_once_and_ends_in_standby(self):
        drive = nominal()
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        message = drive.step()
        assert (message.engagement, message.source, len(message.points)) == (Engagement.DRIVER_OVERRIDE, "none", 0)
        for _ in range(26):
            assert drive.published[-1].engagement is Engagement.DRIVER_OVERRIDE
            drive.supervisor.receive(DriverState(drive.now.stamp_ns, False), drive.now)
            drive.step()
        assert drive.published[-1].engagement is Engagement.STANDBY

    def test_disengaging_ends_in_standby_without_points(self):
        drive = nominal()
        drive.command("disengage")
        message = drive.step()
        assert (message.engagement, len(message.points)) == (Engagement.STANDBY, 0)


class TestOwnErrors:
    STEPS = ("step", "look", "points_of", "input_requests", "process_requests", "camera_requests", "follow_plan",
             "plan_path", "output_fault", "message_of", "check_age", "advance")  # fmt: skip

    @pytest.mark.parametrize("name", STEPS)
    def test_an_exception_anywhere_becomes_an_emergency_stop_in_the_same_tick(self, monkeypatch, name):
        drive = nominal()

        def broken(*_args, **_kwargs):
            raise RuntimeError("planted")

        with monkeypatch.context() as patch:
            patch.setattr(hot_standby if name == "look" else module, name, broken)
            messages = [drive.step() for _ in range(3)]
        broken_ones = [m for m in messages if "INTERNAL_ERROR" in codes(m)]
        assert broken_ones
        first = broken_ones[0]
        assert (first.mode, first.source, len(first.points)) == (Mode.EMERGENCY_STOP, "stop", 51)
        assert "planted" in first.reasons[0].detail
        assert first.points[-1, 4] < 1.0
        until(drive, lambda m: m.engagement is Engagement.LATCHED, 10.0)
        check_outputs(drive)

    def test_an_exception_while_receiving_is_an_emergency_too(self, monkeypatch):
        drive = nominal()
        monkeypatch.setattr(drive.supervisor._inputs, "receive", lambda *_: 1 / 0)
        drive.run(0.1)
        assert drive.published[-1].mode is Mode.EMERGENCY_STOP
        assert "INTERNAL_ERROR" in [code for m in drive.published[-5:] for code in codes(m)]


class TestHazards:
    def test_the_gate_brakes_for_an_object_while_the_model_drives_on(self):
        drive = nominal(8.0)
        drive.movers = [Mover(drive.vehicle.x + 3.85 + 2.3 + 14.0, 0.5)]
        until(drive, lambda m: m.points[3, 5] < -2.0, 0.5)
        until(drive, lambda _: drive.vehicle.speed < 0.05, 6.0)
        assert drive.movers[0].x - 2.3 - drive.vehicle.x - 3.85 > 0.3

    def test_a_ghost_of_one_list_changes_nothing(self):
        drive = nominal(8.0)
        ghost = make_object(drive.vehicle.x + 12.0, 0.0)
        once = [(ghost,)]

        def haunted(message):
            return replace(message, objects=once.pop()) if once else message

        drive.edit[ObjectList] = haunted
        drive.run(1.0)
        assert drive.published[-1].mode is Mode.NOMINAL
        assert min(m.points[:20, 5].min() for m in drive.published[-50:]) > -1.0

    def test_a_plan_through_a_parked_car_is_rejected_and_the_fallback_stops_before_it(self):
        drive = nominal(8.0)
        drive.movers = [Mover(drive.vehicle.x + 40.0, 0.6)]
        until(drive, lambda m: m.mode is Mode.FALLBACK, 4.0)
        assert {"COLLISION", "REQUIRED_DECELERATION"} & set(codes(drive.published[-1]))
        until(drive, lambda _: drive.vehicle.speed < 0.05, 10.0)
        assert 0.5 < drive.movers[0].x - 2.3 - drive.vehicle.x - 3.85 < 4.0


def test_the_same_inputs_give_the_same_outputs_to_the_bit():
    def episode():
        drive = Range(speed=8.0)
        drive.movers = [Mover(60.0, 0.0, 5.0), Mover(30.0, -4.0, 0.0, 1.0, "pedestrian", 0.5, 0.5)]
        drive.engage(0.6)
        drive.run(3.0)
        drive.bad_cameras = {"front"}
        drive.run(1.0)
        return [encode(message) for message in drive.published]

    assert episode() == episode()


def test_random_plans_never_break_the_supervisor():
    rng = np.random.default_rng(1)
    drive = nominal()
    drive.edit[Plan] = lambda plan: make_plan(
        plan.stamp_ns, straight_poses(8.0, rng.uniform(-6, 3)) + rng.normal(0, rng.choice([0.02, 1.0, 1e6]), (10, 3)), 1
    )
    drive.run(3.0)
    check_outputs(drive)
    assert "INTERNAL_ERROR" not in {code for m in drive.published for code in codes(m)}
