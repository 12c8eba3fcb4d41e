"""Which proposal is best: no contact, on the drivable area, then time to collision, progress, comfort, lane keeping.

The form is that of the extended PDM score (NAVSIM, Dauner et al. 2024): a product of what may not be violated, times a
weighted mean of the rest.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.joined_path import JoinedPath
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.prediction import predict
from onboard_vla.safety.proposals import SHARES, STEP_S, Rollouts, poses
from onboard_vla.safety.struck import Corridor, Touches, blamed, from_behind

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]

EVERY = 3
"""Steps between judged instants: 0.3 s, the spacing of the time-to-collision projections."""
PROJECTIONS = (1, 2, 3)
"""The time-to-collision term looks 0.3, 0.6 and 0.9 s ahead at constant speed."""
TTC_WEIGHT, PROGRESS_WEIGHT, COMFORT_WEIGHT, LANE_WEIGHT = 5.0, 5.0, 2.0, 2.0
LEAST_PROGRESS_M = 5.0
"""Where nobody gets farther than this, all progress counts alike."""
COMFORT_BRAKING_MPS2, COMFORT_LATERAL_MPS2 = 4.05, 4.89
LANE_OFFSET_M = 0.5
"""Farther from the centre than this is not lane keeping."""
MOVING_MPS = 0.005
CONTACT_MARGIN_M = 0.1
NEVER_S = 99.0
ROUNDING_M = 1e-6
"""Circles that touch are no farther apart along an axis than this more than both radii."""


@dataclass(frozen=True, eq=False)
class Scores:
    """`total` (K,) in 0 to 1; `contact_s` (K,): time of the first contact at fault, `NEVER_S` where there is none."""

    total: Array
    contact_s: Array


def score(
    paths: list[JoinedPath],
    rollouts: Rollouts,
    targets_m: tuple[float, ...],
    own: Array,
    objects: ObjectSet,
    lanes: LaneObservation,
    vehicle: VehicleGeometry,
    margins: CollisionLimits,
) -> Scores:
    """Judge all proposals against those `objects`, at the present instant, that can matter.

    `own` (2,): where the vehicle's rear axle is, which need not be on any of the paths.
    """
    steps = np.arange(0, rollouts.distance_m.shape[1], EVERY)
    distance, speed = rollouts.distance_m[:, steps], rollouts.speed_mps[:, steps]
    contact, close = _contacts(poses(paths, distance), speed, own, objects, lanes.line, vehicle, margins)
    gone = distance[:, -1]
    off = np.repeat(drivable_m(paths, lanes, vehicle), len(SHARES)) < gone
    allowed = (contact >= NEVER_S) & ~off
    best = float(gone[allowed].max(initial=0.0))
    progress = gone / best if best > LEAST_PROGRESS_M else np.ones(len(gone))
    curvature = np.repeat([np.abs(path.curvature_per_m).max() for path in paths], len(SHARES))
    lateral = speed.max(axis=1) ** 2 * curvature
    comfort = (rollouts.acceleration_mps2.min(axis=1) >= -COMFORT_BRAKING_MPS2) & (lateral <= COMFORT_LATERAL_MPS2)
    keeps = np.repeat([abs(target) <= LANE_OFFSET_M for target in targets_m], len(SHARES))
    weighted = TTC_WEIGHT * ~close + PROGRESS_WEIGHT * np.minimum(progress, 1.0)
    weighted = weighted + COMFORT_WEIGHT * comfort + LANE_WEIGHT * keeps
    total = weighted / (TTC_WEIGHT + PROGRESS_WEIGHT + COMFORT_WEIGHT + LANE_WEIGHT)
    # Where contact is foreseen, later is better, and below every proposal without.
    forbidden = np.where(off, 0.0, 0.001 * contact)
    return Scores(np.where(allowed, 0.1 + 0.9 * total, forbidden), contact)


def drivable_m(paths: list[JoinedPath], lanes: LaneObservation, vehicle: VehicleGeometry) -> Array:
    """How far along each of `paths` (P,) the footprint stays on the drivable area; all are beside the same stretch.

    Where it begins outside, that is forgiven.
    """
    rows, line = slice(None, None, 2), lanes.line
    s, offset = paths[0].line_s_m[rows], np.stack([path.offset_m[rows] for path in paths])
    turn = np.arctan(np.gradient(offset, s, axis=1))
    sin, half_width = np.sin(turn), vehicle.width_m / 2 * np.cos(turn)
    outside = np.full(offset.shape, -np.inf)
    for reach in (vehicle.length_m - vehicle.rear_overhang_m, -vehicle.rear_overhang_m):
        at, centre = s + reach, offset + reach * sin
        left = np.interp(at, line.arc_lengths, lanes.left_m)
        right = np.interp(at, line.arc_lengths, lanes.right_m)
        over = np.abs(centre - (left - right) / 2) + half_width - (left + right) / 2
        outside = np.maximum(outside, np.where(at <= line.length, over, -np.inf))
    off = outside > np.maximum(outside[:, :1], 0.0) + 0.01
    ends = [path.s_m[rows][index] for path, index in zip(paths, off.argmax(axis=1).tolist(), strict=True)]
    return np.where(off.any(axis=1), ends, np.inf)


def _contacts(
    ego: Array, speed: Array, own: Array, objects: ObjectSet, line: Polyline, vehicle: VehicleGeometry,
    margins: CollisionLimits,
) -> tuple[Array, Flags]:  # fmt: skip
    """First contact at fault (K,), and whether a constant-speed projection of any instant makes contact (K,)."""
    count, instants = speed.shape
    if not len(objects.states):
        return np.full(count, NEVER_S), np.zeros(count, bool)
    times = np.arange(instants + PROJECTIONS[-1]) * (EVERY * STEP_S)
    places, turns, velocities = predict(objects, times, line)
    cos, sin = np.cos(ego[..., 2]), np.sin(ego[..., 2])
    x = ego[..., 0] + vehicle.centre_offset_m * cos
    y = ego[..., 1] + vehicle.centre_offset_m * sin
    looks = (0, *PROJECTIONS)
    travels = [speed * (ahead * EVERY * STEP_S) for ahead in looks]
    then = np.concatenate([np.arange(ahead, ahead + instants) for ahead in looks])
    places, turns, velocities = places[then], turns[then], velocities[then]
    meetings = _meetings(
        np.concatenate([x + travel * cos for travel in travels], axis=1),
        np.concatenate([y + travel * sin for travel in travels], axis=1),
        np.tile(ego[..., 2], len(looks)), np.tile(speed, len(looks)), places, turns, velocities,
        objects.states[:, 5:7], np.where(objects.vulnerable, margins.lateral_margin_m, CONTACT_MARGIN_M), vehicle,
    )  # fmt: skip
    hit = np.zeros((count, len(looks) * instants), bool)
    fault = _at_fault(meetings, instants, Corridor(vehicle, own, 0.0, line), places, turns, objects)
    hit[meetings.proposal[fault], meetings.instant[fault]] = True
    now, projected = hit[:, :instants], hit[:, instants:].reshape(count, len(PROJECTIONS), instants)
    contact = np.where(now.any(axis=1), now.argmax(axis=1) * (EVERY * STEP_S), NEVER_S)
    close = (projected.any(axis=1) & (speed > MOVING_MPS)).any(axis=1)
    return contact, np.asarray(close, bool)


@dataclass(frozen=True, eq=False)
class Meetings:
    """Where grown footprints touch, (M,) each, in order of proposal and instant; `margin_m`: to the sides.

    `ahead_m`, `left_m`, `turn_rad`: of the object's centre, seen from the vehicle's; `own_mps`, `their_mps`: along the
    vehicle's heading.
    """

    proposal: Rows
    instant: Rows
    row: Rows
    ahead_m: Array
    left_m: Array
    turn_rad: Array
    own_mps: Array
    their_mps: Array
    margin_m: Array


def _meetings(
    x: Array, y: Array, heading: Array, speed: Array, places: Array, turns: Array, velocities: Array, sizes: Array,
    margin: Array, vehicle: VehicleGeometry,
) -> Meetings:  # fmt: skip
    """Where (K, T) centres `x`, `y` of the vehicle's footprint let it touch an object."""
    half_length, half_width = vehicle.length_m / 2, vehicle.width_m / 2
    reach = math.hypot(half_length, half_width) + margin + np.hypot(sizes[:, 0], sizes[:, 1]) / 2
    t, n = np.nonzero(~_apart(x, places[..., 0], reach) & ~_apart(y, places[..., 1], reach))
    dx, dy = places[t, n, 0] - x[:, t], places[t, n, 1] - y[:, t]
    k, pair = np.nonzero(dx * dx + dy * dy <= reach[n] ** 2)
    dx, dy, t, n = dx[k, pair], dy[k, pair], t[pair], n[pair]
    own = heading[k, t]
    cos, sin = np.cos(own), np.sin(own)
    along, across, turn = dx * cos + dy * sin, dy * cos - dx * sin, turns[t, n] - own
    touching = boxes_touch(along, across, turn, half_length, half_width + margin[n], sizes[n, 0] / 2, sizes[n, 1] / 2)
    k, t, n = k[touching], t[touching], n[touching]
    their = velocities[t, n, 0] * cos[touching] + velocities[t, n, 1] * sin[touching]
    return Meetings(k, t, n, along[touching], across[touching], turn[touching], speed[k, t], their, margin[n])


