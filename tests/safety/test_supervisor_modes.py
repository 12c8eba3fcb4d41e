"""The supervisor's engagement, self-test and shadow mode, as its messages show them."""

from __future__ import annotations

import dataclasses
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import DriverState, Engagement, Mode, Takeover
from onboard_vla.core.vehicle_gate import VehicleGate
from onboard_vla.core.wire import decode, encode
from onboard_vla.safety import self_test as self_test_module
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.config import LadderSettings, StopSettings, SupervisorConfig
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.self_test import self_test
from onboard_vla.safety.supervisor import Supervisor

from .driving_range import DECLARED, Range, codes, make_ego, make_thresholds, simulation_config

QUICK = LadderSettings(clear_s=0.5, dwell_s=0.4, handback_clear_s=0.4, shadow_passes=3)


def ready(speed=8.0, **config):
    """A range that could engage."""
    drive = Range(simulation_config(ladder=QUICK, **config), speed=speed)
    drive.limit_mps, drive.plan_speed = 8.0, speed
    drive.run(0.7)
    return drive


def refused(message):
    return [reason.code for reason in message.refusals]


class TestAnswers:
    def test_a_refused_engaging_is_answered_in_the_message_until_one_is_obeyed(self):
        drive = ready()
        drive.silent = {"lanes"}
        drive.run(0.5)
        drive.command("engage")
        message = drive.step()
        assert (message.engagement, refused(message)) == (Engagement.STANDBY, ["LANES_SILENT"])
        assert message.refusals[0].measured > message.refusals[0].limit == 0.28
        drive.run(0.2)
        assert refused(drive.published[-1]) == ["LANES_SILENT"]
        assert decode(encode(message)).refusals == message.refusals
        drive.silent.clear()
        drive.run(0.2)
        drive.command("engage")
        assert (drive.step().engagement, refused(drive.published[-1])) == (Engagement.ENGAGED, [])

    @pytest.mark.parametrize(
        ("said", "code"), [("nothing", "DRIVER_UNHEARD"), ("once", "DRIVER_SILENT"), ("ahead", "DRIVER_STAMP_AHEAD")]
    )
    def test_on_a_vehicle_nobody_engages_before_it_is_known_whether_the_driver_acts(self, said, code):
        drive = ready(profile="vehicle", odd=DECLARED, thresholds=make_thresholds(provisional=False))
        drive.supervisor = Supervisor(drive.config)
        drive.edit[DriverState] = {
            "nothing": lambda _: None,
            "once": lambda word: word if drive.tick % 50 == 0 else None,
            "ahead": lambda word: replace(word, stamp_ns=word.stamp_ns + 10**9),
        }[said]
        drive.send("route", drive.route())
        drive.run(1.96)
        drive.command("engage")
        assert (drive.step().engagement, refused(drive.published[-1])) == (Engagement.STANDBY, [code])
        del drive.edit[DriverState]
        drive.run(0.2)
        drive.command("engage")
        assert (drive.step().engagement, refused(drive.published[-1])) == (Engagement.ENGAGED, [])

    def test_the_operators_stop_ends_at_standstill_latched_and_every_message_says_whose_it_was(self):
        drive = ready()
        drive.command("engage")
        drive.run(0.5)
        drive.command("stop")
        asked = drive.step()
        assert (asked.engagement, asked.mode, asked.source) == (Engagement.ENGAGED, Mode.IN_LANE_STOP, "stop")
        assert asked.takeover is Takeover.MANDATORY
        begun = len(drive.published)
        drive.run(12.0)
        last = drive.published[-1]
        assert (last.engagement, last.mode) == (Engagement.LATCHED, Mode.STOPPED)
        assert all("OPERATOR_STOP" in codes(message) for message in drive.published[begun:])
        drive.command("rearm")
        armed = drive.step()
        assert (armed.engagement, refused(armed)) == (Engagement.STANDBY, [])
        assert "OPERATOR_STOP" not in codes(armed)

    def test_a_drivers_action_on_a_takeover_request_is_stamped(self):
        drive = ready()
        drive.command("engage")
        drive.run(0.1)
        drive.silent.add("lanes")
        while drive.step().mode < Mode.IN_LANE_STOP:
            pass
        demanded = drive.published[-1]
        assert (demanded.takeover, demanded.takeover_stamp_ns) == (Takeover.MANDATORY, demanded.stamp_ns)
        drive.run(1.0)
        assert drive.published[-1].takeover_stamp_ns == demanded.stamp_ns
        drive.supervisor.receive(DriverState(drive.now.stamp_ns, True), drive.now)
        acted = drive.step()
        assert (acted.takeover, acted.driver_stamp_ns) == (Takeover.NONE, acted.stamp_ns)
        assert acted.takeover_stamp_ns == demanded.stamp_ns


