"""Whether lanes and route are where the vehicle is, and stay where they were (10.2 F20).

Lines are in the odometry frame: seen again, a lane lies where it lay, however the vehicle moved meanwhile. What moves
there is the odometry's drift, perception's noise, a lane that was taken for another or has another shape, or a fault.
"""

from __future__ import annotations

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
SHARES = np.linspace(0.0, 1.0, 7)
"""Where lines are compared: beside the vehicle, and ahead to the reach, which at speed is every half second's way."""


class LanePlace:
    """Holds each lane against the one taken last, beside the vehicle and ahead. One that jumped is not followed.

    The first message of a jump is refused and reported, and the vehicle keeps to the line it had; the next one decides.
    Where it shows the new line again and the lane's width explains it (it splits, widens), the lane is taken; else the
    jump stands until a line agrees with the last one taken, or until a person drives.
    """

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._drift_m = np.zeros(len(SHARES))
        self._taken_ns = 0
        self._rerouted_ns: int | None = None
        self._doubted: LaneObservation | None = None
        self._stands = False

    @property
    def stands(self) -> bool:
        """Whether a jump was confirmed, and no line has agreed since."""
        return self._stands

    def let_go(self) -> None:
        """A person drives: a jump stands no longer."""
        self._stands = False

    def reroute(self, now: Now) -> None:
        """Another route was given: for a while the lane may lead elsewhere ahead."""
        self._rerouted_ns = now.monotonic_ns

    def fault(
        self, lanes: LaneObservation, before: LaneObservation | None, here: Array, speed_mps: float, now: Now
    ) -> Reason | None:
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
            self._take(np.zeros(len(SHARES)), now)
            return None
        ahead_m, points = self._stretch(before.line, here, speed_mps)
        room_m = np.maximum(limits.shift_m, limits.turn_rad * ahead_m)
        shift_m = _shift(lanes.line, points, ahead_m)
        if self._rerouted(now):
            shift_m[1:] = 0.0
        drift_m = self._drift(now) + shift_m
        over = np.abs(drift_m) > room_m
        if not over.any():
            self._take(drift_m, now)
            return None
        taken = abs(shift_m[0]) >= NEXT_LANE_SHARE * lanes.lane_width_m and abs(offset_m) <= lanes.lane_width_m / 2
        if not taken and doubted is not None and not self._stands:
            again = np.abs(_shift(doubted.line, points, ahead_m) - shift_m) <= room_m
            shaped = self._has_new_shape(lanes, before, points, drift_m, ahead_m)
            taken = bool((again & shaped)[over].all())
        if taken:
            self._take(np.zeros(len(SHARES)), now)
            return None
        worst = int(np.argmax(np.abs(drift_m) - room_m))
        measured_m, limit_m = float(abs(drift_m[worst])), float(room_m[worst])
        where = f"sideways {ahead_m[worst]:.0f} m ahead"
        if self._stands or doubted is not None:
            self._stands = True
            return Reason("LANES_JUMP", measured_m, limit_m, f"{where}, against the lane taken last, m")
        self._doubted = lanes
        return Reason("LANES_DOUBTED", measured_m, limit_m, f"{where}, in one message so far, m")

    def _stretch(self, line: Polyline, here: Array, speed_mps: float) -> tuple[Array, Array]:
        """Distances ahead (K,) at which lines are compared, ascending from 0, and the points (K, 2) of `line` there."""
        beside_m = float(line.project(here[None])[0][0])
        reach_m = max(self._limits.ahead_m, self._limits.ahead_s * speed_mps)
        ahead_m = SHARES * min(reach_m, line.length - beside_m)
        return ahead_m, line.at(beside_m + ahead_m)

    def _take(self, drift_m: Array, now: Now) -> None:
        self._drift_m, self._taken_ns, self._stands = drift_m, now.monotonic_ns, False

    def _drift(self, now: Now) -> Array:
        """How far the lanes taken have moved, less what odometry may drift: many small shifts are a jump, too."""
        allowed_m = self._limits.creep_mps * seconds(now.monotonic_ns - self._taken_ns)
        return np.copysign(np.maximum(np.abs(self._drift_m) - allowed_m, 0.0), self._drift_m)

    def _rerouted(self, now: Now) -> bool:
        if self._rerouted_ns is None or self._stands:
            return False
        return seconds(now.monotonic_ns - self._rerouted_ns) <= self._limits.reroute_s

    def _has_new_shape(
        self, lanes: LaneObservation, before: LaneObservation, points: Array, drift_m: Array, ahead_m: Array
    ) -> NDArray[np.bool_]:
        """(K,) whether one side of the lane stayed, as its width says, and an edge of the drivable area.

        A lane that grows by w has its centre w/2 aside, and by half a lane at most. The neighbour's lane is on the same
        road, but neither side of the lane stayed; a shifted map moves everything. What crept before counts, too: its
        last step alone would be within noise.
        """
        room_m = np.maximum(self._limits.edge_m, self._limits.turn_rad * ahead_m)
        aside_m, grown_m = np.abs(drift_m), abs(lanes.lane_width_m - before.lane_width_m)
        stayed = np.abs(aside_m - grown_m / 2) <= room_m
        near = aside_m <= before.lane_width_m / 2 + room_m
        moved_m = np.abs(_edges(lanes, points) - _edges(before, points)).min(axis=0)
        explained: NDArray[np.bool_] = stayed & near & (moved_m <= room_m)
        return explained


def route_place_fault(line: Polyline, here: Array, limits: LaneLimits) -> Reason | None:
    """Why a route cannot be the one that the vehicle is on: lost, or in another frame. `here` (2,): the vehicle."""
    offset_m = abs(_offset(line, here))
    if offset_m <= limits.route_away_m:
        return None
    return Reason("ROUTE_AWAY", offset_m, limits.route_away_m, "vehicle from the route, m")


def _offset(line: Polyline, here: Array) -> float:
    """Distance of a point from a line, left positive; beyond an end, the distance from that end."""
    return float(line.project(here[None])[1][0])


def _shift(line: Polyline, points: Array, ahead_m: Array) -> Array:
    """(K,) how far `line` passes the points (K, 2) of another, which lie at `ahead_m`; a left point is positive.

    0 where the line ends before a point: nothing is shown there. One that runs backwards passes no point that is ahead.
    """
    along_m, offset_m = line.project(points)
    ended = along_m >= line.length
    ended[0] = False
    backwards = np.concatenate([[False], along_m[1:] < along_m[:-1]])
    return np.where(backwards, ahead_m, np.where(ended, 0.0, offset_m))


def _edges(lanes: LaneObservation, points: Array) -> Array:
    """(2, K) metres from each point (K, 2) to the left and the right edge of the drivable area beside it."""
    along, offset = lanes.line.project(points)
    arc = lanes.line.arc_lengths
    left, right = np.interp(along, arc, lanes.left_m), np.interp(along, arc, lanes.right_m)
    return np.stack([left - offset, right + offset])
