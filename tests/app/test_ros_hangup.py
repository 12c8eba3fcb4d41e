"""`onboard-vla ros up` on a vehicle whose terminal, connection or pipe goes away, or that never had one."""

from __future__ import annotations

import os
import pty
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

LIMIT_S = 30.0
SUPERVISOR = """
import pathlib, signal, sys
def told(*_):
    pathlib.Path("told").touch()
    sys.exit(0)
signal.signal(signal.SIGTERM, told)
print("up", flush=True)
while True:
    signal.pause()
"""
PLANNER = """
import pathlib, sys, time
while not pathlib.Path("hung_up").exists():
    time.sleep(0.02)
pathlib.Path("starts").open("a").write("again ")
sys.exit(70)
"""
"""Dies again and again once the terminal is gone: each time the launcher has something to say."""
UP = f"""
import os, sys
from onboard_vla.app.cli import run
from onboard_vla.app.processes import ProcessSpec
from onboard_vla.app.ros import launcher
from onboard_vla.ros_nodes import environment
from onboard_vla.ros_nodes.deployment import NodeStart
programs = {{"safety_supervisor": {SUPERVISOR!r}, "vla_planner": {PLANNER!r}}}
environment.require_rclpy = lambda: None
launcher.running_already = lambda file, names: []
launcher.judged_starts = lambda wanted, namespace: tuple(NodeStart(name, ()) for name in programs)
launcher._spec = lambda start, file, logs: ProcessSpec(start.name, (sys.executable, "-c", programs[start.name]))
sys.exit(run(["ros", "up", "--config", "d.yaml", "--logs", "logs"]))
"""


def until(condition):
    end = time.monotonic() + LIMIT_S
    while not condition():
        assert time.monotonic() < end, "it did not happen"
        time.sleep(0.02)


def died_again(folder, times):
    path = folder / "starts"
    return path.exists() and len(path.read_text().split()) >= times


def lose_pipe(process, end):
    os.close(end)


def lose_terminal(process, end):
    """As sshd does: the terminal's other end is closed, and the kernel tells its foreground."""
    os.close(end)
    os.killpg(process.pid, signal.SIGHUP)


@pytest.mark.parametrize(("connect", "lose"), [(os.pipe, lose_pipe), (pty.openpty, lose_terminal)])
def test_supervisor_and_launcher_go_on_and_end_when_they_are_told_to(tmp_path, connect, lose):
    (tmp_path / "d.yaml").write_text(f"mode: vehicle\nbundle: /b\nnamespace: pid{os.getpid()}\n")
    ours, theirs = connect()
    process = subprocess.Popen(
        [sys.executable, "-c", UP], stderr=theirs, stdout=subprocess.DEVNULL, cwd=tmp_path, start_new_session=True
    )
    os.close(theirs)
    log = tmp_path / "logs" / "safety_supervisor.log"
    try:
        until(lambda: log.exists() and "up" in log.read_text())
        lose(process, ours)
        Path(tmp_path / "hung_up").touch()
        until(lambda: died_again(tmp_path, 4) or process.poll() is not None)

        assert process.poll() is None
        assert not (tmp_path / "told").exists()
        process.send_signal(signal.SIGTERM)
        assert process.wait(LIMIT_S) == 130
        assert (tmp_path / "told").exists()
    finally:
        process.kill()
        process.wait()


def test_what_was_started_in_the_background_ends_when_it_is_interrupted(tmp_path):
    """Shells without job control start `command &` with SIGINT ignored, and Python leaves it so."""
    (tmp_path / "d.yaml").write_text(f"mode: vehicle\nbundle: /b\nnamespace: pid{os.getpid()}\n")
    (tmp_path / "hung_up").touch()
    process = subprocess.Popen(
        [sys.executable, "-c", UP],
        cwd=tmp_path,
        stderr=subprocess.DEVNULL,
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_IGN),
    )
    log = tmp_path / "logs" / "safety_supervisor.log"
    try:
        until(lambda: log.exists() and "up" in log.read_text())
        process.send_signal(signal.SIGINT)

        assert process.wait(LIMIT_S) == 130
        assert (tmp_path / "told").exists()
    finally:
        process.kill()
        process.wait()
