"""Whether lanes and route are where the vehicle is, and stay where they were (10.2 F20).

Lines are in the odometry frame: seen again, a lane lies where it lay, however the vehicle moved meanwhile. What moves
there is the odometry's drift, perception's noise, a lane that was taken for another or has another shape, or a fault.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.input_config import LaneLimits

Array = NDArray[np.float64]

NEXT_LANE_SHARE = 0.75
"""A centreline that jumps to the next lane's moves by about a lane's width; lanes may be of unlike widths."""


class LanePlace:
    """Holds each lane against the last one that was taken. One that jumped is not followed.

    The first message of a jump is refused and reported, and the vehicle keeps to the line it had; the next one decides.
    Where it shows the new line again and one edge of the road stayed, the lane has another shape (it splits, widens)
    and is taken; else the jump stands until a line agrees with the last one taken, or until a person drives.
    """

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._drift_m = 0.0
        self._taken_ns = 0
        self._doubted: LaneObservation | None = None
        self._stands = False

    @property
    def stands(self) -> bool:
        """Whether a jump was confirmed, and no line has agreed since."""
        return self._stands

    def let_go(self) -> None:
        """A person drives: a jump stands no longer."""
        self._stands = False

    def fault(self, lanes: LaneObservation, before: LaneObservation | None, here: Array, now: Now) -> Reason | None:
        """Why a lane cannot be the one that the vehicle is in; None where it is to be taken.

        `before`: the one taken last, None where that is too old to compare; `here` (2,): the vehicle. A lane that moved
        by a lane's width is taken where the vehicle is within it: so an ego lane that changes with the vehicle passes.
        """
        limits, doubted = self._limits, self._doubted
        self._doubted = None
        offset_m = _offset(lanes.line, here)
        if not abs(offset_m) <= limits.away_m:
            return Reason("LANES_AWAY", abs(offset_m), limits.away_m, "vehicle from the lane's centreline, m")
        if before is None:
            self._take(0.0, now)
            return None
        shift_m = offset_m - _offset(before.line, here)
        drift_m = self._drift(now) + shift_m
        if abs(drift_m) <= limits.shift_m:
            self._take(drift_m, now)
            return None
        next_lane = abs(shift_m) >= NEXT_LANE_SHARE * lanes.lane_width_m and abs(offset_m) <= lanes.lane_width_m / 2
        if next_lane or self._has_new_shape(lanes, before, doubted, here):
            self._take(0.0, now)
            return None
        if self._stands or doubted is not None:
            self._stands = True
            return Reason("LANES_JUMP", abs(drift_m), limits.shift_m, "sideways against the lane taken last, m")
        self._doubted = lanes
        return Reason("LANES_DOUBTED", abs(drift_m), limits.shift_m, "sideways, in one message so far, m")

    def _take(self, drift_m: float, now: Now) -> None:
        self._drift_m, self._taken_ns, self._stands = drift_m, now.monotonic_ns, False

    def _drift(self, now: Now) -> float:
        """How far the lanes taken have moved, less what odometry may drift: many small shifts are a jump, too."""
        allowed_m = self._limits.creep_mps * seconds(now.monotonic_ns - self._taken_ns)
        return math.copysign(max(abs(self._drift_m) - allowed_m, 0.0), self._drift_m)

    def _has_new_shape(
        self, lanes: LaneObservation, before: LaneObservation, doubted: LaneObservation | None, here: Array
    ) -> bool:
        """Whether the last message showed the same line, and an edge of the drivable area is where it was.

        A shifted map moves both edges. A jump that stands is no new shape any more.
        """
        if self._stands or doubted is None:
            return False
        if abs(_offset(lanes.line, here) - _offset(doubted.line, here)) > self._limits.shift_m:
            return False
        moved = np.abs(_edges(lanes, here) - _edges(before, here))
        return bool(moved.min() <= self._limits.edge_m)


def route_place_fault(line: Polyline, here: Array, limits: LaneLimits) -> Reason | None:
    """Why a route cannot be the one that the vehicle is on: lost, or in another frame. `here` (2,): the vehicle."""
    offset_m = abs(_offset(line, here))
    if offset_m <= limits.route_away_m:
        return None
    return Reason("ROUTE_AWAY", offset_m, limits.route_away_m, "vehicle from the route, m")


def _offset(line: Polyline, here: Array) -> float:
    """Distance of a point from a line, left positive; beyond an end, the distance from that end."""
    return float(line.project(here[None])[1][0])


def _edges(lanes: LaneObservation, here: Array) -> Array:
    """(2,) metres from the vehicle to the left and the right edge of the drivable area beside it."""
    along, offset = lanes.line.project(here[None])
    arc = lanes.line.arc_lengths
    left, right = np.interp(along, arc, lanes.left_m), np.interp(along, arc, lanes.right_m)
    return np.concatenate([left - offset, right + offset])
