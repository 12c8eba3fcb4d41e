"""The sky and the hills on the horizon, painted once and turned with the heading."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

COLUMNS, ROWS = 2048, 96
ROWS_PER_RAD, HORIZON_ROW = 110.0, 8
"""Row = elevation x ROWS_PER_RAD + HORIZON_ROW; the painter of the background uses the same numbers."""


@lru_cache(maxsize=1)
def paint_panorama() -> NDArray[np.float32]:
    """(ROWS, COLUMNS, 3) float32: row 0 lies below the horizon."""
    azimuth = np.arange(COLUMNS) / COLUMNS * 2 * np.pi
    elevation = (np.arange(ROWS) - HORIZON_ROW) / ROWS_PER_RAD
    rng = np.random.default_rng(20)
    ridges, cloud = np.zeros(COLUMNS), np.zeros((ROWS, COLUMNS))
    for wave in (3, 5, 8, 13, 21, 34):
        ridges += np.sin(wave * azimuth + rng.uniform(0, 2 * np.pi)) / wave**0.8
    for wave in (4, 7, 11, 18, 29):
        tilt, phase = rng.uniform(8.0, 30.0), rng.uniform(0, 2 * np.pi)
        cloud += np.sin(wave * azimuth + phase + tilt * elevation[:, None] * 2) / wave**0.6
    share = np.clip(elevation / 0.6, 0.0, 1.0)[:, None, None]
    sky = (1 - share) * np.array([206.0, 216.0, 224.0]) + share * np.array([112.0, 158.0, 214.0])
    cover = np.clip(cloud * 1.4 - 0.1, 0.0, 0.75)[..., None] * np.clip(elevation * 8.0, 0.0, 1.0)[:, None, None]
    sky = np.broadcast_to(sky, (ROWS, COLUMNS, 3)) * (1 - cover) + np.array([240.0, 242.0, 244.0]) * cover
    height = 0.028 + 0.018 * ridges
    hill = elevation[:, None] < np.maximum(height, 0.006)
    sky[hill] = np.array([128.0, 148.0, 150.0])
    near = elevation[:, None] < np.maximum(0.5 * height[::-1], 0.004)
    sky[near] = np.array([116.0, 136.0, 116.0])
    return np.ascontiguousarray(sky, np.float32)
