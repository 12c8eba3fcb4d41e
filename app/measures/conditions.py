"""The same sample under other conditions: wrong pictures, none, noise, photographs, another depth, another model."""

from __future__ import annotations

from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from onboard_vla.app.evaluation.hidden_cameras import GREY
from onboard_vla.app.measures.samples import Sample, with_images
from onboard_vla.core.cameras import CAMERAS, FrameSet, Picture
from onboard_vla.core.errors import ArgumentError, ConfigurationError
from onboard_vla.world.looks import FOG, NIGHT, RAIN

OWN, SLOW, SWAPPED, BLIND = "own pictures", "own pictures, slow", "another world's pictures", "blind control"
BLACK, NOISE, BLUR, PHOTOS = "black", "noise", "hardly any detail", "photographs"
HELD_OUT = (FOG, RAIN, NIGHT)
"""Looks of the world that no training saw: it sees the day."""
CHANGES = (OWN, SLOW, SWAPPED, BLIND, BLACK, NOISE, BLUR, PHOTOS)
"""What `seen_under` does to a sample; looks are another sample of the same moment."""
CONDITIONS = (*CHANGES, *HELD_OUT)
COARSE = 8
"""Pictures with hardly any detail keep one cell in this many squared."""


def seen_under(
    condition: str, sample: Sample, other: Sample, photos: Path | None, rng: np.random.Generator
) -> FrameSet:
    """The frame set that the planner gets.

    Args:
        condition: one of `CHANGES`.
        sample: what is planned for.
        other: a sample of another world, whose pictures stand in for wrong ones.
        photos: folder with one picture per camera, `{camera}.jpg` or as nuScenes names them.
        rng: of the noise.
    """
    frames = sample.frames
    if condition in (OWN, SLOW):
        return frames
    if condition == SWAPPED:
        return with_images(frames, other.frames.images)
    if condition == PHOTOS:
        found = photographs(photos)
        return with_images(frames, {camera: (found[camera],) * len(frames.images[camera]) for camera in frames.images})
    images: dict[str, tuple[Picture, ...]] = {}
    for camera, pictures in frames.images.items():
        images[camera] = tuple(_changed(condition, np.asarray(picture), rng) for picture in pictures)
    return with_images(frames, images)


def photographs(folder: Path | None) -> dict[str, NDArray[np.uint8]]:
    """One photograph per camera.

    Raises:
        ArgumentError: no folder.
        ConfigurationError: a camera has none in it.
    """
    from PIL import Image

    if folder is None:
        raise ArgumentError("photographs: name a folder with --photos")
    found = {}
    for camera in CAMERAS:
        names = (f"{camera}.jpg", f"CAM_{camera.upper()}.jpg")
        path = next((folder / name for name in names if (folder / name).is_file()), None)
        if path is None:
            raise ConfigurationError(f"{folder}: expected {' or '.join(names)}, found neither")
        found[camera] = np.asarray(Image.open(path).convert("RGB"))
    return found


def _changed(condition: str, picture: NDArray[np.uint8], rng: np.random.Generator) -> NDArray[np.uint8]:
    if condition == BLIND:
        return np.full_like(picture, GREY)
    if condition == BLACK:
        return np.zeros_like(picture)
    if condition == NOISE:
        return rng.integers(0, 256, picture.shape, np.uint8)
    if condition == BLUR:
        coarse = picture[::COARSE, ::COARSE]
        grown = np.repeat(np.repeat(coarse, COARSE, 0), COARSE, 1)
        return np.ascontiguousarray(grown[: picture.shape[0], : picture.shape[1]])
    raise ConfigurationError(f"condition {condition!r}: expected one of {', '.join(CHANGES)}")
