"""Real-time scheduling for the small processes that must not wait for the large ones."""

from __future__ import annotations

import ctypes
import os
from pathlib import Path

from onboard_vla.core.process import Option
from onboard_vla.core.refusals import log_event

MCL_CURRENT, MCL_FUTURE = 1, 2
"""mlockall(2) flags: no page of this process, present or future, is ever paged out."""
DEFAULT_PRIORITY = 10
"""Above every ordinary process, below the kernel's interrupt threads (50)."""
REMEDY = "allow rtprio in limits.conf, or CAP_SYS_NICE"
REALTIME_OPTION = Option(
    "realtime_priority", int, DEFAULT_PRIORITY, "SCHED_FIFO priority where permitted, 0 for ordinary scheduling", 0, 99
)


def request_realtime_thread(process: str, priority: int) -> bool:
    """Put the calling thread alone under SCHED_FIFO; threads and processes that it starts are ordinary ones.

    Returns:
        Whether that was granted; if not, the thread stays as it is, with one log line.
    """
    if priority == 0:
        return False
    try:
        os.sched_setscheduler(0, os.SCHED_FIFO | os.SCHED_RESET_ON_FORK, os.sched_param(priority))
    except PermissionError as error:
        log_event(process, "no_realtime", error=str(error), remedy=REMEDY)
        return False
    log_event(process, "realtime", priority=priority, thread="main")
    return True


def request_realtime(process: str, priority: int) -> bool:
    """Put all threads of this process under SCHED_FIFO and lock its memory; new threads inherit both.

    A system that does not permit it (no CAP_SYS_NICE, no rtprio limit) leaves the process as it is, with one log line.

    Returns:
        Whether the scheduling was granted.
    """
    if priority == 0:
        return False
    try:
        for thread in Path("/proc/self/task").iterdir():
            os.sched_setscheduler(int(thread.name), os.SCHED_FIFO, os.sched_param(priority))
    except (PermissionError, ProcessLookupError) as error:
        log_event(process, "no_realtime", error=str(error), remedy=REMEDY)
        return False
    libc = ctypes.CDLL(None, use_errno=True)
    locked = libc.mlockall(MCL_CURRENT | MCL_FUTURE) == 0
    log_event(process, "realtime", priority=priority, memory_locked=locked)
    return True
