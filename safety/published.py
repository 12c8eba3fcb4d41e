"""The last look at what leaves the supervisor."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.geometry import unwrap
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.ego_history import Motion

Array = NDArray[np.float64]

REASONS_MAX = 24
"""Reasons in one message; the first ones are kept."""
CONTINUOUS_S = 0.2
"""A trajectory older than this is no longer what the vehicle follows."""
NOT_FINITE = 1e9
"""Published in place of an infinite figure, with its sign; NaN becomes its negative."""


def finite_reasons(reasons: list[Reason]) -> tuple[Reason, ...]:
    """The same reasons with finite numbers: a report must be readable by every consumer."""
    return tuple(
        Reason(reason.code, _finite(reason.measured), _finite(reason.limit), reason.detail)
        for reason in reasons[:REASONS_MAX]
    )


def output_fault(points: Array, count: int) -> str | None:
    """What is wrong with a trajectory that is about to be published, or None."""
    if points.shape != (count, 6):
        return f"shape {points.shape}, expected {(count, 6)}"
    if not np.isfinite(points).all():
        return "values that are not finite"
    if (np.diff(points[:, 0]) <= 0).any() or points[0, 0] != 0.0:
        return "times that do not rise from 0"
    if (points[:, 4] < 0).any():
        return "negative speeds"
    return None


def motion_on(points: Array, elapsed_s: float) -> Motion:
    """Where a vehicle that follows `points` (T, 6) is `elapsed_s` after their first."""
    columns = [np.interp(elapsed_s, points[:, 0], points[:, column]) for column in (1, 2, 4, 5)]
    headings = unwrap(points[:, 3])
    heading = float(np.interp(elapsed_s, points[:, 0], headings))
    ahead = float(np.interp(elapsed_s + 0.1, points[:, 0], headings))
    x, y, speed, acceleration = map(float, columns)
    return Motion(x, y, math.remainder(heading, 2 * math.pi), speed, acceleration, (ahead - heading) / 0.1)


def demand_on(points: Array, elapsed_s: float) -> float | None:
    """The acceleration that `points` (T, 6) ask for `elapsed_s` after their first; None where they do no longer."""
    if not len(points) or elapsed_s > CONTINUOUS_S:
        return None
    return float(np.interp(elapsed_s, points[:, 0], points[:, 5]))


def _finite(value: float) -> float:
    if math.isnan(value):
        return -NOT_FINITE
    return min(max(value, -NOT_FINITE), NOT_FINITE)
