"""Did the run pass? A pure function over the record; every limit is named here and tested on both sides."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

from onboard_vla.app.closed_loop_record import FaultRecord, PublishedRecord, RunRecord, ViolationRecord
from onboard_vla.app.faults import BLACK_CAMERA, MILLISECOND_NS, SECOND_NS, demo_faults
from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.world.violations import COLLISION, OFF_ROAD

LOCKSTEP = "lockstep"
"""`RunSettings.transport` of a run in virtual time: nothing is late there, and no check says so."""
PASS, FAIL, INCONCLUSIVE, PRECONDITION_MISSED = "PASS", "FAIL", "INCONCLUSIVE", "PRECONDITION MISSED"
EXIT_STATUS = {PASS: 0, FAIL: 1, INCONCLUSIVE: 2, PRECONDITION_MISSED: 3}

LEAST_PROGRESS_SHARE = 0.5
"""Share of the expert's progress, same seed, profile and time (demo's acceptance)."""
PROBE_LATENESS_LIMIT_MS = 100.0
"""A 20 ms timer later than this around a fault: the machine was measured, not the system (demo's acceptance)."""
PROBE_BEFORE_NS, PROBE_AFTER_NS = 1 * SECOND_NS, 1 * SECOND_NS
"""The window around a fault in which the probe counts: covers both reaction limits with margin.

Where the vehicle did not come back to L0 or L1, the window lasts as long as that was waited for: a machine that stalls
then can stop the vehicle for good, because stops are latched.
"""
RECOVERY_NS = 15 * SECOND_NS
"""A run that goes on this long after a fault's cause has gone must show L0 or L1 again; a shorter one cannot tell."""
WHOLE_NS = 60 * SECOND_NS
"""The demo's length, which has room for both faults and for recovery from each."""
PLANNER_LOST_CODES = ("PLANNER_SILENT", "PLANNER_MISSING", "PLANNER_NOT_READY", "PLANNER_HANGS")
"""The supervisor's codes for a planner process that is gone; reasons about cameras begin with the camera's name."""


@dataclass(frozen=True)
class Reaction:
    """How one fault was met. Times in ms from the first black frame's stamp or from the kill; None: never seen.

    `detection_ms`: arrival of the first SafeTrajectory that names the cause. `reaction_ms`: arrival of the first with
    mode L2 or above; `reaction_stamp_ms`: the same by that message's own stamp. `recovery_s`: first L0 or L1 after the
    cause had gone, seconds after the fault's start. `probe_lateness_ms`: worst around the fault; None in virtual time.
    """

    fault: FaultRecord
    mode_before: int | None
    engaged_before: bool
    detection_ms: float | None
    reaction_ms: float | None
    reaction_stamp_ms: float | None
    reason: str
    recovery_s: float | None
    recovery_judged: bool
    probe_lateness_ms: float | None


@dataclass(frozen=True)
class Check:
    """One condition of the verdict: what was found, what was asked. `outcome_if_missed`: what the run becomes then."""

    name: str
    held: bool
    found: str
    asked: str
    outcome_if_missed: str


@dataclass(frozen=True)
class RunVerdict:
    """The outcome, the exit status that goes with it, and every check behind it."""

    outcome: str
    exit_status: int
    checks: tuple[Check, ...]
    reactions: tuple[Reaction, ...]
    not_judged: tuple[str, ...] = ()
    """What the whole demo would have shown and this run could not, in words."""

    @property
    def reasons(self) -> tuple[str, ...]:
        """The checks that decided the outcome, in words; empty for a pass."""
        return tuple(
            f"{check.name}: {check.found} (asked: {check.asked})"
            for check in self.checks
            if not check.held and check.outcome_if_missed == self.outcome
        )


def judge(record: RunRecord, *, complete: bool = True) -> RunVerdict:
    """Judge a run.

    A missed precondition outweighs an unusable measurement, which outweighs a failure: what was not tested under valid
    conditions has neither passed nor failed. A world that fell behind real time makes any run inconclusive.

    Args:
        record: the run.
        complete: ask for both of the demo's faults and recovery from each; False judges a short lock-step run by what
            it contains.
    """
    reactions = tuple(reaction_to(record, fault) for fault in record.faults)
    checks = [*_preconditions(record, reactions, complete), *_fault_checks(reactions), *_driving_checks(record)]
    missed = {check.outcome_if_missed for check in checks if not check.held}
    outcome = next((o for o in (PRECONDITION_MISSED, INCONCLUSIVE, FAIL) if o in missed), PASS)
    if record.too_busy:
        outcome = INCONCLUSIVE
    return RunVerdict(outcome, EXIT_STATUS[outcome], tuple(checks), reactions, _not_judged(reactions))


def _not_judged(reactions: Sequence[Reaction]) -> tuple[str, ...]:
    """Faults of the whole demo that did not happen, and recoveries that nobody waited for."""
    happened = {reaction.fault.fault.kind for reaction in reactions}
    missing = [fault.title for fault in demo_faults(WHOLE_NS) if fault.kind not in happened]
    short = [f"recovery from {r.fault.fault.title}" for r in reactions if not r.recovery_judged]
    return (*short, *missing)


def reaction_to(record: RunRecord, fault: FaultRecord) -> Reaction:
    """Measure how one fault was met."""
    driving = record.driving()
    before = [item for item in driving if item.received_ns < fault.start_ns]
    after = [item for item in driving if item.received_ns >= fault.start_ns]
    cause_gone_ns = fault.start_ns + fault.fault.duration_ns
    next_start_ns = min((f.start_ns for f in record.faults if f.start_ns > fault.start_ns), default=None)
    judged_until_ns = record.settings.run_ns if next_start_ns is None else next_start_ns
    first = next((item for item in after if item.mode >= Mode.FALLBACK), None)
    detected = next((item for item in after if cause_of(fault, item) is not None), None)
    recovered = _recovery(after, first, cause_gone_ns, judged_until_ns)
    recovery_judged = judged_until_ns - cause_gone_ns >= RECOVERY_NS
    waited_until_ns = judged_until_ns if recovery_judged and recovered is None else fault.start_ns + PROBE_AFTER_NS
    return Reaction(
        fault=fault,
        mode_before=before[-1].mode if before else None,
        engaged_before=bool(before) and before[-1].engagement == Engagement.ENGAGED.value,
        detection_ms=_ms(detected.received_ns - fault.start_ns) if detected else None,
        reaction_ms=_ms(first.received_ns - fault.start_ns) if first else None,
        reaction_stamp_ms=_ms(first.stamp_ns - fault.start_ns) if first else None,
        reason=(cause_of(fault, detected) or "") if detected else "",
        recovery_s=(recovered.received_ns - fault.start_ns) / SECOND_NS if recovered else None,
        recovery_judged=recovery_judged,
        probe_lateness_ms=_worst_lateness(record, fault.start_ns - PROBE_BEFORE_NS, waited_until_ns),
    )


def cause_of(fault: FaultRecord, published: PublishedRecord) -> str | None:
    """The first of a SafeTrajectory's reasons that names this fault's cause, if any."""
    for reason in published.reasons:
        of_camera = reason.detail.startswith(f"{fault.fault.target}:")
        if of_camera if _is_camera(fault) else reason.code in PLANNER_LOST_CODES:
            return f"{reason.code}: {in_words(reason)}"
    return None


def in_words(reason: Reason) -> str:
    """A reason's detail with what was measured and the limit it was held against."""
    return f"{reason.detail}: {reason.measured:.3g}, limit {reason.limit:.3g}"


def at_fault_collisions(violations: Sequence[ViolationRecord]) -> list[ViolationRecord]:
    """Collisions in which the vehicle drove into something or stood without cause."""
    return [v for v in violations if v.kind == COLLISION and v.at_fault]


def _is_camera(fault: FaultRecord) -> bool:
    return fault.fault.kind == BLACK_CAMERA


def _recovery(
    after: Sequence[PublishedRecord], first: PublishedRecord | None, cause_gone_ns: int, until_ns: int
) -> PublishedRecord | None:
    if first is None:
        return None
    for item in after:
        if item.received_ns > max(first.received_ns, cause_gone_ns) and item.received_ns < until_ns and _drives(item):
            return item
    return None


def _drives(item: PublishedRecord) -> bool:
    return item.mode <= Mode.REDUCED and item.engagement == Engagement.ENGAGED.value


def _worst_lateness(record: RunRecord, begin_ns: int, end_ns: int) -> float | None:
    """Virtual time has no probe; in real time a probe that said nothing counts as endlessly late."""
    if record.settings.transport == LOCKSTEP:
        return None
    return max((late for time_ns, late in record.probe if begin_ns <= time_ns <= end_ns), default=math.inf)


def _preconditions(record: RunRecord, reactions: Sequence[Reaction], complete: bool) -> list[Check]:
    settings = record.settings
    checks = [
        Check(
            "run of full length", not record.stopped_early, record.stopped_early or "yes", "yes", PRECONDITION_MISSED
        ),
        Check("engaged", bool(record.driving()), f"{len(record.driving())} outputs", "> 0", PRECONDITION_MISSED),
    ]
    if settings.transport != LOCKSTEP:
        in_step = "no" if record.too_busy else "yes"
        checks.append(Check("world in step with real time", not record.too_busy, in_step, "yes", INCONCLUSIVE))
    if complete:
        asked = demo_faults(WHOLE_NS)
        found = [r.fault.fault.kind for r in reactions]
        checks.append(
            Check(
                "both faults happened and the run leaves time to recover",
                found == [f.kind for f in asked] and all(r.recovery_judged for r in reactions),
                f"{len(found)} faults in {settings.run_ns / SECOND_NS:g} s",
                "2 faults in 60 s",
                PRECONDITION_MISSED,
            )
        )
    for reaction in reactions:
        before = "nothing published" if reaction.mode_before is None else f"L{reaction.mode_before}"
        checks.append(
            Check(
                f"L0 or L1 before: {reaction.fault.fault.title}",
                reaction.engaged_before and reaction.mode_before in (Mode.NOMINAL, Mode.REDUCED),
                before if reaction.engaged_before else f"{before}, not engaged",
                "L0 or L1, engaged",
                PRECONDITION_MISSED,
            )
        )
        if reaction.probe_lateness_ms is not None:
            checks.append(
                Check(
                    f"probe timer around: {reaction.fault.fault.title}",
                    reaction.probe_lateness_ms <= PROBE_LATENESS_LIMIT_MS,
                    f"{reaction.probe_lateness_ms:.0f} ms late at worst",
                    f"<= {PROBE_LATENESS_LIMIT_MS:.0f} ms",
                    INCONCLUSIVE,
                )
            )
    return checks


def _fault_checks(reactions: Sequence[Reaction]) -> list[Check]:
    checks = []
    for reaction in reactions:
        fault = reaction.fault.fault
        limit_ms = fault.reaction_limit_ns / MILLISECOND_NS
        checks.append(_within(f"reaction to: {fault.title}", reaction.reaction_ms, limit_ms))
        checks.append(_within(f"cause named for: {fault.title}", reaction.detection_ms, limit_ms))
        if reaction.recovery_judged:
            found = "never" if reaction.recovery_s is None else f"after {reaction.recovery_s:.1f} s"
            name = f"L0 or L1 again after: {fault.title}"
            checks.append(Check(name, reaction.recovery_s is not None, found, "yes", FAIL))
    return checks


def _within(name: str, measured_ms: float | None, limit_ms: float) -> Check:
    found = "never" if measured_ms is None else f"{measured_ms:.0f} ms"
    return Check(name, measured_ms is not None and measured_ms <= limit_ms, found, f"<= {limit_ms:.0f} ms", FAIL)


def _driving_checks(record: RunRecord) -> list[Check]:
    expert = record.expert_progress_m
    share = record.progress_m / expert if expert > 0 else 0.0
    off_road = [v for v in record.violations if v.kind == OFF_ROAD]
    collisions = at_fault_collisions(record.violations)
    return [
        Check(
            "progress against the expert",
            expert > 0 and share >= LEAST_PROGRESS_SHARE,
            f"{record.progress_m:.0f} m of {expert:.0f} m ({share:.0%})",
            f">= {LEAST_PROGRESS_SHARE:.0%}",
            FAIL,
        ),
        Check("left the drivable area", not off_road, _first(off_road), "never", FAIL),
        Check("collisions of its own making", not collisions, _first(collisions), "none", FAIL),
    ]


def _first(violations: Sequence[ViolationRecord]) -> str:
    if not violations:
        return "none"
    first = violations[0]
    more = f" and {len(violations) - 1} more" if len(violations) > 1 else ""
    return f"{first.detail or first.kind} at {first.time_ns / SECOND_NS:.1f} s{more}"


def _ms(duration_ns: int) -> float:
    return duration_ns / MILLISECOND_NS
