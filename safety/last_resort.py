"""The stop that runs when the supervisor itself fails: it needs the last published points and NumPy, nothing else."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

DECELERATION_MPS2 = 6.0
"""L4 (6.1); not configurable, so that no configuration can break it."""
JERK_MPS3 = 12.65
"""L4 (6.1)."""


def stop_along(points: Array, elapsed_s: float) -> Array:
    """Points (T, 6) of an emergency stop along earlier `points` (T, 6), from where those are after `elapsed_s`.

    Keeps the path, straight on beyond its end, so that the steering never snaps to zero.
    """
    times = points[:, 0]
    steps = np.hypot(np.diff(points[:, 1]), np.diff(points[:, 2]))
    arcs = np.concatenate([[0.0], np.cumsum(steps)])
    start = float(np.interp(elapsed_s, times, arcs))
    speed, before = (float(np.interp(elapsed_s, times, points[:, column])) for column in (4, 5))
    demand = np.maximum(min(before, 0.0) - JERK_MPS3 * times, -DECELERATION_MPS2)
    dt = np.diff(times)
    change = np.concatenate([[0.0], np.cumsum((demand[1:] + demand[:-1]) / 2 * dt)])
    speeds = np.maximum(speed + change, 0.0)
    along = start + np.concatenate([[0.0], np.cumsum((speeds[1:] + speeds[:-1]) / 2 * dt)])
    moving = np.concatenate([[True], steps > 1e-6])
    path, headings = arcs[moving], np.unwrap(points[:, 3])[moving]
    beyond = np.maximum(along - path[-1], 0.0)
    heading = np.interp(along, path, headings)
    x = np.interp(along, path, points[moving, 1]) + beyond * np.cos(headings[-1])
    y = np.interp(along, path, points[moving, 2]) + beyond * np.sin(headings[-1])
    wrapped = (heading + np.pi) % (2 * np.pi) - np.pi
    return np.column_stack([times, x, y, wrapped, speeds, demand])
