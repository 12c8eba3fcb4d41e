"""Runs a deployment's nodes until it is told to end: one line an event, and a table of all nodes on a terminal."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Mapping, Sequence, Set
from contextlib import suppress
from pathlib import Path
from typing import Any

from rich.table import Table
from rich.text import Text

from onboard_vla.app.processes import EXITED, GAVE_UP, STARTED, ProcessEvent, ProcessSet, ProcessSpec
from onboard_vla.app.ros.deployment_file import DeploymentFile
from onboard_vla.app.ros.others import node_variables, own_logs, own_names, refuse_second, running_already
from onboard_vla.app.ros.screen import unhindered
from onboard_vla.core.clock import seconds
from onboard_vla.core.process_graph import SUPERVISOR
from onboard_vla.ros_nodes.deployment import GATE_STOPS_WITHIN_S, VEHICLE, NodeStart
from onboard_vla.ros_nodes.environment import other_middleware
from onboard_vla.ros_nodes.judged_starts import judged_starts
from onboard_vla.ros_nodes.shared_memory import free_stale_segments
from onboard_vla.ros_nodes.topics import VEHICLE_GATE

TABLE_PERIOD_S = 1.0
"""How often the table shows new uptimes while nothing happens."""
LONGEST_WORDS = 120
"""Characters of a node's last log line that the table shows."""
BYTES_PER_MIB = 1024 * 1024
RESTARTED = "waits to start again"
NOT_CONFIGURED, FAILED, CONFIGURED = "not_configured", "transition_failed", "configured"
"""Events in a lifecycle node's log; after a failed transition it is unconfigured, too."""
MEASURING = "measuring"
"""Event in the latency probe's log."""


Say = Callable[[str], object]
Show = Callable[[Table], object]


def run_deployment(file: DeploymentFile, logs: Path, say: Say, show: Show | None = None) -> int:
    """Start everything, watch, and end everything; returns the exit status.

    `say`: is given a line when something happens; `show`: the table of all nodes, once a second. On a vehicle what
    either raises of a terminal, pipe or disk that fails ends nothing.

    0: a recording was played to its end. 1: a node ended for good, or could not be configured. On a vehicle the others
    go on then, because the supervisor's trajectory must not stop over a planner that cannot start; all end with the
    supervisor, as soon as a gate beside it has stopped the vehicle, so that who watches over this process learns of it.

    Raises:
        OnboardVlaError: the deployment cannot be started, or runs already.
        KeyboardInterrupt: it was told to end; all nodes have.
    """
    starts = judged_starts(file.deployment, file.namespace)
    if file.deployment.mode == VEHICLE:
        say, show = unhindered(say), None if show is None else unhindered(show)
    names = [start.name for start in starts]
    with own_logs(logs), own_names(file, names):
        try:
            refuse_second(running_already(file, names), file)
        except OSError as error:
            say(f"whether its nodes run already is not known: {error}")
        return _run(file, starts, logs, say, show)


def _run(file: DeploymentFile, starts: Sequence[NodeStart], logs: Path, say: Say, show: Show | None) -> int:
    freed = free_stale_segments()
    say(f"{file.deployment.mode}: {len(starts)} nodes, logs in {logs}, {freed // BYTES_PER_MIB} MiB freed in /dev/shm")
    if middleware := other_middleware():
        say(middleware)
    for start in starts:
        keep_last_log(logs, start.name)
    with ProcessSet([_spec(start, file, logs) for start in starts], logs) as processes:
        return _watch(processes, starts, file.deployment.mode == VEHICLE, say, show)


def keep_last_log(logs: Path, name: str) -> None:
    """A node's log of the run before, as `<name>.log.1`: why that run ended may be known there alone."""
    with suppress(FileNotFoundError):
        (logs / f"{name}.log").replace(logs / f"{name}.log.1")


def _spec(start: NodeStart, file: DeploymentFile, logs: Path) -> ProcessSpec:
    files = list(start.files)
    if start.parameters:
        own = logs.resolve() / f"{start.name}.param.yaml"
        own.write_text(start.own_section(file.namespace), encoding="utf-8")
        files.append(own)
    rules = [word for name, to in file.remap_rules() for word in ("-r", f"{name}:={to}")]
    command = (sys.executable, "-m", start.module, *start.ros_arguments(file.namespace, files), *rules)
    return ProcessSpec(start.name, command, node_variables(file), start.restart, start.may_finish)


