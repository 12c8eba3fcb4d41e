"""What a student learns from: prompts with their pictures as embeddings, and what the teacher says to them.

The teacher runs as float32 graphs; its vision encoder and embeddings are the student's, so each picture is seen once.
"""

from __future__ import annotations

import hashlib
import tempfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.scenes import Scene
from onboard_vla.export.source import Source
from onboard_vla.runtime.positions import text_positions

Floats = NDArray[np.float32]


@dataclass(frozen=True, eq=False)
class Lesson:
    """One scene.

    `embeddings`: (S, D) of prompt, forced fast prefix and the teacher's actions but the last. `positions`: (3, S).
    `fork_row`: the row before the fork; `action_rows`: (T,) rows before each action. `fork`: (2,) the teacher's logits
    of fast and slow; `actions`: (T, count) its logits of the action tokens; `tokens`: (T,) its choices.
    """

    embeddings: Floats
    positions: NDArray[np.int64]
    fork_row: int
    action_rows: NDArray[np.int64]
    fork: Floats
    actions: NDArray[np.float16]
    tokens: NDArray[np.int64]


def prepare_lessons(source: Source, scenes: Sequence[Scene], progress: Callable[[float], None]) -> list[Lesson]:
    """Let the teacher answer every scene."""
    with tempfile.TemporaryDirectory() as folder:
        source.write_float_graphs(Path(folder), lambda _: None)
        runner = source.runner(Path(folder))
    table, answer, first_id = source.checkpoint.embedding, source.sizes.answer, source.sizes.actions.first_id
    lessons = []
    for done, scene in enumerate(scenes, start=1):
        said = runner.greedy(scene)
        (seen,) = runner.see([scene])
        after = [*answer.fast_prefix, *(first_id + token for token in said.tokens.tolist()[:-1])]
        start = len(seen.ids)
        lessons.append(
            Lesson(
                np.concatenate([seen.embeddings, table[after].astype(np.float32)]),
                np.concatenate([seen.positions, text_positions(seen.next_position, len(after))], axis=1),
                start + answer.fork_index - 1,
                start + len(answer.fast_prefix) - 1 + np.arange(len(said.tokens)),
                said.fork,
                said.actions.astype(np.float16),
                said.tokens,
            )
        )
        progress(done / len(scenes))
    return lessons


def lessons_hash(lessons: Sequence[Lesson]) -> str:
    """sha256 over what is asked and answered, in order."""
    digest = hashlib.sha256()
    for lesson in lessons:
        for array in (lesson.embeddings, lesson.positions, lesson.tokens):
            digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()


def split_lessons(lessons: Sequence[Lesson], held_out: float, seed: int) -> tuple[list[Lesson], list[Lesson]]:
    """Lessons to learn from, and a share that is only asked in the end."""
    order = np.random.default_rng((seed, 1)).permutation(len(lessons))
    count = max(1, round(held_out * len(lessons)))
    return [lessons[i] for i in order[count:]], [lessons[i] for i in order[:count]]


def batches(count: int, size: int, steps: int, seed: int, start: int = 0) -> list[NDArray[np.int64]]:
    """Indices of steps `start` to `steps`, epoch after epoch, shuffled anew; the same for a run that was resumed."""
    rng = np.random.default_rng((seed, 2))
    size = min(size, count)
    rows: list[NDArray[np.int64]] = []
    while len(rows) < steps:
        order = rng.permutation(count)
        rows += [order[at : at + size] for at in range(0, count - size + 1, size)]
    return rows[start:steps]
