"""Who is to blame where footprints touch: who runs into a vehicle that keeps to its lane, or the vehicle itself."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]
Rows = NDArray[np.int64]


@dataclass(frozen=True, eq=False)
class Corridor:
    """Where a vehicle that goes on as it is will be.

    It follows `lane`, the ego lane's centreline, at the offset of `own` (2,), the vehicle's rear axle now; without a
    lane it goes straight on along `heading_rad`.
    """

    vehicle: VehicleGeometry
    own: Array
    heading_rad: float
    lane: Polyline | None

    def reached_by(self, places: Array, headings_rad: Array, sizes_m: Array, margins_m: Array | float) -> Flags:
        """Which boxes reach into the corridor, as wide as the vehicle with `margins_m` (N,) to the sides.

        `places` (N, 2), `headings_rad` (N,): of their centres, at the instants that are asked about; `sizes_m` (N, 2):
        length and width.
        """
        points = np.vstack([self.own, places])
        if self.lane is None:
            feet, directions = np.zeros((len(points), 2)), np.full(len(points), self.heading_rad)
        else:
            arcs, _ = self.lane.project(points)
            feet, directions = self.lane.at(arcs), np.asarray(self.lane.heading_at(arcs), np.float64)
        beside = points - feet
        offsets = beside[:, 1] * np.cos(directions) - beside[:, 0] * np.sin(directions)
        turn = headings_rad - directions[1:]
        reach = (np.abs(np.sin(turn)) * sizes_m[:, 0] + np.abs(np.cos(turn)) * sizes_m[:, 1]) / 2
        return np.asarray(np.abs(offsets[1:] - offsets[0]) <= self.vehicle.width_m / 2 + margins_m + reach, np.bool_)


@dataclass(frozen=True, eq=False)
class Touches:
    """Where the footprint, grown by its margins, touches objects; (M,) each, those of one pair in order of time.

    `pair`: whose they are, a small number for each object (and each motion of the vehicle, where there are several).
    `behind`: whether the object comes from behind then. `places` (M, 2), `headings_rad`, `sizes_m` (M, 2): of the
    object then; `margins_m`: to the sides.
    """

    pair: Rows
    behind: Flags
    places: Array
    headings_rad: Array
    sizes_m: Array
    margins_m: Array


def from_behind(ahead_m: Array, own_mps: Array, their_mps: Array) -> Flags:
    """Who is behind the vehicle's own centre (its own is `ahead_m` before that, N) and faster along its heading."""
    return np.asarray((ahead_m < 0.0) & (their_mps > own_mps), np.bool_)


def blamed(touches: Touches, bare: Callable[[Rows], Flags], corridor: Corridor) -> Flags:
    """Which touches (M,) the vehicle is to blame for; `bare` says of rows whether the bare footprint touches.

    A pair is judged twice: by its first touch of the grown footprint, and by its first bare contact. Each is excused
    where the object comes from behind and reaches into the corridor, which is as wide as the footprint in question:
    who passes within the margin is forgiven the graze of it, and not a contact that going straight on would not bring.
    """
    count = len(touches.pair)
    blame_from = np.full(int(touches.pair.max(initial=-1)) + 1, count)
    excused = _judge(touches, np.arange(count), touches.margins_m, corridor, blame_from)
    if excused.any():
        rows = np.flatnonzero(excused[touches.pair])
        _judge(touches, rows[bare(rows)], np.zeros(count), corridor, blame_from)
    return np.asarray(np.arange(count) >= blame_from[touches.pair], np.bool_)


def _judge(touches: Touches, rows: Rows, margins_m: Array, corridor: Corridor, blame_from: Rows) -> Flags:
    """Which pairs (P,) the first of their `rows` excuses; where it does not, it is put into `blame_from` (P,)."""
    first = np.full(len(blame_from), -1)
    # Where an index comes again NumPy keeps the last value, and the last of these is the first in time.
    first[touches.pair[rows[::-1]]] = rows[::-1]
    first = first[first >= 0]
    free = touches.behind[first]
    rear = first[free]
    if len(rear):
        free[free] = corridor.reached_by(
            touches.places[rear], touches.headings_rad[rear], touches.sizes_m[rear], margins_m[rear]
        )
    guilty = first[~free]
    blame_from[touches.pair[guilty]] = guilty
    excused = np.zeros(len(blame_from), np.bool_)
    excused[touches.pair[first[free]]] = True
    return excused
