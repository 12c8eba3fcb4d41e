"""Objects around the vehicle, from perception that is independent of the model."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

VEHICLE, PEDESTRIAN, CYCLIST, STATIC = "vehicle", "pedestrian", "cyclist", "static"


@dataclass(frozen=True)
class TrackedObject:
    """An oriented box in the odometry frame; `x_m`, `y_m` are its centre, velocity is over ground.

    `kind`: one of the four above. The supervisor takes any other word for a vulnerable road user (motorcycle, animal,
    wheelchair) where the box is narrow, and for a vehicle where it is wide.
    """

    track_id: int
    kind: str
    x_m: float
    y_m: float
    heading_rad: float
    vx_mps: float
    vy_mps: float
    length_m: float
    width_m: float


@dataclass(frozen=True)
class ObjectList:
    """All objects measured at `stamp_ns`. An empty list says that nothing was seen, not that nothing was measured."""

    stamp_ns: int
    objects: tuple[TrackedObject, ...]

    def states(self) -> NDArray[np.float64]:
        """(N, 7) float64: x, y, heading, vx, vy, length, width."""
        rows = [(o.x_m, o.y_m, o.heading_rad, o.vx_mps, o.vy_mps, o.length_m, o.width_m) for o in self.objects]
        return np.array(rows, dtype=np.float64).reshape(-1, 7)
