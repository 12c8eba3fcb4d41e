"""What is scored: a motion of the vehicle, sampled at 10 Hz, and the footprints along it."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import box_corners

Array = NDArray[np.float64]

STEP_S = 0.1
"""NAVSIM scores at 10 Hz."""
HORIZON_S = 4.0
"""Length of a scored motion in NAVSIM: 40 steps, 41 instants."""


@dataclass(frozen=True, eq=False)
class Motion:
    """States every `STEP_S`, of the rear axle's centre. All float64.

    `poses`: (T, 3) x, y in metres, heading in rad, any fixed frame. `speed_mps`, `acceleration_mps2` (longitudinal),
    `yaw_rate_rps`: (T,).

    Raises:
        GeometryError: shapes that do not fit, fewer than two instants, or a value that is not finite.
    """

    poses: Array
    speed_mps: Array
    acceleration_mps2: Array
    yaw_rate_rps: Array

    def __post_init__(self) -> None:
        count = len(self.poses)
        columns = (self.speed_mps, self.acceleration_mps2, self.yaw_rate_rps)
        if self.poses.shape != (count, 3) or count < 2 or any(column.shape != (count,) for column in columns):
            shapes = ", ".join(str(np.shape(a)) for a in (self.poses, *columns))
            raise GeometryError(f"motion: expected (T >= 2, 3) poses and three columns (T,), found {shapes}")
        if not all(np.isfinite(a).all() for a in (self.poses, *columns)):
            raise GeometryError("motion: every value must be finite")

    def __len__(self) -> int:
        return len(self.poses)

    def part(self, first: int, end: int | None = None) -> Motion:
        """The instants from `first` up to, not including, `end`."""
        rows = slice(first, end)
        return Motion(self.poses[rows], self.speed_mps[rows], self.acceleration_mps2[rows], self.yaw_rate_rps[rows])

    def after(self, history: Motion) -> Motion:
        """This motion with what was driven before it in front."""
        pairs = zip(_columns(history), _columns(self), strict=True)
        return Motion(*(np.concatenate([before, now]) for before, now in pairs))

    def centres(self, vehicle: VehicleGeometry) -> Array:
        """(T, 2): the footprint's centre."""
        return self.poses[:, :2] + vehicle.centre_offset_m * self.directions()

    def directions(self) -> Array:
        """(T, 2): unit vectors of the heading."""
        return np.stack([np.cos(self.poses[:, 2]), np.sin(self.poses[:, 2])], axis=1)

    def corners(self, vehicle: VehicleGeometry, ahead_s: float = 0.0) -> Array:
        """(T, 4, 2): the footprint, moved straight on at each instant's speed for `ahead_s`; order of `box_corners`."""
        centres = self.centres(vehicle) + ahead_s * self.speed_mps[:, None] * self.directions()
        return box_corners(centres, self.poses[:, 2], vehicle.length_m, vehicle.width_m)


def _columns(motion: Motion) -> tuple[Array, Array, Array, Array]:
    return motion.poses, motion.speed_mps, motion.acceleration_mps2, motion.yaw_rate_rps
