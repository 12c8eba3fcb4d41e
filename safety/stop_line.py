"""The line that a stop runs along: what the system followed; else the lane that the vehicle is in; else its own arc."""

from __future__ import annotations

from onboard_vla.core.geometry import Polyline, wrap_angle
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.joined_path import HEADING_ERROR_MAX_RAD


class StopLine:
    """Forgets when a person has the vehicle: a line of before he took over may be far from it."""

    def __init__(self) -> None:
        self._followed: Polyline | None = None
        self._lane: Polyline | None = None

    def follow(self, line: Polyline) -> None:
        """The system drives along this."""
        self._followed = line

    def forget(self) -> None:
        """The system has not got the vehicle."""
        self._followed = self._lane = None

    def find(self, fresh: LaneObservation | None, motion: Motion) -> Polyline | None:
        """The line; None: the present arc. `fresh`: the lanes, where they are fresh."""
        if self._followed is not None:
            return self._followed
        if fresh is not None and is_in_lane(fresh, motion):
            self._lane = fresh.line
        return self._lane


def is_in_lane(lanes: LaneObservation, motion: Motion) -> bool:
    """Whether the vehicle is within the ego lane's width, beside its line, and heads along it."""
    along, offset = lanes.line.project(motion.pose[None, :2])
    turned = abs(float(wrap_angle(motion.heading_rad - lanes.line.heading_at(along[0]))))
    within = abs(float(offset[0])) <= lanes.lane_width_m / 2 and 0.0 < float(along[0]) < lanes.line.length
    return within and turned <= HEADING_ERROR_MAX_RAD
