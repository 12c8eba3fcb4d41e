"""The fallback planner: keep the observed lane with IDM, from independent inputs alone (safety sheet 2.1, 2.4, 6.1)."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import CollisionLimits, FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.idm import Lead, emergency_brake, following_acceleration, free_acceleration
from onboard_vla.safety.joined_path import SPACING_M, JoinedPath, join
from onboard_vla.safety.leads import nearest_distinct, object_leads, signal_leads
from onboard_vla.safety.longitudinal import SpeedProfile, roll
from onboard_vla.safety.object_memory import ObjectSet

Array = NDArray[np.float64]

CURVATURE_WINDOW_M = 10.0
"""Curvature is the heading change over this length: a noise of 5 cm on the lane becomes 0.001 1/m."""
CAP_LOOKAHEAD_S = 0.5
"""The speed cap is read where the vehicle will be after this time, and approached over it."""
PATH_S = 8.0
"""Length of the joined path, at the present speed plus `PATH_MIN_M`."""
PATH_MIN_M = 40.0


@dataclass(frozen=True, eq=False)
class Trajectory:
    """A path and a speed profile along it; `leads` are what the profile yields to."""

    path: JoinedPath
    profile: SpeedProfile
    leads: tuple[Lead, ...]


def lane_line(lanes: LaneObservation) -> Polyline:
    """The observed centreline.

    Raises:
        GeometryError: it is no line.
    """
    return Polyline(lanes.centreline)


def keep_lane(
    motion: Motion,
    acceleration_mps2: float,
    lanes: LaneObservation,
    objects: ObjectSet,
    vehicle: VehicleGeometry,
    settings: FallbackSettings,
    margins: CollisionLimits,
) -> Trajectory:
    """Plan 5 s of lane keeping from the present motion; `acceleration_mps2` is the demand in force.

    Raises:
        GeometryError: the lane is no line, or ends behind the vehicle.
    """
    line = lane_line(lanes)
    speed = max(motion.speed_mps, 0.0)
    path = join(line, motion, join_length(speed, settings), speed * PATH_S + PATH_MIN_M)
    if path.known_m <= 0.0:
        raise GeometryError("the observed lane ends behind the vehicle")
    limits = np.interp(path.line_s_m, line.arc_lengths, lanes.speed_limit_mps)
    rules, physics = speed_caps(path, limits, settings, vehicle)
    leads = object_leads(path, objects, speed, vehicle, margins, settings.corridor_margin_m, line)
    leads += signal_leads(path, lanes, speed, vehicle, settings)
    leads = nearest_distinct(leads)
    profile = _drive(speed, acceleration_mps2, rules, physics, leads, settings)
    return Trajectory(path, profile, tuple(leads))


def join_length(speed_mps: float, settings: FallbackSettings) -> float:
    """Distance over which an offset from the line decays."""
    return max(settings.join_min_m, speed_mps * settings.join_time_s)


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


def _reachable(cap_mps: Array, s_m: Array, deceleration_mps2: float) -> Array:
    """The cap lowered where braking must have begun: v^2 is at most v^2 later plus 2 a times the distance."""
    potential = cap_mps**2 + 2 * deceleration_mps2 * s_m
    allowed = np.minimum.accumulate(potential[::-1])[::-1] - 2 * deceleration_mps2 * s_m
    return np.asarray(np.sqrt(np.maximum(allowed, 0.0)), np.float64)


def _drive(
    speed_mps: float,
    acceleration_mps2: float,
    rules_mps: Array,
    physics_mps: Array,
    leads: list[Lead],
    settings: FallbackSettings,
) -> SpeedProfile:
    idm, rules, physics = settings.idm, rules_mps.tolist(), physics_mps.tolist()
    last = len(rules) - 1

    def law(time_s: float, distance_m: float, speed: float) -> tuple[float, float]:
        here = min(int(distance_m / SPACING_M), last)
        soon = min(int((distance_m + speed * CAP_LOOKAHEAD_S) / SPACING_M), last)
        safe = min(physics[here], physics[soon])
        target = max(min(rules[here], rules[soon], safe), 0.01)
        wanted = free_acceleration(speed, target, idm, settings.over_speed_mps2)
        if speed > safe:
            wanted = min(wanted, max((safe - speed) / CAP_LOOKAHEAD_S, -settings.sight_deceleration_mps2))
        jerk = settings.jerk_mps3
        for gap_m, lead_mps in leads:
            lead = Lead(gap_m + lead_mps * time_s - distance_m, lead_mps)
            wanted = min(wanted, following_acceleration(speed, target, lead, idm))
            brake = emergency_brake(speed, lead, idm)
            if brake is not None:
                wanted, jerk = min(wanted, brake), settings.emergency_jerk_mps3
        return wanted, jerk

    return roll(speed_mps, acceleration_mps2, law)
