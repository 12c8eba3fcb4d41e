"""Faults on real processes in real time: signals to planner and supervisor, over real sockets.

The verdict is taken at the vehicle's end of the link, where the reference gate listens too. A rig that was itself late
has measured the machine: a limit missed by no more than the rig was late, or while that was more than `STARVED_S`, is
inconclusive, and is counted as such.
"""

from __future__ import annotations

import dataclasses
import itertools
import os
import resource
import signal
import tempfile
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

from onboard_vla.app.campaign.outcome import FALSE_ALARM, HANDLED, HANG, LATE
from onboard_vla.app.campaign.real_result import RealResult
from onboard_vla.app.straight_road.graph import Graph
from onboard_vla.app.straight_road.lateness import STARVED_S, LatenessWatch
from onboard_vla.app.straight_road.road import NotSeenError
from onboard_vla.core.clock import Now, system_now
from onboard_vla.core.errors import EnvironmentLacksError
from onboard_vla.core.process_graph import PLANNER, PROCESSES, SUPERVISOR
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory
from onboard_vla.core.vehicle_gate import REACTION_NS, SILENCE_LIMIT_NS

ATTEMPTS = 3
"""Of an injection that a starved machine made worthless."""
WATCHED_S = 1.2
"""Driven on after the signal."""
RETURN_S = 8.0
"""A killed supervisor is started again and heard of within this time, imports included."""
GATE_MS = REACTION_NS / 1e6
"""Until the vehicle's gate brakes."""


@dataclass(frozen=True)
class RealCase:
    """One way of injecting a fault into a running process.

    `signals`: (ms after the first, signal). `mode`, `limit_ms`: first mode asked for; None: the gate must stop.
    `disk_full`: instead of signals, no process can write another byte to a file, while it is given cause to log; asked
    is then that no mode above `mode` is reached, no process ends, and `names` is published within the limit.
    """

    fault: str
    variant: str
    process: str
    signals: tuple[tuple[int, signal.Signals], ...]
    mode: Mode | None
    limit_ms: float
    disk_full: bool = False
    names: str = ""

    @property
    def key(self) -> str:
        """Name in results."""
        return f"real|{self.fault}/{self.variant}"


REAL_CASES: tuple[RealCase, ...] = (
    RealCase(
        "F13", "SIGSTOP to the planner", PLANNER, ((0, signal.SIGSTOP), (900, signal.SIGCONT)), Mode.FALLBACK, 250.0
    ),
    RealCase("F13", "interpreter's lock held in a C call", PLANNER, ((0, signal.SIGUSR1),), Mode.FALLBACK, 250.0),
    RealCase("F14", "SIGKILL to the planner", PLANNER, ((0, signal.SIGKILL),), Mode.FALLBACK, 250.0),
    RealCase("F22", "exception in a module", SUPERVISOR, ((0, signal.SIGUSR1),), Mode.EMERGENCY_STOP, 100.0),
    RealCase(
        "F23",
        "SIGSTOP to the supervisor for 400 ms",
        SUPERVISOR,
        ((0, signal.SIGSTOP), (400, signal.SIGCONT)),
        Mode.IN_LANE_STOP,
        500.0,
    ),
    RealCase("F23", "SIGKILL to the supervisor", SUPERVISOR, ((0, signal.SIGKILL),), None, GATE_MS),
    RealCase("F26", "no room for any log", SUPERVISOR, (), Mode.REDUCED, 100.0, disk_full=True, names="LOG_FAILED"),
)
"""Limits: a heartbeat's period, its time-out, two ticks and the way (F13, F14); two ticks and the way (F22); the stop
itself, two ticks and the way (F23); the way, two ticks and the way back (F26)."""
GARBAGE_EVERY_MS = 100
"""While the disk is full: what every process refuses, and says so in its log."""


@dataclass(frozen=True)
class RealJob:
    """One injection on fresh processes."""

    case: int
    transport: str
    number: int

    @property
    def key(self) -> str:
        """Name under which its result is kept."""
        return f"{REAL_CASES[self.case].key}|{self.transport}|{self.number}"


