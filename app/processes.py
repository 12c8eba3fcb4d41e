"""Starts, watches, restarts and ends the processes of one run; none outlives this one."""

from __future__ import annotations

import ctypes
import os
import select
import signal
import subprocess
import threading
import time
from collections.abc import Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import IO

from onboard_vla.core.clock import Now, nanoseconds, seconds, system_now
from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.core.process import EXIT_CONFIGURATION

FIRST_BACKOFF_S, LONGEST_BACKOFF_S = 0.1, 5.0
"""Pause before the first restart, doubled for every further early death, up to the longest."""
STABLE_AFTER_S = 10.0
"""A process that lived this long starts again with the first pause."""
TERMINATE_LIMIT_S = 5.0
"""From SIGTERM to SIGKILL when the run ends."""
LOG_TAIL_BYTES = 65536
"""How much of a log is looked at for its last lines: one with a traceback has several thousand bytes."""
PR_SET_PDEATHSIG = 1
"""prctl(2): the signal that a process gets when the thread that started it dies."""

STARTED, EXITED, KILLED, GAVE_UP = "started", "exited", "killed", "gave_up"


@dataclass(frozen=True)
class ProcessSpec:
    """One process. `environment` None means this process's own; `restart`: start it again when it dies.

    `may_finish`: one that ends with status 0 has done its work, and is not started again.
    """

    name: str
    command: tuple[str, ...]
    environment: Mapping[str, str] | None = None
    restart: bool = True
    may_finish: bool = False


@dataclass(frozen=True)
class ProcessEvent:
    """What happened to a process. `kind`: started, exited, killed (by us) or gave_up (not started again)."""

    process: str
    kind: str
    pid: int
    exit_code: int | None
    now: Now


@dataclass
class _Child:
    """A process and its history. Guarded by the set's lock."""

    spec: ProcessSpec
    log: IO[bytes]
    process: subprocess.Popen[bytes] | None = None
    pidfd: int = -1
    starts: int = 0
    deaths_in_a_row: int = 0
    started_ns: int = 0
    start_at_ns: int | None = field(default_factory=time.monotonic_ns)


