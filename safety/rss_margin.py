"""How much more room than responsibility-sensitive safety asks for: a safety performance indicator, no guard.

With conservative parameters ordinary traffic already violates it (41 m at 50 km/h), so it is logged and nobody brakes
for it; the guards use the required deceleration (`guards/collision.py`).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.prediction import seen_from
from onboard_vla.safety.rss import (
    CONSERVATIVE_EGO,
    CONSERVATIVE_OTHER,
    RssDynamics,
    lateral_m,
    opposite_direction_m,
    same_direction_m,
)

Array = NDArray[np.float64]


def rss_margins_m(
    motion: Motion,
    objects: ObjectSet,
    lane: Polyline,
    vehicle: VehicleGeometry,
    own: RssDynamics = CONSERVATIVE_EGO,
    other: RssDynamics = CONSERVATIVE_OTHER,
) -> Array:
    """Margin (N,) in metres to each object, in the lane's coordinates; negative where it is violated.

    Gap less RSS distance, the larger of along and across the lane: one of the two suffices (definition 7 of arXiv
    1708.06374). Infinite for who is entirely behind: keeping that distance is the rear one's duty, or it moves away.
    NaN, which counts as violated, where the vehicle or an object is not finite.
    """
    if not len(objects.states):
        return np.zeros(0)
    heading = motion.heading_rad
    centre = motion.pose[:2] + vehicle.centre_offset_m * np.array([np.cos(heading), np.sin(heading)])
    velocity = max(motion.speed_mps, 0.0) * np.array([np.cos(heading), np.sin(heading)])
    size = np.array([vehicle.length_m, vehicle.width_m])
    ego = np.concatenate([centre, [heading], velocity, size])[None]
    s, d, along, across, direction = seen_from(lane, np.concatenate([ego, objects.states]))
    states = np.concatenate([ego, objects.states])
    cos, sin = np.abs(np.cos(states[:, 2] - direction)), np.abs(np.sin(states[:, 2] - direction))
    half_along = (cos * states[:, 5] + sin * states[:, 6]) / 2
    half_across = (sin * states[:, 5] + cos * states[:, 6]) / 2
    gap = np.abs(s[1:] - s[0]) - half_along[1:] - half_along[0]
    beside = np.abs(d[1:] - d[0]) - half_across[1:] - half_across[0]
    speed = np.maximum(along[0], 0.0)
    behind = same_direction_m(speed, np.maximum(along[1:], 0.0), own, other)
    towards = opposite_direction_m(speed, np.maximum(-along[1:], 0.0), own, other)
    longitudinal = gap - np.where(along[1:] >= 0.0, behind, towards)
    left = d[1:] > d[0]
    passing = np.where(left, lateral_m(across[1:], across[0], other, own), lateral_m(across[0], across[1:], own, other))
    margin = np.maximum(longitudinal, beside - passing)
    is_behind = (s[1:] < s[0]) & (gap > 0.0)
    return np.asarray(np.where(is_behind, np.inf, margin), np.float64)
