"""Contact and distance of two rectangles, from corners and edges; shares nothing with the code under test."""

from __future__ import annotations

import math

Box = tuple[float, float, float, float, float]
"""Centre x, y, heading, length, width."""
Point = tuple[float, float]


def gap(first: Box, second: Box) -> float:
    """Distance of two rectangles; 0 where they touch or overlap.

    Two convex figures that do not overlap are nearest at a corner of one of them; they overlap where a corner of one
    lies in the other, or where edges cross.
    """
    ours, theirs = corners(first), corners(second)
    least = min(min(_outside(point, second) for point in ours), min(_outside(point, first) for point in theirs))
    if least <= 0.0:
        return 0.0
    for i in range(4):
        for j in range(4):
            if _cross(ours[i], ours[i - 1], theirs[j], theirs[j - 1]):
                return 0.0
    return least


def corners(box: Box) -> list[Point]:
    """The four corners in order."""
    x, y, heading, length, width = box
    cos, sin = math.cos(heading), math.sin(heading)
    a, b = length / 2, width / 2
    return [(x + u * cos - v * sin, y + u * sin + v * cos) for u, v in ((a, b), (-a, b), (-a, -b), (a, -b))]


def _outside(point: Point, box: Box) -> float:
    """Distance of a point from a rectangle, 0 inside."""
    x, y, heading, length, width = box
    cos, sin = math.cos(heading), math.sin(heading)
    dx, dy = point[0] - x, point[1] - y
    along, across = abs(cos * dx + sin * dy) - length / 2, abs(cos * dy - sin * dx) - width / 2
    return math.hypot(max(along, 0.0), max(across, 0.0))


def _cross(a: Point, b: Point, c: Point, d: Point) -> bool:
    """Whether the segments ab and cd cross."""
    return _side(a, b, c) * _side(a, b, d) < 0.0 and _side(c, d, a) * _side(c, d, b) < 0.0


def _side(a: Point, b: Point, p: Point) -> float:
    return (b[0] - a[0]) * (p[1] - a[1]) - (b[1] - a[1]) * (p[0] - a[0])
