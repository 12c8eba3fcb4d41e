"""One scenario with its parameters filled in: road, ego vehicle, road users, perception, and what must hold."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.objects import VEHICLE

NEVER, WHERE_REFERENCE_AVOIDS = "never", "where a reference driver avoids it"
"""When contact counts against the driver under test."""
FALLBACK_TIME, OPERATOR = "the fallback's time", "operator"
OBJECTS_SILENT, LANES_SILENT = "objects silent", "lane silent"
"""What an in-lane stop is forced by: L2 may last no longer, a command, or a topic that ends."""


@dataclass(frozen=True)
class Participant:
    """A road user on a script, in lane coordinates: arc length from the ego vehicle's front at time 0, and offset.

    `gap_m`: from the ego vehicle's front to the near end at time 0. `offset_m`: left positive. `speed`, `lateral`:
    (time s, m/s) knots of the speed along and across the lane, linear between, held outside. `visible_s`: perception
    reports it from the first to the second time. `jitter_m`: standard deviation of its reported position, each list
    anew. `flips`: kinds that perception reports in turn, a list each; none: `kind` always. `real`: False for a phantom,
    which perception reports and which is not there.
    """

    gap_m: float
    offset_m: float = 0.0
    speed: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    lateral: tuple[tuple[float, float], ...] = ((0.0, 0.0),)
    kind: str = VEHICLE
    length_m: float = 4.3
    width_m: float = 1.9
    visible_s: tuple[float, float] = (-10.0, 1e9)
    jitter_m: float = 0.0
    flips: tuple[str, ...] = ()
    real: bool = True


@dataclass(frozen=True)
class Requirement:
    """Limits on one run; None: not judged. Accelerations and jerks are those of the vehicle, positive numbers.

    `contact`: when contact counts. `final_gap_m`: gap at standstill. `settles_m`: offset from the lane at the end.
    `slows_mps`: allowed instead of avoiding contact, a reduction of the speed by this much. `steering_rate_rps`: of the
    demanded path's curvature, as steering angle of a wheelbase of 2.9 m. `passes`: the vehicle must have driven past
    every real participant. `follower`: a human driver behind, as in `follower.py`, must not hit it. `stops_before_m`:
    before the lane's end, or a red light. `highest_mode`: no more restrictive mode may be published. `model_drives`:
    until `stop_at_s`, in L0.
    """

    contact: str = NEVER
    least_gap_m: float | None = None
    final_gap_m: tuple[float, float] | None = None
    braking_mps2: float | None = None
    jerk_mps3: float | None = None
    lateral_mps2: float | None = None
    lateral_jerk_mps3: float | None = None
    offset_m: float | None = None
    on_road: bool = True
    slows_mps: float | None = None
    stands: bool = False
    stops_before_m: float | None = None
    acceleration_step_mps2: float | None = None
    passes: bool = False
    creep_mps: float | None = None
    moves_m: float | None = None
    time_gap_s: float | None = None
    speed_variance_ratio: float | None = None
    follower: bool = False
    highest_mode: int | None = None
    model_drives: bool = False


@dataclass(frozen=True, eq=False)
class Cell:
    """A scenario. `line`: the ego lane's centreline, (N, 2) metres; the vehicle starts `start_m` along it.

    `left_m`, `right_m`: from the centreline to the edges of the drivable area. `end_m`: the drivable lane ends there,
    arc length from the vehicle's front at time 0; None: it does not. `red_m`: likewise a red light's. `friction`: None
    for a dry road, else the coefficient; `friction_known`: whether the driver is told. `planner_dies_s`: a planner
    drives until then (None: there is none). `stop_at_s`: an in-lane stop is forced then, by `stop_by`.
    `planner_shift_m`: lateral swing of its plans.
    """

    family: str
    name: str
    parameters: Mapping[str, float]
    speed_mps: float
    participants: tuple[Participant, ...]
    requirement: Requirement
    duration_s: float
    line: NDArray[np.float64]
    start_m: float = 50.0
    limit_mps: float | None = None
    lane_width_m: float = 3.5
    left_m: float = 2.5
    right_m: float = 2.5
    sight_m: float = 150.0
    end_m: float | None = None
    red_m: float | None = None
    friction: float | None = None
    friction_known: bool = True
    slope: float = 0.0
    planner_dies_s: float | None = None
    planner_shift_m: float = 0.0
    stop_at_s: float | None = None
    stop_by: str = FALLBACK_TIME
    ends_when_following: bool = False
    quick: bool = False
    seed: int = 0
    tags: frozenset[str] = field(default_factory=frozenset)

    @property
    def key(self) -> str:
        """Family and name: the same in every run."""
        return f"{self.family}/{self.name}"
