"""Faults put into a running graph's planner: how long until the fallback drives, and whether output goes on."""

from __future__ import annotations

import os
import signal
from dataclasses import dataclass

import numpy as np

from onboard_vla.app.straight_road.graph import Graph
from onboard_vla.app.straight_road.road import NotSeenError
from onboard_vla.core.clock import Now, seconds, system_now
from onboard_vla.core.process_graph import PLANNER
from onboard_vla.core.safe_trajectory import Mode, SafeTrajectory

FALLBACK_LIMIT_S, GAP_LIMIT_S = 0.35, 0.12
"""Limits on a machine that is on time."""
FAULTS = {
    "killed": signal.SIGKILL,
    "segmentation fault": signal.SIGSEGV,
    "stopped": signal.SIGSTOP,
    "interpreter's lock held": signal.SIGUSR1,
    "exception in the worker": signal.SIGUSR2,
    "stamps frozen": signal.SIGRTMIN,
}
"""What the stand-in planner does on each signal, or what the signal itself does to any process."""


@dataclass(frozen=True)
class Reaction:
    """Seconds, and the codes of the reasons that the first trajectory of the fallback names."""

    fallback_s: float
    gap_s: float
    codes: tuple[str, ...]


def break_planner(graph: Graph, fault: signal.Signals) -> Reaction:
    """Half a second of driving, the fault, and what follows.

    Measured at the vehicle's end, from just before the signal to the arrival of the first trajectory in FALLBACK or
    beyond; the gap is the longest time between two trajectories from before the signal until a second after it.

    Raises:
        NotSeenError: no fallback came, or no planner runs.
    """
    road = graph.road
    before, began = len(road.heard), system_now()
    road.drive(0.5)
    pid = graph.processes.pid(PLANNER)
    if pid is None:
        raise NotSeenError(f"{PLANNER} does not run")
    sent = system_now()
    os.kill(pid, fault)
    try:
        trajectory, seen = road.until_mode(lambda mode: mode >= Mode.FALLBACK, after=sent)
        road.drive(1.0)
    finally:
        if fault is signal.SIGSTOP:
            os.kill(pid, signal.SIGKILL)
    arrived = [now.monotonic_ns for m, now in road.heard[before:] if isinstance(m, SafeTrajectory)]
    assert isinstance(trajectory, SafeTrajectory)  # a mode was seen
    codes = tuple(reason.code for reason in trajectory.reasons)
    gaps = np.diff([began.monotonic_ns, *arrived, system_now().monotonic_ns])
    return Reaction(_between(sent, seen), float(gaps.max()) / 1e9, codes)


def _between(first: Now, second: Now) -> float:
    return seconds(second.monotonic_ns - first.monotonic_ns)
