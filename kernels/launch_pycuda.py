"""Launches through pycuda, which is imported when a device is opened and not before."""

from __future__ import annotations

import ctypes
from typing import Any

from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.core.installation import installation
from onboard_vla.kernels.layouts import KERNELS

NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: no hidden waiting for the default stream."""


class PycudaDevice:
    """A GPU by its ordinal, see `launch.Device`. Streams are pycuda's own: it cannot wrap one that others made.

    Raises:
        EnvironmentLacksError: pycuda or the driver is missing, or there is no such GPU.
    """

    def __init__(self, ordinal: int = 0) -> None:
        try:
            import pycuda.driver as cuda
        except ImportError as error:
            raise EnvironmentLacksError(
                f"GPU kernels: pycuda does not load ({error}); {installation('cuda')}, where the driver is"
            ) from error
        self._cuda = cuda
        try:
            cuda.init()
            device = cuda.Device(ordinal)
        except cuda.Error as error:
            raise EnvironmentLacksError(f"GPU kernels: pycuda finds no GPU {ordinal}: {error}") from error
        self.name = str(device.name())
        self.capability = tuple(device.compute_capability())
        version = cuda.get_driver_version()
        self.driver_cuda = version // 1000, version % 1000 // 10
        self._context = device.retain_primary_context()
        self._context.push()
        self._modules: list[Any] = []
        self._streams: dict[int, Any] = {}
        self._memory: dict[int, Any] = {}

    def load(self, image: bytes) -> dict[str, Any]:
        """See `launch.Device`."""
        module = self._checked(self._cuda.module_from_buffer, image)
        self._modules.append(module)
        functions = {}
        for kernel, arguments in KERNELS.items():
            functions[kernel] = self._checked(module.get_function, f"ovk_{kernel}")
            functions[kernel].prepare([f"{ctypes.sizeof(arguments)}s"])
        return functions

    def new_stream(self) -> int:
        """See `launch.Device`."""
        stream = self._checked(self._cuda.Stream, NON_BLOCKING)
        self._streams[stream.handle] = stream
        return int(stream.handle)

    def allocate(self, size: int) -> int:
        """See `launch.Device`."""
        memory = self._checked(self._cuda.mem_alloc, size)
        self._memory[int(memory)] = memory
        return int(memory)

    def free(self, address: int) -> None:
        """See `launch.Device`."""
        self._checked(self._memory.pop(address).free)

    def to_device(self, address: int, array: NDArray[Any], stream: int) -> None:
        """See `launch.Device`."""
        self._checked(self._cuda.memcpy_htod_async, address, array, self._streams[stream])

    def to_host(self, array: NDArray[Any], address: int, stream: int) -> None:
        """See `launch.Device`."""
        self._checked(self._cuda.memcpy_dtoh_async, array, address, self._streams[stream])
        self.synchronise(stream)

    def launch(self, function: Any, blocks: int, threads: int, arguments: bytes, stream: int) -> None:  # noqa: ANN401
        """See `launch.Device`."""
        self._checked(function.prepared_async_call, (blocks, 1), (threads, 1, 1), self._streams[stream], arguments)

    def synchronise(self, stream: int) -> None:
        """See `launch.Device`."""
        self._checked(self._streams[stream].synchronize)

    def close(self) -> None:
        """See `launch.Device`."""
        self._modules, self._streams = [], {}
        self._context.pop()
        self._context.detach()

    def _checked(self, call: Any, *arguments: Any) -> Any:  # noqa: ANN401  whatever pycuda takes and gives
        try:
            return call(*arguments)
        except self._cuda.Error as error:
            raise EngineError(f"pycuda: {error}") from error
