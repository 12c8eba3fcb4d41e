"""The kernels on a GPU for arrays in this process's memory, and whether this machine's GPU may be used at all.

**No GPU has run this yet**: it was seen with a driver library that has none. That is why a GPU is used only after it
has given the host library's bits on random calls of every kernel. Constant tables that were named to `keep` are copied
once, everything else on every call; who has results of an engine on the device binds them with `launch.GpuKernels`
instead.
"""

from __future__ import annotations

import atexit
import importlib.util
import weakref
from collections.abc import Callable
from contextlib import suppress
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError, EnvironmentLacksError
from onboard_vla.kernels.gpu_check import compare
from onboard_vla.kernels.launch import Device, FatBinary, GpuKernels
from onboard_vla.kernels.launch_driver import DriverDevice
from onboard_vla.kernels.launch_pycuda import PycudaDevice
from onboard_vla.kernels.layouts import KERNELS, Arguments, KernelForm, PatchArguments
from onboard_vla.kernels.memory import array_at
from onboard_vla.kernels.one_thread import OneThread
from onboard_vla.kernels.staging import part_of, staged

TRIED_SHAPES = 2
"""Random calls of each kernel before a GPU is used; `gpu_check` makes 50."""
ALIGNMENT = 256
"""Of every array on the device, in bytes, as allocations have it."""


class GpuForm:
    """Runs whole launches on a device; may be called from any thread.

    All of the driver's calls come from one thread of its own, because a context belongs to a thread. Device memory is
    one block that grows to what the largest call needs and is kept, and a copy of each constant array.

    Args:
        open_device: opens the device; called on that thread.
        binary: the GPU code.

    Raises:
        EnvironmentLacksError: there is no device, or the code does not fit it.
    """

    def __init__(self, open_device: Callable[[], Device], binary: FatBinary) -> None:
        self._thread = OneThread("gpu kernels")
        self._address = self._size = self._used = 0
        self._constants: dict[int, tuple[int, int]] = {}  # address here -> bytes, address on the device
        self._unused: list[int] = []  # on the device, of constants that are garbage
        try:
            self._thread.call(lambda: self._open(open_device, binary))
        except BaseException:
            self._thread.end()
            raise
        self.name = f"GPU {self._device.name}"
        # pycuda ends the process with an error where a thread ends before its context is left.
        atexit.register(self.close)

    def run(self, kernel: str, arguments: Arguments, blocks: int, *, first: int = 0, reverse: bool = False) -> None:
        """Copy to the device, launch, copy back.

        Raises:
            EngineError: the driver refused something, or the launch failed.
            ValueError: `first` or `reverse` was asked for; a GPU has its own order.
        """
        if first or reverse:
            raise ValueError("a GPU runs whole launches in its own order")
        self._thread.call(lambda: self._run(kernel, arguments, blocks))

    def keep(self, array: NDArray[Any]) -> None:
        """Copy a constant to the device; it becomes read-only, and its copy is given back after it is garbage.

        Raises:
            EngineError: the driver refused something.
            ValueError: the array's elements do not follow each other.
        """
        if not (array.flags.c_contiguous or array.flags.f_contiguous):
            raise ValueError(f"constant of strides {array.strides}: expected a contiguous array")
        array.flags.writeable = False
        self._thread.call(lambda: self._keep(array))

    def patches_by_rows(self, arguments: PatchArguments, begin: int, end: int) -> None:
        """Kernel 0, the block program, for jobs `begin` to `end`."""
        part, _kept = part_of(arguments, begin, end)
        self.run("patches", part, part.blocks)

    def close(self) -> None:
        """Give memory and context back; a second call does nothing."""
        atexit.unregister(self.close)
        if self._thread.ended:
            return
        try:
            self._thread.call(self._close)
        finally:
            self._thread.end()

    def _open(self, open_device: Callable[[], Device], binary: FatBinary) -> None:
        self._device = open_device()
        try:
            self._gpu = GpuKernels(self._device, binary)
            self._stream = self._device.new_stream()
        except BaseException:
            self._device.close()
            raise

    def _keep(self, array: NDArray[Any]) -> None:
        here = array.ctypes.data
        if here in self._constants:
            return
        there = self._device.allocate(array.nbytes)
        self._device.to_device(there, array_at(here, np.uint8, array.nbytes), self._stream)
        self._device.synchronise(self._stream)
        self._constants[here] = array.nbytes, there
        weakref.finalize(array, self._forget, here).atexit = False

    def _forget(self, here: int) -> None:
        """Called from any thread, before the array's memory can become another's."""
        self._unused.append(self._constants.pop(here)[1])

    def _kept(self, size: int, content: NDArray[np.uint8] | None) -> int | None:
        """The device's copy of what begins here, if it is a constant of this size."""
        known = None if content is None else self._constants.get(content.ctypes.data)
        return known[1] if known is not None and known[0] == size else None

    def _needed(self, arguments: Arguments) -> int:
        total = 0

        def count(size: int, content: NDArray[np.uint8] | None) -> int:
            nonlocal total
            total += 0 if self._kept(size, content) is not None else _rounded(size)
            return 0

        staged(arguments, count)
        return total

    def _run(self, kernel: str, arguments: Arguments, blocks: int) -> None:
        while self._unused:
            self._device.free(self._unused.pop())
        self._reserve(self._needed(arguments))
        sources: list[NDArray[np.uint8]] = []

        def place(size: int, content: NDArray[np.uint8] | None) -> int:
            if (kept := self._kept(size, content)) is not None:
                return kept
            address = self._address + self._used
            self._used += _rounded(size)
            if content is not None:
                sources.append(content)
                self._device.to_device(address, content, self._stream)
            return address

        self._used = 0
        try:
            there, results = staged(arguments, place)
            self._gpu.prepare(kernel, there, blocks).launch(self._stream)
            for result in results:
                self._device.to_host(array_at(result.address, np.uint8, result.size), result.there, self._stream)
        finally:
            # The stream reads the caller's arrays until here, also where a later step was refused.
            self._device.synchronise(self._stream)

    def _reserve(self, size: int) -> None:
        if size <= self._size:
            return
        if self._address:
            self._device.free(self._address)
            self._address = self._size = 0
        self._address = self._device.allocate(size)
        self._size = size

    def _close(self) -> None:
        held = [*self._unused, *(there for _, there in self._constants.values())]
        held += [self._address] if self._address else []
        self._unused.clear()
        self._address = 0
        try:
            for address in held:
                self._device.free(address)
        finally:
            self._device.close()


