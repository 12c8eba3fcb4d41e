"""A plan against the plans before it: no jump here and now, and no change of mind that is taken back at once.

One plan may differ from the one before as much as the world asks for: braking for what has just appeared must pass.
What no world asks for is a large change that the next plans take back: swerving left and right, stop and go in turns.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass

import numpy as np

from onboard_vla.core.clock import seconds
from onboard_vla.core.geometry import compose, inverse
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import ConsistencyLimits
from onboard_vla.safety.placed_plan import Array, PlacedPlan

AHEAD_S = 2.0
"""Changes are looked at this far from now (3.2 item 5: up to 2 s)."""
ACCELERATING_MPS2, BRAKING_MPS2 = 3.0, 6.0
"""What a vehicle may have done since the earlier plan (2.6: the kinematic limits)."""
SAMPLES = 5
"""Instants from now to `AHEAD_S`."""


@dataclass(frozen=True, eq=False)
class Change:
    """A plan seen from the plan before it, at the same instants from now to `AHEAD_S` ahead.

    `along_m`, `across_m` (SAMPLES,): ahead and to the left of where the earlier plan is then. `since_s`: from the
    earlier plan's stamp to now.
    """

    along_m: Array
    across_m: Array
    since_s: float


def change_between(placed: PlacedPlan, before: PlacedPlan, stamp_ns: int) -> Change | None:
    """How `placed` differs from `before`; None where the earlier plan does not reach as far."""
    times = np.linspace(0.0, AHEAD_S, SAMPLES)
    earlier = times + seconds(stamp_ns - before.stamp_ns)
    if earlier[-1] > before.times_s[-1]:
        return None
    gap = compose(inverse(before.pose_at(earlier)), placed.pose_at(times + seconds(stamp_ns - placed.stamp_ns)))
    return Change(gap[:, 0], gap[:, 1], float(earlier[0]))


class PlanHistory:
    """The last plan that no other guard refused, and how plans changed before it."""

    def __init__(self, limits: ConsistencyLimits) -> None:
        self._limits = limits
        self._before: PlacedPlan | None = None
        self._swings: deque[tuple[float, float]] = deque(maxlen=limits.swing_plans - 1)

    def change(self, placed: PlacedPlan, stamp_ns: int) -> Change | None:
        """Against the plan remembered; None for the first, or where it is too old to compare with."""
        return None if self._before is None else change_between(placed, self._before, stamp_ns)

    def check(self, change: Change | None) -> list[Reason]:
        """Jumps at the present instant, and large changes that take back one of the last plans' own.

        What braking or accelerating since the earlier plan's stamp explains is no jump.
        """
        if change is None:
            return []
        limits = self._limits
        along, across = float(change.along_m[0]), float(change.across_m[0])
        later_along, later_across = float(change.along_m[-1]), float(change.across_m[-1])
        forward = limits.shift_forward_m + ACCELERATING_MPS2 / 2 * change.since_s**2
        back = limits.shift_back_m + BRAKING_MPS2 / 2 * change.since_s**2
        found = []
        for code, value, limit in (
            ("SHIFT_LATERAL", abs(across), limits.shift_lateral_m),
            ("SHIFT_FORWARD", along, forward),
            ("SHIFT_BACK", -along, back),
        ):
            if not value <= limit:
                found.append(Reason(code, value, limit, "against the plan before it, here and now, m"))
        for code, value, limit, column in (
            ("SWING_LATERAL", later_across, limits.swing_lateral_m, 1),
            ("SWING_LONGITUDINAL", later_along, limits.swing_longitudinal_m, 0),
        ):
            taken_back = any(swing[column] * value < 0.0 and abs(swing[column]) > limit for swing in self._swings)
            if abs(value) > limit and taken_back:
                found.append(Reason(code, abs(value), limit, "takes back a change of the last plans, at 2 s, m"))
        return found

    def remember(self, placed: PlacedPlan, change: Change | None) -> None:
        """Take over a plan that no other guard refused, be it that it swings."""
        if change is None:
            self._swings.clear()
        else:
            self._swings.append((float(change.along_m[-1]), float(change.across_m[-1])))
        self._before = placed
