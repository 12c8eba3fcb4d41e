"""Runs jobs in as many processes as there are cores; keeps every result in a file, and goes on where it was stopped."""

from __future__ import annotations

import json
import os
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import as_completed
from pathlib import Path
from typing import Any

from onboard_vla.app.demo_bundle import PreparedBundle
from onboard_vla.app.evaluation.episode import Job, run_job
from onboard_vla.app.worker_pool import WorkerPool
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.world.source_commit import commit

Bundles = Mapping[str, PreparedBundle]
"""By precision; empty where no bundle plans."""
Result = dict[str, Any]


def run_jobs(
    jobs: Sequence[Job], bundles: Bundles, folder: Path | None, done: Callable[[], None], workers: int | None = None
) -> list[Result]:
    """Results in the jobs' order. `folder`: where results are kept and looked for; `done`: called after each job.

    Raises:
        ConfigurationError: a kept result cannot be read.
    """
    source = commit()
    found: dict[int, Result] = {}
    for index, job in enumerate(jobs):
        kept = _read(_path(folder, job, source))
        if kept is not None:
            found[index] = kept
            done()
    missing = [index for index in range(len(jobs)) if index not in found]
    count = min(workers or len(os.sched_getaffinity(0)), len(missing))

    def keep(index: int, result: Result) -> None:
        found[index] = result
        _write(_path(folder, jobs[index], source), result)
        done()

    if count <= 1:
        for index in missing:
            keep(index, run_job(jobs[index], bundles.get(jobs[index].variant.precision)))
        return [found[index] for index in range(len(jobs))]
    with WorkerPool(count) as pool:
        futures = {
            pool.submit(run_job, jobs[index], bundles.get(jobs[index].variant.precision)): index for index in missing
        }
        for future in as_completed(futures):
            keep(futures[future], future.result())
    return [found[index] for index in range(len(jobs))]


def _path(folder: Path | None, job: Job, source: str) -> Path | None:
    return None if folder is None else folder / f"{job.seed}-{job.key(source)}.json"


def _read(path: Path | None) -> Result | None:
    if path is None or not path.exists():
        return None
    try:
        return dict(json.loads(path.read_text(encoding="utf-8")))
    except ValueError as error:
        raise ConfigurationError(
            f"{path}: not an episode's result ({error}); remove it, or name another folder"
        ) from None


def _write(path: Path | None, result: Result) -> None:
    if path is not None:
        path.parent.mkdir(parents=True, exist_ok=True)
        partial = path.with_suffix(".partial")
        partial.write_text(json.dumps(result), encoding="utf-8")
        partial.rename(path)
