"""The route, where the vehicle is on it, and how it goes on: a witness for lanes (10.2 F20)."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import KEEP_FORWARD, Route
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.guards.lane_shift import Stretch, offset_m, room, stretch
from onboard_vla.safety.input_config import LaneLimits

Array = NDArray[np.float64]


class RoutePlace:
    """The newest route, and for a while the one that it turned off from near the vehicle.

    A route that is sent again, trimmed, or goes elsewhere only far ahead is no other route here.
    """

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self.route: Route | None = None
        self._line: Polyline | None = None
        self._left: Polyline | None = None
        self._left_ns, self._left_by_m = 0, 0.0

    def take(self, route: Route, ego: EgoState | None, now: Now) -> None:
        """Use this route from now on. `ego`: where the vehicle is, None where that is not known.

        Raises:
            GeometryError: its points are no line.
        """
        if self.route is not None and np.array_equal(route.points, self.route.points):
            self.route = route
            return
        line, before = Polyline(route.points), self._line
        if before is not None and ego is not None:
            by_m = self._turn_off_m(line, before, ego)
            if not by_m <= self._limits.shift_m:
                self._left, self._left_ns, self._left_by_m = before, now.monotonic_ns, by_m
        self.route, self._line = route, line

    def keep_of(self, before: RoutePlace) -> None:
        """The route of another one, under other limits."""
        self.route, self._line = before.route, before._line

    def fault(self, here: Array) -> Reason | None:
        """Why a route cannot be the one that the vehicle is on: lost, or in another frame. `here` (1, 2)."""
        if self._line is None:
            return None
        away_m, limit_m = abs(offset_m(self._line, here)), self._limits.route_away_m
        return None if away_m <= limit_m else Reason("ROUTE_AWAY", away_m, limit_m, "vehicle from the route, m")

    def changed(self, now: Now) -> Reason | None:
        """While lanes may turn off with the route: that they may."""
        if self._left_for(now) is None:
            return None
        return Reason("ROUTE_CHANGED", self._left_by_m, self._limits.shift_m, "near the vehicle, from the last one, m")

    def turned_off_with(self, before: Array, after: Array, within_m: Array, now: Now) -> NDArray[np.bool_]:
        """(K,) whether a lane's points `after` (K, 2) lie beside this route as `before` lay beside the one of before.

        False beyond the ends of either, and where no other route came lately.
        """
        line, left = self._line, self._left_for(now)
        if line is None or left is None:
            return np.zeros(len(before), bool)
        (now_s, now_d), (then_s, then_d) = line.project(after), left.project(before)
        covered = (now_s > 0.0) & (now_s < line.length) & (then_s > 0.0) & (then_s < left.length)
        along: NDArray[np.bool_] = covered & (np.abs(now_d - then_d) <= within_m)
        return along

    def course_fault(self, lane: Stretch) -> Reason | None:
        """Why a lane that leads there cannot be one of this route, up to where the route ends, or turns by command.

        The lane may begin beside any of the route's lanes; its course is compared.
        """
        if self.route is None or self._line is None:
            return None
        begin_m, line = _around(self._line, lane.points[:1], float(lane.ahead_m[-1]))
        along_m, aside_m = line.project(lane.points)
        forward = np.array([self.route.command_at(begin_m + float(s)) == KEEP_FORWARD for s in along_m])
        covered = np.logical_and.accumulate((along_m > 0.0) & (along_m < line.length) & forward)
        backwards = np.concatenate([[False], along_m[1:] <= along_m[:-1]]) & (lane.ahead_m > 0.0)
        astray_m = np.where(backwards, lane.ahead_m, np.abs(aside_m - aside_m[0]))
        room_m = room(lane.ahead_m, self._limits.turned_rad, self._limits.shift_m)
        beyond_m = np.where(covered, astray_m - room_m, -room_m)
        worst = int(np.argmax(beyond_m))
        if beyond_m[worst] <= 0.0:
            return None
        where = f"of the lane from the route's course, {lane.ahead_m[worst]:.0f} m ahead, m"
        return Reason("LANES_OFF_ROUTE", float(astray_m[worst]), float(room_m[worst]), where)

    def _turn_off_m(self, line: Polyline, before: Polyline, ego: EgoState) -> float:
        """How far `line` leaves the one before, up to where the vehicle comes while lanes of before are remembered."""
        limits, speed_mps = self._limits, max(ego.speed_mps, 0.0)
        reach_m = max(limits.ahead_m, limits.ahead_s * speed_mps) + limits.memory_s * speed_mps
        here = np.array([[ego.x_m, ego.y_m]])
        near = _around(line, here, reach_m)[1]
        along_m, aside_m = near.project(stretch(before, here, reach_m).points)
        covered = (along_m > 0.0) & (along_m < near.length)
        return float(np.max(np.abs(aside_m), where=covered, initial=0.0))

    def _left_for(self, now: Now) -> Polyline | None:
        if self._left is None or seconds(now.monotonic_ns - self._left_ns) > self._limits.reroute_s:
            return None
        return self._left


def _around(line: Polyline, here: Array, reach_m: float) -> tuple[float, Polyline]:
    """The part of a line that may be compared, and where it begins: a route has up to 20,000 points. `here` (1, 2)."""
    beside_m, arc_m = float(line.project(here)[0][0]), line.arc_lengths
    first = max(int(np.searchsorted(arc_m, beside_m - reach_m)) - 1, 0)
    last = int(np.searchsorted(arc_m, beside_m + 2.0 * reach_m)) + 1
    return float(arc_m[first]), Polyline(line.points[first : max(last, first + 2)])
