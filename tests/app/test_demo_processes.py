"""The demo as a program, against real processes: slow, and in real time."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

pytestmark = [pytest.mark.slow, pytest.mark.timeout(300)]
LIMIT_S = 100.0


def start_demo(out: Path, *arguments: str) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "onboard_vla.app.cli", "demo", "--transport", "zmq", "--out", str(out), *arguments]
    return subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True, cwd=out)


def read_until(program: subprocess.Popen[str], words: str) -> str:
    deadline, text = time.monotonic() + LIMIT_S, ""
    while words not in text and time.monotonic() < deadline:
        line = program.stdout.readline()
        if not line:
            break
        text += line
    return text


def children_of(pid: int) -> list[int]:
    """Processes that this one has started and that still run."""
    lists = Path(f"/proc/{pid}/task").glob("*/children")
    return [int(word) for text in lists for word in text.read_text().split()]


def test_short_drive_in_real_time_leaves_record_and_report(tmp_path):
    program = start_demo(tmp_path, "--seconds", "3", "--json", str(tmp_path / "run.json"))
    text, _ = program.communicate(timeout=LIMIT_S)
    assert program.returncode in (2, 3), text
    if "too busy" in text:
        pytest.skip("this machine is too busy for a run in real time")
    content = json.loads((tmp_path / "run.json").read_text())
    assert content["measured"]["transport"] == "zmq"
    assert len(content["compared"]["modes"]) >= 1
    assert content["measured"]["figures"]["probe_lateness"]["n"] > 100
    assert (tmp_path / "demo-zmq-seed7.html").exists()


def test_ctrl_c_leaves_no_process_behind_and_keeps_what_was_recorded(tmp_path):
    program = start_demo(tmp_path, "--seconds", "60", "--json", str(tmp_path / "run.json"))
    text = read_until(program, "time 5.0 s")
    if "too busy" in text:
        program.wait(LIMIT_S)
        pytest.skip("this machine is too busy for a run in real time")
    children = children_of(program.pid)
    assert len(children) == 3
    program.send_signal(signal.SIGINT)
    text, _ = program.communicate(timeout=LIMIT_S)
    assert program.returncode == 3, text
    assert "interrupted at" in text
    assert not [pid for pid in children if Path(f"/proc/{pid}").exists()]
    assert json.loads((tmp_path / "run.json").read_text())["verdict"]["exit_status"] == 3
