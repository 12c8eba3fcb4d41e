"""The whole chain in one process and virtual time: the same bodies as the processes have, stepped by a virtual clock.

What a step of 20 ms does, in order: bodies advance to the step's time (planner delivers what is due and may start its
next plan, heartbeats go out, the supervisor ticks once), then the vehicle's end polls, senses, and drives. A message is
delivered at the time at which it is published. Inference takes real time, but what counts is a *declared* virtual time:
a run depends on its seed alone.
"""

from __future__ import annotations

import dataclasses
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Protocol

from onboard_vla.app.closed_loop import STEP_NS, ClosedLoop, Scene, TimeBase, fill_in_expert
from onboard_vla.app.closed_loop_record import RunRecord, RunSettings
from onboard_vla.app.closed_loop_recorder import RunRecorder
from onboard_vla.app.closed_loop_warmup import warm_up
from onboard_vla.app.faults import MILLISECOND_NS, PLANNER_PROCESS, SECOND_NS, Fault
from onboard_vla.core.cameras import CameraFrame, CameraModel, CompressedFrame
from onboard_vla.core.clock import Now
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.process_graph import CAMERA_GUARD, PlannerInput
from onboard_vla.core.road import Route
from onboard_vla.core.safe_trajectory import SafeTrajectory
from onboard_vla.core.supervision import Supervision
from onboard_vla.core.vehicle_link import VehicleLink
from onboard_vla.core.wire import Message
from onboard_vla.runtime.jpeg import decode_frame
from onboard_vla.runtime.planner_host import AnswersTwice
from onboard_vla.safety.camera_guard import CameraGuard
from onboard_vla.safety.indicator_record import PERIOD_S
from onboard_vla.safety.inputs import InputMessage
from onboard_vla.safety.supervisor import Supervisor

PLAN_PERIOD_NS = 200 * MILLISECOND_NS
"""Plans at 5 Hz: the rate at which the planner process aims."""
DEFAULT_PLAN_LATENCY_NS = 100 * MILLISECOND_NS
"""Declared virtual time from a plan's start to its delivery; near what the INT8 bundle takes on one desktop core."""
DECLARED_PASS_S = 0.002
"""Declared virtual time of one pass of a second answer; several times what the INT8 bundle takes on a desktop core."""
HEARTBEAT_STEPS = 3
"""Steps between heartbeats: 60 ms, the multiple of a step next to the processes' 50 ms."""

INDICATOR_STEPS = round(PERIOD_S * SECOND_NS) // STEP_NS
"""Steps between two samples of the safety indicators, at the supervisor process's rate."""


class PlannerBodyLike(Protocol):
    """What lock-step needs of a planner's body (runtime.planner_body.PlannerBody)."""

    def receive(self, message: PlannerInput, now: Now) -> None:
        """Keep the newest of each kind."""

    def plan_once(self, now: Now) -> Plan | PlanRejection | None:
        """Plan on the newest complete frame set, if there is a new one."""

    def heartbeat(self, now: Now) -> Heartbeat:
        """Say how far the work has come."""


class SupervisorLike(Protocol):
    """What lock-step needs of a supervisor (safety.supervisor.Supervisor)."""

    def receive(self, message: InputMessage, now: Now) -> None:
        """Take one message."""

    def tick(self, now: Now) -> SafeTrajectory:
        """Publish for this instant."""


BodyFactory = Callable[[Scene], PlannerBodyLike]
"""Makes a planner as a fresh process would have it: no buffers, no caches."""


@dataclass
class _Running:
    """The planner 'process' while it lives; `process_id` tells one life from the next."""

    body: PlannerBodyLike
    process_id: int
    next_start_ns: int
    result: Plan | PlanRejection | None = None
    result_due_ns: int = 0
    second: Plan | None = None
    second_due_ns: int = 0


