"""Every limit of the demo's verdict, on both sides."""

from __future__ import annotations

import dataclasses

import pytest

from onboard_vla.app.closed_loop_record import (
    FaultRecord,
    PublishedRecord,
    RunRecord,
    RunSettings,
    StepRecord,
    ViolationRecord,
)
from onboard_vla.app.demo_tables import verdict_line
from onboard_vla.app.demo_verdict import FAIL, INCONCLUSIVE, PASS, PRECONDITION_MISSED, judge
from onboard_vla.app.faults import MILLISECOND_NS, SECOND_NS, demo_faults
from onboard_vla.core.verdict import Reason

STEP = 20 * MILLISECOND_NS
BLACK, KILL = demo_faults(60 * SECOND_NS)


def published(time_ns: int, mode: int = 0, reasons: tuple[Reason, ...] = (), engagement: str = "engaged"):
    return PublishedRecord(time_ns, time_ns, time_ns // STEP, engagement, mode, "model", 1, 0, reasons)


def make_record(
    *,
    black_reaction_ms: int = 100,
    kill_reaction_ms: int = 200,
    recovery_s: float = 5.0,
    mode_before_kill: int = 0,
    run_s: int = 60,
) -> RunRecord:
    """A run that passes unless told otherwise: modes follow from the faults and the reaction times."""
    faults = demo_faults(run_s * SECOND_NS)
    record = RunRecord(RunSettings(7, "quiet_road", "modelled", "zmq", run_s * SECOND_NS, 0, "test", faults))
    record.faults = [FaultRecord(fault, fault.start_ns) for fault in faults]
    reactions = {BLACK: black_reaction_ms, KILL: kill_reaction_ms}
    codes = {
        BLACK: Reason("IMAGE_BLACK", 0.0, 8.0, "front: mean grey"),
        KILL: Reason("PLANNER_SILENT", 0.2, 0.15, "heartbeat's age"),
    }
    for time_ns in range(0, run_s * SECOND_NS, STEP):
        item = published(time_ns)
        if BLACK.end_ns + 10 * SECOND_NS <= time_ns < KILL.start_ns:
            item = published(time_ns, mode_before_kill)
        for fault in faults:
            begins = fault.start_ns + reactions[fault] * MILLISECOND_NS
            if begins <= time_ns < fault.end_ns + int(recovery_s * SECOND_NS):
                item = published(time_ns, 2, (codes[fault],))
        record.published.append(item)
    record.steps = [
        StepRecord(t, t / SECOND_NS * 8.0, 0.0, 0.0, 8.0, t / SECOND_NS * 8.0, 0, True)
        for t in range(0, run_s * SECOND_NS + 1, STEP)
    ]
    record.expert_progress_m = run_s * 8.0
    record.probe = [(t, 1.0) for t in range(0, run_s * SECOND_NS, STEP)]
    return record


@pytest.mark.parametrize(
    ("run_s", "not_judged"),
    [
        (60, ()),
        (54, ("recovery from vla_planner killed (SIGKILL)",)),
        (20, ("recovery from front camera black for 3 s", "vla_planner killed (SIGKILL)")),
        (10, ("front camera black for 3 s", "vla_planner killed (SIGKILL)")),
    ],
)
def test_a_run_that_is_too_short_says_what_it_has_not_judged(run_s, not_judged):
    verdict = judge(make_record(run_s=run_s), complete=False)
    assert verdict.outcome == PASS
    assert verdict.not_judged == not_judged
    line = verdict_line(verdict)
    assert line == "PASS (exit 0)" + (f"; not judged: {', '.join(not_judged)}" if not_judged else "")


def test_clean_run_passes_with_exit_status_0():
    verdict = judge(make_record())
    assert (verdict.outcome, verdict.exit_status) == (PASS, 0), verdict.reasons
    assert [r.reaction_ms for r in verdict.reactions] == [100.0, 200.0]
    assert [r.recovery_s for r in verdict.reactions] == [8.0, 7.0]


@pytest.mark.parametrize(
    ("fields", "outcome"),
    [
        ({"black_reaction_ms": 200}, PASS),
        ({"black_reaction_ms": 220}, FAIL),
        ({"kill_reaction_ms": 240}, PASS),
        ({"kill_reaction_ms": 260}, FAIL),
    ],
)
def test_reaction_limits(fields, outcome):
    assert judge(make_record(**fields)).outcome == outcome


def test_reaction_limit_of_a_kill_is_inclusive_at_250_ms():
    record = make_record(kill_reaction_ms=240)
    at_limit = [
        dataclasses.replace(p, received_ns=p.received_ns + 10 * MILLISECOND_NS) if p.mode == 2 else p
        for p in record.published
    ]
    record.published = at_limit
    assert judge(record).reactions[1].reaction_ms == 250.0
    assert judge(record).outcome == PASS


def test_reaction_without_the_cause_named_fails():
    record = make_record()
    record.published = [
        dataclasses.replace(p, reasons=(Reason("PLAN_STALE", 2.0, 1.5, ""),) if p.mode else ())
        for p in record.published
    ]
    verdict = judge(record)
    assert verdict.outcome == FAIL
    assert all("cause named" in reason for reason in verdict.reasons)


def test_never_reacting_fails():
    record = make_record()
    record.published = [dataclasses.replace(p, mode=0) for p in record.published]
    assert judge(record).outcome == FAIL


@pytest.mark.parametrize("mode", [2, 5])
def test_not_in_l0_or_l1_before_a_fault_is_a_missed_precondition(mode):
    verdict = judge(make_record(mode_before_kill=mode))
    assert (verdict.outcome, verdict.exit_status) == (PRECONDITION_MISSED, 3)
    assert "before" in verdict.reasons[0]


def test_l1_before_a_fault_is_as_good_as_l0():
    assert judge(make_record(mode_before_kill=1)).outcome == PASS


def test_not_engaged_before_a_fault_is_a_missed_precondition():
    record = make_record()
    record.published = [
        dataclasses.replace(p, engagement="standby") if p.stamp_ns < 16 * SECOND_NS else p for p in record.published
    ]
    assert judge(record).exit_status == 3


def test_no_recovery_before_the_next_fault_fails():
    record = make_record()
    record.published = [
        dataclasses.replace(p, mode=2) if BLACK.start_ns < p.stamp_ns < KILL.start_ns - SECOND_NS // 2 else p
        for p in record.published
    ]
    assert judge(record).outcome == PASS
    record.published = [
        dataclasses.replace(p, mode=2) if KILL.start_ns < p.stamp_ns else p for p in make_record().published
    ]
    verdict = judge(record)
    assert verdict.outcome == FAIL
    assert "again after" in verdict.reasons[0]


@pytest.mark.parametrize(("lateness_ms", "outcome"), [(100.0, PASS), (100.1, INCONCLUSIVE)])
@pytest.mark.parametrize("fault", [BLACK, KILL])
def test_probe_lateness_around_a_fault(fault, lateness_ms, outcome):
    record = make_record()
    record.probe.append((fault.start_ns + 500 * MILLISECOND_NS, lateness_ms))
    assert judge(record).outcome == outcome


def test_a_probe_that_said_nothing_in_real_time_makes_the_run_inconclusive():
    record = make_record()
    record.probe = []
    verdict = judge(record)
    assert verdict.outcome == INCONCLUSIVE


def test_probe_lateness_far_from_a_fault_does_not_matter():
    record = make_record()
    record.probe.append((BLACK.start_ns - 2 * SECOND_NS, 900.0))
    assert judge(record).outcome == PASS


@pytest.mark.parametrize(("lateness_ms", "outcome"), [(90.0, FAIL), (300.0, INCONCLUSIVE)])
def test_a_stall_while_the_vehicle_does_not_come_back_decides_nothing(lateness_ms, outcome):
    record = make_record()
    record.published = [dataclasses.replace(p, mode=3) if KILL.start_ns < p.stamp_ns else p for p in record.published]
    record.probe.append((KILL.start_ns + 3 * SECOND_NS, lateness_ms))
    assert judge(record).outcome == outcome


def test_a_stall_after_the_reaction_does_not_matter_where_the_vehicle_comes_back():
    record = make_record()
    record.probe.append((KILL.start_ns + 3 * SECOND_NS, 300.0))
    assert judge(record).outcome == PASS


def test_inconclusive_outweighs_a_failure_and_exits_2():
    record = make_record(kill_reaction_ms=400)
    record.probe.append((KILL.start_ns, 150.0))
    assert (judge(record).outcome, judge(record).exit_status) == (INCONCLUSIVE, 2)


@pytest.mark.parametrize(("expert_m", "outcome"), [(960.0, PASS), (961.0, FAIL), (0.0, FAIL)])
def test_progress_limit(expert_m, outcome):
    record = make_record()
    record.expert_progress_m = expert_m
    assert record.progress_m == pytest.approx(480.0)
    assert judge(record).outcome == outcome


def test_parked_car_does_not_pass():
    record = make_record()
    record.steps = [dataclasses.replace(step, progress_m=0.0) for step in record.steps]
    assert judge(record).exit_status == 1


@pytest.mark.parametrize(
    ("kind", "at_fault", "outcome"),
    [
        ("collision", True, FAIL),
        ("collision", False, PASS),
        ("off_road", True, FAIL),
        ("red_light", True, PASS),
    ],
)
def test_violations(kind, at_fault, outcome):
    record = make_record()
    record.violations.append(ViolationRecord(5 * SECOND_NS, kind, at_fault, "x"))
    assert judge(record).outcome == outcome


def test_run_that_ended_early_is_a_missed_precondition():
    record = make_record()
    record.stopped_early = "interrupted at 31.2 s"
    assert judge(record).exit_status == 3
    assert "31.2 s" in judge(record).reasons[0]


def test_run_on_a_machine_too_busy_for_real_time_is_inconclusive():
    record = make_record(run_s=20)
    record.stopped_early, record.too_busy = "the world is 1.2 s behind real time", True
    assert judge(record).exit_status == 2
    assert "real time" in judge(record).reasons[0]


def test_short_run_cannot_be_a_complete_one_but_can_be_judged_by_what_it_has():
    record = make_record(run_s=20)
    assert judge(record).exit_status == 3
    partial = judge(record, complete=False)
    assert partial.outcome == PASS
    assert not partial.reactions[0].recovery_judged


def test_virtual_time_is_not_said_to_have_been_in_time():
    record = make_record()
    virtual = dataclasses.replace(record, settings=dataclasses.replace(record.settings, transport="lockstep"), probe=[])
    verdict = judge(virtual)
    assert verdict.outcome == PASS
    assert [r.probe_lateness_ms for r in verdict.reactions] == [None, None]
    assert not [check.name for check in verdict.checks if "probe" in check.name or "real time" in check.name]
