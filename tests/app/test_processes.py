"""The process set: starts, watches, restarts, kills and ends real processes."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from onboard_vla.app.processes import EXITED, GAVE_UP, KILLED, STARTED, ProcessSet, ProcessSpec
from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError

LIMIT_S = 10.0
WAITING = "import sys, signal; print('up', flush=True); signal.pause()"
POLITE = (
    "import sys, signal; signal.signal(signal.SIGTERM, lambda *a: sys.exit(0)); print('up', flush=True); signal.pause()"
)
DEAF = "import signal; signal.signal(signal.SIGTERM, signal.SIG_IGN); print('up', flush=True); signal.pause()"


def python(name: str, program: str, **options) -> ProcessSpec:
    return ProcessSpec(name, (sys.executable, "-c", program), **options)


def wait_for(condition, limit_s: float = LIMIT_S) -> None:
    end, idle = time.monotonic() + limit_s, threading.Event()
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        idle.wait(0.01)


def is_up(processes: ProcessSet, name: str) -> bool:
    return "up" in processes.log_path(name).read_text()


def kinds(processes: ProcessSet, name: str) -> list[str]:
    return [event.kind for event in processes.events() if event.process == name]


def test_killed_process_is_started_again_and_counted(tmp_path) -> None:
    with ProcessSet([python("a", WAITING)], tmp_path) as processes:
        first = processes.pid("a")
        processes.kill("a")
        processes.wait_for_start("a", 2, LIMIT_S)

        assert processes.restarts("a") == 1
        assert processes.pid("a") not in (None, first)
        assert kinds(processes, "a") == [STARTED, KILLED, EXITED, STARTED]


def test_pauses_between_restarts_grow(tmp_path) -> None:
    with ProcessSet([python("a", "raise SystemExit(1)")], tmp_path) as processes:
        processes.wait_for_start("a", 4, LIMIT_S)
        events = processes.events()

    ends = [event.now.monotonic_ns for event in events if event.kind == EXITED]
    starts = [event.now.monotonic_ns for event in events if event.kind == STARTED][1:]
    pauses = [(start - end) / 1e9 for start, end in zip(starts, ends, strict=False)]
    assert pauses[0] >= 0.1
    assert pauses[1] >= 0.2
    assert pauses[2] >= 0.4


def test_process_that_was_started_wrongly_is_not_started_again(tmp_path) -> None:
    with ProcessSet([python("a", "print('no bundle'); raise SystemExit(2)")], tmp_path) as processes:
        wait_for(lambda: GAVE_UP in kinds(processes, "a"))

        with pytest.raises(EnvironmentLacksError, match="a ended with status 2: no bundle"):
            processes.check()
        assert processes.pid("a") is None
        with pytest.raises(EnvironmentLacksError, match="not running"):
            processes.kill("a")


def test_a_long_last_line_of_a_log_is_read_whole_and_one_that_is_cut_is_left_out(tmp_path) -> None:
    say = "import json; print('x' * 100_000); print('before'); print(json.dumps({'reason': 'line\\n' * 1000}))"
    with ProcessSet([python("a", say, restart=False)], tmp_path) as processes:
        wait_for(lambda: GAVE_UP in kinds(processes, "a"))

        first, last = processes.lines("a")
    assert first == "before"
    assert json.loads(last) == {"reason": "line\n" * 1000}


def test_process_that_shall_not_restart_is_reported(tmp_path) -> None:
    with ProcessSet([python("a", "", restart=False)], tmp_path) as processes:
        wait_for(lambda: kinds(processes, "a") == [STARTED, EXITED, GAVE_UP])


def test_process_that_may_finish_is_started_again_after_a_crash_alone(tmp_path) -> None:
    mark = repr(str(tmp_path / "mark"))
    program = f"import pathlib; p = pathlib.Path({mark}); n = p.exists(); p.touch(); raise SystemExit(0 if n else 70)"
    with ProcessSet([python("a", program, may_finish=True)], tmp_path) as processes:
        wait_for(lambda: GAVE_UP in kinds(processes, "a"))

        assert kinds(processes, "a") == [STARTED, EXITED, STARTED, EXITED, GAVE_UP]
        assert processes.events()[-1].exit_code == 0


def test_end_is_polite_and_certain(tmp_path) -> None:
    processes = ProcessSet([python("polite", POLITE), python("waiting", WAITING)], tmp_path)
    processes.start()
    wait_for(lambda: is_up(processes, "polite") and is_up(processes, "waiting"))
    processes.close()
    processes.close()

    assert {e.process: e.exit_code for e in processes.events() if e.kind == EXITED} == {
        "polite": 0,
        "waiting": -signal.SIGTERM,
    }


def test_process_that_ignores_sigterm_is_killed(tmp_path, monkeypatch) -> None:
    monkeypatch.setattr("onboard_vla.app.processes.TERMINATE_LIMIT_S", 0.2)
    with ProcessSet([python("deaf", DEAF)], tmp_path) as processes:
        wait_for(lambda: is_up(processes, "deaf"))

    assert [e.exit_code for e in processes.events() if e.kind == EXITED] == [-signal.SIGKILL]


def test_no_process_outlives_a_killed_parent(tmp_path) -> None:
    program = f"""
import sys
import threading
from pathlib import Path
from onboard_vla.app.processes import ProcessSet, ProcessSpec
processes = ProcessSet([ProcessSpec("child", (sys.executable, "-c", {DEAF!r}))], Path({str(tmp_path)!r}))
processes.start()
print(processes.pid("child"), flush=True)
sys.stdin.read()
"""
    parent = subprocess.Popen([sys.executable, "-c", program], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
    child = int(parent.stdout.readline())
    wait_for(lambda: "up" in (tmp_path / "child.log").read_text())

    parent.kill()
    parent.communicate(timeout=LIMIT_S)

    wait_for(lambda: not alive(child))


def test_an_interrupt_that_comes_while_the_lock_is_being_taken_does_not_hinder_the_end(tmp_path) -> None:
    processes = ProcessSet([python("a", POLITE)], tmp_path)
    processes.start()
    processes._lock.acquire()  # as a KeyboardInterrupt in `Condition.__enter__` leaves it
    pid = processes.pid("a")

    processes.close()

    assert pid is not None
    assert not alive(pid)


def alive(pid: int) -> bool:
    try:
        os.kill(pid, 0)
    except ProcessLookupError:
        return False
    status = Path(f"/proc/{pid}/stat")
    return status.exists() and status.read_text().rpartition(")")[2].split()[0] != "Z"


def test_command_that_does_not_exist_is_one_clear_error(tmp_path) -> None:
    processes = ProcessSet([ProcessSpec("a", ("/no/such/program",)), python("b", POLITE)], tmp_path)

    with pytest.raises(EnvironmentLacksError, match="cannot start /no/such/program"):
        processes.start()

    assert processes.pid("b") is None


def test_names_must_differ(tmp_path) -> None:
    with pytest.raises(ConfigurationError):
        ProcessSet([python("a", ""), python("a", "")], tmp_path)
