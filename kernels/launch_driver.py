"""Launches through the CUDA driver's C interface, by ctypes: nothing to install beside the driver."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_size_t, c_uint, c_uint64, c_ulonglong, c_void_p
from typing import Any

from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.kernels.layouts import KERNELS

LIBRARY = "libcuda.so.1"
NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: no hidden waiting for the default stream."""
MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""
THREAD_LOCAL = 1
"""CU_STREAM_CAPTURE_MODE_THREAD_LOCAL: other threads may go on using the device."""
ON_DEVICE = 2
"""CU_MEMORYTYPE_DEVICE."""
BUFFER, SIZE, END = c_void_p(1), c_void_p(2), c_void_p(0)
"""CU_LAUNCH_PARAM_BUFFER_POINTER, _BUFFER_SIZE, _END: arguments as one packed buffer."""


class _Rows(ctypes.Structure):
    """CUDA_MEMCPY2D, both ends on the device."""

    _fields_ = (
        *((f"source_{name}", kind) for name, kind in (("x", c_size_t), ("y", c_size_t), ("type", c_uint))),
        *(("source_host", c_void_p), ("source", c_uint64), ("source_array", c_void_p), ("source_pitch", c_size_t)),
        *((f"to_{name}", kind) for name, kind in (("x", c_size_t), ("y", c_size_t), ("type", c_uint))),
        *(("to_host", c_void_p), ("to", c_uint64), ("to_array", c_void_p), ("to_pitch", c_size_t)),
        *(("width", c_size_t), ("rows", c_size_t)),
    )


