"""Memory and streams that look like a GPU's: what `device_tensors.DeviceMemory` asks for, stricter than a real one.

Work on a stream happens when the stream is waited for, and not before. Memory begins as 0xFF bytes; every address must
lie in live memory. What comes on a stream between begin and end of a capture is recorded and does not run.
"""

from __future__ import annotations

from collections.abc import Callable

import numpy as np

from onboard_vla.core.errors import EngineError
from onboard_vla.kernels.memory import array_at


class FakeGpu:
    name, capability, driver_cuda = "fake GPU", (8, 7), (12, 6)

    def __init__(self, *, captures: bool = True):
        self.captures = captures
        self.memory: dict[int, np.ndarray] = {}
        self.streams: dict[int, list[Callable[[], None]]] = {}
        self.capturing: dict[int, list[Callable[[], None]]] = {}
        self.graphs: dict[int, list[Callable[[], None]]] = {}
        self.calls: list[str] = []

    def new_stream(self) -> int:
        handle = 1000 + len(self.streams)
        self.streams[handle] = []
        return handle

    def allocate(self, size: int) -> int:
        assert size > 0, "CUDA refuses to allocate nothing"
        block = np.full(size + 256, 0xFF, np.uint8)
        address = -(-block.ctypes.data // 256) * 256
        self.memory[address] = block
        self.calls.append("allocate")
        return address

    def free(self, address: int) -> None:
        del self.memory[address]

    def check(self, address: int, size: int) -> None:
        """An address beyond live memory is a fault."""
        for begin, block in self.memory.items():
            if begin <= address and address + size <= begin + block.nbytes - 256:
                return
        raise EngineError(f"illegal address: {size} bytes at {address:#x}")

    def enqueue(self, stream: int, work: Callable[[], None]) -> None:
        (self.capturing[stream] if stream in self.capturing else self.streams[stream]).append(work)

    def to_device(self, address, array, stream):
        assert array.flags.c_contiguous
        assert array.nbytes
        self.check(address, array.nbytes)
        self.calls.append("to_device")
        self.enqueue(stream, lambda: array_at(address, array.dtype, *array.shape).__setitem__(..., array))

    def to_host(self, array, address, stream):
        assert array.flags.c_contiguous
        self.check(address, array.nbytes)
        self.calls.append("to_host")
        self.enqueue(stream, lambda: array.__setitem__(..., array_at(address, array.dtype, *array.shape)))
        self.synchronise(stream)

    def zero(self, address, size, stream):
        self.check(address, size)
        self.enqueue(stream, lambda: array_at(address, np.uint8, size).fill(0))

    def copy_rows(self, to, to_pitch, source, source_pitch, width, rows, stream):
        assert width <= to_pitch
        assert width <= source_pitch
        self.calls.append("copy_rows")
        for i in range(rows):
            ends = to + i * to_pitch, source + i * source_pitch
            for end in ends:
                self.check(end, width)
            self.enqueue(
                stream,
                lambda ends=ends: array_at(ends[0], np.uint8, width).__setitem__(
                    ..., array_at(ends[1], np.uint8, width)
                ),
            )

    def synchronise(self, stream):
        if stream in self.capturing:
            raise EngineError("waiting for a stream that is captured")
        work, self.streams[stream] = self.streams[stream], []
        for item in work:
            item()

    def begin_capture(self, stream):
        if not self.captures:
            raise EngineError("this GPU captures nothing")
        assert stream not in self.capturing
        self.capturing[stream] = []
        self.calls.append("begin_capture")

    def end_capture(self, stream):
        graph = len(self.graphs) + 1
        self.graphs[graph] = self.capturing.pop(stream)
        return graph

    def launch_graph(self, graph, stream):
        self.calls.append("launch_graph")
        for work in self.graphs[graph]:
            self.enqueue(stream, work)

    def close(self):
        pass
