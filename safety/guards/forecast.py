"""The objects around the vehicle, predicted once for all checks of one plan, and footprints held against them.

Circles about both boxes are compared first; only pairs whose circles meet are compared as boxes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline, box_corners, boxes_overlap
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.placed_plan import Array
from onboard_vla.safety.prediction import predict
from onboard_vla.safety.struck import Corridor, Flags, Rows, Touches, blamed, from_behind

SAMPLE_S = 0.1
"""Time between checked footprints."""
REACH_M = 30.0
"""Objects farther away than both could move over the horizon, and this, are left out."""


@dataclass(frozen=True, eq=False)
class Forecast:
    """`objects` at time 0, and where they are at `times_s` (T,).

    `positions` (T, N, 2), `headings` (T, N), `velocities` (T, N, 2), `margins_m` (N,): to the sides of the vehicle.
    `own` (2,): the vehicle's rear axle at time 0. `lane`: see `forecast`.
    """

    times_s: Array
    objects: ObjectSet
    positions: Array
    headings: Array
    velocities: Array
    margins_m: Array
    own: Array
    lane: Polyline | None


def forecast(
    objects: ObjectSet,
    position: Array,
    speed_mps: float,
    horizon_s: float,
    lane: Polyline | None,
    limits: CollisionLimits,
) -> Forecast:
    """Predict `objects` (at time 0) that can come near a vehicle at `position` (2,) within the horizon.

    `lane`: the ego lane's centreline, None if unknown.
    """
    times = np.arange(math.floor(horizon_s / SAMPLE_S + 1e-9) + 1, dtype=np.float64) * SAMPLE_S
    if len(objects.states):
        gap = np.hypot(objects.states[:, 0] - position[0], objects.states[:, 1] - position[1])
        speeds = np.hypot(objects.states[:, 3], objects.states[:, 4])
        sizes = np.hypot(objects.states[:, 5], objects.states[:, 6])
        near = gap - sizes <= (abs(speed_mps) + speeds) * horizon_s + REACH_M
        if not near.all():
            objects = objects.select(near)
    positions, headings, velocities = predict(objects, times, lane)
    margins = np.where(objects.vulnerable, limits.vulnerable_margin_m, limits.lateral_margin_m)
    return Forecast(times, objects, positions, headings, velocities, margins, position, lane)


@dataclass(frozen=True)
class Overlap:
    """The first contact: when, and with which row of the objects."""

    time_s: float
    row: int


def first_overlap(poses: Array, seen: Forecast, vehicle: VehicleGeometry, nose_m: float) -> Overlap | None:
    """The first contact of rear-axle `poses` (K, 3), at the forecast's first K times, or None.

    The footprint grows to the sides by the objects' margins and to the front by `nose_m`. Objects that first touch it
    when they are behind the vehicle's own centre, faster than it, and where it would be had it not moved sideways, run
    into it: that is not the plan's fault, and they are left out. The bare footprint is asked about apart, so that who
    passes within the margins is no more to be turned into than who passes beside them (`struck.blamed`).
    """
    count = len(poses)
    states = seen.objects.states
    if not len(states):
        return None
    heading = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
    length = vehicle.length_m + nose_m
    centres = poses[:, :2] + (vehicle.centre_offset_m + nose_m / 2) * heading
    margin = seen.margins_m
    reach = math.hypot(length, vehicle.width_m) / 2 + margin + np.hypot(states[:, 5], states[:, 6]) / 2
    gaps = seen.positions[:count] - centres[:, None]
    near_t, near_o = np.nonzero(gaps[..., 0] ** 2 + gaps[..., 1] ** 2 <= (reach**2)[None])
    if not len(near_t):
        return None
    width = vehicle.width_m + 2 * margin[near_o]
    own = box_corners(centres[near_t], poses[near_t, 2], np.full(len(near_t), length), width)
    boxes = box_corners(
        seen.positions[near_t, near_o], seen.headings[near_t, near_o], states[near_o, 5], states[near_o, 6]
    )
    hit = boxes_overlap(own, boxes)
    if not hit.any():
        return None
    ahead = np.einsum("ij,ij->i", gaps[near_t, near_o], heading[near_t])
    moved = np.gradient(poses[:, :2], SAMPLE_S, axis=0)
    own_speed = np.einsum("ij,ij->i", moved, heading)[near_t]
    their_speed = np.einsum("ij,ij->i", seen.velocities[near_t, near_o], heading[near_t])
    rows = np.flatnonzero(hit)
    times, others = near_t[rows], near_o[rows]
    places, turns, sizes = seen.positions[times, others], seen.headings[times, others], states[others, 5:7]
    # The gaps are to the grown footprint's centre, which lies before the vehicle's.
    behind = from_behind(ahead[rows] + nose_m / 2, own_speed[rows], their_speed[rows])

    def bare(chosen: Rows) -> Flags:
        at = times[chosen]
        middles = poses[at, :2] + vehicle.centre_offset_m * heading[at]
        footprints = box_corners(middles, poses[at, 2], vehicle.length_m, vehicle.width_m)
        return boxes_overlap(footprints, boxes[rows[chosen]])

    touches = Touches(others, behind, places, turns, sizes, margin[others])
    fault = blamed(touches, bare, Corridor(vehicle, seen.own, poses[0, 2], seen.lane))
    if not fault.any():
        return None
    first = int(fault.argmax())
    return Overlap(float(seen.times_s[times[first]]), int(others[first]))
