"""The stages of a training run; each picks up where an interrupted run left off."""

from __future__ import annotations

import json
import multiprocessing
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
from numpy.typing import NDArray

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.prompt import PromptTemplate
from onboard_vla.world.dataset_store import Frames, build_episodes, episode_path, load_frames, save_episode
from onboard_vla.world.model_assets import CAMERAS, write_assets
from onboard_vla.world.model_build import build_model, initialise_actions, save_checkpoint
from onboard_vla.world.model_tokenizer import save_tokenizer
from onboard_vla.world.train_closed_loop import CHEAP, drive
from onboard_vla.world.train_codebook import build_codebook
from onboard_vla.world.train_layout import Layout
from onboard_vla.world.train_learner import Learner, Schedule
from onboard_vla.world.train_losses import ActionTargets
from onboard_vla.world.train_measure import measure
from onboard_vla.world.train_plan import Plan, Workplace, jobs, model_jobs
from onboard_vla.world.train_samples import Samples, batches

if TYPE_CHECKING:
    from transformers import PreTrainedTokenizerFast

Report = Callable[[float, str], None]
"""Told the fraction done and a short text."""
SAVE_EVERY = 200
LOG_EVERY = 25
SOFT_SHARE = 0.6
"""Labels are softened over this first share of the steps; then they are hard."""


def make_codebook(plan: Plan, place: Workplace, seed: int, report: Report) -> None:
    """Build the codebook and save it."""
    book = build_codebook(seed, plan.codebook_tokens, plan.codebook_motions, lambda done: report(done, "k-disk"))
    book.save(place.codebook)


def make_assets(place: Workplace) -> tuple[PreTrainedTokenizerFast, Layout]:
    """Write tokenizer, prompt and cameras, and lay out the prompt."""
    place.assets.mkdir(parents=True, exist_ok=True)
    tokenizer = save_tokenizer(place.assets)
    write_assets(place.assets)
    return tokenizer, Layout(PromptTemplate.load(place.assets / "prompt.json"), tokenizer)


def record(plan: Plan, place: Workplace, workers: int, report: Report) -> None:
    """Record all episodes that are not on disk yet."""
    wanted = [*jobs(plan, validation=True), *jobs(plan, validation=False)]
    missing = [job for job in wanted if not episode_path(place.episodes, job[0], job[1]).exists()]
    chunks = [missing[i : i + EPISODES_A_TURN] for i in range(0, len(missing), EPISODES_A_TURN)]
    if workers <= 1:
        for index, chunk in enumerate(chunks):
            build_episodes(place.episodes, chunk, CAMERAS)
            report((index + 1) / len(chunks), f"{len(missing)} episodes")
        return
    with multiprocessing.get_context("spawn").Pool(workers) as pool:
        turns = [pool.apply_async(build_episodes, (place.episodes, chunk, CAMERAS)) for chunk in chunks]
        for index, turn in enumerate(turns):
            turn.get()
            report((index + 1) / len(turns), f"{len(missing)} episodes")


EPISODES_A_TURN = 4


def record_drives(learner: Learner, plan: Plan, place: Workplace, report: Report) -> None:
    """Let the model drive new worlds; keep its pictures with what the expert would have done."""
    missing = [job for job in model_jobs(plan) if not episode_path(place.episodes, *job).exists()]
    for start in range(0, len(missing), DRIVES_AT_ONCE):
        seeds = [seed for _, seed in missing[start : start + DRIVES_AT_ONCE]]

        def keep(seed: int, arrays: dict[str, NDArray[Any]]) -> None:
            save_episode(episode_path(place.episodes, "quiet_road", seed), arrays)

        drive(learner, "quiet_road", seeds, plan.episode_seconds, pace=CHEAP, keep=keep)
        report(min(1.0, (start + DRIVES_AT_ONCE) / len(missing)), f"{len(missing)} drives")


DRIVES_AT_ONCE = 8


def load(plan: Plan, place: Workplace, validation: bool, drives: bool = False) -> Frames:
    """All recorded episodes of one side; with `drives` those led by the model, too."""
    wanted = [(profile, seed) for profile, seed, *_ in jobs(plan, validation)]
    wanted += model_jobs(plan) if drives else []
    return load_frames([episode_path(place.episodes, *job) for job in wanted])


def make_learner(
    place: Workplace, tokenizer: PreTrainedTokenizerFast, samples: Samples, seed: int, blind: bool
) -> Learner:
    """A freshly initialised learner; action embeddings follow the codebook's geometry."""
    model = build_model(tokenizer, seed)
    initialise_actions(model, samples.layout.first_action, samples.codebook, seed)
    return Learner(model, samples, ActionTargets.of(samples.codebook, samples.layout.first_action), blind)