def _apart(own: Array, theirs: Array, reach: Array) -> Flags:
    """Who (T, N) is, along one axis, farther than `reach` (N,) from all proposals `own` (K, T) at that instant."""
    reach = reach + ROUNDING_M
    lowest, highest = own.min(axis=0)[:, None], own.max(axis=0)[:, None]
    return np.asarray((theirs < lowest - reach) | (theirs > highest + reach), bool)


def _at_fault(
    found: Meetings, instants: int, corridor: Corridor, places: Array, turns: Array, objects: ObjectSet
) -> Flags:
    """Which meetings a proposal is to blame for, judged apart in each look ahead.

    Left out is who runs into the vehicle in its lane, as the guards leave it out, and who is against its rear end at
    once: driving on parts them.
    """
    half_length, half_width = corridor.vehicle.length_m / 2, corridor.vehicle.width_m / 2
    look = found.instant // instants
    pair = (found.proposal * (1 + len(PROJECTIONS)) + look) * len(objects.states) + found.row
    behind = from_behind(found.ahead_m, found.own_mps, found.their_mps)
    behind |= (found.instant == 0) & (found.ahead_m <= -half_length)
    sizes = objects.states[found.row, 5:7]

    def bare(rows: Rows) -> Flags:
        length, width = sizes[rows, 0] / 2, sizes[rows, 1] / 2
        return boxes_touch(
            found.ahead_m[rows], found.left_m[rows], found.turn_rad[rows], half_length, half_width, length, width
        )

    met = (found.instant, found.row)
    touches = Touches(pair, behind, places[met], turns[met], sizes, found.margin_m)
    return blamed(touches, bare, corridor)


def boxes_touch(
    along: Array, across: Array, turn: Array, half_length: float, half_width: Array | float, other_length: Array,
    other_width: Array,
) -> Flags:  # fmt: skip
    """Separating-axis test of a box at the origin and boxes at (along, across), turned by `turn`; half sizes."""
    cos, sin = np.cos(turn), np.sin(turn)
    c, s = np.abs(cos), np.abs(sin)
    apart = np.abs(along) > half_length + other_length * c + other_width * s
    apart |= np.abs(across) > half_width + other_length * s + other_width * c
    apart |= np.abs(along * cos + across * sin) > other_length + half_length * c + half_width * s
    apart |= np.abs(across * cos - along * sin) > other_width + half_length * s + half_width * c
    return np.asarray(~apart, bool)
