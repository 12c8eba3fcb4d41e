"""From a checkpoint folder to a student's: pruned, distilled on scenes, written as a checkpoint of its own."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import asdict
from pathlib import Path

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.activation_ranges import ActivationRanges, fingerprint, save_ranges
from onboard_vla.export.aside import alone
from onboard_vla.export.assets import CAMERAS_FILE, COPIED_FILES
from onboard_vla.export.distillation import Recipe, Student
from onboard_vla.export.lessons import prepare_lessons, split_lessons
from onboard_vla.export.place import obstacle
from onboard_vla.export.scenes import Scene, load_scenes
from onboard_vla.export.source import GOLDEN, Source

ASSETS = (CAMERAS_FILE, *COPIED_FILES, "generation_config.json", "preprocessor_config.json", GOLDEN.file)
"""Files that a student takes over from its teacher as they are, where these exist."""
HELD_OUT = 0.05
"""Share of the scenes that is not learnt from."""
CALIBRATION_SCENES = 128
LEAST_SCENES = 2
RECORD_FILE, STATE_FILE = "distillation.json", "state.pt"


def make_student(
    checkpoint: Path,
    scenes: Sequence[Path],
    out: Path,
    recipe: Recipe,
    report: Callable[[str, float, str], None],
    golden: Path | None = None,
) -> Path:
    """Distil a student of `recipe.layers` language layers; returns `out`.

    `golden`: scenes that the student will be judged on, put beside its weights; else the teacher's, if it has some.
    What is done so far lies in `.{out}.partial` beside the student's place: the same command goes on from there.

    Raises:
        CheckpointError: the checkpoint or the scenes are not usable, or another recipe left its state there.
        EnvironmentLacksError: `out` cannot be written to, or another process makes a student there.
    """
    if (words := obstacle(out)) is not None:
        raise CheckpointError(words)
    with alone(out) as partial:
        return _make(checkpoint, scenes, out, recipe, report, golden, partial)


def _make(
    checkpoint: Path,
    scenes: Sequence[Path],
    out: Path,
    recipe: Recipe,
    report: Callable[[str, float, str], None],
    golden: Path | None,
    partial: Path,
) -> Path:
    """As `make_student`, alone at `out`; what is done so far lies in `partial`."""
    if out.exists():
        raise CheckpointError(f"{out} exists: choose another folder or remove it")
    source = Source.open(checkpoint)
    if golden is not None:
        load_scenes(golden, source.assets)  # refused now, not after the training
    shown = [scene for path in scenes for scene in load_scenes(path, source.assets)]
    if len(shown) < LEAST_SCENES:
        raise CheckpointError(f"expected at least {LEAST_SCENES} scenes to learn from and to ask, found {len(shown)}")
    lessons = prepare_lessons(source, shown, lambda share: report("ask the teacher", share, ""))
    learnt, asked = split_lessons(lessons, HELD_OUT, recipe.seed)
    student = Student(checkpoint, source.sizes, source.assets.codebook.deltas[:, :2], recipe)
    influence = student.influence(learnt)
    student.prune(influence)
    partial.mkdir(parents=True, exist_ok=True)
    before = student.examine(asked)
    student.learn(learnt, partial / STATE_FILE, lambda share, words: report("distil", share, words))
    exam = student.examine(asked)
    folder = partial / "checkpoint"
    shutil.rmtree(folder, ignore_errors=True)
    student.save(folder)
    for name in ASSETS:
        if (checkpoint / name).is_file():
            shutil.copyfile(checkpoint / name, folder / name)
    if golden is not None:
        shutil.copyfile(golden, folder / GOLDEN.file)
    _observe(folder, shown, lambda share: report("calibrate", share, ""))
    record = {
        "teacher": fingerprint(checkpoint),
        "recipe": vars(recipe),
        "scenes": {"files": [path.name for path in scenes], "learnt": len(learnt), "asked": len(asked)},
        "influence": influence,
        "kept": list(student.kept),
        "pruned_only": asdict(before),
        "distilled": asdict(exam),
    }
    (folder / RECORD_FILE).write_text(json.dumps(record, indent=2) + "\n", encoding="utf-8")
    folder.rename(out)
    shutil.rmtree(partial)
    return out


def _observe(folder: Path, scenes: Sequence[Scene], progress: Callable[[float], None]) -> None:
    """Write the student's activation ranges over some of the scenes, for INT8."""
    chosen = list(scenes)[:: max(1, len(scenes) // CALIBRATION_SCENES)][:CALIBRATION_SCENES]
    largest = Source.open(folder).observe(chosen, progress)
    save_ranges(folder, ActivationRanges(largest, len(chosen), "scenes of the distillation"))
