"""How a supervisor begins: bound to its thresholds' bundle, and with a self-test at each order."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.plan import Plan
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.supervisor import LATENCIES

from .driven_range import driving, quiet, reason
from .driving_range import Range, codes, simulation_config


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
