"""Multimodal rotary positions: where each token of a prompt stands in time, height and width.

Text counts on along all three axes; a camera's visual tokens share one temporal position per frame pair and count rows
and columns. After a camera the text goes on behind the larger side of its grid (rule of Qwen2.5-VL).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

AXES = 3
"""Time, height, width."""


@dataclass(frozen=True)
class VideoGrid:
    """Merged visual tokens of one camera: frame pairs, rows, columns."""

    pairs: int
    rows: int
    columns: int

    @property
    def tokens(self) -> int:
        """Visual tokens in the prompt."""
        return self.pairs * self.rows * self.columns


def prompt_positions(
    runs: Sequence[int | VideoGrid], tokens_per_second: float, second_per_grid: float
) -> tuple[NDArray[np.int64], int]:
    """Positions (3, S) of a prompt made of text runs (their lengths) and videos, and the position that follows it.

    They are read-only.
    """
    parts: list[NDArray[np.int64]] = []
    start = 0
    for run in runs:
        if isinstance(run, VideoGrid):
            times = (np.arange(run.pairs) * (tokens_per_second * second_per_grid)).astype(np.int64)
            grid = np.meshgrid(times, np.arange(run.rows), np.arange(run.columns), indexing="ij")
            parts.append(np.stack(grid).reshape(AXES, -1).astype(np.int64) + start)
            start += max(run.rows, run.columns)
        else:
            parts.append(text_positions(start, run))
            start += run
    positions = np.concatenate(parts, axis=1) if parts else np.zeros((AXES, 0), np.int64)
    positions.flags.writeable = False
    return positions, start


@lru_cache(1024)
def text_positions(start: int, length: int) -> NDArray[np.int64]:
    """Positions (3, length) of text that begins at `start`; read-only, and remembered, for plans repeat them."""
    return np.broadcast_to(np.arange(start, start + length, dtype=np.int64), (AXES, length))


class RotaryTable:
    """Cosines and sines for every position up to `limit`, computed once in float32."""

    def __init__(self, head_dim: int, theta: float, section: Sequence[int], limit: int) -> None:
        exponents = np.arange(0, head_dim, 2, dtype=np.float32) / np.float32(head_dim)
        powers = np.power(float(theta), exponents.astype(np.float64)).astype(np.float32)
        frequencies = np.float32(1.0) / powers
        angles = np.arange(limit, dtype=np.float32)[:, None] * frequencies[None, :]
        self._cos, self._sin = _doubled(np.cos(angles)), _doubled(np.sin(angles))
        self._axis_of_column = np.tile(np.repeat(np.arange(AXES), section), 2)
        self._columns = np.arange(head_dim)
        self.limit = limit

    def look_up(self, positions: NDArray[np.int64]) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Cosines and sines (S, head_dim) float32 for positions (3, S)."""
        if positions.shape[1] == 1 and positions[0, 0] == positions[1, 0] == positions[2, 0]:
            row = int(positions[0, 0])
            return self._cos[row : row + 1], self._sin[row : row + 1]
        rows = np.ascontiguousarray(positions[self._axis_of_column].T)
        return self._cos[rows, self._columns], self._sin[rows, self._columns]


def _doubled(values: NDArray[np.float32]) -> NDArray[np.float32]:
    return np.ascontiguousarray(np.concatenate([values, values], axis=1))
