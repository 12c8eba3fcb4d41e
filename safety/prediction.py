"""Where objects will be: constant velocity, along the road for those that follow it, straight on for all others.

On a curve, a straight line takes every oncoming vehicle through the ego lane. An object that moves along the observed
lane (either way) therefore keeps its speed along the lane and its drift across it; on a straight road both are the
same. Slow wheeled objects move along their own heading alone: a parked car does not slide sideways.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import Polyline, wrap_angle
from onboard_vla.safety.object_memory import ObjectSet

Array = NDArray[np.float64]

ROAD_WIDTH_M = 15.0
"""Objects farther from the ego lane than this are not taken to follow it."""
ALONG_RAD = 0.5
"""Largest angle between an object's course and the lane, either way, to count as following the road."""
MOVING_MPS = 1.0
"""Slower objects have no course."""
SLIDING_MPS = 3.0
"""Below this speed the measured velocity across a wheeled object's heading is noise."""


@dataclass(frozen=True, eq=False)
class RoadMotion:
    """Objects as seen from a line. `states` (N, 7): without the sliding of slow wheeled ones.

    `s_m`, `d_m` (N,): arc length and offset, straight on beyond the line's ends. `along_mps`, `across_mps` (N,): speeds
    along and across it. `direction_rad` (N,): the line's heading there. `follows` (N,): which move along the road.
    """

    states: Array
    s_m: Array
    d_m: Array
    along_mps: Array
    across_mps: Array
    direction_rad: Array
    follows: NDArray[np.bool_]


def predict(objects: ObjectSet, times_s: Array, line: Polyline | None) -> tuple[Array, Array, Array]:
    """Positions (T, N, 2), headings (T, N) and velocities (T, N, 2) at `times_s` (T,) after the objects' own instant.

    `line`: the ego lane's centreline, None if unknown.
    """
    times = np.asarray(times_s, np.float64)
    motion = None if line is None or not len(objects.states) else road_motion(objects, line)
    states = without_sliding(objects) if motion is None else motion.states
    count = len(states)
    positions, velocities = np.empty((len(times), count, 2)), np.empty((len(times), count, 2))
    np.multiply(times[:, None, None], states[None, :, 3:5], out=positions)
    positions += states[None, :, :2]
    velocities[:] = states[:, 3:5]
    headings = np.empty((len(times), count))
    headings[:] = states[:, 2]
    if line is None or motion is None:
        return positions, headings, velocities
    rows = np.flatnonzero(motion.follows)
    if not len(rows):
        return positions, headings, velocities
    s, d, along, across, direction = (
        column[rows] for column in (motion.s_m, motion.d_m, motion.along_mps, motion.across_mps, motion.direction_rad)
    )
    drift = objects.drift_mps[rows]
    drift = np.where(np.isfinite(drift), drift, across)
    arcs = s + times[:, None] * along
    offsets = d + times[:, None] * drift
    lane = np.asarray(line.heading_at(arcs), np.float64)
    inside = np.minimum(np.maximum(arcs, 0.0), line.length)
    beyond = arcs - inside
    cos, sin = np.cos(lane), np.sin(lane)
    points = line.at(inside)
    positions[:, rows, 0] = points[..., 0] + beyond * cos - offsets * sin
    positions[:, rows, 1] = points[..., 1] + beyond * sin + offsets * cos
    headings[:, rows] = states[rows, 2] + lane - direction
    velocities[:, rows, 0] = along * cos - drift * sin
    velocities[:, rows, 1] = along * sin + drift * cos
    return positions, headings, velocities


def without_sliding(objects: ObjectSet) -> Array:
    """The states (N, 7), slow wheeled objects' velocity turned into their heading."""
    states = objects.states
    slow = ~objects.on_foot & (np.hypot(states[:, 3], states[:, 4]) < SLIDING_MPS)
    if not slow.any():
        return states
    cos, sin = np.cos(states[:, 2]), np.sin(states[:, 2])
    rolling = states[:, 3] * cos + states[:, 4] * sin
    changed = states.copy()
    changed[slow, 3], changed[slow, 4] = (rolling * cos)[slow], (rolling * sin)[slow]
    return np.asarray(changed, np.float64)


@lru_cache(maxsize=4)
def road_motion(objects: ObjectSet, line: Polyline) -> RoadMotion:
    """`objects` as seen from `line`; kept for the newest pairs, as one cycle asks several times."""
    states = without_sliding(objects)
    s, d, along, across, direction = seen_from(line, states)
    return RoadMotion(states, s, d, along, across, direction, follows_road(objects, d, along, across))


def seen_from(line: Polyline, states: Array) -> tuple[Array, Array, Array, Array, Array]:
    """Arc length, offset, speed along and across the line, and the line's heading, for each of `states` (N, 7)."""
    s, d, direction = place_beside(line, states[:, :2])
    cos, sin = np.cos(direction), np.sin(direction)
    along = states[:, 3] * cos + states[:, 4] * sin
    across = states[:, 4] * cos - states[:, 3] * sin
    return s, d, along, across, direction


def place_beside(line: Polyline, points: Array) -> tuple[Array, Array, Array]:
    """Arc length and offset of each of `points` (N, 2), straight on beyond the line's ends, and the line's heading."""
    s, d = line.project(points)
    direction = np.asarray(line.heading_at(s), np.float64)
    for end, arc in ((line.points[0], 0.0), (line.points[-1], line.length)):
        at_end = s == arc
        if at_end.any():
            cos, sin = np.cos(direction), np.sin(direction)
            x, y = points[:, 0] - end[0], points[:, 1] - end[1]
            s = np.where(at_end, arc + x * cos + y * sin, s)
            d = np.where(at_end, y * cos - x * sin, d)
    return s, d, direction


def follows_road(objects: ObjectSet, d: Array, along: Array, across: Array) -> NDArray[np.bool_]:
    """Which objects (N,) move along the road: wheeled, fast enough, near, and with a course along it."""
    course = np.abs(wrap_angle(np.arctan2(across, np.abs(along))))
    moving = np.abs(along) > MOVING_MPS
    return np.asarray(~objects.on_foot & moving & (np.abs(d) <= ROAD_WIDTH_M) & (course <= ALONG_RAD), bool)
