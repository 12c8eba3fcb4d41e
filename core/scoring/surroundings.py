"""What a motion is scored against: the road users' recorded motions, the road, and its red signals."""

from __future__ import annotations

from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline, box_corners

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Traffic:
    """Road users at the motion's instants and, for NAVSIM v1's time to collision, up to 0.9 s beyond.

    `boxes`: (T, N, 5) float64: x, y of the centre, heading, length, width; NaN where one is not there. `speed_mps`:
    (T, N). `agents`: (N,) bool: vehicles, pedestrians and cyclists; the rest are objects, which are worth half.
    """

    boxes: Array
    speed_mps: Array
    agents: Flags

    def __post_init__(self) -> None:
        instants, count = self.speed_mps.shape
        if self.boxes.shape != (instants, count, 5) or self.agents.shape != (count,):
            found = f"{self.boxes.shape}, {self.speed_mps.shape}, {self.agents.shape}"
            raise GeometryError(f"traffic: expected (T, N, 5), (T, N) and (N,), found {found}")

    @classmethod
    def none(cls, instants: int) -> Traffic:
        """An empty road."""
        return cls(np.zeros((instants, 0, 5)), np.zeros((instants, 0)), np.zeros(0, bool))

    @classmethod
    def constant_velocity(cls, boxes: Array, speed_mps: Array, agents: Flags, instants: int, step_s: float) -> Traffic:
        """A forecast: everybody goes straight on. `boxes`: (N, 5) as now, `speed_mps`: (N,) along their headings."""
        ahead_m = np.arange(instants)[:, None] * step_s * speed_mps
        moved = np.repeat(np.asarray(boxes, np.float64)[None], instants, axis=0)
        moved[..., 0] += ahead_m * np.cos(moved[..., 2])
        moved[..., 1] += ahead_m * np.sin(moved[..., 2])
        return cls(moved, np.broadcast_to(speed_mps, ahead_m.shape), agents)

    def corners(self) -> Array:
        """(T, N, 4, 2), NaN where one is not there."""
        return box_corners(self.boxes[..., :2], self.boxes[..., 2], self.boxes[..., 3], self.boxes[..., 4])


@dataclass(frozen=True, eq=False)
class RedStretch:
    """The ego lane beyond a stop line: metres along the centreline, and when its signal shows red, (T,) bool."""

    begin_m: float
    end_m: float
    red: Flags


@dataclass(frozen=True, eq=False)
class RoadArea:
    """The road in coordinates along the ego lane's centreline; lateral values count to the left.

    `left_m`, `right_m`: (M,) for the centreline's M points, positive: from there to the drivable area's edges.
    `lanes_m`: lanes that the route may use, each (right edge, left edge). `junctions_m`: stretches (begin, end) of
    crossings. `signals`: the stretches that a red signal closes.
    """

    centreline: Polyline
    left_m: Array
    right_m: Array
    lanes_m: tuple[tuple[float, float], ...]
    junctions_m: tuple[tuple[float, float], ...] = ()
    signals: tuple[RedStretch, ...] = field(default=())

    def drivable(self, s: Array, d: Array) -> Flags:
        """Whether points at these arc lengths and offsets (any shape) lie on the drivable area."""
        left = np.interp(s, self.centreline.arc_lengths, self.left_m)
        right = np.interp(s, self.centreline.arc_lengths, self.right_m)
        return np.asarray((-right <= d) & (d <= left), bool)

    def in_junction(self, s: Array) -> Flags:
        """Whether arc lengths lie in a crossing."""
        inside = np.zeros(np.shape(s), bool)
        for begin, end in self.junctions_m:
            inside |= (begin <= s) & (s <= end)
        return inside
