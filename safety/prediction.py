"""Where objects will be: constant velocity, along the road for those that follow it, straight on for all others.

On a curve, a straight line takes every oncoming vehicle through the ego lane. An object that moves along the observed
lane (either way) therefore keeps its speed along the lane and its drift across it; on a straight road both are the
same. Slow wheeled objects move along their own heading alone: a parked car does not slide sideways.
"""

from __future__ import annotations

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


def predict(objects: ObjectSet, times_s: Array, line: Polyline | None) -> tuple[Array, Array, Array]:
    """Positions (T, N, 2), headings (T, N) and velocities (T, N, 2) at `times_s` (T,) after the objects' own instant.

    `line`: the ego lane's centreline, None if unknown.
    """
    states, times = without_sliding(objects), np.asarray(times_s, np.float64)
    positions = states[None, :, :2] + times[:, None, None] * states[None, :, 3:5]
    headings = np.broadcast_to(states[None, :, 2], positions.shape[:2]).copy()
    velocities = np.broadcast_to(states[None, :, 3:5], positions.shape).copy()
    if line is None or not len(states):
        return positions, headings, velocities
    s, d, along, across, direction = road_motion(states, line)
    rows = follows_road(objects, d, along, across)
    if not rows.any():
        return positions, headings, velocities
    s, d, along, direction = s[rows], d[rows], along[rows], direction[rows]
    drift = objects.drift_mps[rows]
    drift = np.where(np.isfinite(drift), drift, across[rows])
    arcs = s + times[:, None] * along
    offsets = d + times[:, None] * drift
    lane = np.asarray(line.heading_at(arcs), np.float64)
    inside = np.clip(arcs, 0.0, line.length)
    beyond = arcs - inside
    tangent = np.stack([np.cos(lane), np.sin(lane)], axis=-1)
    normal = np.stack([-np.sin(lane), np.cos(lane)], axis=-1)
    positions[:, rows] = line.at(inside) + beyond[..., None] * tangent + offsets[..., None] * normal
    headings[:, rows] = states[rows, 2] + lane - direction
    velocities[:, rows] = along[:, None] * tangent + drift[:, None] * normal
    return positions, headings, velocities


def without_sliding(objects: ObjectSet) -> Array:
    """The states (N, 7), slow wheeled objects' velocity turned into their heading."""
    states = objects.states
    heading = np.stack([np.cos(states[:, 2]), np.sin(states[:, 2])], axis=1)
    rolling = np.einsum("ij,ij->i", states[:, 3:5], heading)
    slow = ~objects.on_foot & (np.hypot(states[:, 3], states[:, 4]) < SLIDING_MPS)
    changed = states.copy()
    changed[slow, 3:5] = (rolling[:, None] * heading)[slow]
    return np.asarray(changed, np.float64)


def road_motion(states: Array, line: Polyline) -> tuple[Array, Array, Array, Array, Array]:
    """Arc length, offset, speed along and across the line, and the line's heading, for each of `states` (N, 7)."""
    s, d = line.project(states[:, :2])
    direction = np.asarray(line.heading_at(s), np.float64)
    cos, sin = np.cos(direction), np.sin(direction)
    for end, arc in ((line.points[0], 0.0), (line.points[-1], line.length)):
        gap = states[:, :2] - end
        at_end = s == arc
        s = np.where(at_end, arc + gap[:, 0] * cos + gap[:, 1] * sin, s)
        d = np.where(at_end, gap[:, 1] * cos - gap[:, 0] * sin, d)
    along = states[:, 3] * cos + states[:, 4] * sin
    across = states[:, 4] * cos - states[:, 3] * sin
    return s, d, along, across, direction


def follows_road(objects: ObjectSet, d: Array, along: Array, across: Array) -> NDArray[np.bool_]:
    """Which objects (N,) move along the road: wheeled, fast enough, near, and with a course along it."""
    course = np.abs(wrap_angle(np.arctan2(across, np.abs(along))))
    moving = np.abs(along) > MOVING_MPS
    return np.asarray(~objects.on_foot & moving & (np.abs(d) <= ROAD_WIDTH_M) & (course <= ALONG_RAD), bool)
