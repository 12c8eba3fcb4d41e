"""Runs a model's graphs on scenes: vision, prefill, teacher-forced or greedy actions. Float32 and INT8 alike.

Written apart from the runtime's planner on purpose: what it finds does not rest on the code that it is to check.
Positions, patches and answer ids are the runtime's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import (
    MASKED_BIAS,
    ActionTokens,
    CameraInput,
    Generation,
    ModelDimensions,
    SpecialTokens,
    VisionDimensions,
)
from onboard_vla.core.errors import BundleError
from onboard_vla.export.graph_session import Arrays, GraphSession, Session
from onboard_vla.export.scenes import Scene
from onboard_vla.kernels.reference_images import normalisation_table, patches_of_pair
from onboard_vla.runtime.positions import RotaryTable, VideoGrid, prompt_positions, text_positions
from onboard_vla.runtime.prompt import AnswerIds

Floats = NDArray[np.float32]


class Observer(Protocol):
    """Takes in all outputs of every run."""

    def add(self, outputs: Arrays) -> None:
        """One run's outputs by name."""


@dataclass(frozen=True)
class Sizes:
    """What a runner must know of a model; all of it stands in a manifest."""

    model: ModelDimensions
    cameras: tuple[CameraInput, ...]
    tokens: SpecialTokens
    actions: ActionTokens
    generation: Generation
    answer: AnswerIds


@dataclass(frozen=True, eq=False)
class ActionLogits:
    """`fork`: (2,) raw logits of the fast and slow fork token. `actions`: (T, count) raw logits of the action tokens.

    `tokens`: (T,) codebook indices that each row's successor was conditioned on. `inside`: (T,) bool, whether the
    largest of all logits (after the penalty) was an action token's.
    """

    fork: Floats
    actions: Floats
    tokens: NDArray[np.int64]
    inside: NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class SeenPrompt:
    """A prompt with its pictures: `embeddings` (S, D), rotary `positions` (3, S), the next one's, token `ids` (S,)."""

    embeddings: Floats
    positions: NDArray[np.int64]
    next_position: int
    ids: NDArray[np.int64]


