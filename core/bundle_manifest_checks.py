"""Refuses manifests whose values are well typed and still contradict each other."""

from __future__ import annotations

import dataclasses
import re
from pathlib import PurePosixPath

from onboard_vla.core.bundle_manifest_fields import PRECISIONS, BundleManifest, ModelDimensions
from onboard_vla.core.cameras import FRONT
from onboard_vla.core.errors import BundleError

MANIFEST_NAME = "manifest.json"
_SHA256 = re.compile(r"[0-9a-f]{64}\Z")


def check_values(manifest: BundleManifest) -> None:
    """Check a loaded manifest.

    Raises:
        BundleError: names the field, what was expected and what was found.
    """
    _check_files(manifest)
    _check_model(manifest.model)
    _check_cameras(manifest)
    _check_tokens(manifest)


def _check_files(manifest: BundleManifest) -> None:
    for name, record in manifest.files.items():
        pure = PurePosixPath(name)
        if pure.is_absolute() or ".." in pure.parts or "\\" in name or pure.as_posix() != name or name == MANIFEST_NAME:
            raise BundleError(f"manifest.files: {name!r} is no plain relative path")
        if not _SHA256.match(record.sha256) or record.bytes < 0:
            raise BundleError(f"manifest.files[{name!r}]: expected a sha256 in hex and a size, found {record}")
    named = {"prompt": manifest.prompt, "tokenizer": manifest.tokenizer, "codebook": manifest.codebook}
    named |= {"embeddings": manifest.embeddings, "language_graph": manifest.language_graph}
    named |= {f"cameras[{i}].vision_graph": camera.vision_graph for i, camera in enumerate(manifest.cameras)}
    named |= {f"golden[{i}]": name for i, name in enumerate(manifest.golden)}
    references = {"vision_reference": manifest.vision_reference, "drift_reference": manifest.drift_reference}
    named |= {field: name for field, name in references.items() if name is not None}
    for where, name in named.items():
        if name not in manifest.files:
            raise BundleError(f"manifest.{where} names {name!r}, which manifest.files does not list")
    if not _SHA256.match(manifest.weights_sha256):
        raise BundleError(f"manifest.weights_sha256: expected a sha256 in hex, found {manifest.weights_sha256!r}")
    for part, precision in manifest.precision.items():
        if precision not in PRECISIONS:
            raise BundleError(
                f"manifest.precision[{part!r}]: expected one of {', '.join(PRECISIONS)}, found {precision!r}"
            )


def _check_model(model: ModelDimensions) -> None:
    text, vision = model.text, model.vision
    for part in (text, vision):
        for name, value in dataclasses.asdict(part).items():
            if isinstance(value, (int, float)) and not value > 0:
                raise BundleError(f"manifest.model: {name} must be positive, found {value}")
    if text.heads % text.kv_heads:
        raise BundleError(f"manifest.model.text: {text.heads} heads are no multiple of {text.kv_heads} kv_heads")
    if 2 * sum(text.mrope_section) != text.head_dim:
        raise BundleError(
            f"manifest.model.text: mrope_section {text.mrope_section} must sum to half of head_dim {text.head_dim}"
        )
    if len(vision.image_mean) != vision.channels or len(vision.image_std) != vision.channels:
        raise BundleError(f"manifest.model.vision: image_mean and image_std need {vision.channels} values each")


def _check_cameras(manifest: BundleManifest) -> None:
    vision = manifest.model.vision
    roles = [camera.role for camera in manifest.cameras]
    if not roles or len(set(roles)) != len(roles):
        raise BundleError(f"manifest.cameras: expected distinct roles, at least one, found {roles}")
    anchor = manifest.cameras[roles.index(FRONT) if FRONT in roles else 0]
    if not anchor.required:
        raise BundleError(f"manifest.cameras: {anchor.role} gives plans their time: expected required, found optional")
    for camera in manifest.cameras:
        grid = vision.patch_size * vision.merge_size
        size = (camera.grid_h * vision.patch_size, camera.grid_w * vision.patch_size)
        if (camera.height, camera.width) != size or camera.height % grid or camera.width % grid or min(size) <= 0:
            raise BundleError(
                f"manifest.cameras: {camera.role} is {camera.width}x{camera.height} with a grid of {camera.grid_h}x"
                f"{camera.grid_w}; expected {vision.patch_size}-pixel patches in blocks of {vision.merge_size}"
            )
        left, top, right, bottom = camera.crop
        if not (0 <= left < right <= 1 and 0 <= top < bottom <= 1):
            raise BundleError(f"manifest.cameras: {camera.role} has crop {camera.crop}, expected fractions in order")
        if camera.intrinsics is not None and len(camera.intrinsics) != 9:
            raise BundleError(f"manifest.cameras: {camera.role} has {len(camera.intrinsics)} intrinsics, expected 9")
        if camera.source_size is not None and min(camera.source_size) <= 0:
            raise BundleError(f"manifest.cameras: {camera.role} has source_size {camera.source_size}, expected pixels")
    frames = manifest.frames
    if frames.per_camera <= 0 or frames.per_camera % vision.temporal_patch_size or not frames.spacing_s > 0:
        raise BundleError(
            f"manifest.frames: {frames} does not divide into groups of {vision.temporal_patch_size} frames"
        )
    least = frames.least_per_camera
    if not 0 < least <= frames.per_camera or least % vision.temporal_patch_size:
        raise BundleError(
            f"manifest.frames.least_per_camera: expected groups of {vision.temporal_patch_size} up to "
            f"{frames.per_camera}, found {least}"
        )


def _check_tokens(manifest: BundleManifest) -> None:
    vocabulary, actions, tokens = manifest.model.text.vocabulary_size, manifest.actions, manifest.tokens
    if not (actions.first_id >= 0 and actions.count > 0 and actions.first_id + actions.count <= vocabulary):
        raise BundleError(
            f"manifest.actions: ids {actions.first_id} to {actions.first_id + actions.count - 1} do not fit in a "
            f"vocabulary of {vocabulary}"
        )
    if actions.per_answer <= 0 or not actions.step_s > 0:
        raise BundleError(f"manifest.actions: per_answer and step_s must be positive, found {actions}")
    ids = (tokens.video_pad, tokens.vision_start, tokens.vision_end, *tokens.end_of_answer)
    if not tokens.end_of_answer or not all(0 <= token < vocabulary for token in ids):
        raise BundleError(f"manifest.tokens: expected ids below {vocabulary}, found {tokens}")
    generation = manifest.generation
    if not (generation.repetition_penalty > 0 and generation.temperature >= 0 and 0 < generation.top_p <= 1):
        raise BundleError(f"manifest.generation: values out of range: {generation}")
