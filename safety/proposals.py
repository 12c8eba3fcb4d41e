"""Proposals: every lateral offset with every share of the allowed speed, unrolled together.

The scheme is PDM-Closed's (Dauner et al., "Parting with Misconceptions about Learning-based Vehicle Motion Planning",
CoRL 2023): five shares of the target speed times three offsets, each driven by the intelligent driver model.
"""

from __future__ import annotations

import math
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
    rules = np.concatenate([rules[:width] for rules, _ in caps])
    physics = np.concatenate([physics[:width] for _, physics in caps])
    base, last = rows * width, width - 1
    most = max((len(found) for found in leads), default=0)
    table = np.full((len(caps), max(most, 1), 2), (NO_LEAD_M, 100.0))
    for row, found in enumerate(leads):
        for column, lead in enumerate(found):
            table[row, column] = lead
    gaps, lead_speeds = table[rows, :, 0], table[rows, :, 1]
    stops = np.maximum(lead_speeds, 0.0) ** 2 / (2 * idm.lead_brake_mps2)
    root = 2 * math.sqrt(idm.acceleration_mps2 * idm.comfort_mps2)
    count = len(rows)
    v, s = np.full(count, max(speed_mps, 0.0)), np.zeros(count)
    a = np.full(count, acceleration_mps2)
    out = np.empty((3, STEPS + 1, count))
    out[:, 0] = s, v, a
    for step in range(1, STEPS + 1):
        here = np.minimum((s * (1 / SPACING_M)).astype(np.intp), last) + base
        soon = np.minimum(((s + v * CAP_LOOKAHEAD_S) * (1 / SPACING_M)).astype(np.intp), last) + base
        safe = np.minimum(physics[here], physics[soon])
        target = np.maximum(np.minimum(np.minimum(rules[here], rules[soon]) * share, safe), 0.01)
        free = np.minimum(v / target, 10.0) ** idm.exponent
        wanted = np.maximum(idm.acceleration_mps2 * (1.0 - free), -settings.over_speed_mps2)
        slower = np.maximum((safe - v) * (1 / CAP_LOOKAHEAD_S), -settings.sight_deceleration_mps2)
        wanted = np.where(v > safe, np.minimum(wanted, slower), wanted)
        jerk: float | Array = settings.jerk_mps3
        if most:
            room = np.maximum(gaps + lead_speeds * ((step - 1) * STEP_S) - s[:, None], 0.01)
            speed = v[:, None]
            closing = speed - lead_speeds
            ratio = (idm.standstill_gap_m + np.maximum(speed * idm.time_gap_s + speed * closing / root, 0.0)) / room
            square = speed * speed / 2
            enough = square / np.maximum(room - idm.standstill_gap_m + stops, 0.01)
            follow = idm.acceleration_mps2 * (1.0 - np.minimum(free, 1.0)[:, None] - np.minimum(ratio, 100.0) ** 2)
            follow = np.maximum(follow, -np.maximum(enough, idm.comfort_mps2))
            required = np.where(closing > 0.0, square / np.maximum(room - idm.brake_gap_m + stops, 0.01), 0.0)
            urgent = required > idm.brake_start_mps2
            follow = np.where(urgent, np.minimum(follow, -idm.brake_gain * required), follow)
            wanted = np.minimum(wanted, np.maximum(follow.min(axis=1), -idm.clip_mps2))
            jerk = np.where(urgent.any(axis=1), settings.emergency_jerk_mps3, settings.jerk_mps3)
        change = jerk * STEP_S
        a = np.minimum(np.maximum(wanted, a - change), a + change)
        faster = np.maximum(v + a * STEP_S, 0.0)
        s, v = s + (v + faster) * (STEP_S / 2), faster
        out[:, step] = s, v, a
    moved = out.transpose(0, 2, 1)
    return Rollouts(moved[0], moved[1], moved[2])


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
