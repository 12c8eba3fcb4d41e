"""Which of several plans is best: the interface of a scorer, and one from the scores of this folder.

A learned scorer plugs in at the same place: whatever ranks candidates from what the vehicle knows.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.ego import EgoState, VehicleGeometry
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import compose
from onboard_vla.core.scoring.motion import HORIZON_S, STEP_S, Motion
from onboard_vla.core.scoring.score import measure, pdms
from onboard_vla.core.scoring.smoothing import savitzky_golay
from onboard_vla.core.scoring.surroundings import RoadArea, Traffic

Array = NDArray[np.float64]
WINDOW, ORDER = 9, 3
"""Of the filter that turns poses into speeds: a plan's tokens are half a second each, and join with corners."""


class Scorer(Protocol):
    """Ranks plans."""

    def scores(self, fine_poses: NDArray[np.floating[Any]]) -> Array:
        """(K,) of candidates (K, T, 3): poses every 0.1 s in the ego frame, from 0.1 s on; the highest is best."""


@dataclass(frozen=True, eq=False)
class PdmScorer:
    """PDMS of each candidate against a forecast of the others.

    Progress counts against the candidate that makes most of it without a violation.

    `ego`: where the candidates begin. `traffic`: a forecast from there on, 0.9 s longer than `HORIZON_S`. `road`: with
    signals for the same instants.
    """

    ego: EgoState
    traffic: Traffic
    road: RoadArea
    vehicle: VehicleGeometry

    def scores(self, fine_poses: NDArray[np.floating[Any]]) -> Array:
        """See `Scorer`.

        Raises:
            GeometryError: candidates that are shorter than `HORIZON_S`, or not finite.
        """
        motions = [motion_of(candidate, self.ego) for candidate in fine_poses]
        found = [measure(motion, self.traffic, self.road, self.vehicle) for motion in motions]
        best = max(found, key=lambda own: own.progress_m * own.allowed_v1)
        return np.array([pdms(own, best) for own in found])


def motion_of(fine_poses: NDArray[np.floating[Any]], ego: EgoState) -> Motion:
    """A plan (T, 3) as a motion of `HORIZON_S` in the world, its speeds from its poses, the first from `ego`.

    Raises:
        GeometryError: it is shorter, or not finite.
    """
    count = round(HORIZON_S / STEP_S)
    if len(fine_poses) < count:
        raise GeometryError(f"plan of {len(fine_poses)} poses: expected at least {count}, one every {STEP_S} s")
    poses = np.vstack([np.zeros(3), np.asarray(fine_poses[:count], np.float64)])
    placed = compose(np.array([ego.x_m, ego.y_m, ego.heading_rad]), poses)
    steps = np.hypot(*np.diff(poses[:, :2], axis=0).T) / STEP_S
    speed = savitzky_golay(np.concatenate([[ego.speed_mps], steps]), WINDOW, ORDER)
    acceleration = savitzky_golay(speed, WINDOW, ORDER, 1, STEP_S)
    rate = savitzky_golay(np.unwrap(poses[:, 2]), WINDOW, ORDER, 1, STEP_S)
    return Motion(placed, speed, acceleration, rate)
