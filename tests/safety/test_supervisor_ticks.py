"""Single ticks of a supervisor that drives already: its beginning, what it receives, what it asks the ladder for."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.supervisor import Supervisor

from .driven_range import LADDER, RECOVERY, SPEED, doubtful, driving, quiet, reason
from .driving_range import (
    DECLARED,
    START_NS,
    TICK_NS,
    Mover,
    Range,
    codes,
    make_plan,
    simulation_config,
    straight_poses,
)
from .test_no_perception import SIMULATED


class TestBeginning:
    def test_with_nothing_received_it_waits_in_standby(self):
        message = Supervisor(simulation_config()).tick(Now(5, 7))
        assert (message.engagement, message.mode) == (Engagement.STANDBY, Mode.EMERGENCY_STOP)
        assert (message.source, message.sequence, message.stamp_ns, len(message.points)) == ("none", 0, 7, 0)

    def test_messages_are_counted_and_bear_the_settings_hash(self):
        supervisor = Supervisor(simulation_config())
        messages = [supervisor.tick(Now(k * TICK_NS, k * TICK_NS)) for k in range(3)]
        assert [message.sequence for message in messages] == [0, 1, 2]
        assert {message.config_hash for message in messages} == {config_hash(simulation_config())}

    def test_after_a_life_that_ended_driving_it_is_latched_and_says_so_until_rearmed(self):
        drive = Range(simulation_config())
        drive.supervisor = Supervisor(drive.config, died_driving=True)
        drive.run(1.3)
        message = drive.published[-1]
        assert (message.engagement, message.mode) == (Engagement.LATCHED, Mode.STOPPED)
        assert (reason(message, "SUPERVISOR_RESTARTED").measured, message.source) == (1.0, "stop")
        drive.command("rearm")
        assert drive.step().engagement is Engagement.STANDBY
        assert "SUPERVISOR_RESTARTED" not in codes(drive.step())

    def test_other_settings_begin_anew_but_keep_the_route(self):
        drive = Range(simulation_config())
        drive.run(0.3)
        other = simulation_config(ladder=LADDER)
        assert drive.supervisor.reconfigure(other, drive.now) is None
        assert drive.supervisor.config is other
        message = drive.supervisor.tick(drive.now)
        assert message.config_hash == config_hash(other)
        assert {"EGO_MISSING", "OBJECTS_MISSING", "LANES_MISSING"} <= set(codes(message))
        assert "ROUTE_MISSING" not in codes(message)
        assert message.sequence == 15

    def test_settings_are_refused_while_somebody_drives(self):
        drive = driving()
        refusal = drive.supervisor.reconfigure(simulation_config(), drive.now)
        assert (refusal.code, refusal.measured, refusal.limit) == ("CONFIG_CHANGE_REFUSED", 1.0, 0.0)
        assert refusal.detail.startswith("engaged")
        assert drive.supervisor.config is drive.config


class TestReceiving:
    def test_an_error_inside_asks_for_the_emergency_stop_once(self, monkeypatch):
        drive = driving()
        with monkeypatch.context() as patch:
            patch.setattr(drive.supervisor._inputs, "receive", lambda *_: 1 / 0)
            drive.supervisor.receive(drive.route(), drive.now)
        message = drive.supervisor.tick(drive.now)
        told = reason(message, "INTERNAL_ERROR")
        assert (message.mode, told.measured, told.limit) == (Mode.EMERGENCY_STOP, 1.0, 0.0)
        assert told.detail == "receive Route: ZeroDivisionError('division by zero')"
        assert "INTERNAL_ERROR" not in codes(drive.step())

    def test_an_error_in_a_tick_is_answered_by_the_stored_stop_and_asked_for_in_the_next(self, monkeypatch):
        drive = driving()
        good = drive.published[-1]
        with monkeypatch.context() as patch:
            patch.setattr(module, "step", lambda *_: [][1])
            message = drive.step()
        assert (message.mode, message.source, message.plan_id) == (Mode.EMERGENCY_STOP, "stop", -1)
        assert [r.code for r in message.reasons] == ["INTERNAL_ERROR"]
        assert message.reasons[0].detail.startswith("tick: IndexError")
        assert (message.reasons[0].measured, message.reasons[0].limit) == (1.0, 0.0)
        assert message.sequence == good.sequence + 1
        # One tick along the way, braking begun: the stop that was stored with the last good trajectory.
        assert message.points[0, 1] == pytest.approx(good.points[0, 1] + good.points[0, 4] * 0.02, abs=5e-3)
        assert message.points[10, 5] == pytest.approx(-6.0)
        after = drive.step()
        assert (after.mode, reason(after, "INTERNAL_ERROR").measured) == (Mode.EMERGENCY_STOP, 1.0)
        assert "INTERNAL_ERROR" not in codes(drive.step())

    def test_without_anything_stored_an_error_has_no_points(self, monkeypatch):
        supervisor = Supervisor(simulation_config())
        monkeypatch.setattr(module, "step", lambda *_: 1 / 0)
        message = supervisor.tick(Now(0, 0))
        assert (message.source, message.points.shape) == ("none", (0, 6))

    def test_an_own_output_that_is_broken_is_an_error(self, monkeypatch):
        drive = driving()
        monkeypatch.setattr(module, "points_of", lambda *_: np.full((51, 6), np.nan))
        message = drive.step()
        assert message.mode is Mode.EMERGENCY_STOP
        assert "own output: values that are not finite" in message.reasons[0].detail
        assert np.isfinite(message.points).all()

    def test_conditions_reach_the_domain(self):
        supervisor = Supervisor(simulation_config(odd=DECLARED))
        assert "ODD_CONDITIONS_MISSING" in codes(supervisor.tick(Now(START_NS, START_NS)))
        supervisor.receive(OperatingConditions(START_NS, "urban", "day", "dry", "test"), Now(START_NS, START_NS))
        assert "ODD_CONDITIONS_MISSING" not in codes(supervisor.tick(Now(START_NS + TICK_NS, START_NS + TICK_NS)))

    @pytest.mark.parametrize(("config", "taken"), [(SIMULATED, False), (simulation_config(), True)])
    def test_objects_and_lanes_are_taken_only_by_who_perceives(self, config, taken):
        drive = Range(config)
        drive.run(0.3)
        kept = drive.supervisor._inputs
        assert ({"objects", "lanes"} <= set(kept.arrivals)) is taken
        assert {"ego", "route"} <= set(kept.arrivals)


class TestRequests:
    def test_after_a_step_of_the_data_clock_no_plan_is_in_force(self):
        drive = driving()
        drive.edit[Plan] = lambda plan: None
        now = drive.now
        for k in range(3):
            message = drive.supervisor.tick(Now(now.monotonic_ns + k * TICK_NS, now.stamp_ns + k * TICK_NS + 10**9))
        missing = reason(message, "PLAN_MISSING")
        assert (missing.measured, missing.limit) == (0.0, 1.0)
        assert message.mode >= Mode.FALLBACK

    def test_an_accepted_plan_is_missed_from_when_it_is_too_old(self):
        drive = driving()
        messages = quiet(drive, 90)
        first = next(k for k, message in enumerate(messages) if message.mode is Mode.FALLBACK)
        stale = reason(messages[first], "PLAN_STALE")
        # The plan was judged in the tick before the copy was taken; 1.5 s is its limit at 8 m/s.
        assert stale.limit == pytest.approx(1.5)
        assert 1.5 < stale.measured <= 1.521

    def test_without_a_new_plan_the_stop_is_looked_at_again_every_cycle(self):
        """Somebody steps out 9 m ahead: the plan in force was judged without him, and is judged again 0.2 s later."""
        drive = driving()
        quiet(drive, 1)
        drive.movers.append(Mover(drive.vehicle.x + 12.5, kind="pedestrian", length=0.6, width=0.6))
        drive.object_latency_s = 0.0
        found = [k for k, message in enumerate(quiet(drive, 30)) if "RECOVERY_COLLISION" in codes(message)]
        assert found == list(range(found[0], found[0] + len(found)))

    def test_what_a_check_found_holds_until_a_plan_passes(self):
        drive = driving()
        supervisor = drive.supervisor
        supervisor._guard.recheck = lambda *_: [RECOVERY]
        messages = quiet(drive, 12)
        # Judged in the tick before; looked at again in the first tick more than 0.2 s after that.
        assert ["R" in codes(message) for message in messages] == [False] * 10 + [True] * 2
        supervisor._guard.recheck = lambda *_: []
        assert "R" in codes(drive.step())
        del drive.edit[Plan]
        while drive.tick % 10:
            drive.step()
        drive.step()
        assert "R" not in codes(drive.published[-1])

    def test_doubt_is_kept_until_it_is_calm(self):
        drive = driving()
        doubted = [0.6, 0.45, 0.3]
        drive.edit[Plan] = lambda plan: doubtful(plan, doubted.pop(0) if doubted else 0.1)
        told = []
        for _ in range(90):
            message = drive.step()
            told.append("SPREAD_RAISED" in codes(message))
        # Five plans remember the worst, and above 0.4 of 0.5 m nobody is calm: plans 1 to 6 of one every ten ticks.
        assert told.index(True) == 9
        assert told[9:69] == [True] * 60
        assert not any(told[69:])

    def test_faults_of_cameras_and_processes_come_from_outside_and_others_do_not(self):
        drive = driving()
        drive.bad_cameras.add("front")
        drive.edit[OperatingConditions] = lambda message: None
        seen = []
        supervisor = drive.supervisor
        judge = module.step
        try:
            module.step = lambda *given: (seen.append(given[1]), judge(*given))[1]
            quiet(drive, 10)
            drive.silent |= {"planner", "lanes"}
            quiet(drive, 30)
        finally:
            module.step = judge
        kinds = {request.reason.code: request.outside for inputs in seen for request in inputs.requests}
        assert kinds["BLACK"] is kinds["PLANNER_SILENT"] is True
        assert kinds["LANES_SILENT"] is False
        assert supervisor.state.mode is Mode.IN_LANE_STOP

    def test_the_age_of_plans_is_that_on_arrival_not_when_they_are_judged(self):
        drive = driving()
        quiet(drive, 8)
        supervisor = drive.supervisor
        supervisor._latencies.clear()
        old = make_plan(drive.now.stamp_ns - 90_000_000, straight_poses(SPEED), plan_id=10_000)
        supervisor.receive(old, drive.now)
        later = Now(drive.now.monotonic_ns + 30_000_000, drive.now.stamp_ns + 30_000_000)
        supervisor.tick(later)
        assert list(supervisor._latencies) == pytest.approx([0.09])

    def test_what_was_published_is_compared_with_the_motion_only_while_it_drives(self):
        drive = driving()
        supervisor, seen = drive.supervisor, []
        supervisor._actuators.check = lambda points, motion, now_ns: (seen.append(len(points)), [])[1]
        drive.step()
        supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        drive.step()
        drive.step()
        assert seen == [51, 0, 0]

    def test_nor_while_the_motion_is_not_measured(self):
        drive = driving()
        supervisor, seen = drive.supervisor, []
        supervisor._friction.check = lambda points, motion, now_ns: (seen.append(len(points)), [])[1]
        drive.silent.add("ego")
        quiet(drive, 12)
        # The last state is 20 ms older at every tick; beyond 0.2 s nothing is measured.
        assert seen == [51] * 10 + [0] * 2
