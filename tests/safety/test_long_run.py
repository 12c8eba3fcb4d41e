"""Thousands of ticks: no memory growth, bounded CPU time, nothing that is not finite."""

from __future__ import annotations

import gc
import importlib.util
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest

from onboard_vla.calibration.provisional import provisional_thresholds
from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import OperatorCommand
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.supervisor import Supervisor

SPEC = importlib.util.spec_from_file_location(
    "supervisor_benchmark", Path(__file__).parents[2] / "benchmarks" / "supervisor_cycle.py"
)
benchmark = importlib.util.module_from_spec(SPEC)
sys.modules[SPEC.name] = benchmark
SPEC.loader.exec_module(benchmark)

WARM = 1_000
"""Ticks until every history, window and cache has its full length."""
BLOCKS = 2_000
"""Allocated blocks that may come and go between two instants; one block kept per tick would exceed it."""
CPU_MEDIAN_MS = 20.0
"""Ten times what an idle core needs: the test machine may be loaded; the benchmark gives the real figure."""


@pytest.mark.parametrize("ticks", [4_000, pytest.param(10_000, marks=pytest.mark.slow)])
def test_many_ticks_need_no_more_memory_than_a_thousand(ticks):
    config = SupervisorConfig(profile="simulation", thresholds=provisional_thresholds("benchmark", "int8"))
    supervisor, feed = Supervisor(config), benchmark.Feed(5, True)
    blocks, spent = {}, []
    for tick in range(ticks):
        feed.tick = tick
        now = Now(tick * benchmark.TICK_NS, tick * benchmark.TICK_NS)
        for message in feed.messages():
            supervisor.receive(message, now)
        if tick == 30:
            supervisor.receive(OperatorCommand(now.stamp_ns, "engage"), now)
        begun = time.thread_time()
        published = supervisor.tick(now)
        if tick >= WARM:
            spent.append(time.thread_time() - begun)
        assert np.isfinite(published.points).all()
        if tick in (WARM, ticks - 1):
            gc.collect()
            blocks[tick] = sys.getallocatedblocks() - len(spent)
    assert published.source == "model"
    assert blocks[ticks - 1] - blocks[WARM] < BLOCKS
    assert np.median(spent) * 1e3 < CPU_MEDIAN_MS


def test_the_room_imports_numpy_and_core_alone():
    script = (
        "import sys, onboard_vla.safety.supervisor, onboard_vla.safety.camera_guard\n"
        "heavy = {'torch', 'transformers', 'onnxruntime', 'scipy', 'numba', 'rclpy', 'zmq'} & set(sys.modules)\n"
        "rooms = {m.split('.')[1] for m in sys.modules if m.startswith('onboard_vla.')} - {'core', 'safety'}\n"
        "sys.exit(f'{heavy} {rooms}' if heavy or rooms else 0)\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
