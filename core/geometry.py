"""Plane geometry: SE(2) poses, polylines, oriented boxes. Angles in rad, counter-clockwise; lengths in metres."""

from __future__ import annotations

from functools import cached_property
from typing import overload

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import GeometryError

Floats = NDArray[np.floating]


@overload
def wrap_angle(angle_rad: float) -> float: ...


@overload
def wrap_angle(angle_rad: Floats) -> NDArray[np.float64]: ...


def wrap_angle(angle_rad: float | Floats) -> float | Floats:
    """Map angles to [-pi, pi); rounding can give pi itself."""
    return (angle_rad + np.pi) % (2 * np.pi) - np.pi


def unwrap(angle_rad: NDArray[np.float64]) -> NDArray[np.float64]:
    """Angles (N,) without jumps by a turn: `numpy.unwrap`, which most rows do not need, at a tenth of its cost."""
    if (np.abs(angle_rad[1:] - angle_rad[:-1]) < np.pi).all():
        return angle_rad
    return np.unwrap(angle_rad)


def compose(first: Floats, second: Floats) -> NDArray[np.float64]:
    """SE(2) composition: `second`, given in the frame of `first`, in the frame that `first` is given in.

    Both (..., 3): x, y, heading; broadcast against each other.
    """
    first, second = np.asarray(first, np.float64), np.asarray(second, np.float64)
    cos, sin = np.cos(first[..., 2]), np.sin(first[..., 2])
    x = first[..., 0] + cos * second[..., 0] - sin * second[..., 1]
    y = first[..., 1] + sin * second[..., 0] + cos * second[..., 1]
    return np.stack([x, y, wrap_angle(first[..., 2] + second[..., 2])], axis=-1)


def inverse(pose: Floats) -> NDArray[np.float64]:
    """SE(2) inverse of poses (..., 3)."""
    pose = np.asarray(pose, np.float64)
    cos, sin = np.cos(pose[..., 2]), np.sin(pose[..., 2])
    x = -cos * pose[..., 0] - sin * pose[..., 1]
    y = sin * pose[..., 0] - cos * pose[..., 1]
    return np.stack([x, y, wrap_angle(-pose[..., 2])], axis=-1)


def box_corners(centre: Floats, heading: Floats, length: Floats | float, width: Floats | float) -> NDArray[np.float64]:
    """Corners (..., 4, 2) of oriented boxes, counter-clockwise from front left. `centre` (..., 2), `heading` (...)."""
    heading = np.asarray(heading, np.float64)
    half_length, half_width = np.asarray(length, np.float64) / 2, np.asarray(width, np.float64) / 2
    cos, sin = np.cos(heading), np.sin(heading)
    along = np.stack([cos, sin], -1) * half_length[..., None]
    across = np.stack([-sin, cos], -1) * half_width[..., None]
    signs = ((1, 1), (-1, 1), (-1, -1), (1, -1))
    return np.stack([np.asarray(centre) + a * along + b * across for a, b in signs], axis=-2)


def boxes_overlap(first: Floats, second: Floats) -> NDArray[np.bool_]:
    """Separating-axis test between rectangles given by their corners (..., 4, 2); touching counts as overlap."""
    first, second = np.broadcast_arrays(np.asarray(first, np.float64), np.asarray(second, np.float64))
    overlap = np.ones(first.shape[:-2], bool)
    for box in (first, second):
        for edge in (box[..., 0, :] - box[..., 1, :], box[..., 1, :] - box[..., 2, :]):
            a = np.einsum("...ij,...j->...i", first, edge)
            b = np.einsum("...ij,...j->...i", second, edge)
            overlap &= (a.max(-1) >= b.min(-1)) & (b.max(-1) >= a.min(-1))
    return overlap


class Polyline:
    """A piecewise straight line with arc length. `points`: (N, 2), N >= 2, consecutive points distinct."""

    def __init__(self, points: Floats) -> None:
        self.points = np.asarray(points, np.float64)
        if self.points.ndim != 2 or self.points.shape[0] < 2 or self.points.shape[1] != 2:
            raise GeometryError(f"polyline: expected (N >= 2, 2) points, found shape {self.points.shape}")
        if not np.isfinite(self.points).all():
            raise GeometryError("polyline: points must be finite")
        steps = self.points[1:] - self.points[:-1]
        self._lengths = np.hypot(steps[:, 0], steps[:, 1])
        if (self._lengths <= 0).any():
            raise GeometryError("polyline: consecutive points coincide")
        self._along_x, self._along_y = steps[:, 0] / self._lengths, steps[:, 1] / self._lengths
        self.arc_lengths = np.zeros(len(self.points))
        np.cumsum(self._lengths, out=self.arc_lengths[1:])

    @cached_property
    def _headings(self) -> NDArray[np.float64]:
        """Of the segments, without jumps by a turn."""
        return unwrap(np.arctan2(self._along_y, self._along_x))

    @cached_property
    def _middles(self) -> NDArray[np.float64]:
        """Arc lengths of the segments' middles."""
        return np.asarray((self.arc_lengths[:-1] + self.arc_lengths[1:]) / 2, np.float64)

    @property
    def length(self) -> float:
        """Total arc length."""
        return float(self.arc_lengths[-1])

    def project(self, points: Floats) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        """Arc length and signed lateral offset (left positive) of the nearest point for each of `points` (M, 2).

        Points before the start or past the end project onto the end points' segments, clipped to the line.
        """
        points = np.asarray(points, np.float64).reshape(-1, 2)
        x = points[:, 0, None] - self.points[:-1, 0]
        y = points[:, 1, None] - self.points[:-1, 1]
        reached = x * self._along_x + y * self._along_y
        along = np.minimum(np.maximum(reached, 0.0), self._lengths)
        # The squared distance to each segment; written out, this costs a quarter of three-dimensional arrays.
        # Its rounding (1 km squared, times 2e-16, under the root) decides between segments closer to equal than 0.1 mm.
        nearest = np.argmin(x * x + y * y + along * (along - 2.0 * reached), axis=1)
        row = np.arange(len(points))
        x, y, along = x[row, nearest], y[row, nearest], along[row, nearest]
        along_x, along_y = self._along_x[nearest], self._along_y[nearest]
        distance = np.hypot(x - along * along_x, y - along * along_y)
        lateral = along_x * y - along_y * x
        return self.arc_lengths[nearest] + along, np.copysign(distance, lateral)

    def at(self, arc_length: Floats | float) -> NDArray[np.float64]:
        """Points (..., 2) at these arc lengths, clipped to the line's ends."""
        s = np.asarray(arc_length, np.float64)
        x = np.interp(s, self.arc_lengths, self.points[:, 0])
        y = np.interp(s, self.arc_lengths, self.points[:, 1])
        return np.stack([x, y], axis=-1)

    def heading_at(self, arc_length: Floats | float) -> NDArray[np.float64]:
        """Heading (...), continuous along the line: interpolated between the middles of segments."""
        return np.interp(np.asarray(arc_length, np.float64), self._middles, self._headings)

    def curvature_at(self, arc_length: Floats | float, window_m: float = 4.0) -> NDArray[np.float64]:
        """Curvature (...), 1/m, left positive: heading change over `window_m` centred on the arc length."""
        s = np.asarray(arc_length, np.float64)
        return (self.heading_at(s + window_m / 2) - self.heading_at(s - window_m / 2)) / window_m