class SceneRunner:
    """Holds sessions and the embedding table; `observations`, if given, take in what observed graphs report.

    Several scenes are run together, step by step, for sessions that are slow to open (see `pieces`).
    """

    def __init__(
        self,
        sizes: Sizes,
        vision: Mapping[str, Session],
        language: Session,
        embedding: NDArray[Any],
        observations: Observer | None = None,
    ) -> None:
        self._sizes, self._embedding, self._observations = sizes, embedding, observations
        self._vision, self._language = vision, language
        self._seen: tuple[Sequence[Scene], list[SeenPrompt]] | None = None
        self._table = normalisation_table(sizes.model.vision.image_mean, sizes.model.vision.image_std)

    @classmethod
    def of_files(
        cls,
        sizes: Sizes,
        vision: Mapping[str, Path],
        language: Path,
        embedding: NDArray[Any],
        threads: int = 1,
        observations: Observer | None = None,
    ) -> SceneRunner:
        """A runner of graphs on disk."""
        sessions = {name: GraphSession(graph, threads) for name, graph in vision.items()}
        return cls(sizes, sessions, GraphSession(language, threads), embedding, observations)

    def with_language(self, language: Session) -> SceneRunner:
        """The same with another language graph; what it saw of the latest scenes is kept."""
        other = SceneRunner(self._sizes, self._vision, language, self._embedding, self._observations)
        other._seen = self._seen
        return other

    def with_vision(self, vision: Mapping[str, Session]) -> SceneRunner:
        """The same with other vision graphs."""
        return SceneRunner(self._sizes, vision, self._language, self._embedding, self._observations)

    def teacher_forced(self, scene: Scene, tokens: Sequence[int]) -> ActionLogits:
        """Logits at every action when the actions before it are `tokens`; one pass over prompt and fast answer."""
        return self.teacher_forced_many([scene], [tokens])[0]

    def teacher_forced_many(self, scenes: Sequence[Scene], tokens: Sequence[Sequence[int]]) -> list[ActionLogits]:
        """As `teacher_forced`, for each scene along its own tokens."""
        answer, first_id = self._sizes.answer, self._sizes.actions.first_id
        passes = [_Pass(self, prompt) for prompt in self.see(scenes)]
        forced, rows = [], []
        for run, along in zip(passes, tokens, strict=True):
            start, first = len(run.prompt.ids), len(run.prompt.ids) + len(answer.fast_prefix) - 1
            forced.append([*answer.fast_prefix, *(first_id + token for token in along[:-1])])
            rows.append([start + answer.fork_index - 1, *range(first, first + len(along))])
        logits = self._push(passes, forced, rows)
        return [
            action_logits(self._sizes, run.prompt.ids, found[0], found[1:], along)
            for run, found, along in zip(passes, logits, tokens, strict=True)
        ]

    def greedy(self, scene: Scene) -> ActionLogits:
        """Decode greedily among the action tokens after the fast prefix, with the repetition penalty."""
        return self.greedy_many([scene])[0]

    def stepwise(self, scene: Scene, tokens: Sequence[int]) -> ActionLogits:
        """As `teacher_forced`, one token a pass, as a decoder runs."""
        return self.greedy_many([scene], [tokens])[0]

    def greedy_many(self, scenes: Sequence[Scene], forced: Sequence[Sequence[int]] | None = None) -> list[ActionLogits]:
        """As `greedy`, for each scene; all of them take each step together. `forced`: tokens to take instead."""
        answer, actions = self._sizes.answer, self._sizes.actions
        passes = [_Pass(self, prompt) for prompt in self.see(scenes)]
        rows = [
            [len(run.prompt.ids) + answer.fork_index - 1, len(run.prompt.ids) + len(answer.fast_prefix) - 1]
            for run in passes
        ]
        first = self._push(passes, [answer.fast_prefix] * len(passes), rows)
        steps = [[found[1]] for found in first]
        tokens: list[list[int]] = [[] for _ in passes]
        for step in range(actions.per_answer):
            for index, (run, found, chosen) in enumerate(zip(passes, steps, tokens, strict=True)):
                if forced is not None:
                    chosen.append(forced[index][step])
                    continue
                seen = [*run.prompt.ids.tolist(), *answer.fast_prefix, *(actions.first_id + token for token in chosen)]
                scores = penalised(found[-1], seen, self._sizes.generation.repetition_penalty)
                chosen.append(int(np.argmax(scores[actions.first_id : actions.first_id + actions.count])))
            if len(tokens[0]) < actions.per_answer:
                latest = [[actions.first_id + chosen[-1]] for chosen in tokens]
                for found, logits in zip(steps, self._push(passes, latest, [[0]] * len(passes)), strict=True):
                    found.append(logits[0])
        return [
            action_logits(self._sizes, run.prompt.ids, start[0], np.array(found), chosen)
            for run, start, found, chosen in zip(passes, first, steps, tokens, strict=True)
        ]

    def _push(
        self, passes: Sequence[_Pass], ids: Sequence[Sequence[int]], rows: Sequence[Sequence[int]]
    ) -> list[Floats]:
        """Append ids to every sequence; raw logits (R, vocabulary) of the wanted rows."""
        feeds = [run.feed(new, wanted) for run, new, wanted in zip(passes, ids, rows, strict=True)]
        found = []
        for run, outputs in zip(passes, self._language.run_many(feeds), strict=True):
            self._observe(outputs)
            found.append(run.take(outputs))
        return found

    def see(self, scenes: Sequence[Scene]) -> list[SeenPrompt]:
        """Embeddings and positions of each prompt, visual tokens filled in; the latest scenes are remembered."""
        seen = self._seen
        if seen is None or len(seen[0]) != len(scenes) or not _same(seen[0], scenes):
            seen = scenes, self._encode_prompts(scenes)
            self._seen = seen
        return seen[1]

    def _encode_prompts(self, scenes: Sequence[Scene]) -> list[SeenPrompt]:
        visual: list[list[Floats]] = [[] for _ in scenes]
        for camera in self._sizes.cameras:
            feeds = [{"patches": self.patches(scene.images[camera.role])} for scene in scenes]
            for tokens, outputs in zip(visual, self._vision[camera.vision_graph].run_many(feeds), strict=True):
                self._observe(outputs)
                embeddings: Floats = outputs["embeddings"]
                tokens.append(embeddings.reshape(-1, embeddings.shape[-1]))
        return [self._prompt(scene, tokens) for scene, tokens in zip(scenes, visual, strict=True)]

    def _prompt(self, scene: Scene, visual: Sequence[Floats]) -> SeenPrompt:
        sizes, vision = self._sizes, self._sizes.model.vision
        embeddings = self._embedding[scene.prompt_ids].astype(np.float32)
        places = np.flatnonzero(scene.prompt_ids == sizes.tokens.video_pad)
        count = sum(len(tokens) for tokens in visual)
        if len(places) != count:
            raise BundleError(f"a scene's prompt has {len(places)} visual tokens, its cameras give {count}")
        embeddings[places] = np.concatenate(visual)
        runs = _runs(scene.prompt_ids == sizes.tokens.video_pad, self._grids(scene))
        positions, following = prompt_positions(runs, vision.tokens_per_second, vision.second_per_grid)
        return SeenPrompt(embeddings, positions, following, scene.prompt_ids)

    def _grids(self, scene: Scene) -> list[VideoGrid]:
        vision = self._sizes.model.vision
        merge, frames = vision.merge_size, vision.temporal_patch_size
        return [
            VideoGrid(len(scene.images[camera.role]) // frames, camera.grid_h // merge, camera.grid_w // merge)
            for camera in self._sizes.cameras
        ]

    def patches(self, images: NDArray[np.uint8]) -> Floats:
        """Patches (pairs, N, width) of one camera's pictures."""
        return patches_of(self._sizes.model.vision, images, self._table)

    def _observe(self, outputs: Arrays) -> None:
        if self._observations is not None:
            self._observations.add(outputs)


class _Pass:
    """A growing sequence over one prompt with its own key-value cache."""

    def __init__(self, runner: SceneRunner, prompt: SeenPrompt) -> None:
        text, sizes = runner._sizes.model.text, runner._sizes
        self._embedding, self.prompt, self._length = runner._embedding, prompt, 0
        limit = max(int(prompt.positions.max()) + 1, prompt.next_position)
        limit += len(sizes.answer.fast_prefix) + sizes.actions.per_answer
        self._rotary = RotaryTable(text.head_dim, text.rope_theta, text.mrope_section, limit)
        names = [f"past_{kind}_{i}" for i in range(text.layers) for kind in ("key", "value")]
        self._cache: Arrays = {name: np.zeros((0, text.kv_heads, text.head_dim), np.float32) for name in names}

    def feed(self, ids: Sequence[int], rows: Sequence[int]) -> Arrays:
        """Inputs that append `ids` (the first time after the prompt) and ask for the logits of `rows`."""
        prompt = self.prompt
        embeds = self._embedding[list(ids)].astype(np.float32)
        positions = text_positions(prompt.next_position + max(0, self._length - len(prompt.ids)), len(ids))
        if self._length == 0:
            embeds = np.concatenate([prompt.embeddings, embeds])
            positions = np.concatenate([prompt.positions, positions], axis=1)
        new, past = len(embeds), self._length
        cos, sin = self._rotary.look_up(positions)
        bias = np.triu(np.full((new, past + new), MASKED_BIAS, np.float32), past + 1)
        feed: Arrays = {"embeds": embeds, "cos": cos, "sin": sin, "bias": bias, "rows": np.array(rows, np.int64)}
        return {**feed, **self._cache}

    def take(self, outputs: Arrays) -> Floats:
        """Take in what the graph made of the feed; the raw logits."""
        self._cache = {
            name: np.concatenate([old, outputs[name.replace("past_", "new_")]]) for name, old in self._cache.items()
        }
        self._length = len(next(iter(self._cache.values())))
        logits: Floats = outputs["logits"]
        return logits


def action_logits(
    sizes: Sizes, prompt_ids: NDArray[np.int64], fork: Floats, rows: Floats, tokens: Sequence[int]
) -> ActionLogits:
    """What the logits (V,) at the fork and (T, V) at the actions say, along `tokens`."""
    actions, answer, penalty = sizes.actions, sizes.answer, sizes.generation.repetition_penalty
    span = slice(actions.first_id, actions.first_id + actions.count)
    seen = [*prompt_ids.tolist(), *answer.fast_prefix]
    inside = []
    for step, row in enumerate(rows):
        given = [*seen, *(actions.first_id + token for token in tokens[:step])]
        inside.append(span.start <= int(np.argmax(penalised(row, given, penalty))) < span.stop)
    return ActionLogits(
        fork=fork[[answer.fast_fork, answer.slow_fork]],
        actions=np.ascontiguousarray(rows[:, span]),
        tokens=np.array(tokens, np.int64),
        inside=np.array(inside),
    )


def patches_of(vision: VisionDimensions, images: NDArray[np.uint8], table: Floats) -> Floats:
    """Patches (pairs, N, width) of one camera's pictures (frames, H, W, 3); `table`: `normalisation_table`."""
    pairs = [
        patches_of_pair(older, newer, table, vision.patch_size, vision.merge_size)
        for older, newer in zip(images[::2], images[1::2], strict=True)
    ]
    return np.stack(pairs)


def _runs(visual: NDArray[np.bool_], grids: Sequence[VideoGrid]) -> list[int | VideoGrid]:
    """A prompt as text runs and videos, camera by camera."""
    runs: list[int | VideoGrid] = []
    at = 0
    for grid in grids:
        start = at + int(np.argmax(visual[at:]))
        runs += [start - at, grid]
        at = start + grid.tokens
    return [*runs, len(visual) - at]


def penalised(logits: Floats, seen: Sequence[int], penalty: float) -> Floats:
    """Logits (V,) with transformers' repetition penalty on the ids seen so far."""
    scores: Floats = logits.copy()
    ids = np.unique(seen)
    scores[ids] = np.where(scores[ids] < 0, scores[ids] * np.float32(penalty), scores[ids] / np.float32(penalty))
    return scores


def _same(seen: Sequence[Scene], scenes: Sequence[Scene]) -> bool:
    return all(a is b for a, b in zip(seen, scenes, strict=True))