class TestSelfTest:
    def test_it_passes_on_the_defaults_and_fails_on_settings_that_changed_in_memory(self):
        config = SupervisorConfig()
        assert self_test(config, config_hash(config)) is None
        object.__setattr__(config.stop, "in_lane_mps2", 1.6)
        failed = self_test(config, config_hash(SupervisorConfig()))
        assert (failed.code, failed.detail) == ("SELF_TEST_FAILED", "settings are those that were checked")

    @pytest.mark.parametrize(
        ("name", "broken", "says"),
        [
            ("check_structure", lambda *_: [], "a plan that is not a number"),
            ("step", lambda state, *_: dataclasses.make_dataclass("S", ["state"])(state), "emergency request"),
            ("stop_along", lambda points, *_: points, "as long as its formula"),
            ("output_fault", lambda *_: None, "output that is not finite"),
            ("output_fault", lambda *_: "always", "output that is not finite"),
            ("stop_along", lambda *_: 1 / 0, "division by zero"),
        ],
    )
    def test_each_known_answer_that_is_wrong_is_named(self, monkeypatch, name, broken, says):
        monkeypatch.setattr(self_test_module, name, broken)
        config = SupervisorConfig()
        assert says in self_test(config, config_hash(config)).detail

    def test_engaging_and_rearming_ask_for_it_again(self):
        drive = ready()
        object.__setattr__(drive.supervisor.config.stop, "emergency_mps2", 5.9)
        drive.command("engage")
        assert refused(drive.step()) == ["SELF_TEST_FAILED"]
        object.__setattr__(drive.supervisor.config.stop, "emergency_mps2", StopSettings().emergency_mps2)
        drive.command("engage")
        assert drive.step().engagement is Engagement.ENGAGED


class TestShadow:
    @pytest.mark.parametrize("profile", ["vehicle", "simulation"])
    def test_it_never_engages_and_says_why(self, profile):
        drive = ready(authority="shadow", profile=profile)
        drive.command("engage")
        message = drive.step()
        assert (message.engagement, message.source, len(message.points)) == (Engagement.STANDBY, "shadow", 0)
        assert refused(message)[-1] == "SHADOW_ONLY"

    def test_it_says_what_it_would_have_asked_for_and_asks_nothing_of_anybody(self):
        drive = ready(authority="shadow")
        drive.run(2.0)
        assert (drive.published[-1].mode, codes(drive.published[-1])) == (Mode.NOMINAL, [])
        drive.edit[Plan] = lambda plan: replace(plan, poses=plan.poses * np.float32(np.nan))
        drive.run(0.3)
        message = drive.published[-1]
        assert message.mode is Mode.FALLBACK
        assert {"PLAN_NOT_FINITE", "PLANS_REJECTED"} <= set(codes(message))
        drive.silent.add("ego")
        drive.run(0.7)
        message = drive.published[-1]
        assert (message.mode, message.hazard_lights, message.takeover) == (Mode.EMERGENCY_STOP, False, Takeover.NONE)
        assert all(m.source == "shadow" and not len(m.points) for m in drive.published)

    def test_its_verdicts_are_those_of_a_supervisor_with_authority_in_standby(self):
        def verdicts(authority):
            drive = ready(authority=authority)
            drive.bad_cameras = {"front"}
            drive.run(0.5)
            drive.edit[Plan] = lambda plan: replace(plan, bundle_hash="other")
            drive.run(0.5)
            return [(codes(m), m.shadow_passes) for m in drive.published]

        assert verdicts("shadow") == verdicts("drive")

    def test_an_object_that_needs_more_than_hard_braking_shows_in_its_reasons(self):
        from .driving_range import Mover

        drive = ready(authority="shadow")
        drive.movers = [Mover(drive.vehicle.x + 3.85 + 2.3 + 4.0, 0.0)]
        seen = []
        for _ in range(40):
            seen += codes(drive.step())
        assert "A_REQ" in seen

    def test_an_error_inside_still_gives_no_authority(self, monkeypatch):
        drive = ready(authority="shadow")
        monkeypatch.setattr(module, "input_requests", lambda *_: 1 / 0)
        message = drive.step()
        assert "INTERNAL_ERROR" in codes(message)
        assert (message.engagement, message.source, len(message.points)) == (Engagement.STANDBY, "shadow", 0)

    def test_an_error_inside_does_not_brake_for_who_has_the_authority(self, monkeypatch):
        other = ready()
        other.command("engage")
        driven = other.step()
        watching = ready(authority="shadow")
        monkeypatch.setattr(module, "input_requests", lambda *_: 1 / 0)
        now, gate = Now(driven.stamp_ns, driven.stamp_ns), VehicleGate()
        gate.follow(driven, now)
        before = gate.control(make_ego(now.stamp_ns), now)
        gate.follow(replace(watching.step(), stamp_ns=now.stamp_ns), now)
        assert gate.control(make_ego(now.stamp_ns), now) == before

    def test_the_gate_does_not_take_it_for_an_authority(self):
        drive = ready()
        drive.command("engage")
        driven = drive.step()
        gate, now = VehicleGate(), Now(driven.stamp_ns, driven.stamp_ns)
        gate.follow(replace(driven, source="shadow"), now)
        assert gate.silent(now)
        gate.follow(driven, now)
        assert not gate.silent(now)
        later = Now(now.monotonic_ns + 300_000_000, now.stamp_ns + 300_000_000)
        gate.follow(replace(driven, source="shadow", stamp_ns=later.stamp_ns), later)
        assert gate.silent(later)
        assert gate.control(make_ego(later.stamp_ns), later).acceleration_mps2 < -3.0
