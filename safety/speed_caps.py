"""The highest speed at every point of a path: what rules allow, and what curves and the known road allow."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.joined_path import SPACING_M, JoinedPath

Array = NDArray[np.float64]

CURVATURE_WINDOW_M = 10.0
"""Curvature is the heading change over this length: a noise of 5 cm on the lane becomes 0.001 1/m."""


def speed_caps(
    path: JoinedPath, limits_mps: Array, settings: FallbackSettings, vehicle: VehicleGeometry
) -> tuple[Array, Array]:
    """Highest speed at every path point, (M,) each: what rules allow (limit, cap of the mode), and what is safe.

    The latter is what curves and the lane's known end allow. Both look ahead: comfortable braking reaches each in time.
    """
    half = CURVATURE_WINDOW_M / 2
    ahead = np.interp(path.s_m + half, path.s_m, path.heading_rad)
    behind = np.interp(path.s_m - half, path.s_m, path.heading_rad)
    span = np.minimum(path.s_m + half, path.s_m[-1]) - np.maximum(path.s_m - half, 0.0)
    curvature = np.abs(ahead - behind) / np.maximum(span, SPACING_M)
    curve = np.sqrt(settings.lateral_acceleration_mps2 / np.maximum(curvature, 1e-4))
    front = vehicle.length_m - vehicle.rear_overhang_m
    room = np.maximum(path.known_m - front - settings.sight_margin_m - path.s_m, 0.0)
    sight = np.sqrt(2 * settings.sight_deceleration_mps2 * room)
    rules = np.minimum(limits_mps, settings.speed_cap_mps)
    slowing = settings.curve_deceleration_mps2
    return _reachable(rules, path.s_m, slowing), np.minimum(_reachable(curve, path.s_m, slowing), sight)


def model_cap(share: float | None, lanes: LaneObservation | None, motion: Motion, domain_mps: float) -> float:
    """Highest speed for the model's plan, m/s: the domain's; in L1 `share` of the lane's limit where it is known."""
    if share is None:
        return domain_mps
    if lanes is None:
        return share * domain_mps
    line = lanes.line
    s, _ = line.project(motion.pose[:2])
    return min(share * float(np.interp(s[0], line.arc_lengths, lanes.speed_limit_mps)), domain_mps)


def _reachable(cap_mps: Array, s_m: Array, deceleration_mps2: float) -> Array:
    """The cap lowered where braking must have begun: v^2 is at most v^2 later plus 2 a times the distance."""
    potential = cap_mps**2 + 2 * deceleration_mps2 * s_m
    allowed = np.minimum.accumulate(potential[::-1])[::-1] - 2 * deceleration_mps2 * s_m
    return np.asarray(np.sqrt(np.maximum(allowed, 0.0)), np.float64)