def real_jobs(each: int, transport: str, faults: Sequence[str] = ()) -> list[RealJob]:
    """So many injections of every case."""
    return [
        RealJob(case, transport, number)
        for number in range(each)
        for case, spec in enumerate(REAL_CASES)
        if (not faults or spec.fault in faults) and (transport == "zmq" or not spec.disk_full)
    ]


def run_real(job: RealJob) -> RealResult:
    """Inject until the machine was on time, at most `ATTEMPTS` times."""
    result = inject(job)
    for _ in range(ATTEMPTS - 1):
        if not result.inconclusive:
            break
        result = inject(job)
    return result


def inject(job: RealJob) -> RealResult:
    """Start processes, let the model drive, break one, and watch."""
    case = REAL_CASES[job.case]
    with tempfile.TemporaryDirectory(prefix="ovla-") as folder:
        watch = LatenessWatch(Path(folder))
        try:
            (Path(folder) / "graph").mkdir(mode=0o700)
            breakable = case.process == SUPERVISOR and case.signals[:1] == ((0, signal.SIGUSR1),)
            graph = Graph(job.transport, Path(folder) / "graph", breakable=breakable)
            try:
                graph.road.engage()
                return _break(case, job, graph, watch)
            finally:
                graph.close()
        except NotInjectedError as error:
            missed = _result(case, job, detail=str(error), lateness_ms=watch.since(0) * 1e3, outcome=LATE)
            return dataclasses.replace(missed, inconclusive=True)
        except (AssertionError, EnvironmentLacksError) as error:
            late_ms = watch.since(0) * 1e3
            return _result(case, job, detail=str(error)[:200], lateness_ms=late_ms, outcome=LATE)
        finally:
            watch.close()


class NotInjectedError(NotSeenError):
    """The model did not drive when the fault was due: nothing was injected, and no campaign passes on that."""


@dataclass
class _Seen:
    """What came out of the supervisor after the signal. Times in ms since it; watched until `end_ms`."""

    times_ms: list[float]
    modes: list[int]
    engagements: list[str]
    codes: list[tuple[str, ...]]
    stopped_ms: float | None = None
    end_ms: float = 0.0

    @property
    def longest_silence_ms(self) -> float:
        """Also before the first message, and after the last."""
        return max(b - a for a, b in itertools.pairwise([0.0, *self.times_ms, self.end_ms]))


def _break(case: RealCase, job: RealJob, graph: Graph, watch: LatenessWatch) -> RealResult:
    graph.road.lateness_s = 0.0
    begin = _settle(graph, (job.number * 7) % 10)
    before = next((m.mode for m, _ in reversed(graph.road.heard) if isinstance(m, SafeTrajectory)), Mode.STOPPED)
    if before > Mode.REDUCED:
        raise NotInjectedError(f"before the fault the mode was {before.name}: a reaction would show nothing")
    seen = _watch(graph, _fill_disk(graph) if case.disk_full else _signals(case, graph), case)
    lateness_ms = max(watch.since(begin.monotonic_ns), graph.road.lateness_s) * 1e3
    gap_ms = seen.longest_silence_ms
    handling = seen.stopped_ms
    if case.disk_full:
        handling = next((t for t, c in zip(seen.times_ms, seen.codes, strict=True) if case.names in c), None)
    elif case.mode is not None:
        handling = next((t for t, m in zip(seen.times_ms, seen.modes, strict=True) if m >= case.mode), None)
    on_time = handling is not None and handling <= case.limit_ms
    expected_gap = case.process == SUPERVISOR and case.signals[:1] not in ((), ((0, signal.SIGUSR1),))
    outcome = HANDLED if on_time else LATE
    if case.disk_full and (max(seen.modes, default=9) > int(case.mode or 0) or _ended(graph)):
        outcome = FALSE_ALARM
    if gap_ms > SILENCE_LIMIT_NS / 1e6 and not expected_gap:
        outcome = HANG
    returned = None
    detail = f"ended: {', '.join(_ended(graph))}" if case.disk_full and _ended(graph) else ""
    if case.mode is None:
        word = seen.engagements[-1] if len(seen.times_ms) and seen.times_ms[-1] > GATE_MS else "not heard again"
        returned = word == Engagement.LATCHED.value
        detail = f"came back {word}"
        outcome = outcome if returned else LATE
    return _result(
        case,
        job,
        handling_ms=handling,
        highest=max(seen.modes, default=-1),
        gap_ms=gap_ms,
        gate_stopped_ms=seen.stopped_ms,
        latched_on_return=returned,
        lateness_ms=lateness_ms,
        outcome=outcome,
        detail=detail,
    )


