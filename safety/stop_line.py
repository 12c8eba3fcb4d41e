"""The line that a stop runs along, and whether the vehicle is in a lane at all.

A stop runs along what the system follows. Where a person had the vehicle since: along the fresh lane that it is in;
else along what the system followed before, if the vehicle is on it still; else along its own arc.
"""

from __future__ import annotations

from onboard_vla.core.geometry import Polyline, wrap_angle
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.lane_shift import direction_rad
from onboard_vla.safety.input_config import LaneLimits


class StopLine:
    """Remembers what was followed, and where a person has taken over, the lane found when he let go."""

    def __init__(self, limits: LaneLimits) -> None:
        self._limits = limits
        self._followed: Polyline | None = None
        self._own = False
        self._lane: Polyline | None = None

    def follow(self, line: Polyline) -> None:
        """The system drives along this."""
        self._followed, self._own = line, True

    def hand_over(self) -> None:
        """The system has not got the vehicle: the line of before may soon be far from it."""
        self._own, self._lane = False, None

    def find(self, fresh: LaneObservation | None, motion: Motion) -> Polyline | None:
        """The line; None: the present arc. `fresh`: the lanes, where they are fresh."""
        if self._own:
            return self._followed
        if fresh is not None and _runs_along(fresh.line, motion, fresh.lane_width_m / 2, self._limits.turned_rad):
            self._lane = fresh.line
        elif self._lane is None and self._followed is not None:
            on_it = _runs_along(self._followed, motion, self._limits.shift_m, self._limits.turned_rad)
            self._followed = self._lane = self._followed if on_it else None
        return self._lane


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


def _beside(line: Polyline, motion: Motion) -> tuple[float, float, bool]:
    """Metres and radians that the vehicle is off a line, and whether it is beside it and not beyond an end."""
    along, offset = line.project(motion.pose[None, :2])
    along_m = float(along[0])
    turned = abs(float(wrap_angle(motion.heading_rad - direction_rad(line, along_m))))
    return abs(float(offset[0])), turned, 0.0 < along_m < line.length