def train_vision(learner: Learner, schedule: Schedule, place: Workplace, seed: int, report: Report) -> None:
    """The vision tower and merger alone, on dense truths from the newest front pair."""
    learner.start(schedule, whole=False)
    start = _resume(learner, place.state("vision"))
    smooth = Smooth()
    for step, chosen in enumerate(batches(len(learner.samples), schedule.batch, schedule.steps, seed, start), start):
        loss = learner.vision_step(chosen, schedule.factor(step))
        smooth.add({"loss": loss})
        _after(learner, place, "vision", step, schedule, report, smooth)


def train_whole(
    learner: Learner,
    schedule: Schedule,
    place: Workplace,
    stage: str,
    seed: int,
    report: Report,
    every: Callable[[str, int], None] | None,
) -> None:
    """The whole model on the expert's tokens; `every` is told the stage and the steps done, to measure on the way."""
    learner.start(schedule, whole=True)
    start = _resume(learner, place.state(stage))
    smooth = Smooth()
    for step, chosen in enumerate(
        batches(len(learner.samples), schedule.batch, schedule.steps, seed + 1, start), start
    ):
        rng = np.random.default_rng((seed, step))
        batch = learner.samples.batch(chosen, rng)
        smooth.add(learner.step(batch, schedule.factor(step), softness(step, schedule), rng))
        _after(learner, place, stage, step, schedule, report, smooth)
        if every is not None:
            every(stage, step + 1)


def softness(step: int, schedule: Schedule) -> float:
    """Width of the soft labels in metres at this step; 0 means hard labels."""
    done = step / max(schedule.steps * SOFT_SHARE, 1)
    first, last = schedule.softness_m
    return 0.0 if done >= 1 else first + (last - first) * done


def export(learner: Learner, place: Workplace, folder: Path) -> None:
    """Write a checkpoint folder of the model as it is."""
    save_checkpoint(folder, learner.model, learner.samples.codebook, place.assets)


def shorter(schedule: Schedule, steps: int) -> Schedule:
    """The same schedule over fewer steps."""
    return replace(schedule, steps=steps)


class Watch:
    """Every MEASURE_EVERY steps: a point of the learning curve on validation worlds, and a checkpoint folder."""

    def __init__(self, learner: Learner, samples: Samples, plan: Plan, place: Workplace, seed: int) -> None:
        self._learner, self._samples, self._place, self._seed = learner, samples, place, seed
        self._plan, self._chosen = plan, measured_rows(len(samples), plan.measured_samples // 2, seed)

    def __call__(self, stage: str, step: int) -> None:
        """Called after each step with the number of steps done."""
        if step % MEASURE_EVERY == 0:
            figures = measure(self._learner, self._samples, self._chosen, self._seed)
            rounded = {name: round(value, 3) for name, value in figures.items()}
            self._place.log(f"validation after {stage} {step}: {json.dumps(rounded)}")
            whole, finish = self._plan.whole, self._plan.finish
            seen = step * whole.batch if stage == "whole" else whole.steps * whole.batch + step * finish.batch
            self._place.measured(stage, seen, rounded)
            export(self._learner, self._place, self._place.folder / f"checkpoint_{stage}_{step}")


MEASURE_EVERY = 250


def measured_rows(count: int, wanted: int, seed: int) -> NDArray[np.int64]:
    """The validation samples that are measured: `wanted` of `count`, chosen by the seed."""
    return np.sort(np.random.default_rng(seed).permutation(count)[:wanted])


class Smooth:
    """Running means of losses for the progress line."""

    def __init__(self) -> None:
        self.values: dict[str, float] = {}

    def add(self, losses: dict[str, float]) -> None:
        """Mix in one step."""
        for name, value in losses.items():
            self.values[name] = 0.95 * self.values.get(name, value) + 0.05 * value

    def __str__(self) -> str:
        return " ".join(f"{name} {value:.3f}" for name, value in self.values.items())


def restore(learner: Learner, place: Workplace, stage: str) -> None:
    """Take the weights that an earlier stage left.

    Raises:
        ConfigurationError: that stage has not been run.
    """
    path = place.state(stage)
    if not path.exists():
        raise ConfigurationError(f"{path} is missing: run the stage '{stage.removesuffix('_finish')}' first")
    learner.load({**torch.load(path, weights_only=True), "optimiser": None})


def _resume(learner: Learner, path: Path) -> int:
    if not path.exists():
        return 0
    state = torch.load(path, weights_only=True)
    learner.load(state)
    return int(state["step"])


def _after(
    learner: Learner, place: Workplace, stage: str, step: int, schedule: Schedule, report: Report, smooth: Smooth
) -> None:
    done = step + 1
    report(done / schedule.steps, str(smooth))
    if done % LOG_EVERY == 0:
        place.log(f"{stage} {done}/{schedule.steps} {smooth}")
    if done % SAVE_EVERY == 0 or done == schedule.steps:
        learner.save(place.state(stage), stage, done)
