"""From a frame set to a plan: vision, prompt, decoding, trajectory; every pass counted, every stage timed."""

from __future__ import annotations

import math
import time
from collections.abc import Callable, Collection
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FrameSet, Picture
from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError, EngineError, FrameError, PromptError
from onboard_vla.core.plan import FAST, PassCount, Plan, PlanRejection
from onboard_vla.core.road import KEEP_FORWARD
from onboard_vla.kernels.actions import Trajectories, TrajectoryCall, codebook_table, compose
from onboard_vla.kernels.forms import kernel_form, on_processor
from onboard_vla.kernels.layouts import KernelForm
from onboard_vla.runtime.answer_grammar import DecodeError
from onboard_vla.runtime.answer_sequence import PromptInput
from onboard_vla.runtime.bundle import Bundle
from onboard_vla.runtime.context_length import ContextLength, prompt_writer, standing_ego
from onboard_vla.runtime.decoding import DEPTHS, Decoded, GreedyDecoder
from onboard_vla.runtime.engine import Engine, OnnxEngine
from onboard_vla.runtime.language_model import LanguageModel
from onboard_vla.runtime.prompt import TokenisedPrompt, Tokenizer, answer_ids, wordless_ids
from onboard_vla.runtime.samples import Draw, Samples
from onboard_vla.runtime.scene_text import read_scene
from onboard_vla.runtime.uncertainty import UncertaintySignals
from onboard_vla.runtime.vision import PAIR, VisionEncoder
from onboard_vla.runtime.vision_reference import CameraReferences

STAGES = ("jpeg", "images", "vision", "vision_ood", "prompt", "prefill", "decode", "trajectory")
"""Stages in `Plan.stage_ms`, in order; they add up to "total". Jpeg is decompression, 0 for raw pictures. Decode is
all of decoding but the passes over given text."""


