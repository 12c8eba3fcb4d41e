"""Stage by stage: how far a bundle's graphs are from transformers along the same tokens.

Stages: each camera's visual embeddings; the keys of every language layer, a linear function of the state that enters
it (values would not do: INT8 smoothing scales them); the action logits of one pass over prompt and answer; the same one
token a pass, as a decoder runs.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.graph_session import Arrays
from onboard_vla.export.scene_runner import SceneRunner
from onboard_vla.export.scenes import Scene
from onboard_vla.export.transformers_oracle import Stages

Floats = NDArray[np.float32]
KEYS = "new_key_"


@dataclass(frozen=True)
class StageFigures:
    """Over `vectors` vectors of a stage: cosine with transformers', largest error, and transformers' root mean square.

    Logits are centred first: softmax does not see a common offset, and an offset must not flatter.
    """

    stage: str
    vectors: int
    cosine_mean: float
    cosine_min: float
    error_max: float
    reference_rms: float


class Recorder:
    """Keeps the outputs of the latest runs of a `SceneRunner`."""

    def __init__(self) -> None:
        self.seen: list[Arrays] = []

    def add(self, outputs: Arrays) -> None:
        """One run's outputs by name."""
        self.seen.append(outputs)

    def take(self) -> list[Arrays]:
        """All since the last call."""
        seen, self.seen = self.seen, []
        return seen


class StageComparison:
    """Adds up scenes; `runner` reports to `recorder`."""

    def __init__(self, runner: SceneRunner, recorder: Recorder) -> None:
        self._runner, self._recorder = runner, recorder
        self._sums: dict[str, _Sum] = {}

    def add(self, scene: Scene, expected: Stages) -> None:
        """Run one scene along the reference's tokens and compare every stage.

        The runner remembers what it saw of the latest scene, so vision may have run since the recorder was last asked.
        """
        tokens = expected.logits.tokens.tolist()
        found = self._runner.teacher_forced(scene, tokens)
        outputs = self._recorder.take()
        visual = [run["embeddings"] for run in outputs if "embeddings" in run]
        for role, mine in zip(self._runner.roles, visual, strict=True):
            reference = expected.vision[role]
            self._take(f"vision, {role}", mine.reshape(reference.shape), reference)
        language = [run for run in outputs if "logits" in run][-1]
        for layer, reference in enumerate(expected.keys):
            self._take(f"keys, layer {layer}", language[f"{KEYS}{layer}"].reshape(reference.shape), reference)
        exact = _centred(expected.logits.actions)
        self._take("action logits, one pass", _centred(found.actions), exact)
        stepwise = self._runner.stepwise(scene, tokens)
        self._recorder.take()
        self._take("action logits, token by token", _centred(stepwise.actions), exact)

    def figures(self) -> tuple[StageFigures, ...]:
        """Every stage over all scenes, in the order of execution."""
        return tuple(total.figures(stage) for stage, total in self._sums.items())

    def _take(self, stage: str, found: Floats, reference: Floats) -> None:
        self._sums.setdefault(stage, _Sum()).add(found, reference)


@dataclass
class _Sum:
    vectors: int = 0
    cosines: float = 0.0
    worst: float = 1.0
    error: float = 0.0
    squares: float = 0.0
    width: int = field(default=1)

    def add(self, found: Floats, reference: Floats) -> None:
        """Vectors (N, D) of both."""
        a, b = found.astype(np.float64), reference.astype(np.float64)
        norms = np.linalg.norm(a, axis=1) * np.linalg.norm(b, axis=1)
        cosines = np.einsum("nd,nd->n", a, b) / np.maximum(norms, np.finfo(np.float64).tiny)
        self.vectors += len(a)
        self.width = a.shape[1]
        self.cosines += float(cosines.sum())
        # np.minimum and np.maximum keep a NaN.
        self.worst = float(np.minimum(self.worst, cosines.min()))
        self.error = float(np.maximum(self.error, np.abs(a - b).max()))
        self.squares += float((b * b).sum())

    def figures(self, stage: str) -> StageFigures:
        rms = (self.squares / (self.vectors * self.width)) ** 0.5
        return StageFigures(stage, self.vectors, self.cosines / self.vectors, self.worst, self.error, rms)


def as_rows(figures: tuple[StageFigures, ...]) -> list[Mapping[str, Any]]:
    """For JSON."""
    return [dict(vars(stage)) for stage in figures]


def _centred(logits: Floats) -> Floats:
    centred: Floats = logits - logits.mean(axis=1, keepdims=True)
    return centred
