"""The fallback planner: keep the observed lane with IDM, from independent inputs alone (safety sheet 2.1, 2.4, 6.1)."""

from __future__ import annotations

import math
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
    arcs, _ = line.project(np.stack([path.x_m, path.y_m], axis=1))
    limits = np.interp(arcs, line.arc_lengths, lanes.speed_limit_mps)
    cap = speed_cap(path, limits, settings, vehicle)
    leads = object_leads(path, objects, speed, vehicle, margins, settings.corridor_margin_m, line)
    leads += signal_leads(path, lanes, speed, vehicle, settings)
    leads = nearest_distinct(leads)
    profile = _drive(speed, acceleration_mps2, cap, leads, settings)
    return Trajectory(path, profile, tuple(leads))


def join_length(speed_mps: float, settings: FallbackSettings) -> float:
    """Distance over which an offset from the line decays."""
    return max(settings.join_min_m, speed_mps * settings.join_time_s)


def speed_cap(path: JoinedPath, limits_mps: Array, settings: FallbackSettings, vehicle: VehicleGeometry) -> Array:
    """Highest speed at every path point: limit, cap of the mode, curves ahead, a stop before the lane's known end."""
    half = CURVATURE_WINDOW_M / 2
    ahead = np.interp(path.s_m + half, path.s_m, path.heading_rad)
    behind = np.interp(path.s_m - half, path.s_m, path.heading_rad)
    span = np.minimum(path.s_m + half, path.s_m[-1]) - np.maximum(path.s_m - half, 0.0)
    curvature = np.abs(ahead - behind) / np.maximum(span, SPACING_M)
    curve = np.sqrt(settings.lateral_acceleration_mps2 / np.maximum(curvature, 1e-4))
    front = vehicle.length_m - vehicle.rear_overhang_m
    room = np.maximum(path.known_m - front - settings.sight_margin_m - path.s_m, 0.0)
    sight = np.sqrt(2 * settings.sight_deceleration_mps2 * room)
    cap = np.minimum(np.minimum(limits_mps, settings.speed_cap_mps), curve)
    # Backward pass: v^2 is at most v^2 at any later point plus what comfortable braking takes off in between.
    potential = cap**2 + 2 * settings.curve_deceleration_mps2 * path.s_m
    allowed = np.minimum.accumulate(potential[::-1])[::-1] - 2 * settings.curve_deceleration_mps2 * path.s_m
    return np.asarray(np.minimum(np.sqrt(np.maximum(allowed, 0.0)), sight), np.float64)


def _drive(
    speed_mps: float, acceleration_mps2: float, cap_mps: Array, leads: list[Lead], settings: FallbackSettings
) -> SpeedProfile:
    idm, caps = settings.idm, cap_mps.tolist()
    last = len(caps) - 1
    top = max(caps)

    def law(time_s: float, distance_m: float, speed: float) -> tuple[float, float]:
        index = min(int((distance_m + speed * CAP_LOOKAHEAD_S) / SPACING_M), last)
        here = min(caps[index], caps[min(int(distance_m / SPACING_M), last)])
        wanted = free_acceleration(speed, max(here, 0.01), idm, settings.over_speed_mps2)
        if speed > here:
            wanted = min(wanted, max((here - speed) / CAP_LOOKAHEAD_S, -settings.sight_deceleration_mps2))
        jerk = settings.jerk_mps3
        for lead in leads:
            now = Lead(lead.gap_m + lead.speed_mps * time_s - distance_m, lead.speed_mps)
            wanted = min(wanted, following_acceleration(speed, min(here, top), now, idm))
            brake = emergency_brake(speed, now, idm)
            if brake is not None:
                wanted, jerk = min(wanted, brake), settings.emergency_jerk_mps3
        return (wanted if math.isfinite(wanted) else -idm.clip_mps2), jerk

    return roll(speed_mps, acceleration_mps2, law)
