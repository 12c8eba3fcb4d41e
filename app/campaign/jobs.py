"""The campaign as a list of jobs, each a fault, a speed, a start and a seed; and what one job leaves behind."""

from __future__ import annotations

import dataclasses
import json
import zlib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from onboard_vla.app.campaign.episode import MONITOR_OFF, MONITOR_ON, StartKey, drive_on, kept_start
from onboard_vla.app.campaign.fault_case import DANGEROUS, FAULTS, NUISANCE, STAY, FaultCase
from onboard_vla.app.campaign.outcome import first_harm, judge, rear_end_hits
from onboard_vla.app.campaign.pairs import JOIN, asked_of, pair_case, pairs
from onboard_vla.app.campaign.situation import SPEEDS_MPS
from onboard_vla.app.campaign.table import BY_KEY, CASES
from onboard_vla.app.campaign.tamper import Tamper
from onboard_vla.app.faults import MILLISECOND_NS
from onboard_vla.core.safe_trajectory import Mode

CONTROL = "control"
"""The same situation without any fault: a danger shown with the monitor off must not be the situation's own."""
CONTROL_CASE = FaultCase(
    CONTROL, "no fault", NUISANCE, Tamper(), STAY, Mode.REDUCED, 0.0, (), "everything", note="the same situations"
)
INJECTIONS_PER_FAULT = 100
"""Of the whole campaign: at least so many per fault, over its variants and speeds."""
QUICK_STARTS, ALL_STARTS = 1, 4
"""Different roads per speed."""
PAIR_PREFIX = "F29/"


@dataclass(frozen=True)
class Job:
    """One injection. `number` tells repetitions apart and seeds them."""

    case: str
    monitor: str
    speed_mps: float
    start: int
    number: int

    @property
    def key(self) -> str:
        """Name under which a result is kept and found again."""
        return f"{self.case}|{self.monitor}|{self.speed_mps:g}|{self.start}|{self.number}"

    @property
    def seed(self) -> int:
        """Of phases and randomness; the same with the monitor on and off."""
        return zlib.crc32(f"{self.case}|{self.speed_mps:g}|{self.start}|{self.number}".encode())


@dataclass(frozen=True)
class Result:
    """What one injection amounted to. Times in ms; `harmed`: harm done, whatever was asked."""

    key: str
    fault: str
    variant: str
    danger: str
    monitor: str
    speed_mps: float
    seed: int
    outcome: str
    harm: str
    effect_ms: float | None
    detection_ms: float | None
    handling_ms: float | None
    highest: int
    spoiled: int
    spoiled_driven: int
    rear_end_hits: int
    deceleration_max_mps2: float
    modes: tuple[tuple[float, int], ...]
    """Every change of the published mode: (ms since the first effect, mode), for a judge of its own."""

    def line(self) -> str:
        """As one line of a results file."""
        return json.dumps(dataclasses.asdict(self), separators=(",", ":"))

    @staticmethod
    def of_line(line: str) -> Result:
        """Read a line back."""
        found: dict[str, Any] = json.loads(line)
        return Result(**{**found, "modes": tuple((at, mode) for at, mode in found["modes"])})


def quick_jobs(faults: Sequence[str] = ()) -> list[Job]:
    """Every variant that is not the like of another at least once, every fault at all speeds."""
    jobs = []
    for fault, every in _by_fault(faults).items():
        cases = [case for case in every if not case.alike]
        repeat = len(SPEEDS_MPS) if len(cases) < len(SPEEDS_MPS) else 1
        for k, case in enumerate(cases):
            for r in range(repeat):
                jobs += _pair(case, SPEEDS_MPS[(k + r) % len(SPEEDS_MPS)], 0, r)
        assert fault in FAULTS
    return [*_controls(QUICK_STARTS, 1), *jobs]