class DriverDevice:
    """A GPU by its ordinal, see `launch.Device`; beyond that, what inference engines need of streams and memory.

    Args:
        ordinal: which GPU.
        library: the driver library.

    Raises:
        EnvironmentLacksError: there is no driver or no such GPU.
    """

    def __init__(self, ordinal: int = 0, library: str = LIBRARY) -> None:
        try:
            self._cuda = ctypes.CDLL(library)
        except OSError as error:
            raise EnvironmentLacksError(f"GPU kernels: no CUDA driver ({error}); nothing can run on a GPU") from error
        try:
            self._call("cuInit", c_uint(0))
            self._device = self._integer("cuDeviceGet", c_int(ordinal))
        except EngineError as error:
            raise EnvironmentLacksError(f"GPU kernels: {library} finds no GPU {ordinal}: {error}") from error
        name = ctypes.create_string_buffer(256)
        self._call("cuDeviceGetName", name, c_int(len(name)), c_int(self._device))
        self.name = name.value.decode()
        version = self._integer("cuDriverGetVersion")
        self.driver_cuda = version // 1000, version % 1000 // 10
        major, minor = (
            self._integer("cuDeviceGetAttribute", c_int(which), c_int(self._device)) for which in (MAJOR, MINOR)
        )
        self.capability = major, minor
        self._context = self._pointer("cuDevicePrimaryCtxRetain", c_int(self._device))
        self._modules: list[int] = []
        self._streams: list[int] = []
        self._graphs: list[int] = []

    def load(self, image: bytes) -> dict[str, int]:
        """See `launch.Device`."""
        self._enter()
        module = self._pointer("cuModuleLoadData", c_char_p(image))
        self._modules.append(module)
        return {
            kernel: self._pointer("cuModuleGetFunction", c_void_p(module), c_char_p(f"ovk_{kernel}".encode()))
            for kernel in KERNELS
        }

    def new_stream(self) -> int:
        """See `launch.Device`."""
        self._enter()
        self._streams.append(self._pointer("cuStreamCreate", c_uint(NON_BLOCKING)))
        return self._streams[-1]

    def allocate(self, size: int) -> int:
        """See `launch.Device`."""
        self._enter()
        return self._pointer("cuMemAlloc_v2", ctypes.c_size_t(size))

    def free(self, address: int) -> None:
        """See `launch.Device`."""
        self._enter()
        self._call("cuMemFree_v2", c_void_p(address))

    def to_device(self, address: int, array: NDArray[Any], stream: int) -> None:
        """See `launch.Device`."""
        self._enter()
        self._copy("cuMemcpyHtoDAsync_v2", address, array.ctypes.data, array, stream)

    def to_host(self, array: NDArray[Any], address: int, stream: int) -> None:
        """See `launch.Device`."""
        self._enter()
        self._copy("cuMemcpyDtoHAsync_v2", array.ctypes.data, address, array, stream)
        self.synchronise(stream)

    def launch(self, function: int, blocks: int, threads: int, arguments: bytes, stream: int) -> None:
        """See `launch.Device`."""
        self._enter()
        # The driver copies the buffer before it returns.
        size = ctypes.c_size_t(len(arguments))
        text = ctypes.cast(c_char_p(arguments), c_void_p)
        extra = (c_void_p * 5)(BUFFER, text, SIZE, ctypes.cast(byref(size), c_void_p), END)
        grid = c_uint(blocks), c_uint(1), c_uint(1), c_uint(threads), c_uint(1), c_uint(1), c_uint(0)
        self._call("cuLaunchKernel", c_void_p(function), *grid, c_void_p(stream), None, extra)

    def zero(self, address: int, size: int, stream: int) -> None:
        """Fill memory with zero bytes."""
        self._enter()
        self._call("cuMemsetD8Async", c_uint64(address), ctypes.c_ubyte(0), c_size_t(size), c_void_p(stream))

    def copy_rows(
        self, to: int, to_pitch: int, source: int, source_pitch: int, width: int, rows: int, stream: int
    ) -> None:
        """Copy `rows` pieces of `width` bytes on the device; the pitches are the distances between their beginnings."""
        self._enter()
        copy = _Rows(width=width, rows=rows, to=to, to_pitch=to_pitch, source=source, source_pitch=source_pitch)
        copy.to_type = copy.source_type = ON_DEVICE
        self._call("cuMemcpy2DAsync_v2", byref(copy), c_void_p(stream))

    def begin_capture(self, stream: int) -> None:
        """What this thread puts on the stream from now on is recorded and does not run."""
        self._enter()
        self._call("cuStreamBeginCapture_v2", c_void_p(stream), c_int(THREAD_LOCAL))

    def end_capture(self, stream: int) -> int:
        """The record, ready to be launched; it is kept until `close`.

        Raises:
            EngineError: something on the stream cannot be recorded; the stream is usable again.
        """
        self._enter()
        graph = c_void_p()
        self._call("cuStreamEndCapture", c_void_p(stream), byref(graph))
        try:
            self._graphs.append(self._pointer("cuGraphInstantiateWithFlags", graph, c_ulonglong(0)))
        finally:
            self._call("cuGraphDestroy", graph)
        return self._graphs[-1]

    def launch_graph(self, graph: int, stream: int) -> None:
        """Put a record on a stream."""
        self._enter()
        self._call("cuGraphLaunch", c_void_p(graph), c_void_p(stream))

    def synchronise(self, stream: int) -> None:
        """See `launch.Device`."""
        self._enter()
        self._call("cuStreamSynchronize", c_void_p(stream))

    def close(self) -> None:
        """See `launch.Device`."""
        try:
            self._enter()
            for graph in self._graphs:
                self._call("cuGraphExecDestroy", c_void_p(graph))
            for stream in self._streams:
                self._call("cuStreamDestroy_v2", c_void_p(stream))
            for module in self._modules:
                self._call("cuModuleUnload", c_void_p(module))
        finally:
            # Also after a fault on the device, when everything but this fails.
            self._streams, self._modules, self._graphs = [], [], []
            self._call("cuCtxSetCurrent", None)
            self._call("cuDevicePrimaryCtxRelease_v2", c_int(self._device))

    def _enter(self) -> None:
        """The context belongs to a thread, and other code of the process may have set its own."""
        self._call("cuCtxSetCurrent", c_void_p(self._context))

    def _copy(self, name: str, to: int, source: int, array: NDArray[Any], stream: int) -> None:
        if not array.flags.c_contiguous:
            raise ValueError(f"copy of an array of strides {array.strides}: expected a contiguous one")
        self._call(name, c_void_p(to), c_void_p(source), ctypes.c_size_t(array.nbytes), c_void_p(stream))

    def _integer(self, name: str, *arguments: Any) -> int:  # noqa: ANN401  whatever the C function takes
        found = c_int()
        self._call(name, byref(found), *arguments)
        return found.value

    def _pointer(self, name: str, *arguments: Any) -> int:  # noqa: ANN401  whatever the C function takes
        found = c_void_p()
        self._call(name, byref(found), *arguments)
        return found.value or 0

    def _call(self, name: str, *arguments: Any) -> None:  # noqa: ANN401  whatever the C function takes
        status = getattr(self._cuda, name)(*arguments)
        if status:
            text = c_char_p()
            self._cuda.cuGetErrorName(c_int(status), byref(text))
            raise EngineError(f"{name} failed: {(text.value or b'unknown error').decode()} ({status})")
