"""How far a lane passes another one, and which way it runs, where the vehicle is and where it comes to next."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.input_config import LaneLimits

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]

SHARES = np.linspace(0.0, 1.0, 7)
"""Where lines are compared: beside the vehicle, and ahead to the reach, which at speed is every half second's way."""
CHORD_M = 2.0
"""A line's direction is taken from so far behind to so far ahead: points that err by 5 cm turn it by 0.02 rad."""


@dataclass(frozen=True, eq=False)
class Stretch:
    """Of a line: distances ahead of the vehicle (K,), ascending from 0, and the points (K, 2) there."""

    ahead_m: Array
    points: Array


def stretch(line: Polyline, here: Array, reach_m: float) -> Stretch:
    """From beside the vehicle, which is at `here` (1, 2), as far as `reach_m`, or as the line reaches."""
    beside_m = float(line.project(here)[0][0])
    ahead_m = SHARES * min(reach_m, line.length - beside_m)
    return Stretch(ahead_m, line.at(beside_m + ahead_m))


@dataclass(frozen=True, eq=False)
class Shift:
    """A lane against another: all (K,). `shift_m`: how far it passes the other's points, a left point positive.

    0 where nothing is `shown`: it ends before the point. One that runs `backwards` passes no point that is ahead.
    """

    shift_m: Array
    shown: Flags
    backwards: Flags
    room_m: Array

    @property
    def over(self) -> Flags:
        """Where it is not within the room."""
        return ~(np.abs(self.shift_m) <= self.room_m)


def shift(line: Polyline, other: Stretch, seen_m: Array, limits: LaneLimits) -> Shift:
    """`line` against another's points. `seen_m` (K,): from how far away those were seen, if that was farther."""
    along_m, offset_m = line.project(other.points)
    ended = along_m >= line.length
    ended[0] = False
    backwards = np.concatenate([[False], along_m[1:] < along_m[:-1]])
    shift_m = np.where(backwards, other.ahead_m, np.where(ended, 0.0, offset_m))
    return Shift(shift_m, ~ended, backwards, room(np.maximum(seen_m, other.ahead_m), limits.turn_rad, limits.shift_m))


def room(distance_m: Array, turn_rad: float, least_m: float) -> Array:
    """(K,) how far lines may pass each other that were seen from so far away."""
    return np.maximum(least_m, turn_rad * distance_m)


def offset_m(line: Polyline, here: Array) -> float:
    """Distance of a point (1, 2) from a line, left positive; beyond an end, the distance from that end."""
    return float(line.project(here)[1][0])


def direction_rad(line: Polyline, along_m: float) -> float:
    """Which way a line runs at an arc length: its chord there."""
    behind, ahead = line.at(np.array([along_m - CHORD_M, along_m + CHORD_M]))
    return float(np.arctan2(ahead[1] - behind[1], ahead[0] - behind[0]))


def edges_m(lanes: LaneObservation, points: Array) -> Array:
    """(2, K) metres from each point (K, 2) to the left and the right edge of the drivable area beside it."""
    along, offset = lanes.line.project(points)
    arc = lanes.line.arc_lengths
    left, right = np.interp(along, arc, lanes.left_m), np.interp(along, arc, lanes.right_m)
    return np.stack([left - offset, right + offset])
