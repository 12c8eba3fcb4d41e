"""Who is to blame where footprints touch: who runs into a vehicle that keeps to its lane, or the vehicle itself."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


def from_behind(ahead_m: Array, own_mps: Array, their_mps: Array) -> Flags:
    """Who is behind the vehicle's own centre (its own is `ahead_m` before that, N) and faster along its heading."""
    return np.asarray((ahead_m < 0.0) & (their_mps > own_mps), np.bool_)


def in_own_lane(
    places: Array,
    headings_rad: Array,
    sizes_m: Array,
    margins_m: Array,
    vehicle: VehicleGeometry,
    own: Array,
    heading_rad: float,
    lane: Polyline | None,
) -> Flags:
    """Who reaches into the corridor of a vehicle that goes on as it is.

    `places` (N, 2), `headings_rad` (N,): of their centres, at the instants that are asked about; `sizes_m` (N, 2):
    length and width. The corridor is as wide as the vehicle with `margins_m` (N,) to the sides. It follows `lane`, the
    ego lane's centreline, at the offset of `own` (2,), the vehicle's rear axle now; without a lane it goes straight on
    along `heading_rad`.
    """
    points = np.vstack([own, places])
    if lane is None:
        feet, directions = np.zeros((len(points), 2)), np.full(len(points), heading_rad)
    else:
        arcs, _ = lane.project(points)
        feet, directions = lane.at(arcs), np.asarray(lane.heading_at(arcs), np.float64)
    beside = points - feet
    offsets = beside[:, 1] * np.cos(directions) - beside[:, 0] * np.sin(directions)
    turn = headings_rad - directions[1:]
    reach = (np.abs(np.sin(turn)) * sizes_m[:, 0] + np.abs(np.cos(turn)) * sizes_m[:, 1]) / 2
    return np.asarray(np.abs(offsets[1:] - offsets[0]) <= vehicle.width_m / 2 + margins_m + reach, np.bool_)
