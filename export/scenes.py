"""Scenes that a model is calibrated and held to account on: pictures at the model's size and a tokenised prompt.

A file of scenes (`golden_scenes.npz`, `calibration_scenes.npz` of a checkpoint folder) holds for N scenes:

    images_{camera}   (N, frames, height, width, 3) uint8 RGB, cropped and resized for the model, oldest first
    prompt_ids        (N, S) int64, the prompt up to where the answer begins, padded with -1
    action_tokens     (N, T) int64 codebook indices of the expert (optional)
"""

from __future__ import annotations

import math
from collections.abc import Mapping, MutableMapping
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
from numpy.lib import format as npy
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ActionTokens, CameraInput, FrameSelection, SpecialTokens
from onboard_vla.core.errors import CheckpointError
from onboard_vla.core.prompt import Value
from onboard_vla.export.archives import why_unread
from onboard_vla.export.assets import PROMPT_FILE, Assets
from onboard_vla.export.checkpoint_config import read_json
from onboard_vla.export.kept_arrays import FULL, OnDemand
from onboard_vla.export.prompt_form import PromptForm
from onboard_vla.runtime.positions import VideoGrid

IMAGES = "images_"
PADDING = -1
COARSE_CELLS = 6
"""Random pictures vary over about this many cells a side, so that they have structure and compress."""
RANDOM_ACTIONS = 4
"""Length of a random action history, two seconds."""


@dataclass(frozen=True, eq=False)
class Scene:
    """`images[camera]`: (frames, height, width, 3) uint8; `prompt_ids`: (S,) int64; `expert_tokens`: (T,) or None."""

    images: Mapping[str, NDArray[np.uint8]]
    prompt_ids: NDArray[np.int64]
    expert_tokens: NDArray[np.int64] | None


@dataclass(frozen=True, eq=False)
class SceneShapes:
    """What scenes must fit; an opened checkpoint's `Assets` say the same. `grids`: merged visual tokens by camera.

    `prompt_form`: of the prompts that the model's template writes.
    """

    cameras: tuple[CameraInput, ...]
    frames: FrameSelection
    tokens: SpecialTokens
    actions: ActionTokens
    grids: Mapping[str, VideoGrid]
    prompt_form: PromptForm


class _Pictures:
    """One camera's pictures of all scenes; they lie in `kept`, not in memory."""

    def __init__(self, archive: Any, name: str, kept: MutableMapping[str, NDArray[Any]]) -> None:  # noqa: ANN401
        """Read them out of an archive that numpy has opened, one scene after the other."""
        self._name, self._kept = name, kept
        with archive.zip.open(f"{name}.npy") as file:
            read_header = {(1, 0): npy.read_array_header_1_0, (2, 0): npy.read_array_header_2_0}[npy.read_magic(file)]
            self.shape, by_columns, self.dtype = read_header(file)
            if by_columns:
                raise ValueError(f"{name} is in Fortran's order, expected C's")
            for index in range(self.shape[0]):
                content = file.read(math.prod(self.shape[1:]) * self.dtype.itemsize)
                kept[f"{name}-{index}"] = np.frombuffer(content, self.dtype).reshape(self.shape[1:])

    def __getitem__(self, index: int) -> NDArray[Any]:
        return self._kept[f"{self._name}-{index}"]


