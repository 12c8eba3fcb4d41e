"""Ctrl-C ends workers at once, whether they work or are still being started, and none of them prints a traceback."""

import os
import signal
import subprocess
import sys
import time

import pytest

from onboard_vla.app.worker_pool import WorkerPool

PROGRAM = """
import signal, sys, time
from pathlib import Path

from onboard_vla.app.worker_pool import WorkerPool

folder, where = Path(sys.argv[1]), sys.argv[2]

def job(number):
    if where == "working":
        (folder / f"worker-{number}").touch()
        time.sleep(60)

if __name__ == "__mp_main__" and where == "starting":
    (folder / "worker").touch()
    time.sleep(60)

if __name__ == "__main__":
    signal.signal(signal.SIGINT, signal.default_int_handler)  # which a shell's background job ignores
    try:
        with WorkerPool(2) as pool:
            for future in [pool.submit(job, number) for number in range(20)]:
                future.result()
    except KeyboardInterrupt:
        sys.exit(130)
"""
SOON_S = 20.0
"""Far less than the jobs take, far more than a loaded machine needs to end two processes."""


def nothing_is_left_of(group):
    """The interpreter's own tracker of semaphores ends a moment after its parent."""
    deadline = time.monotonic() + SOON_S
    while time.monotonic() < deadline:
        try:
            os.killpg(group, 0)
        except ProcessLookupError:
            return True
        time.sleep(0.02)
    return False


@pytest.mark.parametrize("where", ["starting", "working"])
def test_an_interrupt_as_a_terminal_sends_it_ends_all_at_once_and_in_silence(where, tmp_path):
    script = tmp_path / "program.py"
    script.write_text(PROGRAM)
    words = [sys.executable, str(script), str(tmp_path), where]
    program = subprocess.Popen(words, stderr=subprocess.PIPE, text=True, start_new_session=True)
    try:
        deadline = time.monotonic() + 60.0
        while not list(tmp_path.glob("worker*")):
            assert time.monotonic() < deadline
            assert program.poll() is None
            time.sleep(0.02)
        os.killpg(program.pid, signal.SIGINT)
        _, errors = program.communicate(timeout=SOON_S)
        assert program.returncode == 130
        assert errors == ""
        assert nothing_is_left_of(program.pid)
    finally:
        if program.poll() is None:
            os.killpg(program.pid, signal.SIGKILL)


def test_results_come_back_and_the_parent_can_still_be_interrupted():
    with WorkerPool(1) as pool:
        assert pool.submit(abs, -3).result() == 3
    assert signal.SIGINT not in signal.pthread_sigmask(signal.SIG_BLOCK, set())


def test_an_error_of_a_job_does_not_wait_for_the_jobs_behind_it():
    def ask() -> None:
        with WorkerPool(1) as pool:
            failing = pool.submit(abs, "no number")
            pool.submit(time.sleep, 60.0)
            failing.result()

    began = time.monotonic()
    with pytest.raises(TypeError):
        ask()
    assert time.monotonic() - began < SOON_S
