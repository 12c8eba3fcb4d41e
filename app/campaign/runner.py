"""Runs jobs in worker processes, keeps every result as one line of a file, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Iterable, Iterator, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.app.campaign.cells import CellJob, CellResult, run_cell_job
from onboard_vla.app.campaign.fallback_scores import ScoreJob, ScoreResult, run_score
from onboard_vla.app.campaign.golden import GoldenDrive, drive_golden, golden_of_line
from onboard_vla.app.campaign.jobs import Job, Result, run_job
from onboard_vla.app.campaign.real_result import RealResult
from onboard_vla.app.campaign.recovery import RecoveryJob, RecoveryResult, run_recovery
from onboard_vla.app.campaign.slow_drift import DriftJob, DriftResult, run_drift
from onboard_vla.app.faults import SECOND_NS
from onboard_vla.app.worker_pool import WorkerPool
from onboard_vla.core.errors import ConfigurationError

CHUNK = 6
"""Jobs handed to a worker at once: neighbours share their warmed-up start."""
UNKNOWN = "unknown"
"""State of the code behind results that do not name one."""


@dataclass(frozen=True)
class GoldenJob:
    """A drive without a fault."""

    road: str
    seed: int
    seconds: float

    @property
    def key(self) -> str:
        """As `GoldenDrive.key`."""
        return f"golden|{self.road}|{self.seed}"


AnyJob = Job | GoldenJob | CellJob | RecoveryJob | DriftJob | ScoreJob
AnyResult = Result | GoldenDrive | RealResult | CellResult | RecoveryResult | DriftResult | ScoreResult


class ResultStore:
    """Results by key; on disk too, one line each, if there is a folder.

    `state`: of the code that runs now; `states`: by key, of the code that made each result, as a line before says.
    """

    def __init__(self, folder: Path | None, name: str, state: str = UNKNOWN) -> None:
        self._path = None if folder is None else folder / f"{name}.jsonl"
        self.results: dict[str, AnyResult] = {}
        self.state, self.states, self._said = state, dict[str, str](), False
        if folder is not None:
            folder.mkdir(parents=True, exist_ok=True)
            for path in sorted(folder.glob("*.jsonl")):
                for result, made_by in _read(path):
                    self.results[result.key], self.states[result.key] = result, made_by

    @property
    def foreign(self) -> int:
        """Results that another state of the code made."""
        return sum(made_by != self.state for made_by in self.states.values())

    def kept(self, keys: Iterable[str]) -> int:
        """How many of these have a result."""
        return sum(key in self.results for key in keys)

    def add(self, result: AnyResult) -> None:
        """Keep one result, at once and for good."""
        self.results[result.key], self.states[result.key] = result, self.state
        if self._path is None:
            return
        with self._path.open("a", encoding="utf-8") as file:
            if not self._said:
                file.write(json.dumps({"state": self.state}) + "\n")
                self._said = True
            file.write(result.line() + "\n")


def run_jobs(jobs: Sequence[AnyJob], store: ResultStore, done: Callable[[], None], workers: int | None = None) -> None:
    """Run what is not in the store yet; `done` is called after each job that ran."""
    open_jobs = [job for job in jobs if job.key not in store.results]
    count = workers or len(os.sched_getaffinity(0))
    if count == 1 or len(open_jobs) < 2:
        for job in open_jobs:
            store.add(run_any(job))
            done()
        return
    chunks = [open_jobs[i : i + CHUNK] for i in range(0, len(open_jobs), CHUNK)]
    with WorkerPool(count) as pool:
        for future in as_completed([pool.submit(run_chunk, chunk) for chunk in chunks]):
            for result in future.result():
                store.add(result)
                done()


def run_chunk(jobs: Sequence[AnyJob]) -> list[AnyResult]:
    """A worker's share."""
    return [run_any(job) for job in jobs]


def run_any(job: AnyJob) -> AnyResult:
    """One job in this process."""
    if isinstance(job, GoldenJob):
        return drive_golden(job.road, job.seed, round(job.seconds * SECOND_NS))
    if isinstance(job, CellJob):
        return run_cell_job(job)
    if isinstance(job, RecoveryJob):
        return run_recovery(job)
    if isinstance(job, ScoreJob):
        return run_score(job)
    if isinstance(job, DriftJob):
        return run_drift(job)
    return run_job(job)


def _read(path: Path) -> Iterator[tuple[AnyResult, str]]:
    """Results, each with the state of the code that made it."""
    state = UNKNOWN
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        try:
            content = json.loads(line)
            if content.keys() == {"state"}:
                state = str(content["state"])
            else:
                yield _result_of(line, content), state
        except (ValueError, TypeError, KeyError, AttributeError) as error:
            raise ConfigurationError(
                f"{path}, line {number}: not a campaign's result ({error}); remove the line, or name another folder"
            ) from error


def _result_of(line: str, content: dict[str, Any]) -> AnyResult:
    if "golden" in content:
        return golden_of_line(content["golden"])
    if "cell" in content:
        return CellResult.of_content(content["cell"])
    if "score" in content:
        return ScoreResult.of_content(content["score"])
    if "drift" in content:
        return DriftResult.of_content(content["drift"])
    if "recovery" in content:
        return RecoveryResult.of_content(content["recovery"])
    if "real" in content:
        return RealResult.of_content(content["real"])
    return Result.of_line(line)
