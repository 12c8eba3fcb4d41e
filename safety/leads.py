"""What lies ahead on a path: objects in or entering the vehicle's corridor, and signals that forbid to pass."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import AMBER, RED, LaneObservation
from onboard_vla.safety.config import CollisionLimits, FallbackSettings
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.joined_path import JoinedPath
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.prediction import predict

Array = NDArray[np.float64]

ENTRY_TIMES_S = (0.0, 0.5, 1.0, 1.5, 2.0, 2.5, 3.0)
"""Instants at which a moving object may be found in the corridor."""
ENTRY_TOLERANCE_S = 1.5
"""An object that will be in the corridor counts if the vehicle arrives within this of it."""
LOOKAHEAD_S = 8.0
"""Objects farther than this at the present speed (plus 30 m) are left out: beyond any braking distance."""
MOVING_MPS = 0.3
"""Slower objects enter no corridor."""
NEAR_M = 2.0
"""An object that stays farther from the corridor than this at three instants is not looked at between them."""
PASSED_M = 1.0
"""A stop point this far behind the front has been passed."""


def object_leads(
    path: JoinedPath,
    objects: ObjectSet,
    speed_mps: float,
    vehicle: VehicleGeometry,
    margins: CollisionLimits,
    corridor_margin_m: float,
    lane: Polyline | None = None,
) -> list[Lead]:
    """Leads on the path, nearest first. `objects` at the present instant; the path starts at the vehicle.

    `lane`: the ego lane's centreline, along which objects that follow the road are predicted.
    """
    front = vehicle.length_m - vehicle.rear_overhang_m
    reach = speed_mps * LOOKAHEAD_S + 30.0
    if not len(objects.states):
        return []
    near = np.hypot(objects.states[:, 0] - path.x_m[0], objects.states[:, 1] - path.y_m[0]) <= reach
    objects = objects.select(near)
    if not len(objects.states):
        return []
    states = objects.states
    line = path.line
    margin = np.where(objects.vulnerable, margins.vulnerable_margin_m, corridor_margin_m)
    half_width = vehicle.width_m / 2 + margin
    times = np.array(ENTRY_TIMES_S)
    positions, headings, velocities = predict(objects, times, lane)
    entering = _may_enter(path.rough_line, positions, half_width + np.hypot(states[:, 5], states[:, 6]) / 2)
    entering &= np.hypot(states[:, 3], states[:, 4]) > MOVING_MPS
    leads = []
    for index, rows in ((slice(0, 1), slice(None)), (slice(1, None), np.flatnonzero(entering))):
        place, turn, velocity = positions[index, rows], headings[index, rows], velocities[index, rows]
        s, d = (column.reshape(turn.shape) for column in line.project(place.reshape(-1, 2)))
        heading = np.interp(s, path.s_m, path.heading_rad)
        cos, sin = np.abs(np.cos(turn - heading)), np.abs(np.sin(turn - heading))
        along = (cos * states[rows, 5] + sin * states[rows, 6]) / 2
        across = (sin * states[rows, 5] + cos * states[rows, 6]) / 2
        speed = velocity[..., 0] * np.cos(heading) + velocity[..., 1] * np.sin(heading)
        then = times[index, None]
        gap = s - speed * then - along - front
        inside = (np.abs(d) - across <= half_width[rows]) & (s > 0.0) & (s < line.length)
        arrival = np.maximum(gap, 0.0) / max(speed_mps, 1.0)
        inside &= (then == 0.0) | ((gap > 0.0) & (np.abs(arrival - then) <= ENTRY_TOLERANCE_S))
        leads += [Lead(float(gap[i, j]), float(speed[i, j])) for i, j in np.argwhere(inside)]
    return sorted(leads, key=lambda lead: lead.gap_m)


def _may_enter(line: Polyline, positions: Array, reach_m: Array) -> NDArray[np.bool_]:
    """Which objects (N,) come near the line or change sides: first, middle and last of `positions` (T, N, 2)."""
    chosen = positions[[0, len(positions) // 2, -1]]
    _, d = line.project(chosen.reshape(-1, 2))
    d = d.reshape(chosen.shape[:2])
    near = (np.abs(d) <= reach_m + NEAR_M).any(axis=0)
    return np.asarray(near | (d.min(axis=0) * d.max(axis=0) < 0.0), bool)


def signal_leads(
    path: JoinedPath, lanes: LaneObservation, speed_mps: float, vehicle: VehicleGeometry, settings: FallbackSettings
) -> list[Lead]:
    """Stop points of red signals, and of amber ones that a comfortable stop still reaches, as standing leads."""
    front = vehicle.length_m - vehicle.rear_overhang_m
    leads = []
    for signal in lanes.signals:
        if signal.state not in (RED, AMBER):
            continue
        s, d = path.line.project(np.array([[signal.x_m, signal.y_m]]))
        gap = float(s[0]) - front
        if gap < -PASSED_M or abs(float(d[0])) > lanes.lane_width_m:
            continue
        room = max(gap, 0.01)
        required = speed_mps**2 / (2 * room)
        highest = settings.amber_deceleration_mps2 if signal.state == AMBER else settings.idm.clip_mps2
        if required <= highest:
            leads.append(Lead(room, 0.0))
    return leads


def nearest_distinct(leads: list[Lead], count: int = 4) -> list[Lead]:
    """The leads that can matter: of those at like speed only the nearest, and no more than `count`."""
    kept: list[Lead] = []
    for lead in sorted(leads, key=lambda item: item.gap_m):
        if all(lead.speed_mps < other.speed_mps - 0.5 for other in kept):
            kept.append(lead)
    return kept[:count]
