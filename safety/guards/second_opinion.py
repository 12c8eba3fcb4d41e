"""What others would do: the fallback in standby against the plan, and the slow plan against the fast one."""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from onboard_vla.core.clock import seconds
from onboard_vla.core.geometry import compose, inverse
from onboard_vla.core.plan import FAST
from onboard_vla.core.thresholds import SLOW_LATERAL, SLOW_SPEED, STANDBY_LATERAL, STANDBY_SPEED
from onboard_vla.safety.fallback import Trajectory
from onboard_vla.safety.guards.uncertainty import Reading
from onboard_vla.safety.longitudinal import POINT_STEP_S
from onboard_vla.safety.placed_plan import PlacedPlan

AHEAD_S = 2.0
"""Where two intentions are compared (safety basis 3.2 items 7 and 10)."""
PAIR_S = 1.5
"""A fast and a slow plan whose stamps lie farther apart than this answer different questions."""


@dataclass(frozen=True, eq=False)
class Standby:
    """The fallback's trajectory, ready to take over, and how long ago it was made.

    `speed_cap_mps`: the fallback never drives faster, whatever the road allows.
    """

    trajectory: Trajectory
    age_s: float
    speed_cap_mps: float


def standby_readings(placed: PlacedPlan, standby: Standby | None, stamp_ns: int) -> dict[str, Reading]:
    """Plan against standby, two seconds from now: offset from its path, and difference in speed.

    Above the fallback's own cap its speed says nothing about the road, and there is no reading of it.
    """
    if standby is None:
        return {}
    ahead_s = seconds(stamp_ns - placed.stamp_ns) + AHEAD_S
    x, y, _ = placed.pose_at(ahead_s)
    path, profile = standby.trajectory.path, standby.trajectory.profile
    dx, dy = x - path.x_m, y - path.y_m
    nearest = int(np.argmin(dx * dx + dy * dy))
    heading = float(path.heading_rad[nearest])
    lateral = dy[nearest] * math.cos(heading) - dx[nearest] * math.sin(heading)
    row = min(round((AHEAD_S + standby.age_s) / POINT_STEP_S), len(profile.speed_mps) - 1)
    found = {STANDBY_LATERAL: Reading(abs(float(lateral)))}
    planned = placed.speed_at(ahead_s)
    if planned <= standby.speed_cap_mps:
        found[STANDBY_SPEED] = Reading(abs(planned - float(profile.speed_mps[row])))
    return found


class DepthPair:
    """The newest fast and the newest slow plan."""

    def __init__(self) -> None:
        self._plans: dict[bool, PlacedPlan] = {}

    def readings(self, placed: PlacedPlan, stamp_ns: int) -> dict[str, Reading]:
        """Slow against fast at two seconds from now, where both exist; nothing otherwise."""
        fast = placed.plan.depth == FAST
        self._plans[fast] = placed
        other = self._plans.get(not fast)
        if other is None or abs(seconds(placed.stamp_ns - other.stamp_ns)) > PAIR_S:
            return {}
        times = [seconds(stamp_ns - plan.stamp_ns) + AHEAD_S for plan in (placed, other)]
        if times[1] > other.times_s[-1]:
            return {}
        gap = compose(inverse(other.pose_at(times[1])), placed.pose_at(times[0]))
        speed = placed.speed_at(times[0]) - other.speed_at(times[1])
        return {SLOW_LATERAL: Reading(abs(float(gap[1]))), SLOW_SPEED: Reading(abs(speed))}
