"""How much of everything a training run does, and where it keeps its work."""

from __future__ import annotations

import json
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from onboard_vla.world.train_learner import Schedule

TRAIN_SEEDS, MODEL_SEEDS, VALIDATION_SEEDS, DRIVE_SEEDS = 10_000, 300_000, 500_000, 900_000
"""First seeds of worlds for training, for drives of the model to learn from, for validation, for measured drives."""


@dataclass(frozen=True)
class Plan:
    """Sizes of one run. Episodes per profile are (train, validation); seconds are of world time."""

    episodes: dict[str, tuple[int, int]]
    episode_seconds: float
    codebook_tokens: int
    codebook_motions: int
    vision: Schedule
    whole: Schedule
    model_drives: int
    finish: Schedule
    measured_samples: int
    drives: int
    drive_seconds: float
    golden_scenes: int
    calibration_scenes: int


FULL = Plan(
    episodes={"quiet_road": (300, 24)},
    episode_seconds=30.0,
    codebook_tokens=2048,
    codebook_motions=40_000,
    vision=Schedule(steps=1800, batch=64, rate=0.0, vision_rate=1.5e-3),
    whole=Schedule(steps=1500, batch=64, rate=1.5e-3, vision_rate=5e-4),
    model_drives=96,
    finish=Schedule(steps=800, batch=64, rate=1e-3, vision_rate=3e-4, softness_m=(0.05, 0.03)),
    measured_samples=640,
    drives=12,
    drive_seconds=60.0,
    golden_scenes=10,
    calibration_scenes=128,
)
SMOKE = Plan(
    episodes={"quiet_road": (2, 1)},
    episode_seconds=3.5,
    codebook_tokens=2048,
    codebook_motions=6_000,
    vision=Schedule(steps=3, batch=4, rate=0.0, vision_rate=1e-3, warmup=1),
    whole=Schedule(steps=3, batch=4, rate=1e-3, vision_rate=1e-3, warmup=1),
    model_drives=1,
    finish=Schedule(steps=2, batch=4, rate=1e-3, vision_rate=1e-3, warmup=1),
    measured_samples=4,
    drives=1,
    drive_seconds=0.6,
    golden_scenes=2,
    calibration_scenes=2,
)


@dataclass(frozen=True)
class Workplace:
    """Files of a run in progress."""

    folder: Path

    @property
    def episodes(self) -> Path:
        """Recorded episodes."""
        return self.folder / "episodes"

    @property
    def calibration_scenes(self) -> Path:
        """Training samples for the activation ranges of an INT8 export; too large for the checkpoint folder."""
        return self.folder / "calibration_scenes.npz"

    @property
    def blind_checkpoint(self) -> Path:
        """The blind control as a checkpoint folder, for `onboard-vla measure --blind`."""
        return self.folder / "blind_checkpoint"

    @property
    def assets(self) -> Path:
        """Tokenizer, prompt and cameras."""
        return self.folder / "assets"

    @property
    def codebook(self) -> Path:
        """The codebook."""
        return self.folder / "codebook.npz"

    def log(self, line: str) -> None:
        """Append a line with the time to log.txt."""
        with (self.folder / "log.txt").open("a", encoding="utf-8") as file:
            file.write(f"{time.strftime('%H:%M:%S')} {line}\n")

    def spent(self, stage: str, seconds: float, commit: str) -> None:
        """Add wall time to a stage, done with the code of `commit`."""
        stages = self.stages()
        before = stages.get(stage, {"seconds": 0.0, "commits": []})
        commits = [*before["commits"], *([] if commit in before["commits"] else [commit])]
        stages[stage] = {**before, "seconds": round(before["seconds"] + seconds, 1), "commits": commits}
        (self.folder / "stages.json").write_text(json.dumps(stages, indent=2), encoding="utf-8")

    def stages(self) -> dict[str, dict[str, Any]]:
        """Wall time and commits of each stage over all starts of the run."""
        path = self.folder / "stages.json"
        return dict(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else {}

    def measured(self, stage: str, samples_seen: int, figures: dict[str, float]) -> None:
        """Add a point to the learning curve; a point that was there, from before an interruption, is replaced."""
        point = {"stage": stage, "samples_seen": samples_seen, **figures}
        kept = [old for old in self.curve() if old["samples_seen"] != samples_seen]
        content = json.dumps(sorted([*kept, point], key=lambda p: p["samples_seen"]), indent=2)
        (self.folder / "curve.json").write_text(content, encoding="utf-8")

    def curve(self) -> list[dict[str, Any]]:
        """Validation figures over the samples that the whole model has seen."""
        path = self.folder / "curve.json"
        return list(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else []

    def state(self, stage: str) -> Path:
        """Where a stage's progress is kept."""
        return self.folder / f"{stage}.pt"


def jobs(plan: Plan, validation: bool) -> list[tuple[str, int, float, bool]]:
    """Episodes to record as (profile, seed, seconds, disturbed): three of four are disturbed."""
    first = VALIDATION_SEEDS if validation else TRAIN_SEEDS
    result = []
    for offset, (profile, counts) in enumerate(plan.episodes.items()):
        for index in range(counts[1] if validation else counts[0]):
            result.append((profile, first + 10_000 * offset + index, plan.episode_seconds, index % 4 != 0))
    return result


def model_jobs(plan: Plan) -> list[tuple[str, int]]:
    """Worlds (profile, seed) in which the model drives and the expert says what it should have done."""
    return [("quiet_road", MODEL_SEEDS + index) for index in range(plan.model_drives)]
