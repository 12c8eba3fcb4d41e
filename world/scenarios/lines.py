"""Centrelines of scenario roads, (N, 2) metres, half a metre or more apart, beginning in the direction of +x."""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Line = NDArray[np.float64]

STEP_M = 0.5
SPIRAL_M = 30.0
"""Length over which the curvature rises and falls."""


@lru_cache(maxsize=8)
def straight(length_m: float = 12000.0) -> Line:
    """Along +x."""
    return np.array([[0.0, 0.0], [length_m, 0.0]])


@lru_cache(maxsize=16)
def curve(radius_m: float, straight_m: float = 100.0, length_m: float = 500.0, spiral_m: float = SPIRAL_M) -> Line:
    """Straight, spiral, then a circle; to the left where the radius is positive."""
    s = np.arange(0.0, length_m, STEP_M)
    return _from_curvature(np.clip((s - straight_m) / spiral_m, 0.0, 1.0) / radius_m)


@lru_cache(maxsize=8)
def s_curve(radius_m: float, straight_m: float = 100.0, arc_m: float = 60.0, length_m: float = 500.0) -> Line:
    """Straight, a left bend, a right bend of the same radius, straight."""
    s = np.arange(0.0, length_m, STEP_M) - straight_m
    first = np.clip(s / SPIRAL_M, 0, 1) - np.clip((s - arc_m) / SPIRAL_M, 0, 1)
    second = np.clip((s - arc_m - SPIRAL_M) / SPIRAL_M, 0, 1) - np.clip((s - 2 * arc_m - SPIRAL_M) / SPIRAL_M, 0, 1)
    return _from_curvature((first - second) / radius_m)


def _from_curvature(curvature: NDArray[np.float64]) -> Line:
    heading = np.concatenate([[0.0], np.cumsum((curvature[1:] + curvature[:-1]) / 2 * STEP_M)])
    middle = (heading[1:] + heading[:-1]) / 2
    x = np.concatenate([[0.0], np.cumsum(STEP_M * np.cos(middle))])
    y = np.concatenate([[0.0], np.cumsum(STEP_M * np.sin(middle))])
    return np.stack([x, y], axis=1)
