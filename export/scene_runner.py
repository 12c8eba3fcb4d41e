"""Runs a model's graphs on scenes: vision, prefill, teacher-forced or greedy actions. Float32 and INT8 alike.

Written apart from the runtime's planner on purpose: what it finds does not rest on the code that it is to check.
Positions, patches and answer ids are the runtime's own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import (
    MASKED_BIAS,
    ActionTokens,
    CameraInput,
    Generation,
    ModelDimensions,
    SpecialTokens,
)
from onboard_vla.core.errors import BundleError
from onboard_vla.export.observation import Observations
from onboard_vla.export.scenes import Scene
from onboard_vla.kernels.reference_images import normalisation_table, patches_of_pair
from onboard_vla.runtime.positions import RotaryTable, VideoGrid, prompt_positions, text_positions
from onboard_vla.runtime.prompt import AnswerIds

Floats = NDArray[np.float32]
Arrays = dict[str, NDArray[Any]]


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


class GraphSession:
    """One graph in ONNX Runtime; outputs come as a table by name."""

    def __init__(self, graph: Path | bytes, threads: int = 1) -> None:
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = threads
        options.log_severity_level = 3  # errors only
        source = graph if isinstance(graph, bytes) else str(graph)
        self._session = onnxruntime.InferenceSession(source, options, providers=["CPUExecutionProvider"])
        self._outputs = [output.name for output in self._session.get_outputs()]

    def run(self, inputs: Mapping[str, NDArray[Any]]) -> Arrays:
        """All outputs."""
        return dict(zip(self._outputs, self._session.run(self._outputs, dict(inputs)), strict=True))


@dataclass(frozen=True, eq=False)
class _Prompt:
    embeddings: Floats
    positions: NDArray[np.int64]
    next_position: int
    ids: NDArray[np.int64]


class SceneRunner:
    """Holds sessions and the embedding table; `observations`, if given, take in what observed graphs report."""

    def __init__(
        self,
        sizes: Sizes,
        vision: Mapping[str, Path | bytes],
        language: Path | bytes,
        embedding: NDArray[Any],
        observations: Observations | None = None,
        threads: int = 1,
    ) -> None:
        self._sizes, self._embedding, self._observations = sizes, embedding, observations
        self._vision = {name: GraphSession(graph, threads) for name, graph in vision.items()}
        self._language = GraphSession(language, threads)
        self._seen: tuple[Scene, _Prompt] | None = None
        self._table = normalisation_table(sizes.model.vision.image_mean, sizes.model.vision.image_std)

    def teacher_forced(self, scene: Scene, tokens: Sequence[int]) -> ActionLogits:
        """Logits at every action when the actions before it are `tokens`; one pass over prompt and fast answer."""
        prompt, answer = self._see(scene), self._sizes.answer
        first_id = self._sizes.actions.first_id
        forced = [*answer.fast_prefix, *(first_id + token for token in tokens[:-1])]
        start, first = len(prompt.ids), len(prompt.ids) + len(answer.fast_prefix) - 1
        rows = [start + answer.fork_index - 1, *range(first, first + len(tokens))]
        logits = _Pass(self, prompt).run(forced, rows)
        return self._result(prompt, logits[0], logits[1:], tokens)

    def greedy(self, scene: Scene) -> ActionLogits:
        """Decode greedily among the action tokens after the fast prefix, with the repetition penalty."""
        prompt, answer, actions = self._see(scene), self._sizes.answer, self._sizes.actions
        start = len(prompt.ids)
        decode = _Pass(self, prompt)
        fork, row = decode.run(answer.fast_prefix, [start + answer.fork_index - 1, start + len(answer.fast_prefix) - 1])
        seen = [*prompt.ids.tolist(), *answer.fast_prefix]
        rows, tokens = [row], []
        for _ in range(actions.per_answer):
            scores = _penalised(rows[-1], seen, self._sizes.generation.repetition_penalty)
            tokens.append(int(np.argmax(scores[actions.first_id : actions.first_id + actions.count])))
            if len(tokens) < actions.per_answer:
                seen.append(actions.first_id + tokens[-1])
                rows.append(decode.run([seen[-1]], [0])[0])
        return self._result(prompt, fork, np.array(rows), tokens)

    def _result(self, prompt: _Prompt, fork: Floats, rows: Floats, tokens: Sequence[int]) -> ActionLogits:
        actions, answer = self._sizes.actions, self._sizes.answer
        span = slice(actions.first_id, actions.first_id + actions.count)
        seen = [*prompt.ids.tolist(), *answer.fast_prefix]
        inside = []
        for step, row in enumerate(rows):
            given = [*seen, *(actions.first_id + token for token in tokens[:step])]
            best = int(np.argmax(_penalised(row, given, self._sizes.generation.repetition_penalty)))
            inside.append(span.start <= best < span.stop)
        return ActionLogits(
            fork=fork[[answer.fast_fork, answer.slow_fork]],
            actions=np.ascontiguousarray(rows[:, span]),
            tokens=np.array(tokens, np.int64),
            inside=np.array(inside),
        )

    def _see(self, scene: Scene) -> _Prompt:
        """Embeddings and positions of a scene's prompt, visual tokens filled in; the latest scene is remembered."""
        if self._seen is None or self._seen[0] is not scene:
            self._seen = scene, self._encode_prompt(scene)
        return self._seen[1]

    def _encode_prompt(self, scene: Scene) -> _Prompt:
        sizes, vision = self._sizes, self._sizes.model.vision
        visual = [self._encode(camera, scene.images[camera.role]) for camera in sizes.cameras]
        embeddings = self._embedding[scene.prompt_ids].astype(np.float32)
        places = np.flatnonzero(scene.prompt_ids == sizes.tokens.video_pad)
        count = sum(len(tokens) for tokens in visual)
        if len(places) != count:
            raise BundleError(f"a scene's prompt has {len(places)} visual tokens, its cameras give {count}")
        embeddings[places] = np.concatenate(visual)
        runs = _runs(scene.prompt_ids == sizes.tokens.video_pad, self._grids(scene))
        positions, following = prompt_positions(runs, vision.tokens_per_second, vision.second_per_grid)
        return _Prompt(embeddings, positions, following, scene.prompt_ids)

    def _grids(self, scene: Scene) -> list[VideoGrid]:
        vision = self._sizes.model.vision
        merge, frames = vision.merge_size, vision.temporal_patch_size
        return [
            VideoGrid(len(scene.images[camera.role]) // frames, camera.grid_h // merge, camera.grid_w // merge)
            for camera in self._sizes.cameras
        ]

    def _encode(self, camera: CameraInput, images: NDArray[np.uint8]) -> Floats:
        """Visual tokens (pairs * tokens, D) of one camera."""
        vision = self._sizes.model.vision
        pairs = [
            patches_of_pair(older, newer, self._table, vision.patch_size, vision.merge_size)
            for older, newer in zip(images[::2], images[1::2], strict=True)
        ]
        outputs = self._vision[camera.vision_graph].run({"patches": np.stack(pairs)})
        self._observe(outputs)
        embeddings: Floats = outputs["embeddings"]
        return embeddings.reshape(-1, embeddings.shape[-1])

    def _observe(self, outputs: Arrays) -> None:
        if self._observations is not None:
            self._observations.add(outputs)


class _Pass:
    """A growing sequence over one prompt with its own key-value cache."""

    def __init__(self, runner: SceneRunner, prompt: _Prompt) -> None:
        text, sizes = runner._sizes.model.text, runner._sizes
        self._runner, self._prompt, self._length = runner, prompt, 0
        limit = max(int(prompt.positions.max()) + 1, prompt.next_position)
        limit += len(sizes.answer.fast_prefix) + sizes.actions.per_answer
        self._rotary = RotaryTable(text.head_dim, text.rope_theta, text.mrope_section, limit)
        names = [f"past_{kind}_{i}" for i in range(text.layers) for kind in ("key", "value")]
        self._cache: Arrays = {name: np.zeros((0, text.kv_heads, text.head_dim), np.float32) for name in names}

    def run(self, ids: Sequence[int], rows: Sequence[int]) -> Floats:
        """Append `ids` (the first time after the prompt) and return raw logits (R, vocabulary) of `rows`."""
        runner, prompt = self._runner, self._prompt
        embeds = runner._embedding[list(ids)].astype(np.float32)
        positions = text_positions(prompt.next_position + max(0, self._length - len(prompt.ids)), len(ids))
        if self._length == 0:
            embeds = np.concatenate([prompt.embeddings, embeds])
            positions = np.concatenate([prompt.positions, positions], axis=1)
        new, past = len(embeds), self._length
        cos, sin = self._rotary.look_up(positions)
        bias = np.triu(np.full((new, past + new), MASKED_BIAS, np.float32), past + 1)
        feed: Arrays = {"embeds": embeds, "cos": cos, "sin": sin, "bias": bias, "rows": np.array(rows, np.int64)}
        outputs = runner._language.run({**feed, **self._cache})
        runner._observe(outputs)
        self._cache = {
            name: np.concatenate([old, outputs[name.replace("past_", "new_")]]) for name, old in self._cache.items()
        }
        self._length += new
        logits: Floats = outputs["logits"]
        return logits


def _runs(visual: NDArray[np.bool_], grids: Sequence[VideoGrid]) -> list[int | VideoGrid]:
    """A prompt as text runs and videos, camera by camera."""
    runs: list[int | VideoGrid] = []
    at = 0
    for grid in grids:
        start = at + int(np.argmax(visual[at:]))
        runs += [start - at, grid]
        at = start + grid.tokens
    return [*runs, len(visual) - at]


def _penalised(logits: Floats, seen: Sequence[int], penalty: float) -> Floats:
    """Logits (V,) with transformers' repetition penalty on the ids seen so far."""
    scores: Floats = logits.copy()
    ids = np.unique(seen)
    scores[ids] = np.where(scores[ids] < 0, scores[ids] * np.float32(penalty), scores[ids] / np.float32(penalty))
    return scores
