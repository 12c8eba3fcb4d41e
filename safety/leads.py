"""What lies ahead on a path: objects in or entering the vehicle's corridor, and signals that forbid to pass."""

from __future__ import annotations

import math
from collections.abc import Collection
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.road import AMBER, RED, LaneObservation, Signal
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
ROUNDING_M = 1e-6
"""A box that touches the corridor has a circle that touches it, but for rounding."""
PASSED_M = 1.0
"""A stop point this far behind the front has been passed."""
LEAST_GAP_M = 0.01
"""In front of a stop point that the front stands on or has just passed."""


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
    reach = speed_mps * LOOKAHEAD_S + 30.0
    if not len(objects.states):
        return []
    near = np.hypot(objects.states[:, 0] - path.x_m[0], objects.states[:, 1] - path.y_m[0]) <= reach
    if not near.all():
        objects = objects.select(near)
    if not len(objects.states):
        return []
    states = objects.states
    margin = np.where(objects.vulnerable, margins.vulnerable_margin_m, corridor_margin_m)
    half_width = vehicle.width_m / 2 + margin
    touching = half_width + np.hypot(states[:, 5], states[:, 6]) / 2
    times = np.array(ENTRY_TIMES_S)
    positions, headings, velocities = predict(objects, times, lane)
    inside = _in_box_about(path, positions, touching)
    found = np.flatnonzero(inside.any(axis=0))
    if not len(found):
        return []
    entering = _may_enter(path.rough_line, positions[:, found], touching[found])
    inside[1:, found] &= entering & (np.hypot(states[found, 3], states[found, 4]) > MOVING_MPS)
    at, row = np.nonzero(inside)
    line = path.line
    s, d = line.project(positions[at, row])
    close = np.flatnonzero((np.abs(d) <= touching[row] + ROUNDING_M) & (s > 0.0) & (s < line.length))
    s, d, at, row = s[close], d[close], at[close], row[close]
    heading = np.interp(s, path.s_m, path.heading_rad)
    turn = headings[at, row] - heading
    cos, sin = np.abs(np.cos(turn)), np.abs(np.sin(turn))
    along = (cos * states[row, 5] + sin * states[row, 6]) / 2
    across = (sin * states[row, 5] + cos * states[row, 6]) / 2
    speed = velocities[at, row, 0] * np.cos(heading) + velocities[at, row, 1] * np.sin(heading)
    then = times[at]
    gap = s - speed * then - along - (vehicle.length_m - vehicle.rear_overhang_m)
    arrival = np.maximum(gap, 0.0) / max(speed_mps, 1.0)
    yields = np.abs(d) - across <= half_width[row]
    yields &= (then == 0.0) | ((gap > 0.0) & (np.abs(arrival - then) <= ENTRY_TOLERANCE_S))
    leads = [Lead(float(gap[i]), float(speed[i])) for i in np.flatnonzero(yields)]
    return sorted(leads, key=lambda lead: lead.gap_m)


def _in_box_about(path: JoinedPath, positions: Array, reach_m: Array) -> NDArray[np.bool_]:
    """Which objects are, at each of `positions` (T, N, 2), within `reach_m` (N,) of the box about the path: (T, N).

    The box lies along the straight line from the path's start to its end. Who stays out of it touches no corridor.
    """
    dx, dy = float(path.x_m[-1] - path.x_m[0]), float(path.y_m[-1] - path.y_m[0])
    length = math.hypot(dx, dy) or 1.0
    cos, sin = dx / length, dy / length
    inside = np.ones(positions.shape[:2], bool)
    for x, y in ((cos, sin), (-sin, cos)):
        path_m = path.x_m * x + path.y_m * y
        place_m = positions[..., 0] * x + positions[..., 1] * y
        reach = reach_m + ROUNDING_M
        inside &= (place_m >= path_m.min() - reach) & (place_m <= path_m.max() + reach)
    return inside


def _may_enter(line: Polyline, positions: Array, reach_m: Array) -> NDArray[np.bool_]:
    """Which objects (N,) come near the line or change sides: first, middle and last of `positions` (T, N, 2)."""
    chosen = positions[[0, len(positions) // 2, -1]]
    _, d = line.project(chosen.reshape(-1, 2))
    d = d.reshape(chosen.shape[:2])
    near = (np.abs(d) <= reach_m + NEAR_M).any(axis=0)
    return np.asarray(near | (d.min(axis=0) * d.max(axis=0) < 0.0), bool)


@dataclass(frozen=True)
class SignalsAhead:
    """What this lane's signals ask of a vehicle on a path.

    `leads`: the stop points to yield to, as standing leads; `reached`: those of them before which full braking still
    stops. `missed_m`: distances from the front to red ones that are passed: not to be approached any faster.
    `reds`: ids of the red ones that are yielded to.
    """

    leads: tuple[Lead, ...] = ()
    reached: tuple[Lead, ...] = ()
    missed_m: tuple[float, ...] = ()
    reds: frozenset[int] = frozenset()


def signals_ahead(
    path: JoinedPath,
    lanes: LaneObservation,
    speed_mps: float,
    braking_mps2: float,
    begun: Collection[int],
    vehicle: VehicleGeometry,
    settings: FallbackSettings,
    delay_s: float,
) -> SignalsAhead:
    """Which signals to yield to: amber ones that comfortable braking stops before, red ones that any braking does.

    A red one also where that ends behind the stop point, but by no more than counts as passed; and, wherever it is seen
    by now, one of `begun`: ids of those that are being braked for already. `braking_mps2`: braking that is in force,
    positive; what is not yet in force takes `delay_s`.
    """
    leads, reached, missed, reds = [], [], [], set()
    full = settings.idm.clip_mps2
    stop_m = speed_mps**2 / (2 * full)
    late_m = delay_s * speed_mps * (1.0 - min(max(braking_mps2, 0.0) / full, 1.0))
    for signal, gap in own_signals(path, lanes, vehicle):
        lead = Lead(max(gap, LEAST_GAP_M), 0.0)
        if signal.state == AMBER:
            if speed_mps**2 / (2 * lead.gap_m) > settings.amber_deceleration_mps2:
                continue
        elif stop_m + late_m <= gap + PASSED_M or signal.signal_id in begun:
            reds.add(signal.signal_id)
        else:
            missed.append(gap)
            continue
        leads.append(lead)
        if stop_m <= gap + PASSED_M:
            reached.append(lead)
    return SignalsAhead(tuple(leads), tuple(reached), tuple(missed), frozenset(reds))


def own_signals(path: JoinedPath, lanes: LaneObservation, vehicle: VehicleGeometry) -> list[tuple[Signal, float]]:
    """This lane's red and amber signals that have not been passed, and their distances from the front."""
    front = vehicle.length_m - vehicle.rear_overhang_m
    found = []
    for signal in lanes.signals:
        if signal.state not in (RED, AMBER):
            continue
        s, d = path.line.project(np.array([[signal.x_m, signal.y_m]]))
        gap = float(s[0]) - front
        if gap >= -PASSED_M and abs(float(d[0])) <= lanes.lane_width_m:
            found.append((signal, gap))
    return found


def nearest_distinct(leads: list[Lead], count: int = 4) -> list[Lead]:
    """The leads that can matter: of those at like speed only the nearest, and no more than `count`."""
    kept: list[Lead] = []
    for lead in sorted(leads, key=lambda item: item.gap_m):
        if all(lead.speed_mps < other.speed_mps - 0.5 for other in kept):
            kept.append(lead)
    return kept[:count]
