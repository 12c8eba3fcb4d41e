"""Where the footprint is at each instant: off the drivable area, in several lanes, off the route, in a crossing."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.scoring.motion import Motion
from onboard_vla.core.scoring.surroundings import RoadArea

Array = NDArray[np.float64]
Flags = NDArray[np.bool_]


@dataclass(frozen=True, eq=False)
class Whereabouts:
    """Per instant (T,). `corners_s`, `corners_d`: (T, 4), `s`, `d`: (T,) of the centre, along the centreline.

    `off_drivable`: a corner is off the drivable area. `several_lanes`: corners in more than one lane, and no lane has
    all four. `off_route`: the centre is in none of the route's lanes. `junction`: the centre is in a crossing;
    `rear_axle_in_junction`: the rear axle is.
    """

    corners_s: Array
    corners_d: Array
    s: Array
    d: Array
    off_drivable: Flags
    several_lanes: Flags
    off_route: Flags
    junction: Flags
    rear_axle_in_junction: Flags

    @property
    def astray(self) -> Flags:
        """Where sideways contact is the vehicle's own fault."""
        return self.off_drivable | self.several_lanes


def locate(motion: Motion, road: RoadArea, vehicle: VehicleGeometry) -> Whereabouts:
    """Whereabouts of a motion."""
    count = len(motion)
    corners_s, corners_d = (a.reshape(count, 4) for a in road.centreline.project(motion.corners(vehicle)))
    s, d = road.centreline.project(motion.centres(vehicle))
    rear_s, _ = road.centreline.project(motion.poses[:, :2])
    edges = np.asarray(road.lanes_m, np.float64).reshape(-1, 2)
    holds = (edges[:, 0] <= corners_d[..., None]) & (corners_d[..., None] <= edges[:, 1])
    return Whereabouts(
        corners_s=corners_s,
        corners_d=corners_d,
        s=s,
        d=d,
        off_drivable=~np.all(road.drivable(corners_s, corners_d), axis=1),
        several_lanes=(np.any(holds, axis=1).sum(axis=1) > 1) & ~np.any(np.all(holds, axis=1), axis=1),
        off_route=~np.any((edges[:, 0] <= d[:, None]) & (d[:, None] <= edges[:, 1]), axis=1),
        junction=road.in_junction(s),
        rear_axle_in_junction=road.in_junction(rear_s),
    )
