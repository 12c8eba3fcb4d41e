"""How glibc's malloc deals with freed memory in this process (mallopt(3))."""

from __future__ import annotations

import ctypes
from collections.abc import Mapping

M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD, M_MMAP_MAX = -1, -2, -3, -4
"""Parameters, as malloc.h numbers them."""


def set_malloc(values: Mapping[int, int]) -> None:
    """Set parameters for all that is allocated from now on.

    They change speed alone: with another C library, and with a value that this glibc does not take, all stays as it is.
    """
    mallopt = getattr(ctypes.CDLL(None), "mallopt", None)
    if mallopt is not None:
        for parameter, value in values.items():
            mallopt(parameter, value)
