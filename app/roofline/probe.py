"""This machine's own figures: bandwidth by working set, and rates of matrix products as the engine computes them.

One thread, processor time, the best of several runs. A model that fits the caches is faster than main memory allows, so
each stage is held against the bandwidth of its own working set. The rates are those that ONNX Runtime reaches with one
large layer: a better library could do more.
"""

from __future__ import annotations

import platform
from pathlib import Path

import numpy as np

from onboard_vla.app.roofline.devices import SINGLE, THIS, Device
from onboard_vla.app.roofline.timing import least_s
from onboard_vla.export.product_graph import product_graph
from onboard_vla.runtime.engine import OnnxEngine

WORKING_SETS = tuple(1 << power for power in range(18, 29))
"""256 KiB to 256 MiB, bytes."""
ROWS, WIDTH = 256, 1024
"""Rows of the products that are timed, and their inputs and outputs."""


def probe() -> Device:
    """Measure this machine; takes about ten seconds."""
    return Device(
        key=THIS,
        name=f"this machine, one thread: {processor_name()}",
        bandwidths=tuple((float(size), bandwidth(size)) for size in WORKING_SETS),
        int8_per_s=products(int8=True),
        float_per_s=products(int8=False),
        per_float=SINGLE,
        note="measured: copies and reductions by working set; products by ONNX Runtime, so no bound by physics",
        sources=("measured when this was written",),
        measured=True,
    )


def bandwidth(working_set: int) -> float:
    """Bytes a second: the better of a copy, which reads half of the set and writes the other, and of a reduction."""
    whole = np.ones(working_set // SINGLE, np.float32)
    first, second = np.split(whole, 2)
    times = [least_s(lambda: np.copyto(second, first)), least_s(lambda: np.maximum.reduce(whole))]
    return working_set / min(times)


def products(*, int8: bool) -> float:
    """Operations a second of a layer with INT8 or float32 operands."""
    engine = OnnxEngine(product_graph(ROWS, WIDTH, WIDTH, int8=int8).SerializeToString())
    x, y = np.ones((1, ROWS, WIDTH), np.float32), np.empty((1, ROWS, WIDTH), np.float32)
    return 2 * ROWS * WIDTH * WIDTH / least_s(lambda: engine.run({"x": x}, {"y": y}))


def processor_name() -> str:
    """As the kernel calls it."""
    try:
        lines = Path("/proc/cpuinfo").read_text(encoding="utf-8").splitlines()
    except OSError:
        lines = []
    return next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), platform.machine())