def _settle(graph: Graph, steps: int) -> Now:
    """A second of driving, and some steps more: another phase each time."""
    for _ in range(50 + steps):
        graph.road.step()
    return system_now()


def _signals(case: RealCase, graph: Graph) -> list[tuple[int, Callable[[], None]]]:
    """When to send which signal, ms after the first."""
    pid = _running(graph, case.process)
    return [(after_ms, lambda number=number: os.kill(pid, number)) for after_ms, number in case.signals]  # type: ignore[misc]


def _running(graph: Graph, process: str) -> int:
    pid = graph.processes.pid(process)
    if pid is None:
        raise NotSeenError(f"{process} does not run")
    return pid


def _fill_disk(graph: Graph) -> list[tuple[int, Callable[[], None]]]:
    """No process may make a file longer any more, as on a full disk (EFBIG for ENOSPC); all have cause to log."""

    def fill() -> None:
        for process in PROCESSES:
            resource.prlimit(_running(graph, process), resource.RLIMIT_FSIZE, (0, resource.RLIM_INFINITY))
        graph.send_garbage()

    return [(0, fill), *((k * GARBAGE_EVERY_MS, graph.send_garbage) for k in range(1, int(WATCHED_S * 10)))]


def _ended(graph: Graph) -> list[str]:
    return [process for process in PROCESSES if graph.processes.restarts(process)]


def _watch(graph: Graph, signals: list[tuple[int, Callable[[], None]]], case: RealCase) -> _Seen:
    seen = _Seen([], [], [], [])
    _, first = signals.pop(0)
    first()
    sent_ns = time.monotonic_ns()
    until_s = RETURN_S if case.mode is None else WATCHED_S
    while (time.monotonic_ns() - sent_ns) / 1e9 < until_s:
        while signals and (time.monotonic_ns() - sent_ns) / 1e6 >= signals[0][0]:
            signals.pop(0)[1]()
        for message, received in graph.road.step():
            if isinstance(message, SafeTrajectory) and received.monotonic_ns >= sent_ns:
                seen.times_ms.append((received.monotonic_ns - sent_ns) / 1e6)
                seen.modes.append(int(message.mode))
                seen.engagements.append(message.engagement.value)
                seen.codes.append(tuple(reason.code for reason in message.reasons))
        stopping = graph.road.vehicle.stopping_since
        if seen.stopped_ms is None and stopping is not None and stopping.monotonic_ns >= sent_ns:
            seen.stopped_ms = (stopping.monotonic_ns - sent_ns) / 1e6
        if case.mode is None and seen.stopped_ms is not None and seen.times_ms and seen.times_ms[-1] > GATE_MS:
            break
    seen.end_ms = (time.monotonic_ns() - sent_ns) / 1e6
    return seen


def _result(
    case: RealCase,
    job: RealJob,
    *,
    outcome: str,
    lateness_ms: float,
    handling_ms: float | None = None,
    highest: int = -1,
    gap_ms: float = 0.0,
    gate_stopped_ms: float | None = None,
    latched_on_return: bool | None = None,
    detail: str = "",
) -> RealResult:
    by_lateness = outcome == LATE and handling_ms is not None and handling_ms - lateness_ms <= case.limit_ms
    by_lateness = by_lateness or (outcome == HANG and gap_ms - lateness_ms <= SILENCE_LIMIT_NS / 1e6)
    late = outcome != HANDLED and (lateness_ms > STARVED_S * 1e3 or by_lateness)
    return RealResult(
        key=job.key,
        fault=case.fault,
        variant=case.variant,
        transport=job.transport,
        number=job.number,
        limit_ms=case.limit_ms,
        handling_ms=handling_ms,
        highest=highest,
        gap_ms=gap_ms,
        gate_stopped_ms=gate_stopped_ms,
        latched_on_return=latched_on_return,
        lateness_ms=lateness_ms,
        outcome=outcome,
        inconclusive=late,
        detail=detail or (f"this machine was {lateness_ms:.0f} ms late" if late else ""),
    )
