"""A closed-loop run in real time against real processes."""

from __future__ import annotations

import gc
import os
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from onboard_vla.app.closed_loop import STEP_NS, ClosedLoop, Scene, TimeBase, fill_in_expert
from onboard_vla.app.closed_loop_record import RunRecord, RunSettings
from onboard_vla.app.closed_loop_recorder import RunRecorder
from onboard_vla.app.closed_loop_warmup import TooBusyError, keep_pace, warm_up
from onboard_vla.app.demo_priority import vehicle_priority
from onboard_vla.app.demo_probe import CpuGauge, LatenessProbe
from onboard_vla.app.demo_transport import RunningProcesses
from onboard_vla.app.faults import SECOND_NS, Fault
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.process_graph import VEHICLE

VIEW_STEPS = 25
"""Steps between two updates of the live view: twice a second."""
CHECK_STEPS = 50
"""Steps between two looks at the processes and their processor time."""


class RunView(Protocol):
    """Shows a run while it goes on."""

    def update(self, loop: ClosedLoop, record: RunRecord) -> None:
        """Draw the present state; takes a few milliseconds at most."""


class RealClock:
    """Steps are due on the monotonic clock, counted from the start: a late step does not shift the next."""

    def __init__(self) -> None:
        now = system_now()
        self.base = TimeBase(now.monotonic_ns, now.stamp_ns)

    def wait(self, world_ns: int) -> Now:
        """Sleep until the step is due; return at once when it is late already."""
        remaining_ns = self.base.monotonic_ns + world_ns - time.monotonic_ns()
        if remaining_ns > 0:
            time.sleep(remaining_ns / SECOND_NS)
        return system_now()


@dataclass(frozen=True)
class LauncherControl:
    """The fault injector's hand on the processes; the launcher restarts a killed one by itself."""

    running: RunningProcesses

    def kill(self, process: str, now: Now) -> Now:
        """SIGKILL."""
        return self.running.processes.kill(process)

    def restart_due(self, fault: Fault, now: Now) -> None:
        """The launcher has done it."""


def run_realtime(
    settings: RunSettings,
    scene: Scene,
    running: RunningProcesses,
    view: RunView | None = None,
    say: Callable[[str], None] = lambda words: None,
) -> RunRecord:
    """Drive one run in real time; Ctrl-C ends it early and keeps what was recorded.

    Raises:
        EnvironmentLacksError: a process ended for good before engagement, or the planner never became ready.
        TooBusyError: the world fell behind real time before engagement.
    """
    record = RunRecord(settings, route_points=scene.world.route.points)
    probe, recorder = LatenessProbe(), RunRecorder(record)
    scene.rehearse()
    scene.renderer.render(scene.world)
    gc.collect()
    gc.freeze()
    probe.start()
    engaged_ns = 0
    loop: ClosedLoop | None = None
    try:
        with vehicle_priority() as granted:
            record.realtime_scheduling = granted
            say("the expert drives until the planner is warm")
            clock = RealClock()
            loop = ClosedLoop(scene, running.link, clock, LauncherControl(running), record, recorder)
            warm_up(loop, settings.warmup_ns)
            running.processes.check()
            loop.engage()
            engaged_ns = clock.base.monotonic_ns + loop.world_ns
            _drive(loop, record, running, view)
    except KeyboardInterrupt:
        record.stopped_early = f"interrupted at {run_seconds(loop):.1f} s"
    except EnvironmentLacksError as error:
        if loop is None or loop.run_ns is None:
            raise
        record.stopped_early, record.too_busy = str(error), isinstance(error, TooBusyError)
    finally:
        probe.stop()
        gc.unfreeze()
    record.probe = probe.since(engaged_ns) if engaged_ns else []
    if loop is not None:
        fill_in_expert(record, loop)
    return record


def run_seconds(loop: ClosedLoop | None) -> float:
    """Time since engagement; 0 before it."""
    return 0.0 if loop is None else (loop.run_ns or 0) / SECOND_NS


def _drive(loop: ClosedLoop, record: RunRecord, running: RunningProcesses, view: RunView | None) -> None:
    own = {f"{VEHICLE} (world, cameras, this program)": os.getpid()}
    gauge = CpuGauge({**own, **running.pids()})
    try:
        for step in range(record.settings.run_ns // STEP_NS + 1):
            loop.step()
            keep_pace(loop)
            if step % CHECK_STEPS == 0:
                running.processes.check()
                gauge.sample({**own, **running.pids()})
            if view is not None and step % VIEW_STEPS == 0:
                view.update(loop, record)
    finally:
        gauge.sample({**own, **running.pids()})
        record.cpu_percent = gauge.percent()
