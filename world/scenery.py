"""Trees, buildings, posts, barriers and signal poles beside the road: solids that never move."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from onboard_vla.world.paint_solids import BUILDING, CROWN, GLOW, PLAIN, SOLID_FIELDS
from onboard_vla.world.road import Junction, Road

POST_SPACING_M = 25.0
"""Delineator posts stand this far apart (German HAV: 50 m, closer in curves)."""
BARRIER_M = 12.0
"""Length of one barrier segment."""
LAMP_COLOURS = {"red": (255.0, 40.0, 30.0), "amber": (255.0, 176.0, 30.0), "green": (40.0, 235.0, 110.0)}
LAMP_HEIGHTS_M = {"red": 0.62, "amber": 0.0, "green": -0.62}
"""Lamps above the middle of a signal head. Heads are drawn larger than life, to be seen in small pictures."""
OVERHEAD_M, BESIDE_M = 5.2, 3.0
"""Height of the middle of the signal heads over the lane and beside it."""


def build_scenery(road: Road, rng: np.random.Generator) -> NDArray[np.float64]:
    """All fixed solids, rows as in `paint_solids` but in the odometry frame; (N, 13)."""
    rows: list[tuple[float, ...]] = []
    profile = road.profile
    left_edge = 2 * road.axis_offset_m + profile.lane_width_m / 2 + profile.shoulder_m
    right_edge = -profile.lane_width_m / 2 - profile.shoulder_m
    for side, edge in ((1.0, left_edge), (-1.0, right_edge)):
        kerb = 3.6 if profile.kerb else 1.8
        _plant_trees(road, rng, side, edge + side * kerb, rows)
        _put_buildings(road, rng, side, edge + side * (6.5 if profile.kerb else 16.0), rows)
        if not profile.kerb:
            _put_posts(road, edge + side * 0.9, rows)
    if profile.lanes > 1:
        _put_barrier(road, rows)
    for junction in road.junctions:
        if junction.signal_id is not None:
            _put_poles(road, junction, right_edge, rows)
    return np.array(rows, np.float64).reshape(-1, SOLID_FIELDS)


def signal_lamps(road: Road, junction: Junction, state: str, right_edge: float) -> list[tuple[float, ...]]:
    """The glowing lamps of a junction's signal heads."""
    r, g, b = LAMP_COLOURS[state]
    up = LAMP_HEIGHTS_M[state]
    rows: list[tuple[float, ...]] = []
    for x, y, heading, middle in signal_heads(road, junction, right_edge):
        cos, sin = math.cos(heading), math.sin(heading)
        x, y = x - 0.26 * cos, y - 0.26 * sin
        rows.append((GLOW, x, y, middle + up, cos, sin, 0.12, 0.29, 0.29, r, g, b, 0.0))
    return rows


def signal_heads(road: Road, junction: Junction, right_edge: float) -> list[tuple[float, float, float, float]]:
    """x, y, heading of the approach, and height of the middle of each signal head."""
    heading = junction.heading_rad
    x, y, _ = road.pose_at(junction.stop_s_m + 1.0, right_edge - 0.8)
    ahead = 2 * junction.half_width_m + 7.0
    x0, y0, _ = road.pose_at(junction.stop_s_m, 0.4)
    far = (x0 + ahead * math.cos(heading), y0 + ahead * math.sin(heading))
    return [(x, y, heading, BESIDE_M), (*far, heading, OVERHEAD_M)]


def _beside(road: Road, s: float, d: float, clearance: float) -> tuple[float, float, float] | None:
    """Pose at road coordinates unless the place lies on another part of the road or on a crossing road."""
    x, y, heading = road.pose_at(s, d)
    for j in road.junctions:
        dx, dy = x - j.x_m, y - j.y_m
        u = abs(dx * math.cos(j.heading_rad) + dy * math.sin(j.heading_rad))
        v = abs(-dx * math.sin(j.heading_rad) + dy * math.cos(j.heading_rad))
        if min(u, v) < j.half_width_m + clearance and max(u, v) < 80.0:
            return None
    nearest = np.hypot(road.points[::4, 0] - x, road.points[::4, 1] - y).min()
    return (x, y, heading) if nearest > abs(d) - 1.5 and nearest > clearance else None


