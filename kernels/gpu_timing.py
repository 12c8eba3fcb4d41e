"""Times of launches on a GPU: by events around stream launches, and around replays of a captured graph.

Through the driver's C interface, which pycuda has no graphs for; streams are handles, so both back ends can be timed.
"""

from __future__ import annotations

import ctypes
import statistics
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from ctypes import byref, c_float, c_uint, c_uint64, c_void_p
from typing import Any

from onboard_vla.core.errors import EngineError
from onboard_vla.kernels.device_form import DeviceForm
from onboard_vla.kernels.launch import GpuKernels
from onboard_vla.kernels.layouts import Arguments

THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on using the device."""
REPETITIONS, GRAPH_LAUNCHES = 200, 10
CEILING_BYTES = 256 << 20
"""Of the copy that measures memory's ceiling; larger than any cache."""


class Timings(DeviceForm):
    """A form that times what it runs; `figures` holds the last run's."""

    def __init__(self, gpu: GpuKernels, library: str, repetitions: int = REPETITIONS) -> None:
        super().__init__(gpu)
        self._cuda, self._repetitions = ctypes.CDLL(library), repetitions
        self.figures: dict[str, float] = {}

    def run(self, kernel: str, arguments: Arguments, blocks: int, *, first: int = 0, reverse: bool = False) -> None:
        """Time a whole launch: medians in microseconds, bytes that it was given and gives."""
        with self.staged(kernel, arguments, blocks) as staged:
            alone = self.median_us(lambda: staged.launch.launch(self.stream))
            with self._graph(lambda: staged.launch.launch(self.stream)) as graph:
                replayed = self.median_us(lambda: self._call("cuGraphLaunch", graph, c_void_p(self.stream)))
            self.figures = {
                "launch_us": alone,
                "graph_us": replayed / GRAPH_LAUNCHES,
                "bytes": float(staged.bytes_moved),
            }

    def bytes_per_s(self, size: int = CEILING_BYTES) -> float:
        """Of a copy inside device memory, reading and writing counted."""
        source, target = self._device.allocate(size), self._device.allocate(size)
        arguments = c_uint64(target), c_uint64(source), ctypes.c_size_t(size), c_void_p(self.stream)
        took = self.median_us(lambda: self._call("cuMemcpyDtoDAsync_v2", *arguments))
        for address in (source, target):
            self._device.free(address)
        return 2 * size / (took * 1e-6)

    def median_us(self, enqueue: Callable[[], None]) -> float:
        """Of what `enqueue` puts on the stream, between two events, after two unmeasured rounds."""
        events = [c_void_p(), c_void_p()]
        for event in events:
            self._call("cuEventCreate", byref(event), c_uint(0))
        times = []
        for repetition in range(self._repetitions + 2):
            self._call("cuEventRecord", events[0], c_void_p(self.stream))
            enqueue()
            self._call("cuEventRecord", events[1], c_void_p(self.stream))
            self._device.synchronise(self.stream)
            took = c_float()
            self._call("cuEventElapsedTime", byref(took), *events)
            if repetition >= 2:
                times.append(took.value * 1e3)
        for event in events:
            self._call("cuEventDestroy_v2", event)
        return statistics.median(times)

    @contextmanager
    def _graph(self, enqueue: Callable[[], None]) -> Iterator[c_void_p]:
        graph, ready = c_void_p(), c_void_p()
        self._call("cuStreamBeginCapture_v2", c_void_p(self.stream), c_uint(THREAD_LOCAL))
        for _ in range(GRAPH_LAUNCHES):
            enqueue()
        self._call("cuStreamEndCapture", c_void_p(self.stream), byref(graph))
        self._call("cuGraphInstantiateWithFlags", byref(ready), graph, ctypes.c_ulonglong(0))
        try:
            yield ready
        finally:
            self._call("cuGraphExecDestroy", ready)
            self._call("cuGraphDestroy", graph)

    def _call(self, name: str, *arguments: Any) -> None:  # noqa: ANN401  whatever the C function takes
        status = getattr(self._cuda, name)(*arguments)
        if status:
            raise EngineError(f"{name} failed with status {status}")
