"""A path from where the vehicle is onto a given line, sampled evenly: the shape of every published trajectory."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import Polyline, unwrap, wrap_angle
from onboard_vla.safety.ego_history import Motion

Array = NDArray[np.float64]

SPACING_M = 0.5
LINE_STRIDE = 4
"""Path points per point of the path's polyline."""
HEADING_ERROR_MAX_RAD = 1.0
"""Larger heading errors are joined as if they were this large; a forward path cannot undo them sooner."""


@dataclass(frozen=True, eq=False)
class JoinedPath:
    """Points every `SPACING_M` of the followed line, starting at the vehicle.

    `s_m` (M,): arc length of the joined path from the vehicle; `x_m`, `y_m`, `heading_rad` (unwrapped): (M,).
    `line_s_m`, `offset_m` (M,): arc length on the followed line, and beside it, left positive.
    `known_m`: arc length up to which the line was given; beyond it the path goes straight on.
    """

    s_m: Array
    x_m: Array
    y_m: Array
    heading_rad: Array
    line_s_m: Array
    offset_m: Array
    known_m: float

    @property
    def curvature_per_m(self) -> Array:
        """(M,), left positive."""
        return np.asarray(np.gradient(self.heading_rad, self.s_m), np.float64)

    @cached_property
    def line(self) -> Polyline:
        """The path as a polyline with a point every 2 m: on 30 m of radius that is 2 cm off."""
        return self._thinned(LINE_STRIDE)

    @cached_property
    def rough_line(self) -> Polyline:
        """The path with a point every 8 m, to tell what is far from it: on 30 m of radius that is 0.3 m off."""
        return self._thinned(4 * LINE_STRIDE)

    @property
    def known_line(self) -> Polyline:
        """The part of the path up to which the followed line was given, two points of it at least."""
        count = max(int(np.searchsorted(self.s_m, self.known_m, side="right")), 2)
        return Polyline(np.stack([self.x_m[:count], self.y_m[:count]], axis=1))

    def _thinned(self, stride: int) -> Polyline:
        last = len(self.x_m) - 1
        points = np.empty((last // stride + (2 if last % stride else 1), 2))
        for column, values in enumerate((self.x_m, self.y_m)):
            points[: last // stride + 1, column] = values[::stride]
            points[-1, column] = values[-1]
        return Polyline(points)

    def poses(self, s_m: Array) -> Array:
        """(N, 3) poses at these arc lengths."""
        poses = np.empty((len(s_m), 3))
        for column, values in enumerate((self.x_m, self.y_m, self.heading_rad)):
            poses[:, column] = np.interp(s_m, self.s_m, values)
        poses[:, 2] = wrap_angle(poses[:, 2])
        return poses


def after(path: JoinedPath, arc_m: float) -> JoinedPath:
    """The rest of a path from an arc length on it."""
    s = np.arange(0.0, max(path.s_m[-1] - arc_m, 2 * SPACING_M) + SPACING_M, SPACING_M)
    at = s + arc_m
    columns = (path.x_m, path.y_m, path.heading_rad, path.line_s_m, path.offset_m)
    x, y, heading, line_s, offset = (np.interp(at, path.s_m, column) for column in columns)
    beyond = np.maximum(at - path.s_m[-1], 0.0)
    x, y = x + beyond * math.cos(heading[-1]), y + beyond * math.sin(heading[-1])
    return JoinedPath(s, x, y, heading, line_s + beyond, offset, max(path.known_m - arc_m, 0.0))


def join(line: Polyline, motion: Motion, join_m: float, length_m: float) -> JoinedPath:
    """Follow `line` for `length_m` from the vehicle's pose.

    The vehicle's offset from the line and its heading error decay over `join_m` as a cubic; the line's ends are
    extended straight.
    """
    return join_beside(line, motion, join_m, length_m, (0.0,))[0]


def join_beside(
    line: Polyline, motion: Motion, join_m: float, length_m: float, targets_m: tuple[float, ...],
    slope: float | None = None,
) -> list[JoinedPath]:  # fmt: skip
    """As `join`, once for each lateral offset from the line at which to follow it.

    `slope`: the offset's present change per metre along the line, where it is known better than from the heading: a
    heading held against a line of straight pieces is wrong by half a piece's turn.
    """
    start, offset = _project(line, motion)
    direction = _heading(line, start)
    error = float(wrap_angle(motion.heading_rad - direction))
    if slope is None:
        slope = math.tan(max(-HEADING_ERROR_MAX_RAD, min(HEADING_ERROR_MAX_RAD, error)))
    distance = np.arange(0.0, max(length_m, 2 * SPACING_M) + SPACING_M, SPACING_M)
    u = np.minimum(distance / join_m, 1.0)
    leaving, turning = 2 * u**3 - 3 * u**2 + 1, slope * join_m * (u**3 - 2 * u**2 + u)
    base, heading = _points(line, start + distance), _headings(line, start + distance)
    known_m = max(line.length - start, 0.0)
    left = np.stack([-np.sin(heading), np.cos(heading)])
    paths = []
    for target in targets_m:
        shift = target + (offset - target) * leaving + turning
        x, y = base.T + left * shift
        paths.append(_through(x, y, motion, start + distance, shift, distance, known_m))
    return paths


def _through(
    x: Array, y: Array, motion: Motion, line_s_m: Array, shift: Array, distance: Array, known_m: float
) -> JoinedPath:
    x[0], y[0] = motion.x_m, motion.y_m
    dx, dy = x[1:] - x[:-1], y[1:] - y[:-1]
    s = np.zeros(len(x))
    np.cumsum(np.maximum(np.hypot(dx, dy), 1e-6), out=s[1:])
    chords = unwrap(np.arctan2(dy, dx))
    headings = np.interp(s, (s[:-1] + s[1:]) / 2, chords)
    first = motion.heading_rad + 2 * math.pi * round((chords[0] - motion.heading_rad) / (2 * math.pi))
    headings[0] = first
    known = float(np.interp(known_m, distance, s))
    return JoinedPath(s, x, y, headings, line_s_m, shift, known)


def along(line: Polyline, motion: Motion, length_m: float) -> JoinedPath:
    """`line` itself for `length_m` from the point beside the vehicle, extended straight beyond its end.

    Without a join, a vehicle beside the line is steered back to it. A join renewed at every tick would begin at the
    vehicle's present offset and heading each time, and so put the return off for ever.
    """
    start, _ = _project(line, motion)
    s = np.arange(0.0, max(length_m, 2 * SPACING_M) + SPACING_M, SPACING_M)
    points, headings = _points(line, start + s), _headings(line, start + s)
    known = max(line.length - start, 0.0)
    return JoinedPath(s, points[:, 0].copy(), points[:, 1].copy(), headings, start + s, np.zeros(len(s)), known)


def _project(line: Polyline, motion: Motion) -> tuple[float, float]:
    """Arc length (beyond the ends too) and signed offset of the vehicle from the line."""
    point = np.array([[motion.x_m, motion.y_m]])
    s, d = line.project(point)
    arc, offset = float(s[0]), float(d[0])
    if 0.0 < arc < line.length:
        return arc, offset
    end = line.points[-1] if arc > 0 else line.points[0]
    heading = float(line.heading_at(arc))
    dx, dy = motion.x_m - end[0], motion.y_m - end[1]
    return arc + dx * math.cos(heading) + dy * math.sin(heading), dy * math.cos(heading) - dx * math.sin(heading)


def _heading(line: Polyline, arc: float) -> float:
    return float(line.heading_at(arc))


def _headings(line: Polyline, arcs: Array) -> Array:
    return np.asarray(line.heading_at(arcs), np.float64)


def _points(line: Polyline, arcs: Array) -> Array:
    """Points (N, 2) on the line, extended straight beyond its ends."""
    points = line.at(arcs)
    for beyond, end in ((np.minimum(arcs, 0.0), 0.0), (np.maximum(arcs - line.length, 0.0), line.length)):
        if not beyond.any():
            continue
        heading = float(line.heading_at(end))
        points = points + beyond[:, None] * np.array([math.cos(heading), math.sin(heading)])
    return points
