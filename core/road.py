"""Route (exact, given once) and lanes and signals as perceived, both in the odometry frame."""

from __future__ import annotations

from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import Polyline

KEEP_FORWARD, TURN_LEFT, TURN_RIGHT = "keep forward", "turn left", "turn right"
COMMANDS = (KEEP_FORWARD, TURN_LEFT, TURN_RIGHT)
GREEN, AMBER, RED = "green", "amber", "red"
SIGNAL_STATES = (GREEN, AMBER, RED)


@dataclass(frozen=True)
class RouteCommand:
    """A navigation command that holds while the vehicle's arc length on the route is in [start_s_m, end_s_m)."""

    start_s_m: float
    end_s_m: float
    command: str


@dataclass(frozen=True, eq=False)
class Route:
    """The way to go. `points`: (N, 2) float64 metres, N >= 2.

    `speed_limit_mps`: (N,) float64, infinite where the route gives none; the limits in force come with the lanes.
    """

    route_id: str
    points: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (None, 2)})
    speed_limit_mps: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (None,)})
    commands: tuple[RouteCommand, ...]

    def command_at(self, arc_length_m: float) -> str:
        """The command in force at this arc length; keep forward where none is set."""
        for command in self.commands:
            if command.start_s_m <= arc_length_m < command.end_s_m:
                return command.command
        return KEEP_FORWARD


@dataclass(frozen=True)
class Signal:
    """A traffic signal that governs the ego lane: the stop point on the lane's centreline, and what it shows.

    `signal_id` is the same as long as the signal is seen.
    """

    signal_id: int
    x_m: float
    y_m: float
    state: str


@dataclass(frozen=True, eq=False)
class LaneObservation:
    """The lane that the vehicle's rear axle is in as perceived at `stamp_ns`, from a little behind as far as is seen.

    `centreline`: (N, 2) float64 metres, odometry frame, driving direction. `left_m`, `right_m`: (N,) float64, lateral
    distance from the centreline to the edge of the drivable area on either side, both positive.
    `lane_width_m`: width of the ego lane. `speed_limit_mps`: (N,) float64.
    """

    stamp_ns: int
    centreline: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (None, 2)})
    left_m: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (None,)})
    right_m: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (None,)})
    lane_width_m: float
    speed_limit_mps: NDArray[np.float64] = field(metadata={"dtype": "float64", "shape": (None,)})
    signals: tuple[Signal, ...]

    @cached_property
    def line(self) -> Polyline:
        """The centreline with arc length; made once per observation.

        Raises:
            GeometryError: the centreline is no line.
        """
        return Polyline(self.centreline)
