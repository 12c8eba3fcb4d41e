"""Whether all of many numbers are finite."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray


def all_finite(values: NDArray[np.float32]) -> bool:
    """Whether no value is NaN or infinite, of any shape.

    A sum tells it in one go where it is finite, for NaN and infinities stay in it; only where it is not, each is asked.
    """
    with np.errstate(invalid="ignore", over="ignore"):
        total = float(values.sum())
    return math.isfinite(total) or bool(np.isfinite(values).all())