class ProcessSet:
    """Runs processes until `close`. Their output goes to `<log_directory>/<name>.log`, anew in each run.

    A process that ends with status 2 was started wrongly and is not started again. All processes are started by one
    thread of this object, because the kernel ties a child's life to the thread that started it.
    """

    def __init__(self, specs: Sequence[ProcessSpec], log_directory: Path) -> None:
        if len({spec.name for spec in specs}) != len(specs):
            raise ConfigurationError(f"process names must differ, found {[spec.name for spec in specs]}")
        log_directory.mkdir(parents=True, exist_ok=True)
        self._log_directory = log_directory
        self._children = {spec.name: _Child(spec, self.log_path(spec.name).open("wb")) for spec in specs}
        self._lock = threading.Condition()
        self._events: list[ProcessEvent] = []
        self._ending = False
        self._wake_read, self._wake_write = os.pipe2(os.O_CLOEXEC | os.O_NONBLOCK)
        self._libc = ctypes.CDLL(None, use_errno=True)
        self._thread = threading.Thread(target=self._watch, name="process-set", daemon=True)

    def start(self) -> None:
        """Start all processes.

        Raises:
            EnvironmentLacksError: a command cannot be executed; then none is left running.
        """
        self._thread.start()
        with self._lock:
            self._lock.wait_for(lambda: all(child.starts for child in self._children.values()) or self._ending)
        # Who was executed and has ended already is for whoever watches the events: it may matter to nobody else.
        if any(event.kind == GAVE_UP and event.pid < 0 for event in self.events()):
            try:
                self.check()
            finally:
                self.close()

    def log_path(self, process: str) -> Path:
        """Where a process's output goes."""
        return self._log_directory / f"{process}.log"

    def pid(self, process: str) -> int | None:
        """Process id; None while the process is not running."""
        with self._lock:
            child = self._children[process].process
            return None if child is None else child.pid

    def restarts(self, process: str) -> int:
        """How often a process was started again."""
        with self._lock:
            return max(0, self._children[process].starts - 1)

    def events(self) -> tuple[ProcessEvent, ...]:
        """Everything that happened so far, in order."""
        with self._lock:
            return tuple(self._events)

    def wait_for_events(self, seen: int, timeout_s: float) -> tuple[ProcessEvent, ...]:
        """Everything that happened after the first `seen` events; blocks while that is nothing, up to the limit."""
        with self._lock:
            self._lock.wait_for(lambda: len(self._events) > seen, timeout_s)
            return tuple(self._events[seen:])

    def last_words(self, process: str) -> str:
        """The last line of a process's log."""
        return self._last_line(process)

    def lines(self, process: str) -> list[str]:
        """The last lines of a process's log, whole ones."""
        try:
            with self.log_path(process).open("rb") as log:
                begin = max(0, log.seek(0, os.SEEK_END) - LOG_TAIL_BYTES)
                log.seek(begin)
                # The first of these is cut, unless the log begins there.
                found = log.read().decode(errors="replace").splitlines()
        except OSError:
            return []
        return (found[1:] if begin else found) or found

    def wait_for_start(self, process: str, starts: int, timeout_s: float) -> None:
        """Block until a process has been started `starts` times.

        Raises:
            EnvironmentLacksError: it was not, in this time.
        """
        with self._lock:
            child = self._children[process]
            if not self._lock.wait_for(lambda: child.starts >= starts, timeout_s):
                raise EnvironmentLacksError(
                    f"{process} was started {child.starts} times within {timeout_s:g} s, expected {starts}; "
                    f"last words: {self._last_line(process)}"
                )

    def kill(self, process: str) -> Now:
        """End a process at once with SIGKILL, as a fault; it is restarted if its spec says so.

        Returns:
            The time just before the signal.

        Raises:
            EnvironmentLacksError: it is not running.
        """
        with self._lock:
            child = self._children[process].process
            if child is None:
                raise EnvironmentLacksError(f"cannot kill {process}: it is not running")
            now = system_now()
            self._events.append(ProcessEvent(process, KILLED, child.pid, None, now))
            child.send_signal(signal.SIGKILL)
        return now

    def check(self) -> None:
        """Look whether every process runs or is about to be started again.

        Raises:
            EnvironmentLacksError: one has ended for good; its log's last line is in the message.
        """
        for event in self.events():
            if event.kind == GAVE_UP:
                raise EnvironmentLacksError(
                    f"{event.process} ended with status {event.exit_code}: {self._last_line(event.process)} "
                    f"(log: {self.log_path(event.process)})"
                )

    def close(self) -> None:
        """End all processes: SIGTERM, and SIGKILL for who does not listen."""
        if not self._ending:
            # A KeyboardInterrupt that comes between the taking of the lock and its `with` leaves it to this thread.
            with suppress(RuntimeError):
                while True:
                    self._lock.release()
            with self._lock:
                self._ending = True
            self._wake()
            if self._thread.is_alive():
                self._thread.join()
            for child in self._children.values():
                child.log.close()
            os.close(self._wake_read)
            os.close(self._wake_write)

    def __enter__(self) -> ProcessSet:
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _watch(self) -> None:
        while not self._ending:
            with self._lock:
                for child in self._children.values():
                    if child.start_at_ns is not None and time.monotonic_ns() >= child.start_at_ns:
                        self._spawn(child)
                self._lock.notify_all()
            self._wait_for_news()
            with self._lock:
                for child in self._children.values():
                    if child.process is not None and child.process.poll() is not None:
                        self._bury(child, child.process)
                self._lock.notify_all()
        self._end_all()

    def _spawn(self, child: _Child) -> None:
        parent, libc = os.getpid(), self._libc

        def die_with_parent() -> None:
            libc.prctl(PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
            if os.getppid() != parent:
                os._exit(1)

        child.starts += 1
        child.start_at_ns = None
        child.started_ns = time.monotonic_ns()
        try:
            child.process = subprocess.Popen(  # noqa: S603 - the caller's own command, no shell
                child.spec.command,
                env=None if child.spec.environment is None else dict(child.spec.environment),
                stdin=subprocess.DEVNULL,
                stdout=child.log,
                stderr=subprocess.STDOUT,
                preexec_fn=die_with_parent,
            )
        except OSError as error:
            # A full disk must not end this thread: the kernel would kill every process that it started.
            with suppress(OSError):
                child.log.write(f"cannot start {child.spec.command[0]}: {error}\n".encode())
                child.log.flush()
            self._events.append(ProcessEvent(child.spec.name, GAVE_UP, -1, None, system_now()))
            return
        child.pidfd = os.pidfd_open(child.process.pid)
        self._events.append(ProcessEvent(child.spec.name, STARTED, child.process.pid, None, system_now()))

    def _bury(self, child: _Child, process: subprocess.Popen[bytes]) -> None:
        os.close(child.pidfd)
        child.process, child.pidfd = None, -1
        now, status = system_now(), process.returncode
        self._events.append(ProcessEvent(child.spec.name, EXITED, process.pid, status, now))
        finished = child.spec.may_finish and status == 0
        if not child.spec.restart or status == EXIT_CONFIGURATION or finished:
            self._events.append(ProcessEvent(child.spec.name, GAVE_UP, process.pid, status, now))
            return
        lived_s = seconds(now.monotonic_ns - child.started_ns)
        child.deaths_in_a_row = 1 if lived_s >= STABLE_AFTER_S else child.deaths_in_a_row + 1
        pause_s = min(LONGEST_BACKOFF_S, FIRST_BACKOFF_S * 2.0 ** (child.deaths_in_a_row - 1))
        child.start_at_ns = now.monotonic_ns + nanoseconds(pause_s)

    def _wait_for_news(self) -> None:
        poller = select.poll()
        poller.register(self._wake_read, select.POLLIN)
        timeout_ms: int | None = None
        with self._lock:
            for child in self._children.values():
                if child.pidfd >= 0:
                    poller.register(child.pidfd, select.POLLIN)
                if child.start_at_ns is not None:
                    due_ms = max(0, child.start_at_ns - time.monotonic_ns()) // 1_000_000 + 1
                    timeout_ms = due_ms if timeout_ms is None else min(timeout_ms, due_ms)
        poller.poll(timeout_ms)

    def _end_all(self) -> None:
        # Takes the lock for the whole end: nobody may look up a pid that is being buried.
        with self._lock:
            running = [child for child in self._children.values() if child.process is not None]
            for child in running:
                assert child.process is not None
                child.process.terminate()
            deadline_ns = time.monotonic_ns() + nanoseconds(TERMINATE_LIMIT_S)
            for child in running:
                assert child.process is not None
                try:
                    child.process.wait(max(0.0, seconds(deadline_ns - time.monotonic_ns())))
                except subprocess.TimeoutExpired:
                    child.process.kill()
                    child.process.wait()
                os.close(child.pidfd)
                event = ProcessEvent(child.spec.name, EXITED, child.process.pid, child.process.returncode, system_now())
                self._events.append(event)
                child.process, child.pidfd, child.start_at_ns = None, -1, None
            self._lock.notify_all()

    def _last_line(self, process: str) -> str:
        return (self.lines(process) or ["it wrote nothing"])[-1]

    def _wake(self) -> None:
        os.write(self._wake_write, b"!")
