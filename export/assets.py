"""What a checkpoint folder says besides its weights: cameras, prompt, tokenizer, codebook; held against each other."""

from __future__ import annotations

from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import Any

from onboard_vla.core.bundle_manifest import (
    ActionTokens,
    CameraInput,
    FrameSelection,
    Generation,
    ModelDimensions,
    SpecialTokens,
    VisionDimensions,
    codebook_hash,
)
from onboard_vla.core.codebook import Codebook
from onboard_vla.core.errors import CheckpointError
from onboard_vla.core.prompt import PromptTemplate
from onboard_vla.export.checkpoint_config import Section, read_generation, read_json
from onboard_vla.export.prompt_form import PromptForm
from onboard_vla.export.vision_grid import graph_name
from onboard_vla.runtime.positions import VideoGrid
from onboard_vla.runtime.prompt import AnswerIds, PromptWriter, Tokenizer, answer_ids

CAMERAS_FILE, PROMPT_FILE, TOKENIZER_FILE, CODEBOOK_FILE = (
    "cameras.json",
    "prompt.json",
    "tokenizer.json",
    "codebook.npz",
)
COPIED_FILES = (PROMPT_FILE, TOKENIZER_FILE, "tokenizer_config.json", CODEBOOK_FILE)
"""Files that a bundle takes over as they are; the tokenizer's configuration only if there is one."""
RESAMPLE_FILTERS = ("pil_bicubic",)
"""Filters that the camera kernels implement."""