def all_jobs(faults: Sequence[str] = ()) -> list[Job]:
    """At least a hundred injections of every fault, each variant at every speed."""
    jobs = []
    for cases in _by_fault(faults).values():
        each = max(1, -(-INJECTIONS_PER_FAULT // (len(cases) * len(SPEEDS_MPS))))
        for case in cases:
            for speed in SPEEDS_MPS:
                for number in range(each):
                    jobs += _pair(case, speed, number % ALL_STARTS, number)
    return [*_controls(ALL_STARTS, 5), *jobs]


def shard(jobs: Sequence[Job], index: int, count: int) -> list[Job]:
    """Every `count`-th job, the `index`-th (from 1) first; jobs of one start stay together where they are equal."""
    ordered = sorted(jobs, key=lambda job: (job.speed_mps, job.start, job.monitor, job.key))
    return ordered[index - 1 :: count]


def pair_jobs() -> list[Job]:
    """F29: every pair once, at speeds in turn."""
    return [
        Job(f"{PAIR_PREFIX}{first.key}{JOIN}{second.key}", MONITOR_ON, SPEEDS_MPS[k % len(SPEEDS_MPS)], 0, 0)
        for k, (first, second) in enumerate(pairs())
    ]


def injected(job: Job) -> tuple[FaultCase, tuple[FaultCase, ...]]:
    """What is asked of a job, and the faults that it injects."""
    if job.case == CONTROL_CASE.key:
        return CONTROL_CASE, (CONTROL_CASE,)
    if job.case.startswith(PAIR_PREFIX):
        first, second = (BY_KEY[key] for key in job.case.removeprefix(PAIR_PREFIX).split(JOIN))
        return pair_case(first, second), (first, second)
    return BY_KEY[job.case], (BY_KEY[job.case],)


def run_job(job: Job) -> Result:
    """Drive one injection and judge it."""
    case, parts = injected(job)
    start = kept_start(StartKey(job.speed_mps, job.start + 1, job.monitor, case.sensor))
    stream, injections = drive_on(start, [part.tamper for part in parts], job.seed)
    asked, counting = case, (True,) * len(parts)
    if len(parts) == 2:
        asked, counting = asked_of(*parts, shown=tuple(i.first_effect_ns is not None for i in injections))  # type: ignore[arg-type]
    effects = [i.first_effect_ns for i, counts in zip(injections, counting, strict=True) if counts]
    effect = min((at for at in effects if at is not None), default=None)
    onset = injections[0].memory.onset_ns
    since = onset if effect is None else effect
    spoiled = frozenset(plan for i in injections for plan in i.bad_plans)
    if case.fault == CONTROL:
        effect = since
    verdict = judge(asked, stream, effect, spoiled)
    changes: list[tuple[float, int]] = []
    for item in stream.published:
        if item.received_ns >= since - 1000 * MILLISECOND_NS and (not changes or changes[-1][1] != item.mode):
            changes.append(((item.received_ns - since) / MILLISECOND_NS, item.mode))
    harm = first_harm(stream.harms, since)
    return Result(
        key=job.key,
        fault=case.fault,
        variant=case.variant,
        danger=case.danger,
        monitor=job.monitor,
        speed_mps=job.speed_mps,
        seed=job.seed,
        outcome=verdict.outcome,
        harm="" if harm is None else f"{harm.kind}: {harm.detail}",
        effect_ms=None if effect is None else (effect - onset) / MILLISECOND_NS,
        detection_ms=verdict.detection_ms,
        handling_ms=verdict.handling_ms,
        highest=verdict.highest,
        spoiled=verdict.spoiled,
        spoiled_driven=verdict.spoiled_driven,
        rear_end_hits=rear_end_hits(stream.harms),
        deceleration_max_mps2=stream.deceleration_max_mps2,
        modes=tuple(changes),
    )


def _pair(case: FaultCase, speed_mps: float, start: int, number: int) -> list[Job]:
    """With the monitor, and where danger is claimed also without."""
    monitors = (MONITOR_ON, MONITOR_OFF) if case.danger == DANGEROUS else (MONITOR_ON,)
    return [Job(case.key, monitor, speed_mps, start, number) for monitor in monitors]


def _controls(starts: int, each: int) -> list[Job]:
    return [
        Job(CONTROL_CASE.key, monitor, speed, start, number)
        for monitor in (MONITOR_ON, MONITOR_OFF)
        for speed in SPEEDS_MPS
        for start in range(starts)
        for number in range(each)
    ]


def _by_fault(faults: Sequence[str]) -> dict[str, list[FaultCase]]:
    found: dict[str, list[FaultCase]] = {}
    for case in CASES:
        if not faults or case.fault in faults:
            found.setdefault(case.fault, []).append(case)
    return found
