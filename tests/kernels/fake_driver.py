"""What the fake driver still holds, and what it ran."""

from __future__ import annotations

import ctypes

FIELDS = ("memory", "streams", "modules", "contexts", "launches", "graphs", "events")


def counts(driver: str) -> dict[str, int]:
    found = (ctypes.c_int32 * len(FIELDS))()
    ctypes.CDLL(driver).fake_counts(found)
    return dict(zip(FIELDS, found, strict=True))
