"""What a campaign was asked for, and the jobs that this amounts to."""

from __future__ import annotations

import dataclasses
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from onboard_vla.app.campaign.cells import CUT_IN_FAMILY, cell_jobs
from onboard_vla.app.campaign.fallback_scores import score_jobs
from onboard_vla.app.campaign.fault_case import FAULTS, NOT_BUILT
from onboard_vla.app.campaign.golden import ROADS
from onboard_vla.app.campaign.jobs import CONTROL_CASE, Job, all_jobs, pair_jobs, quick_jobs, shard
from onboard_vla.app.campaign.real import RealJob, real_jobs
from onboard_vla.app.campaign.recovery import recovery_jobs
from onboard_vla.app.campaign.runner import AnyJob, GoldenJob, ResultStore
from onboard_vla.app.campaign.slow_drift import drift_jobs
from onboard_vla.core.errors import ArgumentError
from onboard_vla.world.scenarios.families import FAMILIES

QUICK_GOLDEN_SEEDS, ALL_GOLDEN_SEEDS = 1, 20
QUICK_GOLDEN_S, ALL_GOLDEN_S = 15.0, 60.0
QUICK_REAL_EACH, ALL_REAL_EACH = 1, 17
"""Injections of each of the seven ways on real processes: 7, and 119."""
SINGLE, PAIRS, RECOVERIES, DRIFTS, SCORES, GOLDEN, STARTS, REAL = (
    "single",
    "pairs",
    "recoveries",
    "drifts",
    "scores",
    "golden",
    "starts",
    "real",
)
PARTS = (SINGLE, PAIRS, RECOVERIES, DRIFTS, SCORES, GOLDEN, STARTS, REAL, *FAMILIES)
"""Single faults, pairs of them (F29), ..., and the scenario families by their names."""


@dataclass(frozen=True)
class CampaignRequest:
    """The command's arguments; see `faults_commands.faults`. `faults`, `parts` empty: all of the campaign's."""

    everything: bool
    faults: tuple[str, ...]
    parts: tuple[str, ...]
    shard: tuple[int, int]
    resume: Path | None
    json_path: Path
    workers: int | None
    transport: str

    def has(self, part: str) -> bool:
        """Whether a part is wanted."""
        return not self.parts or part in self.parts


def check_request(request: CampaignRequest) -> None:
    """Refuse what is not there.

    Raises:
        ArgumentError: a fault that is not in the table, or a part that the campaign does not have; one of which
            nothing would run, and a report that says PASS would say nothing.
    """
    if unknown := [fault for fault in request.faults if fault not in FAULTS]:
        raise ArgumentError(f"no fault {', '.join(unknown)}: expected F1 to F30, see `onboard-vla faults --list`")
    if unknown := [part for part in request.parts if part not in PARTS]:
        raise ArgumentError(f"--part {', '.join(unknown)}: expected some of {', '.join(PARTS)}")
    for part in request.parts:
        if part != STARTS and not _jobs(dataclasses.replace(request, faults=(), parts=(part,))):
            raise ArgumentError(f"--part {part}: nothing of it runs in the quick campaign; add --all")
    for fault in request.faults:
        alone = dataclasses.replace(request, faults=(fault,))
        if not _own(_jobs(alone)) and not (fault == "F25" and request.has(STARTS)):
            why = NOT_BUILT.get(fault, f"not in --part {', '.join(request.parts)}")
            raise ArgumentError(f"--fault {fault}: nothing of it would run here: {why}")


def _jobs(request: CampaignRequest) -> list[AnyJob | RealJob]:
    """Of every shard."""
    return [*_injections(request), *_others(request), *_real(request)]


def _own(jobs: Sequence[AnyJob | RealJob]) -> list[AnyJob | RealJob]:
    """Without those that run beside every fault."""
    return [
        job
        for job in jobs
        if not isinstance(job, GoldenJob) and not (isinstance(job, Job) and job.case == CONTROL_CASE.key)
    ]


def virtual_jobs(request: CampaignRequest) -> list[AnyJob]:
    """This shard's jobs in virtual time."""
    index, count = request.shard
    return [*shard(_injections(request), index, count), *_others(request)[index - 1 :: count]]


def real_time_jobs(request: CampaignRequest) -> list[RealJob]:
    """This shard's injections into real processes."""
    index, count = request.shard
    return _real(request)[index - 1 :: count]


def missing(request: CampaignRequest, store: ResultStore) -> int:
    """Jobs of what was asked for, every shard's, that have no result yet."""
    return sum(job.key not in store.results for job in _jobs(request))


def _injections(request: CampaignRequest) -> list[Job]:
    single = (all_jobs if request.everything else quick_jobs)(request.faults) if request.has(SINGLE) else []
    asked = request.everything and (not request.faults or "F29" in request.faults)
    return [*single, *(pair_jobs() if asked and request.has(PAIRS) else [])]


def _others(request: CampaignRequest) -> list[AnyJob]:
    """Scenario cells (quick: a few of F21's; else all of every family), scores, drifts, recoveries, golden drives.

    The cut-in grid comes last: it takes longer than all the rest.
    """
    quick, faults = not request.everything, request.faults
    jobs: list[AnyJob] = [*recovery_jobs(faults, quick=quick)] if request.has(RECOVERIES) else []
    if request.has(DRIFTS) and (not faults or "F28" in faults):
        jobs += drift_jobs(quick=quick)
    if request.has(GOLDEN):
        jobs += _golden(quick=quick)
    if faults and "F21" not in faults:
        return jobs
    if request.has(SCORES):
        jobs += score_jobs(quick=quick)
    families = request.parts or (FAMILIES if request.everything and not faults else (CUT_IN_FAMILY,))
    ordered = sorted((name for name in FAMILIES if name in families), key=lambda name: name == CUT_IN_FAMILY)
    return [*jobs, *(job for name in ordered for job in cell_jobs(quick=quick, families=(name,)))]


def _golden(*, quick: bool) -> list[GoldenJob]:
    seeds, duration = (QUICK_GOLDEN_SEEDS, QUICK_GOLDEN_S) if quick else (ALL_GOLDEN_SEEDS, ALL_GOLDEN_S)
    return [GoldenJob(road, seed + 1, duration) for road in ROADS for seed in range(seeds)]


def _real(request: CampaignRequest) -> list[RealJob]:
    if not request.has(REAL):
        return []
    return real_jobs(ALL_REAL_EACH if request.everything else QUICK_REAL_EACH, request.transport, request.faults)
