"""Launches through the CUDA driver's C interface, by ctypes: nothing to install beside the driver."""

from __future__ import annotations

import ctypes
from ctypes import byref, c_char_p, c_int, c_uint, c_void_p
from typing import Any

from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.kernels.layouts import KERNELS

LIBRARY = "libcuda.so.1"
NON_BLOCKING = 1
"""CU_STREAM_NON_BLOCKING: no hidden waiting for the default stream."""
MAJOR, MINOR = 75, 76
"""CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR and _MINOR."""
BUFFER, SIZE, END = c_void_p(1), c_void_p(2), c_void_p(0)
"""CU_LAUNCH_PARAM_BUFFER_POINTER, _BUFFER_SIZE, _END: arguments as one packed buffer."""


class DriverDevice:
    """A GPU by its ordinal, see `launch.Device`.

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

    def synchronise(self, stream: int) -> None:
        """See `launch.Device`."""
        self._enter()
        self._call("cuStreamSynchronize", c_void_p(stream))

    def close(self) -> None:
        """See `launch.Device`."""
        try:
            self._enter()
            for stream in self._streams:
                self._call("cuStreamDestroy_v2", c_void_p(stream))
            for module in self._modules:
                self._call("cuModuleUnload", c_void_p(module))
        finally:
            # Also after a fault on the device, when everything but this fails.
            self._streams, self._modules = [], []
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
