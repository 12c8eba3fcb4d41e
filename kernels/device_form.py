"""Kernels on a GPU behind the host library's interface, for comparing bits; the runtime's form is `gpu_form.py`.

Memory is allocated anew with a guard band on each side, filled with 0xFF, and every band is read again after the
launch: a write beside an array is an error even where no sanitizer runs. Where one runs there are no bands and nothing
is filled, for it would take a band for the array's own memory, and the filling for the kernel's results.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError
from onboard_vla.kernels.launch import GpuKernels, KernelLaunch
from onboard_vla.kernels.layouts import Arguments, PatchArguments
from onboard_vla.kernels.memory import array_at
from onboard_vla.kernels.staging import part_of, staged

GUARD_BYTES = 64
FILL = 0xFF


@dataclass
class Staged:
    """Arguments with device addresses, ready to launch, and the memory they hold."""

    launch: KernelLaunch
    memory: list[tuple[int, int]] = field(default_factory=list)
    bytes_moved: int = 0


class DeviceForm:
    """Runs kernels on a device; results are read back, guard bands are checked.

    Args:
        gpu: the kernels.
        guarded: whether arrays have guard bands and are filled.
    """

    def __init__(self, gpu: GpuKernels, *, guarded: bool = True) -> None:
        self._gpu, self._device, self._band = gpu, gpu.device, GUARD_BYTES if guarded else 0
        self.name = f"GPU {self._device.name}"
        self.stream = self._device.new_stream()

    def run(self, kernel: str, arguments: Arguments, blocks: int, *, first: int = 0, reverse: bool = False) -> None:
        """Run a whole launch on arrays in this process's memory.

        Raises:
            EngineError: the launch failed, or wrote beside an array.
            ValueError: `first` or `reverse` was asked for; a GPU has its own order.
        """
        if first or reverse:
            raise ValueError("a GPU runs whole launches in its own order")
        with self.staged(kernel, arguments, blocks) as held:
            held.launch.launch(self.stream)
            self._device.synchronise(self.stream)

    def patches_by_rows(self, arguments: PatchArguments, begin: int, end: int) -> None:
        """Kernel 0, the block program, for jobs `begin` to `end`."""
        part, _kept = part_of(arguments, begin, end)
        self.run("patches", part, part.blocks)

    def keep(self, array: NDArray[Any]) -> None:
        """Nothing to do: everything is copied on every call, to be compared and guarded."""

    @contextmanager
    def staged(self, kernel: str, arguments: Arguments, blocks: int) -> Iterator[Staged]:
        """Copy everything to the device; on leaving, read results back, check guard bands, free."""
        held = Staged(self._gpu.prepare(kernel, arguments, blocks))
        try:
            there, results = staged(arguments, lambda size, content: self._place(size, content, held))
            held.launch = self._gpu.prepare(kernel, there, blocks)
            yield held
            for result in results:
                self._device.to_host(array_at(result.address, np.uint8, result.size), result.there, self.stream)
            self._check_guards(kernel, held)
        finally:
            for address, _ in held.memory:
                self._device.free(address)

    def _place(self, size: int, content: NDArray[np.uint8] | None, held: Staged) -> int:
        address = self._device.allocate(size + 2 * self._band)
        held.memory.append((address, size))
        held.bytes_moved += size
        if self._band or content is not None:
            whole = np.full(size + 2 * self._band, FILL, np.uint8)
            if content is not None:
                whole[self._band : self._band + size] = content
            self._device.to_device(address, whole, self.stream)
            self._device.synchronise(self.stream)
        return address + self._band

    def _check_guards(self, kernel: str, held: Staged) -> None:
        for address, size in held.memory if self._band else ():
            for band in (address, address + GUARD_BYTES + size):
                found = np.empty(GUARD_BYTES, np.uint8)
                self._device.to_host(found, band, self.stream)
                if (found != FILL).any():
                    raise EngineError(f"{kernel} wrote beside an array of {size} bytes on {self._device.name}")
