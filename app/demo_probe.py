"""Two gauges beside a real-time run: how late a 20 ms timer fires on this machine, and what each process costs."""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path

from onboard_vla.app.faults import MILLISECOND_NS

PROBE_PERIOD_NS = 20 * MILLISECOND_NS
"""The supervisor's own period: what delays this timer delays a tick."""
TICKS_PER_S = os.sysconf("SC_CLK_TCK")
"""Unit of the kernel's processor times."""


class LatenessProbe:
    """A thread that wants to wake every 20 ms and notes how late it was.

    It shares this process's interpreter lock with world and renderer, so it also sees the pauses that they cause, and
    it is scheduled like the supervisor: what delays it delays the loop whose reaction is measured.
    """

    def __init__(self) -> None:
        self._samples: list[tuple[int, float]] = []
        self._ending = threading.Event()
        self._thread = threading.Thread(target=self._run, name="lateness-probe", daemon=True)

    def start(self) -> None:
        """Begin."""
        self._thread.start()

    def stop(self) -> None:
        """End; safe to call twice."""
        self._ending.set()
        if self._thread.is_alive():
            self._thread.join()

    def since(self, monotonic_ns: int) -> list[tuple[int, float]]:
        """(time due after `monotonic_ns` in ns, lateness in ms) of every firing from then on."""
        return [(due - monotonic_ns, late) for due, late in list(self._samples) if due >= monotonic_ns]

    def _run(self) -> None:
        due_ns = time.monotonic_ns()
        while not self._ending.is_set():
            due_ns += PROBE_PERIOD_NS
            wait_ns = due_ns - time.monotonic_ns()
            if wait_ns > 0:
                time.sleep(wait_ns / 1e9)
            self._samples.append((due_ns, (time.monotonic_ns() - due_ns) / MILLISECOND_NS))


class CpuGauge:
    """Mean processor share of named processes; a process that was replaced counts under the same name."""

    def __init__(self, processes: Mapping[str, int]) -> None:
        self._names = dict(processes)
        self._spent_s = {name: 0.0 for name in processes}
        self._last = {name: _spent(pid) for name, pid in processes.items()}
        self._begin_ns = time.monotonic_ns()

    def sample(self, processes: Mapping[str, int]) -> None:
        """Look again; call now and then, and before a process is killed."""
        for name, pid in processes.items():
            spent = _spent(pid)
            if self._names.get(name) == pid:
                self._spent_s[name] = self._spent_s.get(name, 0.0) + max(spent - self._last.get(name, spent), 0.0)
            else:
                self._spent_s[name] = self._spent_s.get(name, 0.0) + spent
            self._names[name], self._last[name] = pid, spent

    def percent(self) -> dict[str, float]:
        """Share of one core since the start, percent, by name."""
        elapsed_s = max((time.monotonic_ns() - self._begin_ns) / 1e9, 1e-9)
        return {name: 100.0 * spent / elapsed_s for name, spent in self._spent_s.items()}


def _spent(pid: int) -> float:
    """User and system time of a process and its threads so far, s; 0 when it is gone (proc(5), fields 14 and 15)."""
    try:
        text = Path(f"/proc/{pid}/stat").read_text(encoding="ascii", errors="replace")
    except OSError:
        return 0.0
    after_name = text[text.rindex(")") + 2 :].split()
    return (int(after_name[11]) + int(after_name[12])) / TICKS_PER_S
