"""The stop that runs when the supervisor itself fails: it needs stored points and NumPy, nothing else.

At every tick that publishes a trajectory, an emergency stop along it is computed and stored (`store_stop`). While the
model drives, that trajectory lies on the path of a plan for which such a stop was found free and long enough
(`guards/recoverability.py`). When everything else dies, the stored stop is read out by time; nothing is computed anew.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import unwrap

Array = NDArray[np.float64]

DECELERATION_MPS2 = 6.0
"""L4 (6.1); not configurable, so that no configuration can break it."""
JERK_MPS3 = 12.65
"""L4 (6.1)."""
STEP_S = 0.1
ROWS = 121
"""A stored stop: 12 s at 0.1 s, standstill from 60 m/s included."""


@dataclass(frozen=True, eq=False)
class StoredStop:
    """`points` (ROWS, 6), read-only: a stop that begins at the monotonic instant `from_ns`. `plan_id`: as published."""

    points: Array
    from_ns: int
    plan_id: int

    def read(self, now_ns: int, rows: int) -> Array:
        """Its points (rows, 6) from `now_ns` on, times counted from there; held at standstill."""
        times = np.arange(rows) * STEP_S
        at = times + max(now_ns - self.from_ns, 0) / 1e9
        columns = [np.interp(at, self.points[:, 0], self.points[:, column]) for column in range(1, 6)]
        columns[2] = (columns[2] + np.pi) % (2 * np.pi) - np.pi
        return np.column_stack([times, *columns])


def store_stop(points: Array, now_ns: int, plan_id: int) -> StoredStop:
    """The stop along trajectory `points` (T, 6) that begins now."""
    stop = stop_along(points, 0.0, np.arange(ROWS, dtype=np.float64) * STEP_S)
    stop[:, 3] = unwrap(stop[:, 3])
    stop.setflags(write=False)
    return StoredStop(stop, now_ns, plan_id)


def brake(speed_mps: float, acceleration_mps2: float, times_s: Array) -> tuple[Array, Array, Array]:
    """Distance, speed and demand (T,) each at `times_s` (T,), first 0, of an L4 stop; the demand in force decays."""
    demand = np.maximum(acceleration_mps2 - JERK_MPS3 * times_s, -DECELERATION_MPS2)
    dt = np.diff(times_s)
    change = np.concatenate([[0.0], np.cumsum((demand[1:] + demand[:-1]) / 2 * dt)])
    speeds = np.maximum(speed_mps + change, 0.0)
    distance = np.concatenate([[0.0], np.cumsum((speeds[1:] + speeds[:-1]) / 2 * dt)])
    return distance, speeds, demand


def stop_along(points: Array, elapsed_s: float, times_s: Array | None = None) -> Array:
    """Points (T, 6) of an emergency stop along earlier `points` (N, 6), from where those are after `elapsed_s`.

    At `times_s` (T,), the times of `points` if not given. Keeps the path, straight on beyond its end, so that the
    steering never snaps to zero.
    """
    given = points[:, 0]
    times = given if times_s is None else times_s
    steps = np.hypot(np.diff(points[:, 1]), np.diff(points[:, 2]))
    arcs = np.concatenate([[0.0], np.cumsum(steps)])
    start = float(np.interp(elapsed_s, given, arcs))
    speed, before = (float(np.interp(elapsed_s, given, points[:, column])) for column in (4, 5))
    distance, speeds, demand = brake(speed, min(before, 0.0), times)
    along = start + distance
    moving = np.concatenate([[True], steps > 1e-6])
    path, headings = arcs[moving], unwrap(points[:, 3])[moving]
    beyond = np.maximum(along - path[-1], 0.0)
    heading = np.interp(along, path, headings)
    x = np.interp(along, path, points[moving, 1]) + beyond * np.cos(headings[-1])
    y = np.interp(along, path, points[moving, 2]) + beyond * np.sin(headings[-1])
    wrapped = (heading + np.pi) % (2 * np.pi) - np.pi
    return np.column_stack([times, x, y, wrapped, speeds, demand])
