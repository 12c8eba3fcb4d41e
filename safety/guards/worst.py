"""Turning rows of measured values into reasons."""

from __future__ import annotations

from collections.abc import Iterable

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.verdict import Reason


def exceeds(code: str, values: NDArray[np.floating], limit: float, times_s: NDArray[np.floating]) -> Reason | None:
    """A reason where any of `values` (N,) is not <= `limit` (NaN is not); it names the worst instant of `times_s`."""
    bad = ~(values <= limit)
    if not bad.any():
        return None
    unknown = np.isnan(values)
    index = int(np.argmax(unknown)) if unknown.any() else int(np.argmax(values))
    return Reason(code, float(values[index]), limit, f"at {float(times_s[index]):.1f} s of the plan")


def worst_first(reasons: Iterable[Reason | None]) -> list[Reason]:
    """The reasons that exist, the largest excess over its limit first."""
    found = [reason for reason in reasons if reason is not None]
    return sorted(found, key=lambda reason: -(reason.measured / reason.limit if reason.limit else np.inf))
