"""Faults as data: what breaks, when, for how long, and how fast the system has to react."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from onboard_vla.core.cameras import FRONT
from onboard_vla.core.process_graph import PLANNER

MILLISECOND_NS = 1_000_000
SECOND_NS = 1_000 * MILLISECOND_NS

BLACK_CAMERA, KILL_PROCESS = "black_camera", "kill_process"
PLANNER_PROCESS = PLANNER

BLACK_REACTION_LIMIT_NS = 200 * MILLISECOND_NS
"""First black frame's stamp to first published mode L2 or above: two camera periods of 100 ms (demo's acceptance)."""
KILL_REACTION_LIMIT_NS = 250 * MILLISECOND_NS
"""SIGKILL to first published mode L2 or above: heartbeat period of 50 ms, time-out, one tick (demo's acceptance)."""

DEMO_BLACK_START_NS = 15 * SECOND_NS
DEMO_BLACK_DURATION_NS = 3 * SECOND_NS
DEMO_KILL_START_NS = 40 * SECOND_NS
VIRTUAL_RESTART_NS = 2 * SECOND_NS
"""Lock-step only: declared time from the kill to the new process's first instruction that counts (interpreter, imports,
bundle check and engine loading). In real time the launcher restarts at once and the loading time is the real one."""


@dataclass(frozen=True)
class Fault:
    """One fault of a run. Times in ns after engagement.

    `target`: a camera for BLACK_CAMERA, a process for KILL_PROCESS. `duration_ns`: how long the pictures stay black;
    for a kill in virtual time, how long the process stays away. `reaction_limit_ns`: from the first effect to the
    first published mode L2 or more restrictive.
    """

    kind: str
    target: str
    start_ns: int
    duration_ns: int
    reaction_limit_ns: int

    @property
    def end_ns(self) -> int:
        """When the cause is gone; recovery takes longer."""
        return self.start_ns + self.duration_ns

    @property
    def title(self) -> str:
        """The fault in words."""
        if self.kind == BLACK_CAMERA:
            return f"{self.target} camera black for {self.duration_ns / SECOND_NS:g} s"
        return f"{self.target} killed (SIGKILL)"


def demo_faults(run_ns: int) -> tuple[Fault, ...]:
    """The demo's two faults, those of them that begin within a run of this length."""
    faults = (
        Fault(BLACK_CAMERA, FRONT, DEMO_BLACK_START_NS, DEMO_BLACK_DURATION_NS, BLACK_REACTION_LIMIT_NS),
        Fault(KILL_PROCESS, PLANNER_PROCESS, DEMO_KILL_START_NS, VIRTUAL_RESTART_NS, KILL_REACTION_LIMIT_NS),
    )
    return tuple(fault for fault in faults if fault.start_ns < run_ns)


def black_cameras(faults: Sequence[Fault], time_ns: int) -> frozenset[str]:
    """Cameras whose pictures are black at this time after engagement."""
    return frozenset(f.target for f in faults if f.kind == BLACK_CAMERA and f.start_ns <= time_ns < f.end_ns)
