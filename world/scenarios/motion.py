"""Where a scripted participant is at every tick of a run."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import CYCLIST, PEDESTRIAN, TrackedObject
from onboard_vla.world.scenarios.cell import Participant

Array = NDArray[np.float64]


@dataclass(frozen=True, eq=False)
class Track:
    """A participant's motion; every array (T,): `s_m` of its centre on the lane, offset, speeds, pose in the plane.

    `lane_rad`: the lane's heading beside it.
    """

    participant: Participant
    s_m: Array
    offset_m: Array
    speed_mps: Array
    lateral_mps: Array
    x_m: Array
    y_m: Array
    heading_rad: Array
    lane_rad: Array

    def reported(
        self, tick: int, time_s: float, track_id: int, shift: Array, list_number: int = 0
    ) -> TrackedObject | None:
        """As perception measures it at this tick, or None while it is not visible."""
        p = self.participant
        if not p.visible_s[0] <= time_s <= p.visible_s[1]:
            return None
        heading, lane = float(self.heading_rad[tick]), float(self.lane_rad[tick])
        along, across = float(self.speed_mps[tick]), float(self.lateral_mps[tick])
        vx = along * math.cos(lane) - across * math.sin(lane)
        vy = along * math.sin(lane) + across * math.cos(lane)
        x, y = float(self.x_m[tick] + shift[0]), float(self.y_m[tick] + shift[1])
        kind = p.flips[list_number % len(p.flips)] if p.flips else p.kind
        return TrackedObject(track_id, kind, x, y, heading, vx, vy, p.length_m, p.width_m)


def track(participant: Participant, line: Polyline, front_m: float, times_s: Array) -> Track:
    """The motion at `times_s` (T,), which must contain 0. `front_m`: arc length of the ego vehicle's front at time 0.

    Vehicles keep the lane's heading while they change their offset, as the traffic of UN R157's performance models
    does; pedestrians and crossing cyclists face where they go.
    """
    p = participant
    speed, lateral = _knots(p.speed, times_s), _knots(p.lateral, times_s)
    s = front_m + p.gap_m + p.length_m / 2 + _integral(speed, times_s)
    offset = p.offset_m + _integral(lateral, times_s)
    lane = np.asarray(line.heading_at(s), np.float64)
    beyond = s - np.clip(s, 0.0, line.length)
    base = line.at(s)
    x = base[:, 0] + beyond * np.cos(lane) - offset * np.sin(lane)
    y = base[:, 1] + beyond * np.sin(lane) + offset * np.cos(lane)
    turned = p.kind == PEDESTRIAN or (p.kind == CYCLIST and float(np.abs(lateral).max()) > float(speed.max()))
    heading = lane + np.arctan2(lateral, speed) if turned else lane
    if p.kind == CYCLIST and turned:
        heading = np.where((lateral == 0.0) & (speed == 0.0), lane + math.pi / 2, heading)
    return Track(p, s, offset, speed, lateral, x, y, heading, lane)


def _knots(knots: tuple[tuple[float, float], ...], times_s: Array) -> Array:
    table = np.array(knots, np.float64)
    return np.asarray(np.interp(times_s, table[:, 0], table[:, 1]), np.float64)


def _integral(values: Array, times_s: Array) -> Array:
    """Integral over time that is zero at time 0."""
    steps = np.concatenate([[0.0], np.cumsum((values[1:] + values[:-1]) / 2 * np.diff(times_s))])
    return np.asarray(steps - np.interp(0.0, times_s, steps), np.float64)