def load_scenes(
    path: Path, assets: Assets | SceneShapes, kept: MutableMapping[str, NDArray[Any]] | None = None
) -> list[Scene]:
    """Read a file of scenes.

    Args:
        path: the file.
        assets: what the scenes must fit.
        kept: where pictures go, one scene at a time, and are read from when they are asked for; else into memory.

    Raises:
        OSError: the disk of `kept` is full.
        CheckpointError: the file cannot be read, lacks an array, or an array does not fit the cameras or the prompt.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            seen = [name for name in archive.files if name.startswith(IMAGES)]
            arrays: dict[str, NDArray[Any]] = {name: archive[name] for name in archive.files if name not in seen}
            pictures = {name: archive[name] if kept is None else _Pictures(archive, name, kept) for name in seen}
    except OSError as error:
        if error.errno in FULL:  # the place of `kept`, not the file
            raise
        raise CheckpointError(f"{path} cannot be read as a file of scenes: {error}") from error
    except Exception as error:  # zipfile and zlib raise types of their own on damaged archives
        raise CheckpointError(f"{path} cannot be read as a file of scenes: {why_unread(error)}") from error
    if "prompt_ids" not in arrays or arrays["prompt_ids"].ndim != 2 or not len(arrays["prompt_ids"]):
        raise CheckpointError(f"{path}: expected prompt_ids of shape (N, S), found arrays {sorted([*arrays, *seen])}")
    _expect(path, arrays, "prompt_ids", np.dtype(np.int64), arrays["prompt_ids"].shape)
    count = len(arrays["prompt_ids"])
    for camera in assets.cameras:
        shape = (count, assets.frames.per_camera, camera.height, camera.width, 3)
        _expect(path, pictures, f"{IMAGES}{camera.role}", np.dtype(np.uint8), shape)
    if "action_tokens" in arrays:
        _expect(path, arrays, "action_tokens", np.dtype(np.int64), (count, assets.actions.per_answer))
        if arrays["action_tokens"].min() < 0 or arrays["action_tokens"].max() >= assets.actions.count:
            raise CheckpointError(f"{path}: action_tokens must be codebook indices 0 to {assets.actions.count - 1}")
    of_camera = {camera.role: pictures[f"{IMAGES}{camera.role}"] for camera in assets.cameras}
    return [
        _scene(
            path,
            arrays,
            i,
            assets,
            OnDemand({role: partial(table.__getitem__, i) for role, table in of_camera.items()}),
        )
        for i in range(count)
    ]


def _scene(
    path: Path,
    arrays: dict[str, NDArray[Any]],
    index: int,
    assets: Assets | SceneShapes,
    images: Mapping[str, NDArray[np.uint8]],
) -> Scene:
    ids = arrays["prompt_ids"][index]
    ids = ids[: len(ids) - int((ids[::-1] != PADDING).argmax())] if (ids != PADDING).any() else ids[:0]
    found, expected = int((ids == assets.tokens.video_pad).sum()), sum(grid.tokens for grid in assets.grids.values())
    if found != expected:
        raise CheckpointError(
            f"{path}: prompt {index} has {found} visual tokens, the cameras give {expected}; was it written for others?"
        )
    if (unfit := assets.prompt_form.unfit(ids)) is not None:
        raise CheckpointError(
            f"{path}: prompt {index}, position {unfit.position}: {unfit.words}; was it written with another template "
            f"or tokenizer? (padding, {PADDING}, stands behind a prompt alone)"
        )
    return Scene(
        images=images,
        prompt_ids=ids,
        expert_tokens=arrays["action_tokens"][index] if "action_tokens" in arrays else None,
    )


def _expect(path: Path, arrays: Mapping[str, Any], key: str, kind: np.dtype[Any], shape: tuple[int, ...]) -> None:
    found = (arrays[key].dtype, arrays[key].shape) if key in arrays else None
    if found != (kind, shape):
        raise CheckpointError(f"{path}: {key} must be {kind} of shape {shape}, found {found}")


def random_scenes(assets: Assets, count: int, rng: np.random.Generator) -> list[Scene]:
    """Scenes for checkpoints that bring none: smooth random pictures, random admissible prompt fields."""
    writer = assets.prompt_writer()
    return [
        Scene(
            images={camera.role: _random_images(camera, assets.frames.per_camera, rng) for camera in assets.cameras},
            prompt_ids=writer.write_fields(_random_fields(assets, rng)).ids,
            expert_tokens=None,
        )
        for _ in range(count)
    ]


def _random_images(camera: CameraInput, frames: int, rng: np.random.Generator) -> NDArray[np.uint8]:
    """(frames, height, width, 3) smooth random pictures with full contrast."""
    coarse = rng.uniform(0, 255, (frames, COARSE_CELLS, COARSE_CELLS, 3))
    rows = np.arange(camera.height) * COARSE_CELLS // camera.height
    columns = np.arange(camera.width) * COARSE_CELLS // camera.width
    images: NDArray[np.uint8] = coarse[:, rows][:, :, columns].astype(np.uint8)
    return images


def _random_fields(assets: Assets, rng: np.random.Generator) -> dict[str, Value]:
    """A random admissible value for every field that the prompt requires."""
    values: dict[str, Value] = {}
    for name, field in read_json(assets.folder / PROMPT_FILE)["fields"].items():
        if field.get("optional"):
            continue
        if field["kind"] == "number":
            values[name] = float(rng.uniform(field["minimum"], field["maximum"]))
        elif field["kind"] == "choice":
            values[name] = str(rng.choice(sorted(field["values"])))
        else:
            values[name] = tuple(int(index) for index in rng.integers(0, assets.actions.count, RANDOM_ACTIONS))
    return values
