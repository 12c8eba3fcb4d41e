"""The fields of a bundle's manifest; `bundle_manifest` reads, checks and hashes them."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

FORMAT_VERSION = 6
PRECISIONS = ("fp32", "fp16", "int8", "w4a16", "int8-fp16", "float32", "float16")
"""w4a16: weights in four bits, activations in the engine's float type (float32 in ONNX Runtime on the processor). fp16:
matrix products in half precision; int8-fp16: in INT8, with half precision around them."""


@dataclass(frozen=True)
class FileRecord:
    """Fingerprint of one file; `sha256` in lower-case hex."""

    sha256: str
    bytes: int


@dataclass(frozen=True)
class TextDimensions:
    """The language model. `mrope_section`: rotary frequencies taken from the time, height and width axis in turn."""

    hidden_size: int
    layers: int
    heads: int
    kv_heads: int
    head_dim: int
    intermediate_size: int
    vocabulary_size: int
    rope_theta: float
    mrope_section: tuple[int, ...]
    rms_norm_eps: float


@dataclass(frozen=True)
class VisionDimensions:
    """The vision encoder and what it expects of pixels.

    Cropped pictures are resized by the filter `resample` ("pil_bicubic": Pillow's, antialiased); a pixel value v then
    becomes (v / 255 - image_mean[c]) / image_std[c]. A frame pair k of a camera stands
    k * tokens_per_second * second_per_grid temporal positions after the first one.
    """

    hidden_size: int
    depth: int
    heads: int
    intermediate_size: int
    channels: int
    patch_size: int
    temporal_patch_size: int
    merge_size: int
    window_size: int
    full_attention_blocks: tuple[int, ...]
    resample: str
    tokens_per_second: float
    second_per_grid: float
    image_mean: tuple[float, ...]
    image_std: tuple[float, ...]


@dataclass(frozen=True)
class ModelDimensions:
    """All sizes of the model; `architecture` names the family whose graph contract holds."""

    architecture: str
    text: TextDimensions
    vision: VisionDimensions


@dataclass(frozen=True)
class CameraInput:
    """One camera as the model wants it.

    `crop`: left, top, right, bottom as fractions of the source image, cut before resizing to `width` x `height` pixels.
    `grid_h`, `grid_w`: patches per column and row. `intrinsics`: row-major 3x3 pinhole matrix in pixels of the
    cropped and resized image that the checkpoint was trained with, if known. `required`: false for a camera that the
    checkpoint was trained to go without; a plan may then be made without its pictures, and the prompt leaves out what
    it says of that camera. `source_size`: width and height of the whole pictures that the crop is taken of, at any
    scale; None where the checkpoint does not say.
    """

    role: str
    width: int
    height: int
    crop: tuple[float, float, float, float]
    grid_h: int
    grid_w: int
    vision_graph: str
    intrinsics: tuple[float, ...] | None
    required: bool
    source_size: tuple[int, int] | None


@dataclass(frozen=True)
class FrameSelection:
    """Pictures per camera, oldest first, `spacing_s` seconds apart; the newest one is the anchor.

    `least_per_camera`: with as few of the newest ones, the same of every camera, the checkpoint was trained to plan,
    too; as `per_camera` where it was not.
    """

    per_camera: int
    spacing_s: float
    least_per_camera: int


@dataclass(frozen=True)
class SpecialTokens:
    """Token ids that structure the prompt and end an answer."""

    video_pad: int
    vision_start: int
    vision_end: int
    pad: int | None
    end_of_answer: tuple[int, ...]


@dataclass(frozen=True)
class ActionTokens:
    """Where the codebook sits in the vocabulary: ids first_id ... first_id + count - 1, `per_answer` of them a plan.

    `codebook_hash`: see `codebook_hash()`. `step_s`: time that one token covers.
    """

    first_id: int
    count: int
    per_answer: int
    step_s: float
    codebook_hash: str


@dataclass(frozen=True)
class Generation:
    """Decoding parameters that the checkpoint came with; the runtime decodes greedily and applies the penalty."""

    do_sample: bool
    temperature: float
    top_k: int
    top_p: float
    repetition_penalty: float
    max_new_tokens: int


@dataclass(frozen=True)
class BundleManifest:
    """The immutable core of a bundle. File names are POSIX paths relative to the bundle's folder.

    `weights_sha256`: of the checkpoint's files that hold weights (see `export.fingerprints`).
    `unjudged`: what of a bundle that is not float32 nobody has held against float32 on real scenes, in words; empty
    where all was. A vehicle's supervisor takes no bundle of which anything stands here.
    `action_head`: the language graph has a head of the action tokens alone beside the whole one.
    `vision_reference`: statistics of each camera's embeddings on nominal drives, for the distance that a plan carries;
    `drift_reference`: how a plan's signals are distributed on nominal drives. None where nobody measured them.
    `calibration` tells where activation ranges come from, `parity` what the exporter measured (each figure with its n);
    both are for people and reports, so their fields are open. `core_hash` covers everything else, files included.
    """

    format_version: int
    producer: str
    core_hash: str
    weights_sha256: str
    unjudged: tuple[str, ...]
    files: dict[str, FileRecord]
    precision: dict[str, str]
    model: ModelDimensions
    cameras: tuple[CameraInput, ...]
    frames: FrameSelection
    prompt: str
    tokenizer: str
    codebook: str
    embeddings: str
    language_graph: str
    action_head: bool
    vision_reference: str | None
    drift_reference: str | None
    tokens: SpecialTokens
    actions: ActionTokens
    generation: Generation
    calibration: dict[str, Any] = field(metadata={"open": True})
    parity: dict[str, Any] = field(metadata={"open": True})
    golden: tuple[str, ...]