class Planner:
    """Plans with one bundle; not thread-safe.

    Args:
        bundle: an opened bundle.
        threads: worker threads per engine, and of picture preparation.
        depth: what `plan` does unless told otherwise, one of `DEPTHS`.
        vision_cache: remember embeddings of frame pairs; plans are equal either way.
        check_end: see that no action follows the last one; may cost a pass more.
        look_ahead: guess tokens ahead, for fewer passes; plans are equal either way.
        prefix_cache: keep keys and values of the text before the first picture; plans are equal either way.
        load: makes an engine from a graph file; ONNX Runtime on the CPU if not given.
        kernels: what computes pictures, statistics and trajectories; the fastest form that this installation has, if
            not given.
        reduced_decoding: whether compressed pictures may be decoded smaller.
        samples: room for so many further plans of one prompt, see `draw`.
        actions_alone: choose a plan's actions behind its first among actions alone. Another token that would have won
            there is not seen, and the mass outside the actions is known of the first alone.
        offsets_s: by how much the cameras' shutters open later than the anchor camera's, for the vision cache.
    """

    def __init__(
        self,
        bundle: Bundle,
        threads: int = 1,
        *,
        depth: str = FAST,
        vision_cache: bool = True,
        check_end: bool = False,
        look_ahead: bool = True,
        prefix_cache: bool = True,
        load: Callable[[Path], Engine] | None = None,
        kernels: KernelForm | None = None,
        reduced_decoding: bool = True,
        samples: int = 0,
        actions_alone: bool = False,
        offsets_s: Collection[float] = (),
    ) -> None:
        if depth not in DEPTHS:
            raise ValueError(f"depth {depth!r}: expected one of {', '.join(DEPTHS)}")
        manifest = bundle.manifest
        if actions_alone and not manifest.action_head:
            raise ConfigurationError(
                f"actions_alone: bundle {bundle.core_hash[:12]} has no head of the actions alone: leave the option "
                "unset, or export with --action-head"
            )
        load = load or (lambda path: OnnxEngine(path, threads))
        self.bundle, self.depth, self.kernels = bundle, depth, kernels or kernel_form()
        self.vision = VisionEncoder(
            manifest,
            bundle.path,
            load,
            cache=vision_cache,
            threads=threads,
            kernels=self.kernels,
            reduced_decoding=reduced_decoding,
            offsets_s=offsets_s,
        )
        self._cameras, self._optional = bundle.cameras, bundle.optional_cameras
        tokenizer = Tokenizer(bundle.path / manifest.tokenizer)
        self.prompt = prompt_writer(bundle, tokenizer)
        self._tokenizer = tokenizer
        answer = answer_ids(bundle.template, tokenizer, manifest.actions)
        template = bundle.template.answer
        closing = tokenizer.encode(template.answer_suffix)
        capacity = ContextLength.of(bundle, self.prompt, tokenizer).capacity + samples * manifest.actions.per_answer
        self.language = LanguageModel(load(bundle.path / manifest.language_graph), manifest.model.text, capacity)
        self.decoder = GreedyDecoder(
            self.language,
            bundle.embeddings,
            answer,
            manifest.actions,
            manifest.tokens.end_of_answer,
            closing[0],
            manifest.generation.repetition_penalty,
            template.max_reasoning_tokens,
            tokenizer,
            wordless=wordless_ids(tokenizer, manifest.tokens, len(bundle.embeddings)),
            look_ahead=look_ahead,
            prefix_cache=prefix_cache,
            check_end=check_end,
            actions_alone=actions_alone,
        )
        self._embeddings = np.empty((capacity, manifest.model.text.hidden_size), np.float32)
        self._written: TokenisedPrompt | None = None
        """The prompt whose text's embeddings lie there."""
        self._references = CameraReferences(bundle.vision_references(), on_processor(self.kernels))
        self._codebook = codebook_table(bundle.codebook.fine_deltas)
        ends = np.asfortranarray(bundle.codebook.deltas[:, :2], np.float32)
        for table in (self._codebook, ends):
            self.kernels.keep(table)
        self._trajectory = TrajectoryCall(self.kernels, self._codebook, 1, manifest.actions.per_answer)
        self._uncertainty = UncertaintySignals(self.kernels, manifest.actions.first_id, ends)

    @property
    def pooled(self) -> dict[str, NDArray[np.float32]]:
        """Mean embedding (D,) of each camera's newest frame pair in the newest plan; calibration collects them."""
        return self._references.pooled

    def plan(
        self,
        frames: FrameSet,
        ego: EgoState,
        command: str,
        plan_id: int,
        *,
        depth: str | None = None,
        cancelled: Callable[[], bool] = lambda: False,
        act_now: Callable[[bool], bool] = lambda _: False,
    ) -> Plan | PlanRejection:
        """One plan for one frame set, or a structured rejection.

        `cancelled`, `act_now`: of a slow answer, see `GreedyDecoder.decode`.

        Raises:
            EngineError: an execution failed.
        """
        clock, before = _StageClock(), self._spent()
        try:
            shown, pairs = self._check(frames)
            visual = self._see(frames, clock)
            vision_ood = self._distances(visual, shown)
            clock.lap("vision_ood")
            prompt = self._prompt_input(self.prompt.write(ego, command, shown, pairs), visual, shown)
            clock.lap("prompt")
            decoded = self.decoder.decode(prompt, depth or self.depth, cancelled, act_now)
        except FrameError as error:
            return PlanRejection(plan_id, frames.stamp_ns, "frames_invalid", str(error))
        except PromptError as error:
            return PlanRejection(plan_id, frames.stamp_ns, "prompt_invalid", str(error))
        except DecodeError as error:
            return PlanRejection(plan_id, frames.stamp_ns, error.code, error.detail)
        return self._made(decoded, plan_id, _About.of(frames), vision_ood, before, clock)

    def plan_further(
        self, first: Plan, plan_id: int, most_reasoning: int, cancelled: Callable[[], bool] = lambda: False
    ) -> Plan | PlanRejection:
        """A slow answer on the pictures, the ego state and the command of `first`, the fast plan just made.

        Pictures and prompt are not read again: the keys and values are there. Of its stages only those of decoding take
        time. `most_reasoning`, `cancelled`: see `GreedyDecoder.decode_further`.

        Raises:
            EngineError: an execution failed.
            ValueError: the newest plan was not a valid fast one.
        """
        clock, before = _StageClock(), self._spent()
        for stage in STAGES[: STAGES.index("prefill")]:
            clock.lap(stage)
        try:
            decoded = self.decoder.decode_further(most_reasoning, cancelled)
        except DecodeError as error:
            return PlanRejection(plan_id, first.stamp_ns, error.code, error.detail)
        return self._made(decoded, plan_id, _About.of_plan(first), first.uncertainty.vision_ood, before, clock)

    def _made(
        self,
        decoded: Decoded,
        plan_id: int,
        about: _About,
        vision_ood: dict[str, float],
        before: _Spent,
        clock: _StageClock,
    ) -> Plan:
        """The plan of an answer. `before`: what had been spent when it was begun."""
        clock.lap("decode")
        clock.split("decode", "prefill", (self.language.prefill_s - before.prefill_s) * 1e3)
        trajectory = self._trajectory
        trajectory.tokens[0] = decoded.tokens
        trajectory()
        uncertainty = self._uncertainty.of(decoded.logits, decoded.tokens, vision_ood, decoded.action_logits)
        clock.lap("trajectory")
        return Plan(
            plan_id=plan_id,
            stamp_ns=about.stamp_ns,
            oldest_frame_stamp_ns=about.oldest_frame_stamp_ns,
            step_s=self.bundle.manifest.actions.step_s,
            poses=trajectory.poses[0].copy(),
            fine_poses=trajectory.fine[0, :, :3].copy(),
            action_tokens=decoded.tokens,
            depth=decoded.depth,
            slow_probability=slow_probability(decoded),
            text=decoded.reasoning,
            scene=read_scene(decoded.reasoning, complete=decoded.complete),
            uncertainty=uncertainty,
            passes=self._spent().passes_since(before),
            stage_ms=clock.finish(),
            bundle_hash=self.bundle.core_hash,
            camera_skew_ms=about.camera_skew_ms,
        )

    def draw(self, draw: Draw) -> tuple[Samples, Trajectories]:
        """Further fast plans from what the newest plan, a fast one, was made from; in the order of the samples.

        To be ranked (`core.scoring.ranking`) or compared: they carry no signals of doubt, so none is for the vehicle.

        Raises:
            DecodeError: some logits are not finite.
            EngineError: an execution failed, or more are drawn than `samples`.
            ValueError: the newest plan is no fast one.
        """
        found = self.decoder.draw(draw)
        return found, compose(self.kernels, found.tokens, self._codebook)

    def warm_up(self) -> None:
        """Two plans on grey pictures, so that the engines have their memory; the vision cache is emptied afterwards."""
        manifest = self.bundle.manifest
        count, spacing = manifest.frames.per_camera, nanoseconds(manifest.frames.spacing_s)
        stamps = tuple(k * spacing for k in range(count))
        images: dict[str, tuple[Picture, ...]] = {
            c.role: (np.full((c.height * 2, c.width * 2, 3), 128, np.uint8),) * count for c in manifest.cameras
        }
        frames = FrameSet(stamps[-1], images, dict.fromkeys(images, stamps))
        for _ in range(2):
            self.plan(frames, standing_ego(), KEEP_FORWARD, 0)
        if self.vision.cache is not None:
            self.vision.cache.clear()

    def _see(self, frames: FrameSet, clock: _StageClock) -> list[NDArray[np.float32]]:
        """Visual embeddings (tokens, D) of all pairs in prompt order."""
        pairs = self.vision.pairs(frames)
        known = self.vision.look_up(pairs, frames.stamp_ns)
        decode_s_before = self.vision.decode_s
        prepared = self.vision.prepare(pairs, [i for i in range(len(pairs)) if i not in known])
        clock.lap("images")
        clock.split("images", "jpeg", (self.vision.decode_s - decode_s_before) * 1e3)
        known.update(self.vision.encode(pairs, prepared))
        clock.lap("vision")
        return [known[i] for i in range(len(pairs))]

    def _distances(self, visual: list[NDArray[np.float32]], shown: tuple[str, ...]) -> dict[str, float]:
        """Of each camera's newest pair from what the model knows; empty without statistics in the bundle."""
        per_camera = len(visual) // len(shown)
        newest = range(per_camera - 1, len(visual), per_camera)
        return self._references.distances(shown, [visual[i] for i in newest])

    def _prompt_input(
        self, prompt: TokenisedPrompt, visual: list[NDArray[np.float32]], shown: tuple[str, ...]
    ) -> PromptInput:
        if len(prompt.ids) > len(self._embeddings):
            raise EngineError(f"KV cache holds {len(self._embeddings)} tokens, the prompt has {len(prompt.ids)}")
        embeddings = self._embeddings[: len(prompt.ids)]
        if prompt is not self._written:
            places = prompt.layout.text
            if self._written is not None and self._written.layout is prompt.layout:
                places = np.flatnonzero(prompt.ids != self._written.ids)
            embeddings[places] = self.bundle.embeddings.take(prompt.ids[places], axis=0)
            self._written = prompt
        per_camera = len(visual) // len(prompt.videos)
        for camera, where in prompt.videos:
            first = shown.index(camera) * per_camera
            np.concatenate(visual[first : first + per_camera], out=embeddings[where])
        return PromptInput(prompt.ids, embeddings, prompt.positions, prompt.next_position, prompt.layout.opening)

    def _check(self, frames: FrameSet) -> tuple[tuple[str, ...], int]:
        """The cameras that the frame set shows, in prompt order, and how many frame pairs of each."""
        wanted, images = self.bundle.manifest.frames, frames.images
        shown = self._cameras
        if any(role not in images for role in self._optional):
            shown = tuple(role for role in shown if role in images or role not in self._optional)
        given = len(images.get(shown[0], ()))
        fits = wanted.least_per_camera <= given <= wanted.per_camera and given % PAIR == 0
        count = given if fits else wanted.per_camera
        for role in shown:
            pictures, stamps = images.get(role, ()), frames.stamps_ns.get(role, ())
            if len(pictures) != count or len(stamps) != count:
                raise FrameError(
                    f"{role}: expected {count} pictures with stamps, found {len(pictures)} and {len(stamps)}"
                )
        return shown, count // PAIR

    def _spent(self) -> _Spent:
        return _Spent(self.vision.executions, self.language.prefills, self.language.decodes, self.language.prefill_s)


