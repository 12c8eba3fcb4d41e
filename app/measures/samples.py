"""Samples of worlds that no training saw: pictures at full size, the expert's plan, and the truth behind them."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import CAMERAS, FRONT, FrameSet, Picture
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.road import COMMANDS
from onboard_vla.world.dataset_episode import AUXILIARY, FRAMES, Disturbance, disturbed_start, record_episode
from onboard_vla.world.render import Renderer
from onboard_vla.world.world import World

FIRST_SEED = 800_000
"""First seed of the worlds; not those of training, of its validation, of the card's drives or of calibration."""
FRAME_S = 0.5
"""Seconds between recorded frame sets."""
EVERY = 2
"""One sample a second: neighbours half a second apart say much the same."""
UNDISTURBED_EVERY = 4
"""Every fourth world is driven undisturbed; in the others the vehicle is pushed off its way, as in training."""


@dataclass(frozen=True, eq=False)
class Sample:
    """One model input with its truth.

    `poses`: (10, 3) float32, the expert's plan. `truth`: (A,) float32, the values that `AUXILIARY` names.
    """

    frames: FrameSet
    ego: EgoState
    command: str
    poses: NDArray[np.float32]
    demanding: bool
    truth: NDArray[np.float32]
    reasoning: str


class WholePictures:
    """Stands in for the training's resizing: the runtime does its own."""

    cameras = CAMERAS

    def __call__(self, camera: str, source: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """A copy: the renderer's buffers are used again."""
        return np.array(source, np.uint8)


def samples_of(seed: int, profile: str, seconds: float, renderer: Renderer) -> list[Sample]:
    """One world's samples, in order; none if its drive ended before the model's look-back was full."""
    how = Disturbance() if seed % UNDISTURBED_EVERY else None
    world = World(seed, profile, disturbed_start(seed, how) if how is not None else None)
    table = record_episode(world, renderer, WholePictures(), seconds, seed, how)  # type: ignore[arg-type]
    return [sample_of(table, row) for row in range(FRAMES - 1, len(table["speed"]), EVERY)]


def with_images(frames: FrameSet, images: Mapping[str, tuple[Picture, ...]]) -> FrameSet:
    """The same moment, other pictures."""
    return FrameSet(frames.stamp_ns, dict(images), frames.stamps_ns)


def sample_of(table: dict[str, NDArray[Any]], row: int) -> Sample:
    """What the model is shown at one row of an episode's arrays."""
    rows = range(row - FRAMES + 1, row + 1)
    stamps = tuple(nanoseconds(FRAME_S * r) for r in rows)
    images: dict[str, tuple[Picture, ...]] = {FRONT: tuple(table["front"][r] for r in rows)}
    for index, camera in enumerate(c for c in CAMERAS if c != FRONT):
        images[camera] = tuple(table["sides"][r, index] for r in rows)
    x, y, heading = table["ego"][row].tolist()
    speed = float(table["speed"][row])
    return Sample(
        frames=FrameSet(stamps[-1], images, dict.fromkeys(images, stamps)),
        ego=EgoState(stamps[-1], x, y, heading, speed, 0.0, 0.0),
        command=COMMANDS[int(table["command"][row])],
        poses=table["poses"][row],
        demanding=bool(table["demanding"][row]),
        truth=table["auxiliary"][row],
        reasoning=str(table["reasoning"][row]),
    )


def truth_index(name: str) -> int:
    """Column of a truth."""
    return AUXILIARY.index(name)
