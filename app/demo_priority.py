"""The world stands in for a vehicle that would not share this machine: while it drives, its threads go first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

VEHICLE_PRIORITY = 5
"""SCHED_FIFO priority: above ordinary processes, below supervisor and camera guard (10)."""
THREADS = Path("/proc/self/task")


@contextmanager
def vehicle_priority() -> Iterator[bool]:
    """Put all present threads of this process under SCHED_FIFO for as long as the context lasts.

    Yields whether this was permitted (root, CAP_SYS_NICE or an rtprio limit); if not, everything stays as it is.
    Processes started meanwhile are ordinary ones.
    """
    granted = _schedule(os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, VEHICLE_PRIORITY)
    try:
        yield granted
    finally:
        if granted:
            _schedule(os.SCHED_OTHER, 0)


def _schedule(policy: int, priority: int) -> bool:
    try:
        for thread in THREADS.iterdir():
            try:
                os.sched_setscheduler(int(thread.name), policy, os.sched_param(priority))
            except ProcessLookupError:
                continue
    except PermissionError:
        return False
    return True