class _Spent(NamedTuple):
    """Executions and seconds so far."""

    vision: int
    prefills: int
    decodes: int
    prefill_s: float

    def passes_since(self, before: _Spent) -> PassCount:
        return PassCount(self.vision - before.vision, self.prefills - before.prefills, self.decodes - before.decodes)


class _About(NamedTuple):
    """Which pictures a plan is about."""

    stamp_ns: int
    oldest_frame_stamp_ns: int
    camera_skew_ms: dict[str, float]

    @classmethod
    def of(cls, frames: FrameSet) -> _About:
        skew_ms = {camera: seconds(skew_ns) * 1e3 for camera, skew_ns in frames.skew_ns.items()}
        return cls(frames.stamp_ns, frames.oldest_stamp_ns, skew_ms)

    @classmethod
    def of_plan(cls, plan: Plan) -> _About:
        return cls(plan.stamp_ns, plan.oldest_frame_stamp_ns, plan.camera_skew_ms)


class _StageClock:
    """Wall time of consecutive stages."""

    def __init__(self) -> None:
        self._start = self._last = time.perf_counter()
        self._stages: dict[str, float] = {}

    def lap(self, stage: str) -> None:
        now = time.perf_counter()
        self._stages[stage] = (now - self._last) * 1e3
        self._last = now

    def split(self, stage: str, part: str, part_ms: float) -> None:
        """Give `part_ms` of a finished stage a name of its own, ahead of it; more than the stage took is not given.

        Threads that share a part spend more time on it together than passes.
        """
        whole_ms = self._stages.pop(stage)
        self._stages[part] = min(part_ms, whole_ms)
        self._stages[stage] = whole_ms - self._stages[part]

    def finish(self) -> dict[str, float]:
        return {**self._stages, "total": (self._last - self._start) * 1e3}


def slow_probability(decoded: Decoded) -> float:
    """Probability of slow thinking among the fork's two tokens: above a half where greedy decoding would think."""
    fast, slow = decoded.fork_logits
    return 1.0 / (1.0 + math.exp(min(fast - slow, 700.0)))
