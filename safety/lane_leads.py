"""Objects in lane coordinates, and which of them a path beside the lane's centre must yield to.

An object is yielded to if it is in the path's corridor now, or if it will be there when the vehicle is: at its present
speed, the vehicle reaches it no more than a margin after it has come in, and has not passed it before.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.joined_path import JoinedPath
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.prediction import road_motion

Array = NDArray[np.float64]

ENTRY_TIMES_S = np.arange(0.0, 3.6, 0.5)
"""Instants at which an object may be found in a corridor."""
ARRIVES_WITHIN_S, PASSES_WITHIN_S = 1.5, 1.0
"""The vehicle reaches an object up to this long after it came in, or has passed it at least this long before."""
ONCOMING_S = 2.0
"""Oncoming vehicles are believed to come over only this far ahead: noise in their drift would bring them all in."""
MOVING_MPS = 0.3
"""Slower objects enter no corridor."""
CLOSING_MPS = 0.1
"""Slower closing is none."""
SLACK_M = 1.0
"""Objects that stay farther than this beyond everything of interest are left out."""
BEHIND_M, AHEAD_S, AHEAD_M = 30.0, 8.0, 30.0
"""And those farther behind, or ahead than the present speed covers in this time, and this."""


@dataclass(frozen=True, eq=False)
class LaneObjects:
    """`s_m`, `d_m` (T, N): centres on and beside the lane at `ENTRY_TIMES_S`; `along_mps` (N,): speed along the lane.

    `half_length_m`, `half_width_m` (N,): the box's extent along and across the lane. `vulnerable`, `moving` (N,).
    `objects`: the same ones, in the same order.
    """

    objects: ObjectSet

    s_m: Array
    d_m: Array
    along_mps: Array
    half_length_m: Array
    half_width_m: Array
    vulnerable: NDArray[np.bool_]
    moving: NDArray[np.bool_]


def in_lane_coordinates(
    objects: ObjectSet, line: Polyline, reach_m: float, start_m: float, speed_mps: float
) -> LaneObjects:
    """Predict objects (at the present instant) along the lane; those that cannot matter are left out.

    `reach_m`: to either side of the lane's centre. `start_m`: the vehicle's arc length.
    """
    motion = road_motion(objects, line)
    states, s, d, along, follows = motion.states, motion.s_m, motion.d_m, motion.along_mps, motion.follows
    drift = np.where(follows & np.isfinite(objects.drift_mps), objects.drift_mps, motion.across_mps)
    turn = states[:, 2] - motion.direction_rad
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    half_length = (cos * states[:, 5] + sin * states[:, 6]) / 2
    half_width = (sin * states[:, 5] + cos * states[:, 6]) / 2
    end = d + ENTRY_TIMES_S[-1] * drift
    near = (np.minimum(np.abs(d), np.abs(end)) - half_width <= reach_m + SLACK_M) | (d * end < 0.0)
    near &= (s >= start_m - BEHIND_M) & (s <= start_m + speed_mps * AHEAD_S + AHEAD_M)
    rows = np.flatnonzero(near)
    states, s, d, along, drift = states[rows], s[rows], d[rows], along[rows], drift[rows]
    times = ENTRY_TIMES_S[:, None]
    s_all, d_all = s + times * along, d + times * drift
    free = np.flatnonzero(~follows[rows] & (np.hypot(states[:, 3], states[:, 4]) > MOVING_MPS))
    if len(free):
        places = states[None, free, :2] + ENTRY_TIMES_S[:, None, None] * states[None, free, 3:5]
        arcs, offsets = line.project(places.reshape(-1, 2))
        s_all[:, free], d_all[:, free] = arcs.reshape(-1, len(free)), offsets.reshape(-1, len(free))
    return LaneObjects(
        objects.select(near), s_all, d_all, along, half_length[rows], half_width[rows], objects.vulnerable[rows],
        np.hypot(states[:, 3], states[:, 4]) > MOVING_MPS,
    )  # fmt: skip


def lane_leads(
    path: JoinedPath,
    others: LaneObjects,
    speed_mps: float,
    vehicle: VehicleGeometry,
    margins: CollisionLimits,
    corridor_margin_m: float,
) -> list[Lead]:
    """What a vehicle at the path's start must yield to on it, in no order."""
    if not len(others.along_mps):
        return []
    front = vehicle.length_m - vehicle.rear_overhang_m
    half = vehicle.width_m / 2 + np.where(others.vulnerable, margins.vulnerable_margin_m, corridor_margin_m)
    offset = np.interp(others.s_m, path.line_s_m, path.offset_m)
    aside = np.abs(others.d_m - offset) - others.half_width_m
    inside = aside <= half
    if not inside.any():
        return []
    gap = others.s_m[0] - others.half_length_m - path.line_s_m[0] - front
    ahead = others.s_m[0] - path.line_s_m[0] > vehicle.centre_offset_m
    closing = speed_mps - others.along_mps
    closes = closing > CLOSING_MPS
    rate = np.where(closes, closing, 1.0)
    arrives = np.where(closes, np.maximum(gap, 0.0) / rate, np.inf)
    clears = np.where(closes, (gap + 2 * others.half_length_m + vehicle.length_m) / rate, np.inf)
    inside[0] &= (gap > 0.0) | (aside[0] <= vehicle.width_m / 2)
    times = ENTRY_TIMES_S[1:, None]
    enters = inside[1:] & others.moving & (arrives <= times + ARRIVES_WITHIN_S) & (clears >= times - PASSES_WITHIN_S)
    enters &= (others.along_mps >= -MOVING_MPS) | (times <= ONCOMING_S)
    yields = ahead & (inside[0] | enters.any(axis=0)) & (others.s_m[0] < path.line_s_m[-1])
    return [Lead(float(gap[i]), float(others.along_mps[i])) for i in np.flatnonzero(yields)]
