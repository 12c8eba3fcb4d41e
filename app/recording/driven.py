"""The motion that a recording's ego states tell, with its holes."""

from __future__ import annotations

import bisect
import math
from collections import deque

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import compose, inverse, unwrap
from onboard_vla.runtime.planner_body import CLOCK_RESTART_S, MAX_EGO_AGE_S

LONGEST_GAP_S = MAX_EGO_AGE_S
"""Between two ego states: at 3 m/s² the straight line in between is at most 0.1 m off. The planner's own limit."""


class DrivenPath:
    """Poses of the latest stretch of a drive, in the order of their stamps."""

    def __init__(self) -> None:
        self._states: deque[tuple[int, float, float, float]] = deque()

    @property
    def newest_ns(self) -> int | None:
        """Stamp of the newest state."""
        return self._states[-1][0] if self._states else None

    def add(self, state: EgoState) -> str | None:
        """Take a state in; says in words why it is of no use, if it is not."""
        pose = (state.x_m, state.y_m, state.heading_rad)
        if not all(map(math.isfinite, (*pose, state.speed_mps, state.acceleration_mps2, state.yaw_rate_rps))):
            return "ego states that are not finite"
        newest = self.newest_ns
        if newest is not None and state.stamp_ns <= newest:
            return "ego states no newer than the one before"
        self._states.append((state.stamp_ns, *pose))
        return None

    def restarts_with(self, state: EgoState) -> bool:
        """Whether this state says that the data clock was put back."""
        newest = self.newest_ns
        return newest is not None and seconds(newest - state.stamp_ns) >= CLOCK_RESTART_S

    def forget(self, before_ns: int) -> None:
        """Drop what lies before a stamp, but for the last of it."""
        while len(self._states) > 1 and self._states[1][0] <= before_ns:
            self._states.popleft()

    def whole(self, begin_ns: int, end_ns: int) -> bool:
        """Whether the states reach over all that lies between two stamps, without a hole."""
        stamps = [state[0] for state in self._states]
        first = max(bisect.bisect_right(stamps, begin_ns) - 1, 0)
        last = bisect.bisect_left(stamps, end_ns)
        around = [min(begin_ns, stamps[first]), *stamps[first : last + 1]]
        return around[-1] >= end_ns and int(np.diff(around).max()) <= nanoseconds(LONGEST_GAP_S)

    def motion(self, at_ns: NDArray[np.int64]) -> NDArray[np.float64]:
        """Poses (T, 3) at the later T of T + 1 stamps, from where the vehicle was at the first."""
        states = np.array([state[1:] for state in self._states])
        since = [seconds(state[0] - int(at_ns[0])) for state in self._states]
        at = (at_ns - at_ns[0]) / 1e9
        x, y = (np.interp(at, since, states[:, column]) for column in (0, 1))
        heading = np.interp(at, since, unwrap(states[:, 2]))
        poses = np.stack([x, y, heading], axis=1)
        return compose(inverse(poses[0]), poses[1:])
