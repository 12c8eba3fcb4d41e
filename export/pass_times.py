"""What a bundle's passes cost, in processor time of one thread: the same scene through each in turn, round after round.

Processor time, for other work on the machine stretches wall time. Patches and sampling are not part of it.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.scenes import Scene
from onboard_vla.export.verification import runner_of, sizes_of
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.engine import OnnxEngine
from onboard_vla.runtime.language_model import LEAST_ROWS, LanguageModel
from onboard_vla.runtime.positions import text_positions

WARM_UP = 2
"""Rounds that are not counted."""


@dataclass(frozen=True)
class PassTimes:
    """Medians over `rounds` rounds, milliseconds of processor time.

    `vision_ms`: every picture pair of one plan. `prefill_ms`: prompt and forced prefix. `decode_ms`: one token as the
    runtime decodes (`LEAST_ROWS` rows). `lone_decode_ms`: the same with one row, which decodes no fewer tokens.
    """

    rounds: int
    prompt_tokens: int
    vision_ms: float
    prefill_ms: float
    decode_ms: float
    lone_decode_ms: float

    def plan_ms(self, actions: int) -> float:
        """A plan of so many actions, one token a pass and nothing cached."""
        return self.vision_ms + self.prefill_ms + (actions - 1) * self.decode_ms


def time_passes(bundles: Sequence[Bundle], scene: Scene, rounds: int) -> list[PassTimes]:
    """Time the passes of every bundle on one scene."""
    timed = [_Timed(bundle, scene) for bundle in bundles]
    for number in range(WARM_UP + rounds):
        for one in timed:
            one.round(number >= WARM_UP)
    return [one.medians() for one in timed]


class _Timed:
    """One bundle's engines and what they are fed."""

    def __init__(self, bundle: Bundle, scene: Scene) -> None:
        manifest, sizes = bundle.manifest, sizes_of(bundle)
        runner = runner_of(bundle)
        self._seen = runner.see([scene])[0]
        self._patches = {
            camera.role: (camera.vision_graph, runner.patches(scene.images[camera.role])) for camera in manifest.cameras
        }
        names = {camera.vision_graph for camera in manifest.cameras}
        self._vision = {name: OnnxEngine(bundle.path / name) for name in names}
        self._width, self._merge = manifest.model.text.hidden_size, manifest.model.vision.merge_size**2
        prefix = list(sizes.answer.fast_prefix)
        token = bundle.embeddings[[manifest.actions.first_id]].astype(np.float32)
        self._token, self._actions = token, manifest.actions.per_answer
        self._prompt = np.concatenate([self._seen.embeddings, bundle.embeddings[prefix].astype(np.float32)])
        after = text_positions(self._seen.next_position, len(prefix) + self._actions)
        self._positions = np.concatenate([self._seen.positions, after], axis=1)
        capacity = int(self._positions.max()) + len(self._prompt) + self._actions + 1
        engine = OnnxEngine(bundle.path / manifest.language_graph)
        self._language = LanguageModel(engine, manifest.model.text, capacity)
        self._logits = np.empty((1, manifest.model.text.vocabulary_size), np.float32)
        self._samples: list[tuple[float, float, float, float]] = []

    def round(self, counts: bool) -> None:
        """One plan's passes, both ways to decode."""
        start = time.process_time()
        for graph, patches in self._patches.values():
            self._see(graph, patches)
        seen = time.process_time()
        vision, prefill, decode = seen - start, *self._answer(LEAST_ROWS)
        lone = self._answer(1)[1]
        if counts:
            self._samples.append((vision, prefill, decode, lone))

    def medians(self) -> PassTimes:
        """Over the rounds that counted."""
        times = np.median(np.array(self._samples), axis=0) * 1e3
        return PassTimes(len(self._samples), len(self._prompt), *(float(value) for value in times))

    def _see(self, graph: str, patches: NDArray[np.float32]) -> None:
        room = np.empty((len(patches), patches.shape[1] // self._merge, self._width), np.float32)
        self._vision[graph].run({"patches": patches}, {"embeddings": room})

    def _answer(self, least_rows: int) -> tuple[float, float]:
        """Seconds of the prefill, and of one decoded token in the mean."""
        model, count = self._language, len(self._prompt)
        model.least_rows = least_rows
        model.rollback(0)
        start = time.process_time()
        self._pass(self._prompt, self._positions[:, :count], count - 1)
        filled = time.process_time()
        for step in range(self._actions - 1):
            self._pass(self._token, self._positions[:, count + step : count + step + 1], 0)
        return filled - start, (time.process_time() - filled) / (self._actions - 1)

    def _pass(self, embeddings: NDArray[np.float32], positions: NDArray[Any], row: int) -> None:
        self._language.forward(embeddings, positions, np.array([row]), self._logits)