def _plant_trees(road: Road, rng: np.random.Generator, side: float, edge: float, rows: list[tuple[float, ...]]) -> None:
    s = 0.0
    while s < road.length_m + 60.0:
        d = edge + side * rng.exponential(5.0)
        height, radius = rng.uniform(3.0, 9.0), rng.uniform(1.0, 2.4)
        tint = rng.uniform(-18.0, 18.0)
        place = _beside(road, s, d + side * radius * 0.6, 2.0 + radius)
        if place is not None:
            x, y, _ = place
            trunk = 0.35 * height
            rows.append((PLAIN, x, y, trunk / 2, 1.0, 0.0, 0.14, 0.14, trunk / 2, 84.0, 66.0, 48.0, 0.0))
            crown = (height - trunk) / 2 + 0.3
            green = (58.0 + tint, 96.0 + 0.7 * tint, 44.0)
            seed = float(rng.integers(0, 1000))
            rows.append((CROWN, x, y, trunk + crown - 0.3, 1.0, 0.0, radius, radius, crown, *green, seed))
        s += road.profile.tree_spacing_m * rng.uniform(0.4, 1.6)


def _put_buildings(
    road: Road, rng: np.random.Generator, side: float, edge: float, rows: list[tuple[float, ...]]
) -> None:
    s = rng.uniform(0.0, road.profile.building_spacing_m)
    while s < road.length_m + 40.0:
        length, depth = rng.uniform(9.0, 18.0), rng.uniform(8.0, 13.0)
        storeys = int(rng.integers(2, 6)) if road.profile.kerb else int(rng.integers(1, 3))
        d = edge + side * (depth / 2 + rng.uniform(0.0, 3.0 if road.profile.kerb else 18.0))
        place = _beside(road, s, d, depth / 2 + 6.0)
        if place is not None:
            x, y, heading = place
            colour = [(196.0, 182.0, 160.0), (178.0, 120.0, 96.0), (206.0, 204.0, 196.0), (150.0, 148.0, 150.0)][
                int(rng.integers(0, 4))
            ]
            cos, sin = math.cos(heading), math.sin(heading)
            half = 1.5 * storeys + 0.4
            seed = float(rng.integers(0, 1000))
            rows.append((BUILDING, x, y, half, cos, sin, length / 2, depth / 2, half, *colour, seed))
        s += road.profile.building_spacing_m * rng.uniform(0.7, 1.5)


def _put_posts(road: Road, d: float, rows: list[tuple[float, ...]]) -> None:
    for s in np.arange(10.0, road.length_m, POST_SPACING_M):
        place = _beside(road, float(s), d, 2.0)
        if place is not None:
            x, y, heading = place
            cos, sin = math.cos(heading), math.sin(heading)
            rows.append((PLAIN, x, y, 0.5, cos, sin, 0.06, 0.08, 0.5, 236.0, 236.0, 232.0, 0.0))
            rows.append((PLAIN, x, y, 0.8, cos, sin, 0.065, 0.085, 0.12, 30.0, 30.0, 30.0, 0.0))


def _put_barrier(road: Road, rows: list[tuple[float, ...]]) -> None:
    for s in np.arange(0.0, road.length_m, BARRIER_M):
        x, y, heading = road.pose_at(float(s), road.axis_offset_m)
        half = BARRIER_M / 2 + 0.1
        rows.append(
            (PLAIN, x, y, 0.42, math.cos(heading), math.sin(heading), half, 0.12, 0.42, 168.0, 168.0, 164.0, 0.0)
        )


def _put_poles(road: Road, junction: Junction, right_edge: float, rows: list[tuple[float, ...]]) -> None:
    for x, y, heading, middle in signal_heads(road, junction, right_edge):
        cos, sin = math.cos(heading), math.sin(heading)
        rows.append((PLAIN, x, y, middle, cos, sin, 0.2, 0.42, 1.05, 26.0, 28.0, 30.0, 0.0))
        if middle == OVERHEAD_M:
            reach = 5.0
            ax, ay = x + 0.3 * cos + reach / 2 * sin, y + 0.3 * sin - reach / 2 * cos
            rows.append((PLAIN, ax, ay, middle + 0.3, cos, sin, 0.08, reach / 2, 0.08, 96.0, 100.0, 104.0, 0.0))
            x, y = x + 0.3 * cos + reach * sin, y + 0.3 * sin - reach * cos
        else:
            x, y = x + 0.3 * cos, y + 0.3 * sin
        rows.append((PLAIN, x, y, middle / 2 + 0.2, cos, sin, 0.09, 0.09, middle / 2 + 0.2, 96.0, 100.0, 104.0, 0.0))