def _watch(processes: ProcessSet, starts: Sequence[NodeStart], on_vehicle: bool, say: Say, show: Show | None) -> int:
    seen = 0
    said: set[tuple[str, str]] = set()
    names = {start.name for start in starts}
    players = {start.name for start in starts if not start.restart}
    finishing = {start.name for start in starts if start.may_finish}
    ended_ns: dict[str, int] = {}
    while True:
        if show is not None:
            show(status_table(processes, [start.name for start in starts]))
        news = processes.wait_for_events(seen, TABLE_PERIOD_S)
        seen += len(news)
        for event in news:
            line = _line(event, processes)
            if line:
                say(line)
            if event.kind == GAVE_UP and event.process in players and event.exit_code == 0:
                say(f"{event.process}: the recording has been played{heard_of(processes.lines(event.process))}")
                return 0
            finished = event.kind == GAVE_UP and event.process in finishing and event.exit_code == 0
            if finished:
                say(f"{event.process}: has finished (log: {processes.log_path(event.process)})")
            if event.kind == GAVE_UP and not on_vehicle and not finished:
                return 1
            if event.kind == GAVE_UP:
                ended_ns[event.process] = event.now.monotonic_ns
                if event.process == SUPERVISOR and VEHICLE_GATE in names - ended_ns.keys():
                    say(f"{VEHICLE_GATE}: has {GATE_STOPS_WITHIN_S:g} s to stop the vehicle")
        over = why_over(names, ended_ns, time.monotonic_ns())
        if over:
            say(over)
            return 1
        for start in starts:
            lines = processes.lines(start.name)
            out = measured_to(lines)
            if out is not None and (start.name, out) not in said:
                said.add((start.name, out))
                say(f"{start.name}: measures, and writes {out}")
            why = not_configured(lines)
            if why is None or (start.name, why) in said:
                continue
            said.add((start.name, why))
            say(f"{start.name}: runs, but does not work: {why}")
            if not on_vehicle:
                return 1
            say(f"{start.name}: mend that, then configure and activate it (ros2 lifecycle set), or restart it")


def why_over(names: Set[str], ended_ns: Mapping[str, int], now_ns: int) -> str | None:
    """Why there is nothing on a vehicle any more that has to go on; None while there is.

    `ended_ns`: when which node ended for good, monotonic.
    """
    if names == ended_ns.keys():
        return "all nodes have ended for good"
    if SUPERVISOR not in ended_ns:
        return None
    gate_stops = VEHICLE_GATE in names - ended_ns.keys()
    if gate_stops and seconds(now_ns - ended_ns[SUPERVISOR]) < GATE_STOPS_WITHIN_S:
        return None
    return f"{SUPERVISOR} has ended for good, and nobody else makes trajectories: all end"


def not_configured(lines: Sequence[str]) -> str | None:
    """Why a lifecycle node is not configured, if that is the newest that its log says of it."""
    for event in reversed([event for line in lines if (event := _event(line))]):
        if event.get("event") == CONFIGURED:
            return None
        if event.get("event") in (NOT_CONFIGURED, FAILED):
            # The last line of a traceback says what was raised.
            return str(event.get("reason")).strip().rpartition("\n")[2]
    return None


def measured_to(lines: Sequence[str]) -> str | None:
    """The file that a node says it writes its figures to."""
    return next((str(event["out"]) for line in lines if (event := _event(line)).get("event") == MEASURING), None)


def heard_of(lines: Sequence[str]) -> str:
    """What came of a recording, for the end of a line; empty where its player does not say."""
    heard = next((event for line in reversed(lines) if (event := _event(line)).get("event") == "heard"), {})
    if "plans" not in heard:
        return ""
    words = f": {heard['total']} messages; heard {heard['plans']} plans, {heard['rejected']} rejected"
    return words if heard["plans"] else f"{words}: see the log of vla_planner"


def _event(line: str) -> dict[str, Any]:
    """A line of a node's log; empty where it is none of ours."""
    try:
        event = json.loads(line)
    except ValueError:
        return {}
    return event if isinstance(event, dict) else {}


def _line(event: ProcessEvent, processes: ProcessSet) -> str | None:
    if event.kind == STARTED:
        again = processes.restarts(event.process)
        return f"{event.process}: started, pid {event.pid}" + (f", restart {again}" if again else "")
    if event.kind == EXITED and event.exit_code != 0:
        return f"{event.process}: ended with status {event.exit_code}: {processes.last_words(event.process)}"
    if event.kind == GAVE_UP and event.exit_code != 0:
        return f"{event.process}: is not started again (log: {processes.log_path(event.process)})"
    return None


def status_table(processes: ProcessSet, names: Sequence[str]) -> Table:
    """One row a node: state, process id, uptime, restarts, last words."""
    table = Table(show_edge=False, pad_edge=False)
    for column in ("node", "state", "pid", "up", "restarts", "last words"):
        table.add_column(column, overflow="ellipsis", no_wrap=True)
    events, now_ns = processes.events(), time.monotonic_ns()
    for name in names:
        last = [event for event in events if event.process == name][-1:]
        pid = processes.pid(name)
        kind = last[0].kind if last else "not started"
        state = "running" if pid is not None else "ended" if kind == GAVE_UP else RESTARTED
        up = f"{seconds(now_ns - last[0].now.monotonic_ns):.0f} s" if pid is not None and last else ""
        words = processes.last_words(name)[:LONGEST_WORDS]
        table.add_row(name, state, str(pid or ""), up, str(processes.restarts(name)), Text(words))
    return table
