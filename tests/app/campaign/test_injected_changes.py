"""What injectors do where faults meet, and what a late rig makes of an injection into real processes."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.app.campaign import plan_changes as plan
from onboard_vla.app.campaign import real
from onboard_vla.app.campaign.pairs import pairs
from onboard_vla.app.campaign.real import REAL_CASES, NotInjectedError, RealJob, _result
from onboard_vla.app.campaign.tamper import Memory
from onboard_vla.core.clock import Now
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.plan import FAST, PassCount, Plan, Uncertainty
from onboard_vla.core.wire import Message

NOW = Now(10**9, 10**9)
FINE = np.column_stack([np.arange(1, 51) * 0.5, np.zeros(50), np.zeros(50)]).astype(np.float32)
PLAN = Plan(
    plan_id=1, stamp_ns=0, oldest_frame_stamp_ns=0, step_s=0.5, poses=FINE[4::5], fine_poses=FINE,
    action_tokens=tuple(range(10)), depth=FAST, slow_probability=0.0, text="", uncertainty=Uncertainty.sure(10, 0.1),
    passes=PassCount(1, 1, 10), stage_ms={}, bundle_hash="",
)  # fmt: skip


def memory() -> Memory:
    return Memory(rng=np.random.default_rng(3), speed_mps=5.0)


@pytest.mark.parametrize("count", [0, 1, 9, 11, 100])
@pytest.mark.parametrize(
    "shape", [plan.random_tokens, plan.one_token_replaced, plan.infeasible_token, plan.swinging(1.0), plan.stop_and_go]
)
def test_a_plan_that_lost_or_gained_tokens_is_no_ground_for_another_motion(shape, count):
    cut, *_ = plan.tokens(lambda p, m: tuple(range(count)))(PLAN, NOW, memory())
    assert isinstance(cut, Plan)
    assert len(cut.action_tokens) == count

    (after,) = plan.moved(shape)(cut, NOW, memory())

    assert after is cut
    (whole,) = plan.moved(shape)(PLAN, NOW, memory())
    assert whole is not PLAN


def test_every_pair_of_plan_faults_can_be_injected_one_after_the_other():
    met = [(a, b) for a, b in pairs() if a.fault in PLAN_FAULTS and b.fault in PLAN_FAULTS]
    assert len(met) == len(PLAN_FAULTS) * (len(PLAN_FAULTS) - 1) / 2
    for pair in met:
        messages: list[Message] = [PLAN]
        for tamper, notes in ((case.tamper, memory()) for case in pair):
            messages = [out for m in messages for out in (tamper.change(m, NOW, notes) if tamper.chosen(m) else (m,))]
        assert messages


PLAN_FAULTS = ("F6", "F7", "F8", "F9", "F10", "F11", "F12")


@pytest.mark.parametrize(
    ("handling_ms", "lateness_ms", "inconclusive"),
    [(221.4, 59.9, True), (221.4, 1.0, False), (None, 59.9, False), (400.0, 59.9, False), (400.0, 101.0, True)],
)
def test_a_limit_missed_by_less_than_the_rig_was_late_is_inconclusive(handling_ms, lateness_ms, inconclusive):
    number, case = next((k, c) for k, c in enumerate(REAL_CASES) if c.limit_ms == 220.0)
    job = RealJob(number, "zmq", 0)

    late = _result(case, job, outcome="late", handling_ms=handling_ms, lateness_ms=lateness_ms)

    assert late.inconclusive is inconclusive
    hang = _result(case, job, outcome="hang", handling_ms=100.0, gap_ms=400.0, lateness_ms=lateness_ms)
    assert hang.inconclusive is (lateness_ms > 100.0)


@pytest.mark.parametrize(
    ("error", "lateness_s", "inconclusive"),
    [
        (EnvironmentLacksError("not connected within 30 s: safety_supervisor"), 0.5, True),
        (EnvironmentLacksError("not connected within 30 s: safety_supervisor"), 0.01, False),
        (NotInjectedError("before the fault the mode was FALLBACK: not connected to it"), 0.01, True),
    ],
)
def test_what_keeps_a_fault_from_being_injected_is_a_result_and_does_not_end_the_campaign(
    monkeypatch, error, lateness_s, inconclusive
):
    class Watch:
        def __init__(self, directory) -> None:
            pass

        def since(self, begin_ns: int) -> float:
            return lateness_s

        def close(self) -> None:
            pass

    def no_graph(*arguments, **named):
        raise error

    monkeypatch.setattr(real, "LatenessWatch", Watch)
    monkeypatch.setattr(real, "Graph", no_graph)

    found = real.inject(RealJob(0, "zmq", 0))

    assert (found.outcome, found.inconclusive, found.handling_ms) == ("late", inconclusive, None)
    assert "not connected" in found.detail
