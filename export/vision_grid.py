"""What a fixed patch grid bakes into the vision graph: window order, window membership and rotary angles."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import VisionDimensions
from onboard_vla.core.errors import CheckpointError

ROTARY_BASE = 10000.0
"""Base of the vision encoder's rotary frequencies (Qwen2-VL and Qwen2.5-VL)."""

Ints = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class VisionGrid:
    """Constants of one grid of `height` x `width` patches.

    `order`: (N,) patch indices in window order. `restore`: (N / merge^2,) window order back to row-major blocks.
    `windows`: (W, L) positions in window order, each window padded to the longest with its own first patch;
    `present`: (W, L) bool, False where padded. `angles`: (N, head_dim / 2) float32 rad, in window order.
    """

    height: int
    width: int
    order: Ints
    restore: Ints
    windows: Ints
    present: NDArray[np.bool_]
    angles: NDArray[np.float32]

    @property
    def patches(self) -> int:
        """Number of patches N."""
        return self.height * self.width

    @property
    def name(self) -> str:
        """File name of this grid's graph."""
        return graph_name(self.height, self.width)


def graph_name(height: int, width: int) -> str:
    """File name of the vision graph for a grid of `height` x `width` patches."""
    return f"vision_{height}x{width}.onnx"


def vision_grid(height: int, width: int, vision: VisionDimensions) -> VisionGrid:
    """Work out a grid's constants.

    Raises:
        CheckpointError: the grid does not divide into merge blocks.
    """
    merge = vision.merge_size
    if height <= 0 or width <= 0 or height % merge or width % merge:
        raise CheckpointError(f"a grid of {height}x{width} patches does not divide into blocks of {merge}x{merge}")
    rows, columns = height // merge, width // merge
    side = vision.window_size // merge // vision.patch_size
    blocks = np.arange(rows * columns).reshape(rows, columns)
    pieces = [
        blocks[top : top + side, left : left + side].ravel()
        for top in range(0, rows, side)
        for left in range(0, columns, side)
    ]
    block_order = np.concatenate(pieces)
    unit = merge * merge
    order = (block_order[:, None] * unit + np.arange(unit)).ravel()
    lengths = [len(piece) * unit for piece in pieces]
    starts = np.concatenate([[0], np.cumsum(lengths)[:-1]])
    longest = max(lengths)
    steps = np.arange(longest)
    present = steps < np.array(lengths)[:, None]
    windows = np.where(present, starts[:, None] + steps, starts[:, None])
    return VisionGrid(
        height, width, order, np.argsort(block_order), windows, present, _angles(height, width, vision)[order]
    )


def _angles(height: int, width: int, vision: VisionDimensions) -> NDArray[np.float32]:
    """Rotary angles (N, head_dim / 2) in patch order: row times frequencies, then column times frequencies."""
    merge, head_dim = vision.merge_size, vision.hidden_size // vision.heads
    quarter = np.arange(0, head_dim // 2, 2, dtype=np.float32)
    frequencies = (1.0 / ROTARY_BASE ** (quarter / np.float32(head_dim // 2))).astype(np.float32)
    row, column = np.meshgrid(np.arange(height), np.arange(width), indexing="ij")
    blocked = (height // merge, merge, width // merge, merge)
    rows = row.reshape(blocked).transpose(0, 2, 1, 3).reshape(-1, 1).astype(np.float32)
    columns = column.reshape(blocked).transpose(0, 2, 1, 3).reshape(-1, 1).astype(np.float32)
    return np.concatenate([rows * frequencies, columns * frequencies], axis=1).astype(np.float32)
