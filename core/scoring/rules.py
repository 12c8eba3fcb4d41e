"""Drivable area (DAC), driving direction (DDC), traffic lights (TLC), lane keeping (LK) and metres made (for EP)."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.scoring.motion import STEP_S, Motion
from onboard_vla.core.scoring.surroundings import RoadArea
from onboard_vla.core.scoring.whereabouts import Whereabouts

DIRECTION_WINDOW_S, WRONG_WAY_TOLERATED_M, WRONG_WAY_M = 1.0, 2.0, 6.0
"""Metres off the route's lanes within the window: below the first 1, below the second 0.5, else 0."""
LANE_OFFSET_M, LANE_TIME_S = 0.5, 2.0
"""Lane keeping fails when the centre is farther off the centreline than this for so long without a break."""


def drivable_area_compliance(where: Whereabouts) -> float:
    """DAC: 0 if any corner ever leaves the drivable area."""
    return 0.0 if where.off_drivable.any() else 1.0


def driving_direction_compliance(motion: Motion, where: Whereabouts, vehicle: VehicleGeometry) -> float:
    """DDC: by the most metres that the centre makes outside the route's lanes in a second; crossings do not count."""
    centres = motion.centres(vehicle)
    metres = np.concatenate([[0.0], np.hypot(*np.diff(centres, axis=0).T)])
    metres = np.where(where.off_route & ~where.junction, metres, 0.0)
    window = round(DIRECTION_WINDOW_S / STEP_S) + 1
    most = float(_running_sum(metres, window).max())
    if most < WRONG_WAY_TOLERATED_M:
        return 1.0
    return 0.5 if most < WRONG_WAY_M else 0.0


def traffic_light_compliance(where: Whereabouts, road: RoadArea) -> float:
    """TLC: 0 if any part of the footprint is ever on a stretch whose signal shows red at that instant.

    As published, even if it came there at green.
    """
    front, rear = where.corners_s.max(axis=1), where.corners_s.min(axis=1)
    for signal in road.signals:
        red = np.asarray(signal.red, bool)[: len(front)]
        if (red & (front >= signal.begin_m) & (rear <= signal.end_m)).any():
            return 0.0
    return 1.0


def lane_keeping(where: Whereabouts) -> float:
    """LK: 0 if the centre stays too far from the centreline too long; time in crossings neither counts nor breaks."""
    needed, outside = math.ceil(LANE_TIME_S / STEP_S), 0
    for distance in np.abs(where.d[~where.junction]):
        outside = outside + 1 if distance > LANE_OFFSET_M else 0
        if outside >= needed:
            return 0.0
    return 1.0


def metres_made(where: Whereabouts) -> float:
    """Metres along the centreline from the first to the last instant, never negative."""
    return max(0.0, float(where.s[-1] - where.s[0]))


def _running_sum(values: NDArray[np.float64], window: int) -> NDArray[np.float64]:
    """(T,): sum over the window that ends at each value; no difference of sums, which would lose zeros."""
    padded = np.concatenate([np.zeros(window - 1), values])
    return np.asarray(np.lib.stride_tricks.sliding_window_view(padded, window).sum(axis=1), np.float64)
