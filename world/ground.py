"""How the ground looks, as arrays: surfaces and lines across the road, junctions, and a grid to find the road fast."""

from __future__ import annotations

from dataclasses import dataclass

import numba
import numpy as np
from numpy.typing import NDArray

from onboard_vla.world.road import Road

CELL_M = 4.0
"""Cell of the grid that gives the nearest road sample."""
REACH_M = 34.0
"""Cells farther than this from the road know no sample; only terrain is drawn there."""
GRASS, GRAVEL, ASPHALT, SHOULDER, SIDEWALK, KERB = 0, 1, 2, 3, 4, 5
WHITE, YELLOW = (228.0, 228.0, 222.0), (226.0, 190.0, 70.0)
LINE_M = 0.18
"""Width of a lane marking (German RMS: 0.12 to 0.25 m)."""


@dataclass(frozen=True, eq=False)
class Ground:
    """Arrays for the painter.

    `edges` (E,) and `materials` (E + 1,) int32: surface between consecutive lateral edges, right to left. `lines`
    (L, 7): d, width, dash, gap, r, g, b. `junctions` (J, 8): x, y, cos, sin of approach, half width, stop s, right and
    left d of the lane. `grid` (rows, columns) int32 with `origin` (2,): nearest road sample of each cell or -1.
    """

    edges: NDArray[np.float64]
    materials: NDArray[np.int32]
    lines: NDArray[np.float64]
    junctions: NDArray[np.float64]
    grid: NDArray[np.int32]
    origin: NDArray[np.float64]


def lay_ground(road: Road) -> Ground:
    """All that the painter must know about a road."""
    edges, materials = _surfaces(road)
    half = road.profile.lane_width_m / 2
    junctions = [
        (j.x_m, j.y_m, np.cos(j.heading_rad), np.sin(j.heading_rad), j.half_width_m, j.stop_s_m, -half, half)
        for j in road.junctions
    ]
    grid, origin = index_cells(road.points)
    return Ground(
        np.array(edges),
        np.array(materials, np.int32),
        np.array(_lines(road), np.float64),
        np.array(junctions, np.float64).reshape(-1, 8),
        grid,
        origin,
    )


def _surfaces(road: Road) -> tuple[list[float], list[int]]:
    profile = road.profile
    half, axis = profile.lane_width_m / 2, road.axis_offset_m
    right = -half - profile.shoulder_m
    if profile.lanes > 1:
        ours_left = (profile.lanes - 0.5) * profile.lane_width_m + 0.5
        theirs = 2 * axis - ours_left
        edges = [right - 1.0, right, -half, ours_left, theirs, 2 * axis - right, 2 * axis - right + 1.0]
        return edges, [GRASS, GRAVEL, SHOULDER, ASPHALT, GRASS, ASPHALT, GRAVEL, GRASS]
    left = 2 * axis - right
    if profile.kerb:
        edges = [right - 3.2, right - 0.2, right, left, left + 0.2, left + 3.2]
        return edges, [GRASS, SIDEWALK, KERB, ASPHALT, KERB, SIDEWALK, GRASS]
    edges = [right - 0.7, right, -half, 2 * axis + half, left, left + 0.7]
    return edges, [GRASS, GRAVEL, SHOULDER, ASPHALT, SHOULDER, GRAVEL, GRASS]


def _lines(road: Road) -> list[tuple[float, ...]]:
    profile = road.profile
    half, axis = profile.lane_width_m / 2, road.axis_offset_m
    solid, edge = (0.0, 0.0), (-half, LINE_M)
    if profile.lanes > 1:
        lines = [(*edge, *solid, *WHITE), ((profile.lanes - 0.5) * profile.lane_width_m, LINE_M, *solid, *YELLOW)]
        lines += [((k + 0.5) * profile.lane_width_m, LINE_M, 6.0, 9.0, *WHITE) for k in range(profile.lanes - 1)]
        return lines + [(2 * axis - d, *rest) for d, *rest in lines]
    if profile.centre_gap_m > 0.5:
        middle = [(half, LINE_M, 4.0, 2.0, *WHITE), (half + profile.centre_gap_m, LINE_M, 4.0, 2.0, *WHITE)]
    else:
        middle = [(axis, LINE_M, 3.0, 3.0, *WHITE)]
    dashes = (1.5, 1.5) if profile.kerb else solid
    return [(*edge, *dashes, *WHITE), *middle, (2 * axis + half, LINE_M, *dashes, *WHITE)]


def index_cells(points: NDArray[np.float64]) -> tuple[NDArray[np.int32], NDArray[np.float64]]:
    """The nearest-sample grid over the road's bounding box."""
    margin = REACH_M + CELL_M
    origin = points.min(axis=0) - margin
    columns, rows = np.ceil((points.max(axis=0) + margin - origin) / CELL_M).astype(int) + 1
    grid = np.full((rows, columns), -1, np.int32)
    gaps = np.full((rows, columns), REACH_M * REACH_M, np.float32)
    _stamp(points, origin, grid, gaps)
    return grid, origin


@numba.njit(cache=True)
def _stamp(points, origin, grid, gaps):  # type: ignore[no-untyped-def] # noqa: ANN001, ANN202
    reach = int(REACH_M / CELL_M) + 1
    for k in range(points.shape[0]):
        column = int((points[k, 0] - origin[0]) / CELL_M)
        row = int((points[k, 1] - origin[1]) / CELL_M)
        for r in range(max(row - reach, 0), min(row + reach + 1, grid.shape[0])):
            y = origin[1] + (r + 0.5) * CELL_M - points[k, 1]
            for c in range(max(column - reach, 0), min(column + reach + 1, grid.shape[1])):
                x = origin[0] + (c + 0.5) * CELL_M - points[k, 0]
                gap = x * x + y * y
                if gap < gaps[r, c]:
                    gaps[r, c] = gap
                    grid[r, c] = k
