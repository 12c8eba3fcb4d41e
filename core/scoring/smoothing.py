"""Savitzky-Golay filter: a polynomial fitted to each window by least squares, or its derivative (Anal. Chem. 1964)."""

from __future__ import annotations

import math
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import GeometryError

Array = NDArray[np.float64]


def savitzky_golay(values: Array, window: int, order: int, derivative: int = 0, step: float = 1.0) -> Array:
    """(T,) filtered values or derivatives; near the ends, the first and the last window's polynomial goes on.

    A window of even length is evaluated at its middle, half a step from the sample, as in SciPy.

    Raises:
        GeometryError: the window is longer than the values, or too short for the polynomial.
    """
    count = len(values)
    if not order < window <= count:
        raise GeometryError(f"filter: expected order {order} < window <= {count} values, found a window of {window}")
    half = window // 2
    scale = 1.0 / step**derivative
    windows = np.lib.stride_tricks.sliding_window_view(np.asarray(values, np.float64), window)
    result = np.empty(count)
    middle = windows @ _weights(window, order, derivative, (window - 1) / 2)
    first = half if window % 2 else half - 1
    result[first : first + len(middle)] = middle
    for k in range(half):
        result[k] = windows[0] @ _weights(window, order, derivative, float(k))
        result[count - 1 - k] = windows[-1] @ _weights(window, order, derivative, float(window - 1 - k))
    return np.asarray(result * scale, np.float64)


@lru_cache(maxsize=512)
def _weights(window: int, order: int, derivative: int, at: float) -> Array:
    """Weights (window,) that give the fitted polynomial's derivative at position `at` of the window."""
    powers = np.vander(np.arange(window) - at, order + 1, increasing=True)
    if derivative > order:
        return np.zeros(window)
    return np.asarray(math.factorial(derivative) * np.linalg.pinv(powers)[derivative], np.float64)
