"""Runs a model's graphs on scenes: vision, prefill, teacher-forced or greedy actions. Float32 and INT8 alike.

Written apart from the runtime's planner on purpose: what it finds does not rest on the code that it is to check.
Positions, patches and answer ids are the runtime's own.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, MutableMapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import (
    ActionTokens,
    CameraInput,
    Generation,
    ModelDimensions,
    SpecialTokens,
    VisionDimensions,
)
from onboard_vla.core.errors import BundleError
from onboard_vla.export.action_logits import ActionLogits, GrowingAnswer
from onboard_vla.export.doubled_rows import DoubledRows
from onboard_vla.export.graph_session import Arrays, Feed, GraphSession, Session
from onboard_vla.export.growing_pass import GrowingPass, SeenPrompt
from onboard_vla.export.kept_arrays import OnDemand
from onboard_vla.export.scenes import Scene
from onboard_vla.kernels.reference_images import normalisation_table, patches_of_pair
from onboard_vla.runtime.positions import RotaryTable, VideoGrid, prompt_positions
from onboard_vla.runtime.prompt import AnswerIds

Floats = NDArray[np.float32]
TakeLogits = Callable[[int, ActionLogits], None]


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

    def growing_answer(self, prompt_ids: NDArray[np.int64], *, tokens_alone: bool = False) -> GrowingAnswer:
        """An answer to a prompt that nothing is known of yet."""
        penalty = self.generation.repetition_penalty
        return GrowingAnswer(self.actions, self.answer, penalty, prompt_ids, tokens_alone=tokens_alone)


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
        kept: MutableMapping[str, NDArray[Any]] | None = None,
    ) -> None:
        """`kept`: where prompts with their pictures and keys and values go; on disk, if many scenes run together."""
        self.sizes, self._embedding, self._observations = sizes, embedding, observations
        self._vision, self._language = vision, language
        self._kept: MutableMapping[str, NDArray[Any]] = {} if kept is None else kept
        self._seen: tuple[list[Scene], list[SeenPrompt]] = [], []
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
        kept: MutableMapping[str, NDArray[Any]] | None = None,
        *,
        doubled: bool = True,
    ) -> SceneRunner:
        """A runner of graphs on disk; `doubled`: in passes as the planner makes them (see `DoubledRows`)."""
        sessions = {name: GraphSession(graph, threads) for name, graph in vision.items()}
        alone = GraphSession(language, threads)
        return cls(sizes, sessions, DoubledRows(alone) if doubled else alone, embedding, observations, kept)

    def with_language(self, language: Session) -> SceneRunner:
        """The same with another language graph; what it saw of the latest scenes is kept."""
        other = SceneRunner(self.sizes, self._vision, language, self._embedding, self._observations, self._kept)
        other._seen = self._seen
        return other

    def with_vision(self, vision: Mapping[str, Session]) -> SceneRunner:
        """The same with other vision graphs."""
        return SceneRunner(self.sizes, vision, self._language, self._embedding, self._observations)

    def teacher_forced(self, scene: Scene, tokens: Sequence[int]) -> ActionLogits:
        """Logits at every action when the actions before it are `tokens`; one pass over prompt and fast answer."""
        return self.teacher_forced_many([scene], [tokens])[0]

    def teacher_forced_many(self, scenes: Sequence[Scene], tokens: Sequence[Sequence[int]]) -> list[ActionLogits]:
        """As `teacher_forced`, for each scene along its own tokens."""
        found: dict[int, ActionLogits] = {}
        self.teacher_forced_each(scenes, tokens, found.__setitem__)
        return [found[index] for index in range(len(scenes))]

    def teacher_forced_each(self, scenes: Sequence[Scene], tokens: Sequence[Sequence[int]], take: TakeLogits) -> None:
        """As `teacher_forced_many`; hands each scene's logits over instead of keeping them."""
        answer, first_id = self.sizes.answer, self.sizes.actions.first_id
        passes, feeds = self._passes(scenes), []
        for run, along in zip(passes, tokens, strict=True):
            start, first = len(run.prompt.ids), len(run.prompt.ids) + len(answer.fast_prefix) - 1
            forced = [*answer.fast_prefix, *(first_id + token for token in along[:-1])]
            feeds.append(run.feed(forced, [start + answer.fork_index - 1, *range(first, first + len(along))]))

        def read(index: int, outputs: Arrays) -> None:
            self._observe(outputs)
            if "logits" in outputs:
                fork, *rows = outputs["logits"]
                take(index, action_logits(self.sizes, passes[index].prompt.ids, fork, rows, tokens[index]))

        self._language.run_each(feeds, read)

    def greedy(self, scene: Scene) -> ActionLogits:
        """Decode greedily among the action tokens after the fast prefix, with the repetition penalty."""
        return self.greedy_many([scene])[0]

    def stepwise(self, scene: Scene, tokens: Sequence[int]) -> ActionLogits:
        """As `teacher_forced`, one token a pass, as a decoder runs."""
        return self.greedy_many([scene], [tokens])[0]

    def each_way(self, scene: Scene, tokens: Sequence[int]) -> tuple[ActionLogits, ActionLogits, ActionLogits]:
        """`teacher_forced` and `stepwise` along `tokens`, and `greedy`; what they share is the pass over the prompt.

        Of the last two every action after the first comes of a pass over one token.
        """
        run, fork, row = self._prompted(scene)
        forced = action_logits(self.sizes, run.prompt.ids, fork, [row, *self._rows_along(run, tokens)], tokens)
        prompt = run.length
        free = stepped = self._step(run, fork, row, len(tokens))
        if free.tokens.tolist() != list(tokens):
            run.rewind(prompt)
            stepped = self._step(run, fork, row, len(tokens), tokens)
        run.forget()
        return forced, stepped, free

    def in_few_passes(self, scene: Scene, tokens: Sequence[int]) -> tuple[ActionLogits, ActionLogits]:
        """`teacher_forced` along `tokens`, and `greedy`; one pass over the prompt, and one over what they share.

        A pass over one token is made only from where the two part on: for graphs of which a pass costs seconds.
        """
        run, fork, row = self._prompted(scene)
        first_id, free = self.sizes.actions.first_id, self.sizes.growing_answer(run.prompt.ids)
        free.take_fork(fork)
        free.take(row)
        rows = self._rows_along(run, tokens)
        forced = action_logits(self.sizes, run.prompt.ids, fork, [row, *rows], tokens)
        for row, token in zip(rows, tokens, strict=False):
            if free.tokens[-1] != token:
                break
            free.take(row)
        unread = [first_id + token for token in free.tokens]
        while len(free.tokens) < len(tokens):
            (row,) = self._grow(run, unread, [len(unread) - 1])
            free.take(row)
            unread = [free.last_id]
        run.forget()
        return forced, free.logits()

    def _prompted(self, scene: Scene) -> tuple[GrowingPass, Floats, Floats]:
        """A sequence after prompt and fast prefix, with the logits at the fork and at the first action."""
        (run,), answer = self._passes([scene]), self.sizes.answer
        at_fork, at_end = (len(run.prompt.ids) + count - 1 for count in (answer.fork_index, len(answer.fast_prefix)))
        fork, row = self._grow(run, answer.fast_prefix, [at_fork, at_end])
        return run, fork, row

    def _rows_along(self, run: GrowingPass, tokens: Sequence[int]) -> list[Floats]:
        """The logits at every action but the first, in one pass that is not kept."""
        along = [self.sizes.actions.first_id + token for token in tokens[:-1]]
        return list(self._language.run(run.feed(along, range(len(along))))["logits"]) if along else []

    def _step(
        self, run: GrowingPass, fork: Floats, row: Floats, count: int, forced: Sequence[int] | None = None
    ) -> ActionLogits:
        """Go on to `count` actions, a token a pass: greedily, or along `forced`."""
        growing = self.sizes.growing_answer(run.prompt.ids)
        growing.take_fork(fork)
        for step in range(count):
            if step:
                (row,) = self._grow(run, [growing.last_id], [0])
            growing.take(row, None if forced is None else forced[step])
        return growing.logits()

    def _grow(self, run: GrowingPass, ids: Sequence[int], rows: Sequence[int]) -> Iterable[Floats]:
        """Append `ids` for good; the logits of `rows`."""
        outputs = self._language.run(run.feed(ids, rows))
        run.keep(outputs)
        run.advance()
        found: Floats = outputs["logits"]
        return found

    def greedy_many(self, scenes: Sequence[Scene], forced: Sequence[Sequence[int]] | None = None) -> list[ActionLogits]:
        """As `greedy`, for each scene; all of them take each step together. `forced`: tokens to take instead."""
        return [growing.logits() for growing in self._decode(scenes, forced)]

    def follow(self, scenes: Sequence[Scene]) -> None:
        """Run as `greedy_many`, for what observers see of it."""
        self._decode(scenes, tokens_alone=True)

    def _decode(
        self, scenes: Sequence[Scene], forced: Sequence[Sequence[int]] | None = None, *, tokens_alone: bool = False
    ) -> list[GrowingAnswer]:
        answer, last = self.sizes.answer, self.sizes.actions.per_answer - 1
        passes = self._passes(scenes)
        answers = [self.sizes.growing_answer(run.prompt.ids, tokens_alone=tokens_alone) for run in passes]
        for step in range(last + 1):
            feeds, goes_on = [], step < last
            for run, growing in zip(passes, answers, strict=True):
                start = len(run.prompt.ids)
                rows = [0] if step else [start + answer.fork_index - 1, start + len(answer.fast_prefix) - 1]
                feeds.append(run.feed([growing.last_id] if step else answer.fast_prefix, rows))

            def read(index: int, outputs: Arrays, step: int = step, goes_on: bool = goes_on) -> None:
                self._observe(outputs)
                if goes_on:
                    passes[index].keep(outputs)
                if "logits" in outputs:
                    *fork, row = outputs["logits"]
                    if fork:
                        answers[index].take_fork(fork[0])
                    answers[index].take(row, None if forced is None else forced[index][step])

            self._language.run_each(feeds, read)
            for run in passes:
                run.advance()
        for run in passes:
            run.forget()
        return answers

    def _passes(self, scenes: Sequence[Scene]) -> list[GrowingPass]:
        """A growing sequence over each scene's prompt."""
        prompts, sizes = self.see(scenes), self.sizes
        text, longest = sizes.model.text, len(sizes.answer.fast_prefix) + sizes.actions.per_answer
        limit = max(max(int(prompt.positions.max()) + 1, prompt.next_position) for prompt in prompts) + longest
        rotary = RotaryTable(text.head_dim, text.rope_theta, text.mrope_section, limit)
        return [
            GrowingPass(text, self._embedding, rotary, prompt, self._kept, f"scene-{index}-")
            for index, prompt in enumerate(prompts)
        ]

    def see(self, scenes: Sequence[Scene]) -> list[SeenPrompt]:
        """Embeddings and positions of each prompt, visual tokens filled in; the latest scenes are remembered."""
        known = {id(scene): prompt for scene, prompt in zip(*self._seen, strict=True)}
        if not all(id(scene) in known for scene in scenes):
            self._seen = list(scenes), self._encode_prompts(scenes)
            return self._seen[1]
        return [known[id(scene)] for scene in scenes]

    @property
    def roles(self) -> list[str]:
        """The cameras in the order in which a scene's pictures are run: those that share a graph together."""
        return [camera.role for cameras in self._cameras().values() for camera in cameras]

    def _cameras(self) -> dict[str, list[CameraInput]]:
        """Vision graph to its cameras."""
        found: dict[str, list[CameraInput]] = {}
        for camera in self.sizes.cameras:
            found.setdefault(camera.vision_graph, []).append(camera)
        return found

    def _encode_prompts(self, scenes: Sequence[Scene]) -> list[SeenPrompt]:
        for graph, cameras in self._cameras().items():
            places = [(index, camera.role) for index in range(len(scenes)) for camera in cameras]

            def take(number: int, outputs: Arrays, places: list[tuple[int, str]] = places) -> None:
                self._observe(outputs)
                if "embeddings" in outputs:
                    index, role = places[number]
                    tokens = outputs["embeddings"]
                    self._kept[_visual(index, role)] = tokens.reshape(-1, tokens.shape[-1])

            self._vision[graph].run_each([self._pictures(scenes[index], role) for index, role in places], take)
        return [self._prompt(index, scene) for index, scene in enumerate(scenes)]

    def _pictures(self, scene: Scene, role: str) -> Feed:
        return OnDemand({"patches": lambda: self.patches(scene.images[role])})

    def _prompt(self, index: int, scene: Scene) -> SeenPrompt:
        sizes, vision = self.sizes, self.sizes.model.vision
        visual = [self._kept.pop(_visual(index, camera.role)) for camera in sizes.cameras]
        embeddings = self._embedding[scene.prompt_ids].astype(np.float32)
        places = np.flatnonzero(scene.prompt_ids == sizes.tokens.video_pad)
        count = sum(len(tokens) for tokens in visual)
        if len(places) != count:
            raise BundleError(f"a scene's prompt has {len(places)} visual tokens, its cameras give {count}")
        embeddings[places] = np.concatenate(visual)
        self._kept[f"prompt-{index}"] = embeddings
        runs = _runs(scene.prompt_ids == sizes.tokens.video_pad, self._grids(scene))
        positions, following = prompt_positions(runs, vision.tokens_per_second, vision.second_per_grid)
        return SeenPrompt(positions, following, scene.prompt_ids, self._kept, f"prompt-{index}")

    def _grids(self, scene: Scene) -> list[VideoGrid]:
        vision = self.sizes.model.vision
        merge, frames = vision.merge_size, vision.temporal_patch_size
        return [
            VideoGrid(len(scene.images[camera.role]) // frames, camera.grid_h // merge, camera.grid_w // merge)
            for camera in self.sizes.cameras
        ]

    def patches(self, images: NDArray[np.uint8]) -> Floats:
        """Patches (pairs, N, width) of one camera's pictures."""
        return patches_of(self.sizes.model.vision, images, self._table)

    def _observe(self, outputs: Arrays) -> None:
        if self._observations is not None:
            self._observations.add(outputs)


def action_logits(
    sizes: Sizes, prompt_ids: NDArray[np.int64], fork: Floats, rows: Iterable[Floats], tokens: Sequence[int]
) -> ActionLogits:
    """What the logits (V,) at the fork and (T, V) at the actions say, along `tokens`."""
    growing = sizes.growing_answer(prompt_ids)
    growing.take_fork(fork)
    for row, token in zip(rows, tokens, strict=True):
        growing.take(row, token)
    return growing.logits()


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


def _visual(index: int, role: str) -> str:
    return f"visual-{index}-{role}"
