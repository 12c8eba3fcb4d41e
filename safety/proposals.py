"""Proposals: every lateral offset with every share of the allowed speed, unrolled together.

The scheme is PDM-Closed's (Dauner et al., "Parting with Misconceptions about Learning-based Vehicle Motion Planning",
CoRL 2023): five shares of the target speed times three offsets, each driven by the intelligent driver model.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import FallbackSettings
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.joined_path import SPACING_M, JoinedPath

Array = NDArray[np.float64]

SHARES = (1.0, 0.8, 0.6, 0.4, 0.2)
"""Of the allowed speed."""
STEP_S, STEPS = 0.1, 40
"""Unrolled for 4 s."""
CAP_LOOKAHEAD_S = 0.5
"""The speed cap is read where the vehicle will be after this time, and approached over it."""
EDGE_MARGIN_M = 0.3
"""Kept between the footprint and the edge of the drivable area."""
LEAST_OFFSET_M = 0.3
"""Less room than this beside the lane's centre is not worth an own proposal."""
NO_LEAD_M = 1e6

Following = Callable[[Array, Array, Array, Array, int], "tuple[Array, Array]"]
"""(wanted acceleration, free-road term, distance, speed, each (K,), step) -> (wanted acceleration, change a step)."""


@dataclass(frozen=True, eq=False)
class Rollouts:
    """`distance_m`, `speed_mps`, `acceleration_mps2`: (K, STEPS + 1) with K = offsets x shares, offsets outermost."""

    distance_m: Array
    speed_mps: Array
    acceleration_mps2: Array


def offsets(
    lanes: LaneObservation, arcs_m: Array, start_m: float, end_m: float, vehicle: VehicleGeometry, widest_m: float
) -> tuple[float, float, float]:
    """Centre, right, left: at most `widest_m`, and inside the drivable width everywhere from `start_m` to `end_m`.

    `arcs_m` (N,): arc lengths of the observed centreline. A side without room is 0.
    """
    rows = (arcs_m >= start_m) & (arcs_m <= end_m)
    if not rows.any():
        return 0.0, 0.0, 0.0
    need = vehicle.width_m / 2 + EDGE_MARGIN_M
    right, left = (float(side[rows].min()) - need for side in (lanes.right_m, lanes.left_m))
    right, left = min(right, widest_m), min(left, widest_m)
    return 0.0, -right if right >= LEAST_OFFSET_M else 0.0, left if left >= LEAST_OFFSET_M else 0.0


def unroll(
    speed_mps: float,
    acceleration_mps2: float,
    caps: list[tuple[Array, Array]],
    leads: list[list[Lead]],
    settings: FallbackSettings,
) -> Rollouts:
    """Drive all proposals; `caps`: (rules, physics) speed at every path point, and `leads`, of each offset."""
    idm, shares = settings.idm, len(SHARES)
    rows = np.repeat(np.arange(len(caps)), shares)
    share = np.tile(np.array(SHARES), len(caps))
    width = min(len(rules) for rules, _ in caps)
    physics = np.stack([physics[:width] for _, physics in caps])[rows]
    allowed = np.minimum(np.stack([rules[:width] for rules, _ in caps])[rows] * share[:, None], physics)
    limits = np.stack([allowed.ravel(), physics.ravel()], axis=1)
    count = len(rows)
    base, last = np.tile(np.arange(count) * width, (2, 1)), np.array(width - 1)
    follow = _following(leads, rows, settings)
    # Numbers as arrays: a Python number in an array operation of this size doubles its cost.
    zero, one, ten, least, exponent = (np.array(x) for x in (0.0, 1.0, 10.0, 0.01, float(idm.exponent)))
    pushing, over, sight = map(
        np.array, (idm.acceleration_mps2, -settings.over_speed_mps2, -settings.sight_deceleration_mps2)
    )
    look, per_look, per_m = map(np.array, (CAP_LOOKAHEAD_S, 1 / CAP_LOOKAHEAD_S, 1 / SPACING_M))
    step_s, half_step_s = np.array(STEP_S), np.array(STEP_S / 2)
    v, s = np.full(count, max(speed_mps, 0.0)), np.zeros(count)
    a = np.full(count, acceleration_mps2)
    out = np.empty((3, STEPS + 1, count))
    out[:, 0] = s, v, a
    places = np.empty((2, count))
    change = np.full(count, settings.jerk_mps3 * STEP_S)
    for step in range(1, STEPS + 1):
        places[0] = s
        places[1] = s + v * look
        here_and_soon = limits.take(np.minimum((places * per_m).astype(np.intp), last) + base, axis=0)
        target, safe = np.minimum(here_and_soon[0], here_and_soon[1]).T
        free = np.power(np.minimum(v / np.maximum(target, least), ten), exponent)
        wanted = np.maximum(pushing * (one - free), over)
        too_fast = v > safe
        if np.count_nonzero(too_fast):
            slower = np.maximum((safe - v) * per_look, sight)
            np.putmask(wanted, too_fast, np.minimum(wanted, slower))
        if follow is not None:
            wanted, change = follow(wanted, free, s, v, step - 1)
        a = np.minimum(np.maximum(wanted, a - change), a + change)
        faster = np.maximum(v + a * step_s, zero)
        s, v = s + (v + faster) * half_step_s, faster
        out[0, step], out[1, step], out[2, step] = s, v, a
    moved = out.transpose(0, 2, 1)
    return Rollouts(moved[0], moved[1], moved[2])


