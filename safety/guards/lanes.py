"""What is wrong with lanes and route as messages (10.2 F20); against where the vehicle is: `lane_place.py`.

Lengths are looked at before anything else: a message of any length would take the supervisor's cycle from it.
"""

from __future__ import annotations

import math

import numpy as np

from onboard_vla.core.road import SIGNAL_STATES, LaneObservation, Route
from onboard_vla.core.verdict import Reason

LANE_POINTS_MAX, SIGNALS_MAX = 1000, 100
"""Points of a lane (200 m at every 0.2 m) and signals that govern it: more than any perception reports."""
ROUTE_POINTS_MAX, COMMANDS_MAX = 20_000, 1000
"""Points of a route (100 km at every 5 m) and its commands."""


def lanes_fault(lanes: LaneObservation) -> Reason | None:
    """Why a lane message must not be used, whatever the vehicle does."""
    arrays = (lanes.centreline, lanes.left_m, lanes.right_m, lanes.speed_limit_mps)
    long = _too_many("LANES", "POINTS", max(map(len, arrays)), LANE_POINTS_MAX)
    long = long or _too_many("LANES", "SIGNALS", len(lanes.signals), SIGNALS_MAX)
    if long is not None:
        return long
    count = len(lanes.centreline)
    positions = [value for signal in lanes.signals for value in (signal.x_m, signal.y_m)]
    finite = all(np.isfinite(array).all() for array in arrays) and all(map(math.isfinite, positions))
    if not (finite and math.isfinite(lanes.lane_width_m)):
        return Reason("LANES_NOT_FINITE", 1.0, 0.0, "a field of the lanes is not finite")
    shaped = lanes.centreline.shape == (count, 2) and all(array.shape == (count,) for array in arrays[1:])
    known = all(signal.state in SIGNAL_STATES for signal in lanes.signals)
    positive = shaped and min(float(array.min(initial=math.inf)) for array in arrays[1:]) >= 0.0
    if count < 2 or not (shaped and known and positive and lanes.lane_width_m > 0.0):
        return Reason("LANES_IMPLAUSIBLE", float(count), 2.0, "points, extents or signals of the lane")
    return None


def route_fault(route: Route) -> Reason | None:
    """Why a route must not be used."""
    limits = route.speed_limit_mps
    long = _too_many("ROUTE", "POINTS", max(len(route.points), len(limits)), ROUTE_POINTS_MAX)
    long = long or _too_many("ROUTE", "COMMANDS", len(route.commands), COMMANDS_MAX)
    if long is not None:
        return long
    # No limit at all is infinite; what is not a number fails every comparison.
    if not (np.isfinite(route.points).all() and (limits >= 0.0).all()) or len(limits) != len(route.points):
        return Reason("ROUTE_NOT_FINITE", 1.0, 0.0, "a field of the route is not finite or missing")
    return None


def _too_many(topic: str, what: str, count: int, most: int) -> Reason | None:
    if count <= most:
        return None
    return Reason(f"{topic}_TOO_MANY_{what}", float(count), float(most), f"{what.lower()} of a message; send fewer")
