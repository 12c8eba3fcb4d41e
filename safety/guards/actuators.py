"""Does the vehicle do what was published? Speed gained against speed asked for, and place against the published path.

Every published trajectory starts at the vehicle, so one that is not followed never shows in its own beginning. What was
asked for is therefore remembered. A vehicle answers late; how late is not known, so the speed gained over a window is
held against everything that was asked for over windows up to the allowed lag earlier, and only what lies outside all of
them counts.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import nanoseconds, seconds
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.input_config import ActuatorLimits
from onboard_vla.safety.ladder import Request

Array = NDArray[np.float64]

SLOTS = 1024
"""Ticks remembered, half of them at least: 10 s at 50 Hz, more than the longest window and lag together (8 s)."""
PATH_AFTER_S, PATHS = 0.09, 64
"""A path is kept every fifth tick, ten times a second; half a tick of jitter is allowed for."""
PATH_APART_S = 0.1
"""No path is compared whose age is farther than this from the one that is wanted."""
CHECK_AFTER_S = 0.05
"""Every third tick is compared, half a tick of jitter allowed for; the windows are longer by far."""
ASK_S = 0.4
"""The acceleration asked for is the mean over so much of the trajectory's beginning: delay and lag of a usual drive."""
LAG_STEP_S = 0.1
STANDING_MPS = 0.3
"""Braking that is asked for below this speed need not show."""
SEGMENT_MIN_M = 1e-3


class ActuatorWatch:
    """Remembers what was published and where the vehicle was; all memory is taken at the start."""

    def __init__(self, limits: ActuatorLimits) -> None:
        self._limits = limits
        self._times, self._asked, self._speeds = np.zeros(SLOTS), np.zeros(SLOTS), np.zeros(SLOTS)
        self._path_times, self._paths = np.full(PATHS, math.inf), np.zeros((PATHS, 0, 2))
        self._near = np.arange(0.0, limits.lag_s + 1e-9, LAG_STEP_S)
        self._far = np.arange(0.0, max(limits.late_s, limits.lag_s) + 1e-9, LAG_STEP_S)
        self.reset()

    def reset(self) -> None:
        """The vehicle was not, or is no longer, asked to follow; or nobody knows where it is."""
        self._count = self._path_count = 0
        self._path_times.fill(math.inf)
        self._path_s = -math.inf
        self._begin_ns: int | None = None
        self._since_ns: dict[str, int] = {}
        self._checked_s, self._found = -math.inf, list[Request]()

    def check(self, points: Array, motion: Motion | None, now_ns: int) -> list[Request]:
        """Take over what is in force. `points` (T, 6): the trajectory published last; `motion`: the vehicle now.

        Without points (nothing is asked of the vehicle, or nobody measures it) everything remembered is dropped.
        """
        if motion is None or not len(points):
            self.reset()
            return []
        if self._begin_ns is None:
            self._begin_ns = now_ns
        time_s = seconds(now_ns - self._begin_ns)
        self._remember(points, motion, time_s)
        if time_s - self._checked_s >= CHECK_AFTER_S:
            self._checked_s = time_s
            found = [self._speed(time_s), self._path(motion, time_s)]
            self._found = self._confirmed([request for request in found if request is not None], now_ns)
        return self._found

    def _remember(self, points: Array, motion: Motion, time_s: float) -> None:
        asked = (float(np.interp(ASK_S, points[:, 0], points[:, 4])) - float(points[0, 4])) / ASK_S
        if motion.speed_mps < STANDING_MPS:
            asked = max(asked, 0.0)
        if self._count == SLOTS:
            keep = SLOTS // 2
            for row in (self._times, self._asked, self._speeds):
                row[:keep] = row[SLOTS - keep :]
            self._count = keep
        i = self._count
        # The integral of what was asked for, so that any window's share is a difference.
        self._times[i], self._speeds[i] = time_s, motion.speed_mps
        self._asked[i] = self._asked[i - 1] + asked * (time_s - self._times[i - 1]) if i else 0.0
        self._count += 1
        if time_s - self._path_s >= PATH_AFTER_S:
            if self._paths.shape[1] != len(points):
                self._paths = np.zeros((PATHS, len(points), 2))
                self._path_times.fill(math.inf)
            slot = self._path_count % PATHS
            self._path_times[slot] = self._path_s = time_s
            self._paths[slot] = points[:, 1:3]
            self._path_count += 1

    def _speed(self, time_s: float) -> Request | None:
        limits, times = self._limits, self._times[: self._count]
        if time_s - times[0] < limits.window_s + self._far[-1]:
            return None
        begin_s = time_s - limits.window_s
        gained = float(self._speeds[self._count - 1] - np.interp(begin_s, times, self._speeds[: self._count]))
        asked = np.interp(time_s - self._far, times, self._asked[: self._count])
        asked -= np.interp(begin_s - self._far, times, self._asked[: self._count])
        near = asked[: len(self._near)]
        slow, fast = float(near.min()) - gained, gained - float(near.max())
        if not slow <= limits.slow_mps:
            level, code, excess, limit = Mode.FALLBACK, "ACTUATOR_SLOW", slow, limits.slow_mps
        elif not fast <= limits.fast_mps:
            level, code, excess, limit = Mode.IN_LANE_STOP, "ACTUATOR_FAST", fast, limits.fast_mps
        else:
            return None
        if float(asked.min()) - gained <= limits.slow_mps and gained - float(asked.max()) <= limits.fast_mps:
            level, code = Mode.FALLBACK, "ACTUATOR_LAG"
        detail = f"speed gained against what was asked for, m/s in {limits.window_s:g} s"
        return Request(level, Reason(code, excess, limit, detail))

    def _path(self, motion: Motion, time_s: float) -> Request | None:
        limits = self._limits
        off_s = np.abs(time_s - self._path_times - limits.path_s)
        row = int(np.argmin(off_s))
        if off_s[row] > PATH_APART_S:
            return None
        aside = lateral_offset(self._paths[row], np.array([motion.x_m, motion.y_m]))
        if aside is None or abs(aside) <= limits.lateral_m:
            return None
        detail = f"m beside the path published {limits.path_s:g} s ago"
        return Request(Mode.IN_LANE_STOP, Reason("ACTUATOR_LATERAL", abs(aside), limits.lateral_m, detail))

    def _confirmed(self, found: list[Request], now_ns: int) -> list[Request]:
        """Those that have been there for long enough."""
        codes = {request.reason.code for request in found}
        self._since_ns = {code: self._since_ns.get(code, now_ns) for code in codes}
        held_ns = nanoseconds(self._limits.confirm_s)
        return [request for request in found if now_ns - self._since_ns[request.reason.code] >= held_ns]


def lateral_offset(path: Array, here: Array) -> float | None:
    """Offset of `here` (2,) from a path (T, 2), left positive, beyond its ends from its prolongation.

    None where the path stands still.
    """
    steps = np.diff(path, axis=0)
    lengths = np.hypot(steps[:, 0], steps[:, 1])
    moving = lengths > SEGMENT_MIN_M
    if not moving.any():
        return None
    starts, directions, lengths = path[:-1][moving], steps[moving] / lengths[moving, None], lengths[moving]
    relative = here - starts
    along = np.clip(np.einsum("ij,ij->i", relative, directions), 0.0, lengths)
    gaps = relative - along[:, None] * directions
    nearest = int(np.argmin(np.einsum("ij,ij->i", gaps, gaps)))
    direction, offset = directions[nearest], relative[nearest]
    return float(direction[0] * offset[1] - direction[1] * offset[0])