class LockstepProcesses:
    """Planner, camera guard and supervisor behind a VehicleLink, in this process and in virtual time."""

    def __init__(self, planner: Callable[[], PlannerBodyLike], supervisor: SupervisorLike, guard: CameraGuard) -> None:
        self._indicators = supervisor.indicators if isinstance(supervisor, Supervisor) else None
        self._make_planner, self._supervisor, self._guard = planner, supervisor, guard
        self._latency_ns = DEFAULT_PLAN_LATENCY_NS
        self._lives = 1
        self._planner: _Running | None = _Running(planner(), self._lives, 0)
        self._now = Now(0, 0)
        self._outbox: list[tuple[Message, Now]] = []
        self._steps = 0
        self._speed_mps = 0.0
        self._guard_work = 0

    @property
    def now(self) -> Now:
        """The step that every process has reached."""
        return self._now

    def set_latency(self, latency_ns: int) -> None:
        """Declare how long a plan takes in virtual time.

        Raises:
            ConfigurationError: negative, or longer than a second.
        """
        if not 0 <= latency_ns <= SECOND_NS:
            raise ConfigurationError(f"plan latency {latency_ns / MILLISECOND_NS:g} ms: expected 0 to 1000 ms")
        self._latency_ns = latency_ns

    def advance(self, now: Now) -> None:
        """Let every process do what it does up to `now`."""
        self._now = now
        self._run_planner(now)
        if self._steps % HEARTBEAT_STEPS == 0:
            self._beat(now)
        trajectory = self._supervisor.tick(now)
        self._outbox.append((trajectory, now))
        if self._indicators is not None and self._steps % INDICATOR_STEPS == 0:
            found = self._indicators(now)
            time_to_brake_s = math.nan if found is None else found.time_to_brake_s
            told = Supervision(now.stamp_ns, trajectory.mode, time_to_brake_s, trajectory.config_hash)
            if self._planner is not None:
                self._planner.body.receive(told, now)
            self._outbox.append((told, now))
            if found is not None:
                self._outbox.append((found, now))
        self._steps += 1

    def publish(self, message: Message) -> None:
        """Deliver one message of the vehicle at once to everyone who subscribes to its kind."""
        if isinstance(message, (CameraFrame, CompressedFrame, CameraModel)) and self._planner is not None:
            self._planner.body.receive(message, self._now)
        if isinstance(message, CameraModel):
            return
        if isinstance(message, (CameraFrame, CompressedFrame)):
            frame = decode_frame(message) if isinstance(message, CompressedFrame) else message
            verdict = self._guard.check(frame, self._speed_mps, self._now)
            self._guard_work += 1
            self._supervisor.receive(verdict, self._now)
            self._outbox.append((verdict, self._now))
            return
        if isinstance(message, EgoState):
            self._speed_mps = message.speed_mps
        if isinstance(message, (EgoState, Route)) and self._planner is not None:
            self._planner.body.receive(message, self._now)
        self._supervisor.receive(message, self._now)  # type: ignore[arg-type]

    def poll(self) -> list[tuple[Message, Now]]:
        """What the processes have said since the last call."""
        messages, self._outbox = self._outbox, []
        return messages

    def wait_ready(self, timeout_s: float, processes: tuple[str, ...]) -> None:
        """Everything is in this process."""

    def close(self) -> None:
        """Nothing to release."""

    def kill(self, process: str, now: Now) -> Now:
        """The planner is gone with its buffers, its caches and the plan it was working on."""
        if process != PLANNER_PROCESS:
            raise ConfigurationError(f"cannot kill {process!r} in lock-step: only {PLANNER_PROCESS}")
        self._planner = None
        return now

    def restart_due(self, fault: Fault, now: Now) -> None:
        """The launcher has brought the planner back, empty."""
        self._lives += 1
        self._planner = _Running(self._make_planner(), self._lives, now.monotonic_ns)

    def _run_planner(self, now: Now) -> None:
        planner = self._planner
        if planner is None:
            return
        if planner.result is not None and now.monotonic_ns >= planner.result_due_ns:
            self._supervisor.receive(_in_virtual_time(planner.result, self._latency_ns), now)
            self._outbox.append((planner.result, now))
            planner.result = None
        if planner.second is not None and now.monotonic_ns >= planner.second_due_ns:
            took_ns = self._latency_ns + _thinking_ns(planner.second)
            self._supervisor.receive(_in_virtual_time(planner.second, took_ns), now)
            self._outbox.append((planner.second, now))
            planner.second = None
        if planner.result is None and now.monotonic_ns >= planner.next_start_ns:
            planner.result = planner.body.plan_once(now)
            if planner.result is not None:
                planner.result_due_ns = now.monotonic_ns + self._latency_ns
                planner.next_start_ns = now.monotonic_ns + PLAN_PERIOD_NS
                self._think_further(planner, planner.result, now)

    def _think_further(self, planner: _Running, first: Plan | PlanRejection, now: Now) -> None:
        """The slow answer in what the plan's latency leaves of its period, where the body wants one."""
        if not isinstance(first, Plan) or not isinstance(planner.body, AnswersTwice):
            return
        due_ns = planner.next_start_ns - self._latency_ns
        planner.second = planner.body.second_answer(first, due_ns, lambda: now, lambda: False)
        if planner.second is not None:
            planner.second_due_ns = planner.result_due_ns + _thinking_ns(planner.second)

    def _beat(self, now: Now) -> None:
        beats = [Heartbeat(CAMERA_GUARD, 0, self._steps, now.stamp_ns, self._guard_work, self._guard_work, True, "")]
        if self._planner is not None:
            beat = self._planner.body.heartbeat(now)
            beats.append(dataclasses.replace(beat, process_id=self._planner.process_id))
        for beat in beats:
            self._supervisor.receive(beat, now)
            self._outbox.append((beat, now))


