"""How a supervisor begins, which plans of a tick it judges, and that in shadow it watches as it would at the wheel."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.cameras import FRONT
from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import SHADOW
from onboard_vla.core.verdict import Verdict
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.supervisor import LATENCIES

from .driven_range import driving, quiet, reason
from .driving_range import Mover, Range, codes, make_plan, simulation_config, straight_poses


def test_plans_of_another_bundle_than_the_thresholds_are_refused():
    drive = Range(simulation_config())
    drive.edit[Plan] = lambda plan: replace(plan, bundle_hash="another")
    drive.run(0.3)
    assert "PLAN_BUNDLE" in codes(drive.published[-1])


def test_without_thresholds_any_bundle_is_judged_and_the_model_gets_nothing():
    drive = Range(simulation_config(thresholds=None))
    drive.run(0.3)
    assert "PLAN_BUNDLE" not in codes(drive.published[-1])
    assert reason(drive.published[-1], "THRESHOLDS_MISSING").limit == 1.0


@pytest.mark.parametrize(("command", "tests"), [("engage", 1), ("rearm", 1), ("disengage", 0), (None, 0)])
def test_the_self_test_is_repeated_where_somebody_wants_to_begin(monkeypatch, command, tests):
    drive, ran = Range(simulation_config()), []
    monkeypatch.setattr(module, "self_test", lambda *_: ran.append(1))
    if command is not None:
        drive.command(command)
    drive.step()
    assert len(ran) == tests


def test_lateness_is_that_of_the_last_twenty_plans():
    """One late plan of twenty is the twentieth part that may be late; with the twenty-first it is forgotten."""
    assert LATENCIES == 20
    drive = driving()
    supervisor = drive.supervisor
    supervisor._latencies.clear()
    supervisor._latencies.extend([9.0, 9.0, *[0.1] * 18])
    assert reason(quiet(drive, 1)[0], "PLAN_LATENCY").measured == 9.0
    supervisor._latencies.append(0.1)
    assert "PLAN_LATENCY" not in codes(quiet(drive, 1)[0])


class TestPlansOfOneTick:
    def test_one_that_is_not_judged_does_not_keep_the_next_from_being_judged(self):
        drive = driving()
        guard, seen = drive.supervisor._guard, []
        guard.judge = lambda plan, *_: seen.append(plan.plan_id)
        for plan_id in (901, 902):
            stamp_ns = drive.now.stamp_ns + plan_id
            drive.supervisor.receive(make_plan(stamp_ns, straight_poses(), plan_id), drive.now)
        quiet(drive, 1)
        assert seen == [901, 902]

    @pytest.mark.parametrize("bad", [True, False])
    def test_each_is_judged_with_the_last_bad_front_picture_known(self, bad):
        drive = driving()
        guard, seen = drive.supervisor._guard, []
        guard.judge = lambda plan, inputs, motion, bad_front_ns, *_: seen.append(bad_front_ns)
        stamp_ns = drive.now.stamp_ns
        drive.supervisor.receive(Verdict(FRONT, stamp_ns, 1, not bad, (), ""), drive.now)
        drive.supervisor.receive(make_plan(stamp_ns, straight_poses(), 901), drive.now)
        quiet(drive, 1)
        assert seen == [stamp_ns if bad else None]

    def test_before_any_front_picture_there_is_no_bad_one(self):
        drive = Range(simulation_config())
        drive.edit[Verdict] = lambda verdict: None
        drive.run(0.3)
        assert "INTERNAL_ERROR" not in codes(drive.published[-1])


def test_in_shadow_the_gate_says_what_it_would_ask_for_and_an_unknown_motion_is_no_error():
    drive = Range(simulation_config(authority=SHADOW), speed=8.0)
    drive.limit_mps = drive.plan_speed = 8.0
    assert "INTERNAL_ERROR" not in codes(drive.supervisor.tick(drive.now))
    drive.run(0.7)
    drive.movers.append(Mover(drive.vehicle.x + 16.0))
    told = set()
    for _ in range(60):
        drive.vehicle.speed = 8.0
        told |= set(codes(drive.step()))
    assert "A_REQ" in told
    assert "INTERNAL_ERROR" not in told
