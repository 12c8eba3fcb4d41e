"""Ways in which a vehicle interface may stamp what it says of the driver, by milliseconds of monotonic time."""

from __future__ import annotations

from collections.abc import Callable

from onboard_vla.core.clock import Now

MS = 1_000_000
Stamp = Callable[[int], int]


def at(ms: int) -> Now:
    return Now(10**12 + ms * MS, 10**18 + ms * MS)


def advancing(ms: int) -> int:
    return at(ms).stamp_ns


def standing(_ms: int) -> int:
    """Of the last change, said again and again."""
    return at(0).stamp_ns


def unset(_ms: int) -> int:
    """A stamp that was never filled in."""
    return 0


def backwards(ms: int) -> int:
    return at(-ms).stamp_ns


def ahead(ms: int) -> int:
    """Of a clock that is an hour ahead."""
    return at(ms).stamp_ns + 3600 * 10**9


STAMPS = (advancing, standing, unset, backwards, ahead)
