"""Runs any process of the graph over ZeroMQ: command line, main loop, exit status."""

from __future__ import annotations

import argparse
import contextlib
import os
import signal
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from types import FrameType
from typing import NoReturn

from onboard_vla.core.clock import nanoseconds, seconds, system_now
from onboard_vla.core.errors import ConfigurationError, OnboardVlaError
from onboard_vla.core.process import EXIT_CONFIGURATION, EXIT_FAILURE, OptionValue, ProcessHost, Role, Timer
from onboard_vla.core.process_graph import received_by, sent_by
from onboard_vla.core.refusals import Refusals, log_event
from onboard_vla.hil.endpoints import Receivers, Senders, check_directory, import_zmq

LONGEST_WAIT_S = 0.05
"""Even without timers the loop looks this often whether it should end."""


class _Schedule:
    """Fixed-rate timers on the monotonic clock; a tick that is late by more than a period is skipped, not repeated."""

    def __init__(self, timers: Sequence[Timer]) -> None:
        self._timers = timers
        now_ns = time.monotonic_ns()
        self._due_ns = [now_ns + nanoseconds(timer.period_s) for timer in timers]

    def run_due(self) -> None:
        """Run every timer whose time has come."""
        for index, timer in enumerate(self._timers):
            now_ns = time.monotonic_ns()
            if now_ns >= self._due_ns[index]:
                period_ns = nanoseconds(timer.period_s)
                self._due_ns[index] += period_ns * (1 + (now_ns - self._due_ns[index]) // period_ns)
                timer.tick()

    def wait_s(self) -> float:
        """Time until the next timer."""
        now_ns = time.monotonic_ns()
        return min([LONGEST_WAIT_S, *(max(0.0, seconds(due_ns - now_ns)) for due_ns in self._due_ns)])


class _EndSignal:
    """SIGINT and SIGTERM end the process cleanly, also while its engines are still loading."""

    def __init__(self) -> None:
        self.received = False
        self._looping = False
        for number in (signal.SIGINT, signal.SIGTERM):
            signal.signal(number, self._on_signal)

    def enter_loop(self) -> None:
        """From now on the loop itself looks at `received`."""
        self._looping = True

    def _on_signal(self, number: int, frame: FrameType | None) -> None:
        self.received = True
        if not self._looping:
            raise SystemExit(0)


def run(role: Role, arguments: Sequence[str] | None = None) -> int:
    """Run one process until it is told to end; returns its exit status."""
    end = _EndSignal()
    try:
        directory, values = _parse(role, arguments)
        import_zmq()
        check_directory(directory)
        host = role.build(role.values(values))
        host.schedule()
    except OnboardVlaError as error:
        sys.stderr.write(f"{role.name}: {error}\n")
        return EXIT_CONFIGURATION
    failure = _serve(role, host, directory, end)
    stopped = host.stop()
    if failure is not None:
        log_event(role.name, "failed", reason=failure)
    with contextlib.suppress(OSError):
        sys.stderr.flush()
    if not stopped:
        # A thread is stuck inside a library; only this ends the process now.
        os._exit(EXIT_FAILURE if failure else 0)
    return EXIT_FAILURE if failure else 0


def _serve(role: Role, host: ProcessHost, directory: Path, end: _EndSignal) -> str | None:
    zmq = import_zmq()
    refusals = Refusals(role.name)
    context = zmq.Context()
    senders = Senders(context, directory, role.name, sent_by(role.name))
    receivers = Receivers(context, directory, role.name, received_by(role.name), refusals)
    try:
        end.enter_loop()
        host.start(senders.send, system_now)
        log_event(role.name, "started", transport="zmq", pid=os.getpid())
        schedule = _Schedule(host.timers)
        while not end.received and (failure := host.failure()) is None:
            for message in receivers.wait(schedule.wait_s()):
                host.receive(message, system_now())
            schedule.run_due()
            senders.refresh()
        return None if end.received else failure
    except Exception:
        return traceback.format_exc()
    finally:
        receivers.close()
        senders.close()
        context.term()


class _Parser(argparse.ArgumentParser):
    """Says in one line what is wrong."""

    def error(self, message: str) -> NoReturn:
        raise ConfigurationError(f"{message} (see {self.prog} --help)")


def _parse(role: Role, arguments: Sequence[str] | None) -> tuple[Path, dict[str, OptionValue]]:
    parser = _Parser(prog=f"python -m onboard_vla.hil.{role.name}", allow_abbrev=False)
    parser.add_argument(
        "--endpoints", type=Path, required=True, metavar="DIR", help="directory of the sockets, mode 700"
    )
    for option in role.options:
        flag = "--" + option.name.replace("_", "-")
        parser.add_argument(flag, dest=option.name, type=option.kind, help=option.description)
    given = vars(parser.parse_args(arguments))
    directory: Path = given.pop("endpoints")
    return directory, {name: value for name, value in given.items() if value is not None}
