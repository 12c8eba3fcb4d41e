"""What shape the pictures of a deployment's cameras have: crops from the bundle are shares of it."""

from __future__ import annotations

import re
from collections.abc import Iterable

from onboard_vla.core.bundle_manifest import CameraInput
from onboard_vla.core.errors import ConfigurationError

SIZE = re.compile(r"([1-9]\d{0,4})x([1-9]\d{0,4})")

MOST_SHRINK = 16
"""Smaller than by this factor they are refused: there a pixel is a large part of a side, and would excuse any shape."""


def same_shape(found: tuple[int, int], wanted: tuple[int, int]) -> bool:
    """Whether pictures of width and height `found` are `wanted` at another scale, to a pixel in height and width.

    Not at a scale below 1 / `MOST_SHRINK`, rounded down to whole pixels.
    """
    (width, height), (whole_width, whole_height) = found, wanted
    if width < whole_width // MOST_SHRINK or height < whole_height // MOST_SHRINK:
        return False
    return abs(width * whole_height - height * whole_width) <= max(whole_width, whole_height)


def stated_sizes(cameras: Iterable[CameraInput]) -> dict[str, tuple[int, int]]:
    """Width and height of the whole pictures of the cameras of which the bundle says it."""
    return {camera.role: camera.source_size for camera in cameras if camera.source_size is not None}


def parse_sizes(text: str, cameras: tuple[str, ...]) -> dict[str, tuple[int, int]]:
    """Width and height of an option "448x252 back=1600x900": of all cameras, and of those that are named.

    Raises:
        ConfigurationError: a word is not of this form, stands twice, or names a camera that the model does not look
            through.
    """
    sizes: dict[str, tuple[int, int]] = {}
    for word in text.split():
        camera, _, value = word.rpartition("=")
        found = SIZE.fullmatch(value)
        if found is None or camera in sizes or (camera and camera not in cameras):
            raise ConfigurationError(
                f"camera size {word!r}: expected WIDTHxHEIGHT of all cameras once at most, or CAMERA=WIDTHxHEIGHT of "
                f"each of {', '.join(cameras)}"
            )
        sizes[camera] = int(found[1]), int(found[2])
    every = sizes.pop("", None)
    return sizes if every is None else {**dict.fromkeys(cameras, every), **sizes}