def _following(leads: list[list[Lead]], rows: NDArray[np.intp], settings: FallbackSettings) -> Following | None:
    """What the leads of each offset make of the wanted acceleration, for proposals of the offsets `rows` (K,)."""
    idm, most = settings.idm, max((len(found) for found in leads), default=0)
    if not most:
        return None
    table = np.full((2, most, len(leads)), [[[NO_LEAD_M]], [[100.0]]])
    for column, found in enumerate(leads):
        table[:, : len(found), column] = np.array(found).reshape(-1, 2).T
    gaps, lead_speeds = table[0][:, rows].ravel(), table[1][:, rows].ravel()
    ahead = gaps + lead_speeds * (np.arange(STEPS) * STEP_S)[:, None]
    shape, each = (most, len(rows)), np.tile(np.arange(len(rows)), most)
    stops = np.maximum(lead_speeds, 0.0) ** 2 / (2 * idm.lead_brake_mps2)
    root = np.array(2 * math.sqrt(idm.acceleration_mps2 * idm.comfort_mps2))
    zero, one, half, least, hundred = (np.array(x) for x in (0.0, 1.0, 0.5, 0.01, 100.0))
    standstill, time_gap, brake_gap = map(np.array, (idm.standstill_gap_m, idm.time_gap_s, idm.brake_gap_m))
    pushing, comfort, clip = map(np.array, (idm.acceleration_mps2, -idm.comfort_mps2, -idm.clip_mps2))
    start, gain = np.array(idm.brake_start_mps2), np.array(-idm.brake_gain)
    jerks = np.array([settings.jerk_mps3, settings.emergency_jerk_mps3]) * STEP_S
    calm = np.full(len(rows), jerks[0])

    def follow(wanted: Array, free: Array, s: Array, v: Array, step: int) -> tuple[Array, Array]:
        if most > 1:
            # Rows of one shape, a lead after the other: broadcasting costs more than the operation.
            free, s, v = free.take(each), s.take(each), v.take(each)
        room = np.maximum(ahead[step] - s, least)
        closing = v - lead_speeds
        ratio = (standstill + np.maximum(v * time_gap + v * closing / root, zero)) / room
        slower = pushing * (one - np.minimum(free, one) - np.square(np.minimum(ratio, hundred)))
        square = v * v * half
        # What nobody needs is not worked out: to ask costs an eighth of it.
        if np.count_nonzero(slower < comfort):
            enough = -square / np.maximum(room - standstill + stops, least)
            slower = np.maximum(slower, np.minimum(enough, comfort))
        change, nears = calm, closing > zero
        if np.count_nonzero(nears):
            required = square / np.maximum(room - brake_gap + stops, least)
            urgent = (required > start) & nears
            np.putmask(slower, urgent, np.minimum(slower, gain * required))
            change = np.asarray(jerks.take(np.logical_or.reduce(urgent.reshape(shape))), np.float64)
        hardest = np.minimum.reduce(slower.reshape(shape)) if most > 1 else slower
        return np.minimum(wanted, np.maximum(hardest, clip)), change

    return follow


def poses(paths: list[JoinedPath], distance_m: Array) -> Array:
    """(K, T, 3) poses at `distance_m` (K, T), offsets outermost."""
    share = len(distance_m) // len(paths)
    out = np.empty((*distance_m.shape, 3))
    for row, path in enumerate(paths):
        rows = slice(row * share, (row + 1) * share)
        at = distance_m[rows]
        out[rows, :, 0] = np.interp(at, path.s_m, path.x_m)
        out[rows, :, 1] = np.interp(at, path.s_m, path.y_m)
        out[rows, :, 2] = np.interp(at, path.s_m, path.heading_rad)
    return out
