"""When each camera of a rig takes its pictures, and how exactly that must hold."""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping
from dataclasses import dataclass

from onboard_vla.core.errors import ConfigurationError

DEFAULT_TOLERANCE_S = 0.045
"""Largest distance of a frame's stamp from the wanted one: below half the period of a 10 Hz camera."""
LONGEST_OFFSET_S = 0.5
"""A shutter this far from the anchor's belongs to another frame."""


@dataclass(frozen=True)
class CameraTiming:
    """`offset_s`: how much later than the anchor camera's this camera's shutter opens; negative is earlier.

    `tolerance_s`: largest distance of a picture's stamp from the wanted one. A camera that is not `required` is left
    out of the frame set while it has no fitting pictures.
    """

    offset_s: float = 0.0
    tolerance_s: float = DEFAULT_TOLERANCE_S
    required: bool = True

    def __post_init__(self) -> None:
        if not abs(self.offset_s) <= LONGEST_OFFSET_S:
            raise ConfigurationError(f"camera offset {self.offset_s} s: expected at most {LONGEST_OFFSET_S} s")
        if not (math.isfinite(self.tolerance_s) and self.tolerance_s >= 0.0):
            raise ConfigurationError(f"camera tolerance {self.tolerance_s} s: expected a number of seconds from 0 up")


def parse_offsets(text: str, cameras: tuple[str, ...]) -> dict[str, float]:
    """Offsets in seconds of an option "front_left=0.01 back=-0.02"; cameras that are not named have none.

    Raises:
        ConfigurationError: a word is not of this form, or names a camera that the model does not look through.
    """
    offsets: dict[str, float] = {}
    for word in text.split():
        camera, _, value = word.partition("=")
        if camera not in cameras or camera in offsets:
            raise ConfigurationError(f"camera offset {word!r}: expected each of {', '.join(cameras)} once at most")
        try:
            offsets[camera] = float(value)
        except ValueError:
            raise ConfigurationError(f"camera offset {word!r}: expected camera=seconds, such as back=0.02") from None
    return offsets


def rig_timing(
    cameras: tuple[str, ...],
    offsets_s: Mapping[str, float],
    tolerance_s: float = DEFAULT_TOLERANCE_S,
    optional: Collection[str] = (),
) -> dict[str, CameraTiming]:
    """One tolerance for all; `optional`: the cameras that the model can do without."""
    return {camera: CameraTiming(offsets_s.get(camera, 0.0), tolerance_s, camera not in optional) for camera in cameras}
