"""Tables of the camera kernel: Pillow's bicubic filter in integers, and undistortion maps in fixed point.

The filter is Pillow's (`src/libImaging/Resample.c`, `precompute_coeffs` and `normalize_coeffs_8bpc`, MIT-CMU): Keys'
cubic convolution with a = -0.5, stretched when shrinking, in 22 fractional bits.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import FrameError

FRACTION_BITS = 22
"""Pillow: 32 bits, less 8 of the pixel and 2 of headroom."""
SUPPORT = 2.0
"""Half width of the cubic filter, in output pixels when shrinking."""
MAP_BITS = 5
"""Fractional bits of a map's source coordinates, as in OpenCV's remap."""


@dataclass(frozen=True, eq=False)
class ResizeAxis:
    """One axis. `bounds`: (outputs, 2) int32 first source pixel and count. `coefficients`: (outputs, taps) int32."""

    bounds: NDArray[np.int32]
    coefficients: NDArray[np.int32]

    @property
    def taps(self) -> int:
        """Columns of `coefficients`."""
        return int(self.coefficients.shape[1])


@lru_cache(maxsize=64)
def resize_axis(source: int, target: int) -> ResizeAxis:
    """The table that resizes `source` pixels to `target`; equal sizes pass through unchanged.

    Raises:
        FrameError: a size is not positive.
    """
    if source < 1 or target < 1:
        raise FrameError(f"resize of {source} to {target} pixels: expected positive sizes")
    if source == target:
        bounds = np.stack([np.arange(target), np.ones(target)], axis=1).astype(np.int32)
        return ResizeAxis(bounds, np.full((target, 1), 1 << FRACTION_BITS, np.int32))
    scale = source / target
    stretch = max(scale, 1.0)
    support = SUPPORT * stretch
    taps = math.ceil(support) * 2 + 1
    bounds = np.zeros((target, 2), np.int32)
    coefficients = np.zeros((target, taps), np.int32)
    for output in range(target):
        centre = (output + 0.5) * scale
        first = max(int(centre - support + 0.5), 0)
        count = min(int(centre + support + 0.5), source) - first
        weights = [_keys((k + first - centre + 0.5) * (1.0 / stretch)) for k in range(count)]
        total = sum(weights)
        for k, weight in enumerate(weights):
            fixed = weight / total * (1 << FRACTION_BITS) if total != 0.0 else weight * (1 << FRACTION_BITS)
            coefficients[output, k] = int(fixed - 0.5) if fixed < 0 else int(fixed + 0.5)
        bounds[output] = first, count
    return ResizeAxis(bounds, coefficients)


def _keys(x: float) -> float:
    """Cubic convolution kernel with a = -0.5 (R. Keys, IEEE Trans. ASSP 29, 1981), in Pillow's order of operations."""
    a, x = -0.5, abs(x)
    if x < 1.0:
        return ((a + 2.0) * x - (a + 3.0)) * x * x + 1
    if x < 2.0:
        return (((x - 5) * x + 8) * x - 4) * a
    return 0.0


def undistortion_map(x: NDArray[np.floating], y: NDArray[np.floating]) -> NDArray[np.int32]:
    """(H, W, 2) int32 fixed-point source coordinates of every pixel of a crop, from (H, W) coordinates in pixels.

    Raises:
        FrameError: the shapes differ, or a coordinate is not finite or beyond 2^20 pixels.
    """
    both = np.stack([np.asarray(x, np.float64), np.asarray(y, np.float64)], axis=-1)
    if both.ndim != 3 or not np.isfinite(both).all() or np.abs(both).max(initial=0.0) > 2.0**20:
        raise FrameError(f"undistortion map of shape {both.shape}: expected finite (H, W) coordinates within 2^20")
    return np.rint(both * (1 << MAP_BITS)).astype(np.int32)
