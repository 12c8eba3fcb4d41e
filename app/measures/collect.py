"""Plans for every sample of a world under each condition, and the features that probes read; worlds in parallel."""

from __future__ import annotations

import os
from collections.abc import Callable, Sequence
from concurrent.futures import as_completed
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.evaluation.episode import renderer
from onboard_vla.app.evaluation.trace import doubt_of
from onboard_vla.app.measures.conditions import BLIND, HELD_OUT, OWN, SLOW, SWAPPED, seen_under
from onboard_vla.app.measures.samples import Sample, samples_of
from onboard_vla.app.measures.staged import staged_before_signals
from onboard_vla.app.worker_pool import WorkerPool
from onboard_vla.core.plan import FAST, Plan
from onboard_vla.core.plan import SLOW as SLOW_DEPTH
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.planner import Planner

STEP_S, STEPS_3S = 0.5, 6
"""Planning step of the reference checkpoint, and how many make 3 s."""


@dataclass(frozen=True)
class Planned:
    """One plan against the expert's: metres, and the plan's own doubt.

    `vision_ood`: of the farthest camera, 0 where the bundle has no statistics.
    """

    ade_m: float
    ade_3s_m: float
    spread_m: float
    negative_log_likelihood: float
    slow_probability: float
    text: str
    vision_ood: float


@dataclass(frozen=True, eq=False)
class Row:
    """One sample's results. `plans`: by condition; a rejection is missing. `features`: (F,) float32 or None.

    `constant_velocity_m`: mean distance of going straight on at the present speed.
    """

    world: int
    speed_mps: float
    command: str
    demanding: bool
    truth: NDArray[np.float32]
    reasoning: str
    plans: dict[str, Planned]
    features: NDArray[np.float32] | None
    constant_velocity_m: float


@dataclass(frozen=True)
class Job:
    """One world. `bundle`, `blind`: folders; `features`: keep the vision tower's tokens of the newest front pair.

    `staged`: samples are placed before the world's signals, not driven.
    """

    seed: int
    profile: str
    seconds: float
    conditions: tuple[str, ...]
    bundle: Path
    blind: Path | None
    photos: Path | None
    features: bool
    staged: bool = False


def collect(jobs: Sequence[Job], done: Callable[[], None], workers: int | None = None) -> list[Row]:
    """All rows, world after world in the jobs' order."""
    count = min(workers or len(os.sched_getaffinity(0)), len(jobs))
    found: dict[int, list[Row]] = {}
    if count <= 1:
        for index, job in enumerate(jobs):
            found[index] = rows_of(job)
            done()
    else:
        with WorkerPool(count) as pool:
            futures = {pool.submit(rows_of, job): index for index, job in enumerate(jobs)}
            for future in as_completed(futures):
                found[futures[future]] = future.result()
                done()
    return [row for index in range(len(jobs)) for row in found[index]]


def rows_of(job: Job) -> list[Row]:
    """One world's rows. Wrong pictures come from the world of the next seed but three, which is disturbed alike."""
    if job.staged:
        own = staged_before_signals(job.seed, job.profile, renderer())
    else:
        own = samples_of(job.seed, job.profile, job.seconds, renderer())
    others = own
    if SWAPPED in job.conditions:
        others = samples_of(job.seed + OTHER_WORLD, job.profile, job.seconds, renderer()) or own
    rng = np.random.default_rng(job.seed)
    looks = {
        look: samples_of(job.seed, job.profile, job.seconds, renderer(look))
        for look in job.conditions
        if look in HELD_OUT
    }
    return [
        _row(job, sample, others[index % len(others)], {look: found[index] for look, found in looks.items()}, rng)
        for index, sample in enumerate(own)
    ]


OTHER_WORLD = 1_000_004
"""Added to a seed for the world that wrong pictures come from: one that is not itself among those measured."""


def _row(job: Job, sample: Sample, other: Sample, looks: dict[str, Sample], rng: np.random.Generator) -> Row:
    plans, features = {}, None
    planner = _planner(job.bundle)
    if job.features:
        features = front_tokens(planner, sample)
    for condition in job.conditions:
        shown, how = (looks[condition], OWN) if condition in looks else (sample, condition)
        frames = seen_under(how, shown, other, job.photos, rng)
        with_model = _planner(job.blind) if condition == BLIND and job.blind is not None else planner
        depth = SLOW_DEPTH if condition == SLOW else FAST
        plan = with_model.plan(frames, sample.ego, sample.command, 1, depth=depth)
        if isinstance(plan, Plan):
            plans[condition] = _planned(plan, sample)
    straight = straight_on(sample.ego.speed_mps, len(sample.poses))
    return Row(
        world=job.seed,
        speed_mps=sample.ego.speed_mps,
        command=sample.command,
        demanding=sample.demanding,
        truth=sample.truth,
        reasoning=sample.reasoning,
        plans=plans,
        features=features,
        constant_velocity_m=float(np.hypot(*(straight - sample.poses[:, :2]).T).mean()),
    )


def straight_on(speed_mps: float, steps: int) -> NDArray[np.float64]:
    """(T, 2) positions at each planning step."""
    return np.stack([speed_mps * STEP_S * np.arange(1, steps + 1), np.zeros(steps)], axis=1)


def front_tokens(planner: Planner, sample: Sample) -> NDArray[np.float32]:
    """(F,) the vision tower's merged tokens of the newest pair of front pictures, one after the other."""
    vision = planner.vision
    pairs = vision.pairs(sample.frames)
    newest = max(range(len(pairs)), key=lambda i: (pairs[i].camera == "front", pairs[i].slot))
    found = vision.encode(pairs, vision.prepare(pairs, [newest]))
    return found[newest].ravel()


def _planned(plan: Plan, sample: Sample) -> Planned:
    error = np.hypot(*(np.asarray(plan.poses, np.float64) - sample.poses)[:, :2].T)
    doubt = doubt_of(plan)
    return Planned(
        float(error.mean()),
        float(error[:STEPS_3S].mean()),
        doubt.spread_m,
        doubt.negative_log_likelihood,
        doubt.slow_probability,
        plan.text,
        max(plan.uncertainty.vision_ood.values(), default=0.0),
    )


@lru_cache(maxsize=2)
def _planner(bundle: Path) -> Planner:
    return Planner(Bundle.open(bundle), vision_cache=False)
