"""The supervisor's own memory of where the vehicle was; plans are placed with it, never with the planner's word."""

from __future__ import annotations

import bisect
import math
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import wrap_angle
from onboard_vla.safety.guards.clock_step import Restate


@dataclass(frozen=True)
class Motion:
    """Where the vehicle is and how it moves at one instant: odometry frame, SI units."""

    x_m: float
    y_m: float
    heading_rad: float
    speed_mps: float
    acceleration_mps2: float
    yaw_rate_rps: float

    @property
    def pose(self) -> NDArray[np.float64]:
        """(3,) float64: x, y, heading."""
        return np.array([self.x_m, self.y_m, self.heading_rad])


def advance(ego: EgoState, duration_s: float) -> Motion:
    """The motion `duration_s` after the state (before, where negative): constant speed and yaw rate."""
    turn = ego.yaw_rate_rps * duration_s
    middle = ego.heading_rad + turn / 2
    distance = ego.speed_mps * duration_s
    return Motion(
        ego.x_m + distance * math.cos(middle),
        ego.y_m + distance * math.sin(middle),
        wrap_angle(ego.heading_rad + turn),
        ego.speed_mps,
        ego.acceleration_mps2,
        ego.yaw_rate_rps,
    )


class EgoHistory:
    """Ego states of the last `span_s` seconds, in order of their stamps."""

    def __init__(self, span_s: float, extrapolation_s: float) -> None:
        self._span_ns, self._extrapolation_ns = nanoseconds(span_s), nanoseconds(extrapolation_s)
        self._stamps: list[int] = []
        self._states: list[EgoState] = []

    @property
    def newest(self) -> EgoState | None:
        """The state with the newest stamp."""
        return self._states[-1] if self._states else None

    def add(self, state: EgoState) -> None:
        """Append a state that is newer than all before it."""
        self._stamps.append(state.stamp_ns)
        self._states.append(state)
        if self._stamps[0] < state.stamp_ns - 2 * self._span_ns:
            keep = bisect.bisect_left(self._stamps, state.stamp_ns - self._span_ns)
            del self._stamps[:keep], self._states[:keep]

    def since(self, stamp_ns: int) -> list[EgoState]:
        """The states from the last one at or before `stamp_ns` on, oldest first; all where there is none."""
        return self._states[max(bisect.bisect_right(self._stamps, stamp_ns) - 1, 0) :]

    def restate(self, clock: Restate) -> None:
        """The data clock has stepped: restate all stamps on it."""
        self._stamps = [clock(stamp_ns) for stamp_ns in self._stamps]
        pairs = zip(self._states, self._stamps, strict=True)
        self._states = [replace(state, stamp_ns=stamp_ns) for state, stamp_ns in pairs]

    def at(self, stamp_ns: int) -> Motion | None:
        """The motion at `stamp_ns`, interpolated; None outside the history (a little extrapolation forward aside)."""
        if not self._states or stamp_ns < self._stamps[0]:
            return None
        index = bisect.bisect_right(self._stamps, stamp_ns)
        before = self._states[index - 1]
        if index == len(self._states):
            beyond_ns = stamp_ns - before.stamp_ns
            return advance(before, seconds(beyond_ns)) if beyond_ns <= self._extrapolation_ns else None
        after = self._states[index]
        share = (stamp_ns - before.stamp_ns) / (after.stamp_ns - before.stamp_ns)
        turn = wrap_angle(after.heading_rad - before.heading_rad)

        def between(first: float, second: float) -> float:
            return first + share * (second - first)

        return Motion(
            between(before.x_m, after.x_m),
            between(before.y_m, after.y_m),
            wrap_angle(before.heading_rad + share * turn),
            between(before.speed_mps, after.speed_mps),
            between(before.acceleration_mps2, after.acceleration_mps2),
            between(before.yaw_rate_rps, after.yaw_rate_rps),
        )
