"""The line that a stop runs along and where it has to end, and whether the vehicle is in a lane at all.

A stop runs along what the system follows. A plan is about 5 s long, a stop from speed is longer: while lanes are fresh
and believed, the lane goes on where the line ends, if it runs there as the line does; behind that end it is the lane
alone. Where a person had the vehicle since: along the fresh lane that it is in; else along what the system followed
before, if the vehicle is on it still; else along its own arc, of which nothing is known.
"""

from __future__ import annotations

import dataclasses
import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import Polyline, wrap_angle
from onboard_vla.core.road import AMBER, RED, LaneObservation
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import FallbackSettings, SupervisorConfig
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.fallback import join_length
from onboard_vla.safety.guards.lane_shift import direction_rad
from onboard_vla.safety.input_config import LaneLimits
from onboard_vla.safety.joined_path import LINE_STRIDE, JoinedPath, join
from onboard_vla.safety.leads import own_signals

Array = NDArray[np.float64]

SHOWN_M = 0.5
"""A way that ends this much beyond any end before it shows more of the road; 5 m/s between lanes at 10 Hz."""


@dataclass(frozen=True, eq=False)
class Way:
    """A line, and the arc length on it up to which the vehicle may come: beyond it, nothing is known of the road."""

    line: Polyline
    known_m: float


class StopLine:
    """Remembers what was followed, and where a person has taken over, the lane found when he let go.

    `reach_m`: so far before the end of a lane the vehicle has to stand, for its front to be on what is known.
    `shown`: whether at the last look the newest lanes, fresh, showed more of the way than any before.
    """

    def __init__(self, limits: LaneLimits, reach_m: float) -> None:
        self._limits, self._reach_m = limits, reach_m
        self._followed: Way | None = None
        self._own = self._stands = False
        self._lane: Way | None = None
        self._seen: LaneObservation | None = None
        self._continued: Way | None = None
        self._reached: set[int] = set()
        self._end: Array | None = None
        self.shown = False

    def follow(self, line: Polyline, *, lane: bool, stands: bool = False) -> None:
        """The system drives along this. `lane`: it was made of the lane, and ends where that does, at most.

        `stands`: it comes to a stand at the line's end, for what the model may be alone to see: no lane goes on there.
        """
        self._stands = stands
        self._followed, self._own = Way(line, line.length - (self._reach_m if lane else 0.0)), True
        self._continued = self._lane = self._seen = None
        self._end = line.points[-1]
        self._reached.clear()

    def hand_over(self) -> None:
        """The system has not got the vehicle: the line of before may soon be far from it."""
        self._own, self._lane, self._followed = False, None, self._continued or self._followed
        self._continued = None
        self._reached.clear()

    def find(self, fresh: LaneObservation | None, motion: Motion, settings: FallbackSettings) -> Way | None:
        """The line; None: the present arc. `fresh`: the lanes, where they are fresh."""
        if fresh is None:
            self.shown = False
        elif fresh is not self._seen:
            self._seen = fresh
            self.shown = self._goes_on(fresh, motion, settings) and self._shows_more(fresh.line)
        if self._own and self._followed is not None:
            return self._continued or self._followed
        if fresh is not None and self._within(fresh, motion):
            self._lane = self._way(fresh.line)
        elif self._lane is None and self._followed is not None:
            on_it = _runs_along(self._followed.line, motion, self._limits.shift_m, self._limits.turned_rad)
            self._followed = self._lane = self._followed if on_it else None
        return self._lane

    def _shows_more(self, line: Polyline) -> bool:
        """An end of the road stays where it is, though what is seen of it may end a little earlier or later."""
        if self._end is not None and line.length - float(line.project(self._end[None, :])[0][0]) <= SHOWN_M:
            return False
        more, self._end = self._end is not None, line.points[-1]
        return more

    def signals_m(
        self,
        path: JoinedPath,
        lanes: LaneObservation | None,
        speed_mps: float,
        demand_mps2: float,
        config: SupervisorConfig,
    ) -> float:
        """Room on `path` before the first red or amber signal that the stop can reach, or could when it saw it first.

        Red by what the stop may brake with at most, amber by what is braked for amber with anyhow. What is out of reach
        is passed as if it were not there. `lanes`: the newest ones. `demand_mps2`: in force; more braking comes late.
        """
        ahead = [] if lanes is None else own_signals(path, lanes, config.vehicle)
        cap = config.stop.in_lane_cap_mps2
        late_m = config.collision.delay_s * speed_mps * (1.0 - min(max(-demand_mps2, 0.0) / cap, 1.0))
        most = {RED: cap, AMBER: min(config.fallback.amber_deceleration_mps2, cap)}
        held = {
            signal.signal_id: gap
            for signal, gap in ahead
            if signal.signal_id in self._reached or speed_mps**2 / (2 * most[signal.state]) + late_m <= gap
        }
        self._reached = set(held)
        return min(held.values(), default=math.inf) - config.fallback.idm.brake_gap_m

    def _goes_on(self, lanes: LaneObservation, motion: Motion, settings: FallbackSettings) -> bool:
        """Whether the way is this lane, or goes on with it from the end of what is followed on.

        Once that lies behind the vehicle, it is the lane alone.
        """
        followed = self._followed
        if not self._own or followed is None:
            return self._within(lanes, motion)
        if self._stands:
            return False
        end = _end(followed.line, motion)
        if float(followed.line.project(motion.pose[None, :2])[0][0]) >= followed.line.length:
            if not self._within(lanes, motion):
                return False
            self._continued = self._way(lanes.line)
            return True
        if not self._within(lanes, end):
            return False
        joined = join(lanes.line, end, join_length(motion.speed_mps, settings), lanes.line.length).known_line.points
        way = self._way(Polyline(np.concatenate([followed.line.points, joined[LINE_STRIDE::LINE_STRIDE]])))
        self._continued = way if way.known_m > followed.known_m else None
        return self._continued is not None

    def _within(self, lanes: LaneObservation, motion: Motion) -> bool:
        return _runs_along(lanes.line, motion, lanes.lane_width_m / 2, self._limits.turned_rad)

    def _way(self, lane: Polyline) -> Way:
        return Way(lane, lane.length - self._reach_m)


