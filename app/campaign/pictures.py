"""Pictures that carry the moment at which they were taken, so that a planner without a model depends on its camera.

A picture is a chequered noise in whose cells the moment's number is written many times over. Who reads an intact
picture learns which moment it shows; a black, covered or blurred one says nothing; a frozen one says an old moment,
whatever its stamp claims. No fault is ever told to the reader: it sees pixels.
"""

from __future__ import annotations

import zlib

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.world.expert import Expert
from onboard_vla.world.world import World

Picture = NDArray[np.uint8]

ROWS, COLUMNS, CELL_PX = 16, 28, 4
"""Cells of a picture and their size: smaller than any blur that a camera guard must notice."""
BITS = 32
"""Written into the cells: 16 bits of number, 16 bits of checksum."""
CONTRAST, GRAIN, MIDDLE = 36, 12, 118
"""Grey levels: a cell's distance from the middle, the sensor noise on top, and the middle."""
AGREEMENT_MIN = 0.8
"""Share of cells that must agree on their bit for the picture to be readable: half a picture is none."""
MOMENTS_KEPT = 400
"""At 10 Hz: 40 s; a picture frozen for longer is as good as unreadable."""


class MomentPictures:
    """Stands where the renderer stands: takes the six pictures of a moment and remembers what the moment was."""

    def __init__(self, driver: Expert) -> None:
        self._driver = driver
        self._rng = np.random.default_rng(17)
        self._order = np.random.default_rng(5).permutation(ROWS * COLUMNS)
        self._plans: dict[int, NDArray[np.float64]] = {}
        self._count = 0

    def render(self, world: World) -> dict[str, Picture]:
        """Pictures (64, 112, 3) uint8 of all cameras at the world's present instant."""
        self._count += 1
        self._plans[self._count] = np.asarray(self._driver.plan().fine, np.float64)
        self._plans.pop(self._count - MOMENTS_KEPT, None)
        cells = np.empty(ROWS * COLUMNS, np.int16)
        cells[self._order] = np.resize(_bits(self._count), ROWS * COLUMNS) * 2 - 1
        grey = np.kron(cells.reshape(ROWS, COLUMNS), np.ones((CELL_PX, CELL_PX), np.int16)) * CONTRAST + MIDDLE
        grain = self._rng.integers(-GRAIN, GRAIN + 1, grey.shape, np.int16)
        picture = np.repeat((grey + grain).astype(np.uint8)[..., None], 3, axis=2)
        return dict.fromkeys(CAMERAS, picture)

    def seen_in(self, picture: Picture) -> NDArray[np.float64] | None:
        """What a driver would have planned at the moment that the picture shows, (50, 3); None if unreadable."""
        number = self._read(picture)
        return None if number is None else self._plans.get(number)

    def _read(self, picture: Picture) -> int | None:
        if picture.shape != (ROWS * CELL_PX, COLUMNS * CELL_PX, 3):
            return None
        grey = picture[..., 1].astype(np.float64)
        cells = grey.reshape(ROWS, CELL_PX, COLUMNS, CELL_PX).mean(axis=(1, 3)).ravel()
        if cells.std() < 1.0:
            return None
        middle = float(np.percentile(cells, [10, 90]).mean())
        votes = np.sign(cells - middle)[self._order].reshape(-1, BITS)
        bits = votes.sum(axis=0) > 0
        if (votes * (bits * 2 - 1) > 0).mean() < AGREEMENT_MIN:
            return None
        number = int(bits[:16] @ (1 << np.arange(16)))
        return number if bool((_bits(number) == bits).all()) else None


def _bits(number: int) -> NDArray[np.int16]:
    number %= 1 << 16
    check = zlib.crc32(number.to_bytes(2, "little")) & 0xFFFF
    return (((check << 16 | number) >> np.arange(BITS)) & 1).astype(np.int16)
