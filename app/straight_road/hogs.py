"""Processes that take all the processor time they get."""

from __future__ import annotations

import contextlib
import os
import subprocess
import sys
from collections.abc import Iterator

HOGS = 6
END_S = 60
"""They end by themselves if nobody is left to end them."""


@contextlib.contextmanager
def hogs(count: int = HOGS) -> Iterator[None]:
    """Beside whatever is done within."""
    program = f"import time\nend = time.monotonic() + {END_S}\nwhile time.monotonic() < end: pass"
    # Our own interpreter and text.
    running = [subprocess.Popen([sys.executable, "-S", "-c", program]) for _ in range(count)]  # noqa: S603
    try:
        yield
    finally:
        for hog in running:
            hog.kill()
            hog.wait()


def may_schedule() -> bool:
    """Whether this process may use SCHED_FIFO, as the nodes then may, too."""
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(1))
        os.sched_setscheduler(0, os.SCHED_OTHER, os.sched_param(0))
    except PermissionError:
        return False
    return True
