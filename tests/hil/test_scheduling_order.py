"""A process takes its priority while it has one thread; a library thread that is just starting could not bear it."""

from __future__ import annotations

import os
import subprocess
import sys

PROGRAM = """
import os, sys
from onboard_vla.core.process import Role
from onboard_vla.core.process_graph import CAMERA_GUARD
from onboard_vla.hil.process import run

class Host:
    timers = ()
    def schedule(self): print("schedule", len(os.listdir("/proc/self/task")))
    def start(self, publish, clock): print("start", len(os.listdir("/proc/self/task")))
    def receive(self, message, now): pass
    def failure(self): return "seen enough"
    def stop(self): return True

run(Role(CAMERA_GUARD, (), lambda options: Host()), sys.argv[1:])
"""


def test_priority_is_taken_before_the_transport_has_threads(tmp_path) -> None:
    tmp_path.chmod(0o700)
    environment = {**os.environ, "OMP_NUM_THREADS": "1", "OPENBLAS_NUM_THREADS": "1"}

    said = subprocess.run(
        [sys.executable, "-c", PROGRAM, "--endpoints", str(tmp_path)],
        env=environment, capture_output=True, text=True, timeout=60, check=False,
    )  # fmt: skip

    words = [line.split() for line in said.stdout.splitlines()]
    assert [word for word, _ in words] == ["schedule", "start"], said.stderr
    before, beside = (int(threads) for _, threads in words)
    assert before == 1
    assert beside > before, "ZeroMQ has threads of its own by now"