@dataclass(frozen=True, eq=False)
class Assets:
    """Everything that stands beside the weights, checked."""

    folder: Path
    vision: VisionDimensions
    cameras: tuple[CameraInput, ...]
    frames: FrameSelection
    template: PromptTemplate
    tokenizer: Tokenizer
    tokens: SpecialTokens
    codebook: Codebook
    actions: ActionTokens
    answer: AnswerIds
    generation: Generation

    @property
    def grids(self) -> dict[str, VideoGrid]:
        """Merged visual tokens of each camera, in prompt order."""
        merge = self.vision.merge_size
        pairs = self.frames.per_camera // self.vision.temporal_patch_size
        return {
            camera.role: VideoGrid(pairs, camera.grid_h // merge, camera.grid_w // merge) for camera in self.cameras
        }

    @cached_property
    def prompt_form(self) -> PromptForm:
        """What is fixed of the prompts."""
        return PromptForm.of(self.template, self.tokenizer, self.tokens.video_pad, self.grids)

    def prompt_writer(self) -> PromptWriter:
        """The runtime's own way from prompt fields to ids."""
        scale = self.vision.tokens_per_second, self.vision.second_per_grid
        return PromptWriter(self.template, self.tokenizer, self.tokens, self.grids, scale)


def read_assets(folder: Path, model: ModelDimensions) -> Assets:
    """Read and check a checkpoint folder's assets.

    Raises:
        CheckpointError: a file is missing or two of them contradict each other.
        OnboardVlaError: prompt, tokenizer or codebook are not valid by themselves.
    """
    for name in (CAMERAS_FILE, PROMPT_FILE, TOKENIZER_FILE, CODEBOOK_FILE):
        if not (folder / name).is_file():
            raise CheckpointError(f"{folder}: {name} is missing; a bundle needs it beside the weights")
    template = PromptTemplate.load(folder / PROMPT_FILE)
    tokenizer = Tokenizer(folder / TOKENIZER_FILE)
    codebook = Codebook.load(folder / CODEBOOK_FILE)
    vision, cameras, frames = _read_cameras(folder / CAMERAS_FILE, model.vision)
    if tuple(camera.role for camera in cameras) != template.cameras:
        roles = [camera.role for camera in cameras]
        raise CheckpointError(f"{folder}: {CAMERAS_FILE} lists {roles}, {PROMPT_FILE} shows {list(template.cameras)}")
    template.check_optional([camera.role for camera in cameras if not camera.required])
    if tokenizer.size > model.text.vocabulary_size:
        raise CheckpointError(
            f"{folder}: {TOKENIZER_FILE} has {tokenizer.size} tokens, the embedding {model.text.vocabulary_size} rows: "
            "tokenizer and weights are not of one model"
        )
    generation, ends, pad = read_generation(folder)
    tokens = _special_tokens(folder, template, tokenizer, ends, pad)
    actions = _action_tokens(folder, template, tokenizer, codebook, model.text.vocabulary_size)
    answer = answer_ids(template, tokenizer, actions)
    return Assets(folder, vision, cameras, frames, template, tokenizer, tokens, codebook, actions, answer, generation)


def _read_cameras(
    file: Path, vision: VisionDimensions
) -> tuple[VisionDimensions, tuple[CameraInput, ...], FrameSelection]:
    values = read_json(file)
    section = Section(values, str(file))
    section.expect("frames_per_temporal_patch", vision.temporal_patch_size)
    section.expect("resample", *RESAMPLE_FILTERS)
    entries = values.get("cameras")
    if not isinstance(entries, list) or not entries:
        raise CheckpointError(f"{file}: cameras must be a list of cameras, found {entries!r}")
    cameras = tuple(_camera(entry, f"{file}: cameras[{i}]", vision) for i, entry in enumerate(entries))
    vision = _with_pixel_statistics(vision, values)
    per_camera = section.integer("frames_per_camera")
    least = section.integer("least_frames_per_camera") if "least_frames_per_camera" in values else per_camera
    return vision, cameras, FrameSelection(per_camera, section.number("frame_spacing_s"), least)


def _with_pixel_statistics(vision: VisionDimensions, values: dict[str, Any]) -> VisionDimensions:
    mean, std = values.get("mean", vision.image_mean), values.get("std", vision.image_std)
    return replace(vision, image_mean=tuple(map(float, mean)), image_std=tuple(map(float, std)))


def _camera(entry: object, where: str, vision: VisionDimensions) -> CameraInput:
    if not isinstance(entry, dict) or not isinstance(entry.get("camera"), str):
        raise CheckpointError(f"{where}: expected a table that names its camera, found {entry!r}")
    section = Section(entry, where)
    width, height = section.integer("width"), section.integer("height")
    block = vision.patch_size * vision.merge_size
    if width % block or height % block:
        raise CheckpointError(f"{where}: {width}x{height} is no multiple of {block} pixels")
    crop = section.table("crop")
    rows, columns = height // vision.patch_size, width // vision.patch_size
    intrinsics, required = entry.get("intrinsics"), entry.get("required", True)
    source = section.table("source") if section.optional("source") is not None else None
    if not isinstance(required, bool):
        raise CheckpointError(f"{where}: required: expected true or false, found {required!r}")
    return CameraInput(
        role=entry["camera"],
        width=width,
        height=height,
        crop=(crop.number("left"), crop.number("top"), crop.number("right"), crop.number("bottom")),
        grid_h=rows,
        grid_w=columns,
        vision_graph=graph_name(rows, columns),
        intrinsics=None if intrinsics is None else tuple(float(value) for value in intrinsics),
        required=required,
        source_size=None if source is None else (source.integer("width"), source.integer("height")),
    )


def _special_tokens(
    folder: Path, template: PromptTemplate, tokenizer: Tokenizer, ends: tuple[int, ...], pad: int | None
) -> SpecialTokens:
    config = Section(read_json(folder / "config.json"), str(folder / "config.json"))
    video = config.integer("video_token_id")
    if tokenizer.encode(template.video_token) != (video,):
        raise CheckpointError(
            f"{folder}: config.json says video_token_id {video}, the tokenizer makes "
            f"{tokenizer.encode(template.video_token)} of {template.video_token!r}"
        )
    return SpecialTokens(
        video_pad=video,
        vision_start=config.integer("vision_start_token_id"),
        vision_end=config.integer("vision_end_token_id"),
        pad=pad,
        end_of_answer=ends,
    )


def _action_tokens(
    folder: Path, template: PromptTemplate, tokenizer: Tokenizer, codebook: Codebook, vocabulary: int
) -> ActionTokens:
    """Where the action tokens are, read from the tokenizer; every one of them is checked."""
    answer = template.answer
    first = tokenizer.encode(answer.action_token.format(index=0))
    if len(first) != 1:
        raise CheckpointError(
            f"{folder}: the tokenizer has no action tokens, it splits {answer.action_token.format(index=0)!r} into "
            f"{len(first)} ids; add them as the training did (docs/export.md)"
        )
    for index in range(codebook.size):
        found = tokenizer.encode(answer.action_token.format(index=index))
        if found != (first[0] + index,):
            raise CheckpointError(
                f"{folder}: {answer.action_token.format(index=index)!r} has ids {found}, expected {first[0] + index}: "
                f"the codebook's {codebook.size} tokens must follow each other"
            )
    if len(tokenizer.encode(answer.action_token.format(index=codebook.size))) == 1:
        raise CheckpointError(
            f"{folder}: the tokenizer has {answer.action_token.format(index=codebook.size)!r} too, the codebook ends "
            f"at {codebook.size - 1}: it is another one than the training's"
        )
    if first[0] + codebook.size > vocabulary:
        raise CheckpointError(
            f"{folder}: action ids reach {first[0] + codebook.size - 1}, config.json says vocab_size {vocabulary}"
        )
    return ActionTokens(first[0], codebook.size, answer.action_count, answer.step_s, codebook_hash(codebook.contours))