def open_device() -> Device:
    """The first GPU: by pycuda where that loads, else by the driver's C interface.

    Raises:
        EnvironmentLacksError: there is none.
    """
    if importlib.util.find_spec("pycuda") is not None:
        with suppress(EnvironmentLacksError):  # the driver itself says what is wrong, if something is
            return PycudaDevice()
    return DriverDevice()


def proven_gpu(
    host: KernelForm | None,
    opened: Callable[[], Device] = open_device,
    installed: Callable[[], FatBinary] = FatBinary.installed,
) -> GpuForm:
    """The machine's GPU, after it has given `host`'s bits on random calls of every kernel.

    Raises:
        EnvironmentLacksError: there is no GPU, no code that fits it, no host library to compare with, or a difference.
    """
    binary = installed()
    if host is None:
        raise EnvironmentLacksError("GPU kernels: no host library to compare them with; install a C++ compiler")
    try:
        form = GpuForm(opened, binary)
    except EngineError as error:
        raise EnvironmentLacksError(f"GPU kernels: {error}") from error
    for kernel in KERNELS:
        found = compare(kernel, host, form, TRIED_SHAPES)
        if found["equal"] != TRIED_SHAPES:
            with suppress(EngineError):  # after a fault on the device nothing there can be given back one by one
                form.close()
            raise EnvironmentLacksError(
                f"GPU kernels: {kernel} on {form.name} differs from the host library ({found['first_difference']}); "
                "run python -m onboard_vla.kernels.gpu_check"
            )
    return form


def _rounded(size: int) -> int:
    return max(1, -(-size // ALIGNMENT)) * ALIGNMENT