def _thinking_ns(second: Plan) -> int:
    """Virtual time that a second answer takes behind the first."""
    return round((second.passes.prefill + second.passes.decode) * DECLARED_PASS_S * SECOND_NS)


def _in_virtual_time(result: Plan | PlanRejection, latency_ns: int) -> Plan | PlanRejection:
    """The supervisor sees the declared latency: wall time would make modes depend on the machine's load."""
    if isinstance(result, PlanRejection):
        return result
    return dataclasses.replace(result, stage_ms={"total": latency_ns / MILLISECOND_NS})


class VirtualClock:
    """Time that passes when it is waited for."""

    def __init__(self, processes: LockstepProcesses, stamp_ns: int = 0) -> None:
        """`stamp_ns`: the data clock at the world's time zero."""
        self.base = TimeBase(0, stamp_ns)
        self._processes = processes

    def wait(self, world_ns: int) -> Now:
        """Advance every process to this time."""
        now = self.base.now(world_ns)
        self._processes.advance(now)
        return now


def run_lockstep(
    settings: RunSettings,
    planner: BodyFactory,
    supervisor: SupervisorLike,
    guard: CameraGuard,
    scene: Scene | None = None,
    progress: Callable[[float], None] | None = None,
    tap: Callable[[LockstepProcesses], VehicleLink] | None = None,
    stamp_ns: int = 0,
    recorder: Callable[[RunRecord], RunRecorder] = RunRecorder,
) -> RunRecord:
    """Drive one run in virtual time.

    Args:
        settings: seed, profile, sensors, length, faults and the plan's declared latency.
        planner: makes the planner's body for this run's scene; called again after a kill.
        supervisor: a fresh one.
        guard: a fresh one.
        scene: a scene built beforehand with these settings.
        progress: told the share done, 0 to 1, every simulated second.
        tap: puts a link of its own before the processes (a recorder's).
        stamp_ns: the data clock at the world's time zero.
        recorder: makes what fills the record; one that keeps more than the record, if wanted.

    Raises:
        EnvironmentLacksError: the planner never became ready.
    """
    built = scene or Scene.build(settings.seed, settings.profile, settings.sensor)
    record = RunRecord(settings)
    processes = LockstepProcesses(lambda: planner(built), supervisor, guard)
    processes.set_latency(settings.plan_latency_ns)
    link = tap(processes) if tap else processes
    loop = ClosedLoop(built, link, VirtualClock(processes, stamp_ns), processes, record, recorder(record))
    warm_up(loop, settings.warmup_ns)
    loop.engage()
    steps = settings.run_ns // STEP_NS
    for index in range(steps + 1):
        loop.step()
        if progress is not None and index % (SECOND_NS // STEP_NS) == 0:
            progress(index / steps)
    record.route_points = built.world.route.points
    fill_in_expert(record, loop)
    return record