def lane_obstacles(lanes: LaneObservation | None, motion: Motion | None, limits: LaneLimits) -> tuple[Reason, ...]:
    """What stands against engaging: the vehicle is not within its lane, or not along it.

    What is unknown is asked for elsewhere.
    """
    if lanes is None or motion is None:
        return ()
    offset_m, turned_rad, _ = _beside(lanes.line, motion)
    found, half_m = [], lanes.lane_width_m / 2
    if not offset_m <= half_m:
        found.append(Reason("NOT_IN_LANE", offset_m, half_m, "vehicle from the middle of its lane, m"))
    if not turned_rad <= limits.turned_rad:
        found.append(Reason("NOT_ALONG_LANE", turned_rad, limits.turned_rad, "vehicle's heading from its lane's, rad"))
    return tuple(found)


def _runs_along(line: Polyline, motion: Motion, aside_m: float, turned_rad: float) -> bool:
    offset_m, turned, reached = _beside(line, motion)
    return reached and offset_m <= aside_m and turned <= turned_rad


def _end(line: Polyline, motion: Motion) -> Motion:
    """The vehicle, were it at a line's end."""
    x, y = line.points[-1].tolist()
    return dataclasses.replace(motion, x_m=x, y_m=y, heading_rad=direction_rad(line, line.length))


def _beside(line: Polyline, motion: Motion) -> tuple[float, float, bool]:
    """Metres and radians that the vehicle is off a line, and whether it is beside it and not beyond an end."""
    along, offset = line.project(motion.pose[None, :2])
    along_m = float(along[0])
    turned = abs(float(wrap_angle(motion.heading_rad - direction_rad(line, along_m))))
    return abs(float(offset[0])), turned, 0.0 < along_m < line.length
