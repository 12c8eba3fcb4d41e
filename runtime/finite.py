"""Whether all of many numbers are finite."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray


def all_finite(values: NDArray[np.floating[Any]]) -> bool:
    """Whether no value is NaN or infinite, of any shape.

    The least and the greatest tell it in place of all: NaN is both of any array that has one.
    """
    return math.isfinite(values.min(initial=0.0)) and math.isfinite(values.max(initial=0.0))
