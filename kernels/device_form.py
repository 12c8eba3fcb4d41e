"""Kernels on a GPU behind the host library's interface: arrays are copied there and back on every call.

For comparing bits, not for the runtime. Memory is allocated anew with a guard band on each side, filled with 0xFF, and
every band is read again after the launch: a write beside an array is an error even where no sanitizer runs.
"""

from __future__ import annotations

import ctypes
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import EngineError
from onboard_vla.kernels.images import ROW
from onboard_vla.kernels.launch import GpuKernels, KernelLaunch
from onboard_vla.kernels.layouts import (
    Arguments,
    ComposeArguments,
    DispersionArguments,
    FootprintArguments,
    PatchArguments,
    PatchJob,
    ResizeTable,
    RowStatistics,
    StatisticsArguments,
)
from onboard_vla.kernels.memory import array_at

GUARD_BYTES = 64
FILL = 0xFF


@dataclass(frozen=True)
class Region:
    """What a pointer of the arguments points at: field, bytes, and whether the kernel writes it."""

    name: str
    size: int
    written: bool = False


def regions(a: Arguments) -> tuple[Region, ...]:
    """All memory that a kernel is given; the pictures behind patch jobs stand in the jobs."""
    if isinstance(a, PatchArguments):
        jobs = Region("jobs", a.jobs_count * ctypes.sizeof(PatchJob))
        return jobs, Region("table", 3 * 256 * 4), Region("out", a.blocks * ROW * (2 if a.is_half else 4), True)
    if isinstance(a, StatisticsArguments):
        elements = (a.rows - 1) * a.row_stride + a.vocabulary
        return (
            Region("logits", elements * (2 if a.is_half else 4)),
            Region("allowed", a.actions),
            Region("seen", a.rows * a.actions),
            Region("chosen", a.rows * 4),
            Region("ends", a.actions * 8),
            Region("seed", 8),
            Region("step", 4),
            Region("out", a.rows * ctypes.sizeof(RowStatistics), True),
        )
    if isinstance(a, ComposeArguments):
        poses = a.samples * a.tokens_per_sample
        return (
            Region("tokens", poses * 4),
            Region("codebook", a.actions * a.sub_steps * 20),
            Region("poses", poses * 12, True),
            Region("fine", poses * a.sub_steps * 20, True),
            Region("invalid", a.samples * 4, True),
        )
    if isinstance(a, DispersionArguments):
        sizes = {"mean": a.steps * 8, "covariance": a.steps * 12, "pairwise": a.samples**2 * 4}
        sizes |= {"mean_distance": a.samples * 4, "flags": a.samples * 4, "medoid": 4}
        return Region("poses", a.samples * a.steps * 12), *(Region(name, size, True) for name, size in sizes.items())
    if isinstance(a, FootprintArguments):
        return (
            Region("fine", a.candidates * a.steps * 20),
            Region("boxes", a.boxes_count * 32),
            Region("first_contact", a.candidates * 4, True),
            Region("box", a.candidates * 4, True),
        )
    raise TypeError(f"no kernel takes {type(a).__name__}")


@dataclass
class Staged:
    """Arguments with device addresses, ready to launch, and the memory they hold."""

    launch: KernelLaunch
    memory: list[tuple[int, int]] = field(default_factory=list)
    bytes_moved: int = 0


class DeviceForm:
    """Runs kernels on a device; results are read back, guard bands are checked."""

    def __init__(self, gpu: GpuKernels) -> None:
        self._gpu, self._device = gpu, gpu.device
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
        with self.staged(kernel, arguments, blocks) as staged:
            staged.launch.launch(self.stream)
            self._device.synchronise(self.stream)

    def patches_by_rows(self, arguments: PatchArguments, begin: int, end: int) -> None:
        """Kernel 0, the block program; all jobs.

        Raises:
            ValueError: only a part was asked for.
        """
        if (begin, end) != (0, arguments.jobs_count):
            raise ValueError("a GPU runs whole launches")
        self.run("patches", arguments, arguments.blocks)

    @contextmanager
    def staged(self, kernel: str, arguments: Arguments, blocks: int) -> Iterator[Staged]:
        """Copy everything to the device; on leaving, read results back, check guard bands, free."""
        staged = Staged(self._gpu.prepare(kernel, arguments, blocks))
        there = type(arguments).from_buffer_copy(arguments)
        written: list[tuple[Region, int, int]] = []
        try:
            for region in regions(arguments):
                address = getattr(arguments, region.name)
                if address is None:
                    continue
                content = None if region.written else array_at(address, np.uint8, region.size)
                if region.name == "jobs" and isinstance(arguments, PatchArguments):
                    content = self._jobs(arguments, staged)
                moved = self._place(region.size, content, staged)
                setattr(there, region.name, moved)
                if region.written:
                    written.append((region, address, moved))
            staged.launch = self._gpu.prepare(kernel, there, blocks)
            yield staged
            for region, address, moved in written:
                self._device.to_host(array_at(address, np.uint8, region.size), moved, self.stream)
            self._check_guards(kernel, staged)
        finally:
            for address, _ in staged.memory:
                self._device.free(address)

    def _place(self, size: int, content: NDArray[np.uint8] | None, staged: Staged) -> int:
        address = self._device.allocate(size + 2 * GUARD_BYTES)
        staged.memory.append((address, size))
        staged.bytes_moved += size
        whole = np.full(size + 2 * GUARD_BYTES, FILL, np.uint8)
        if content is not None:
            whole[GUARD_BYTES : GUARD_BYTES + size] = content
        self._device.to_device(address, whole, self.stream)
        self._device.synchronise(self.stream)
        return address + GUARD_BYTES

    def _jobs(self, arguments: PatchArguments, staged: Staged) -> NDArray[np.uint8]:
        """Jobs whose pictures, maps and tables stand on the device."""
        jobs = (PatchJob * arguments.jobs_count).from_buffer_copy(
            array_at(arguments.jobs, np.uint8, arguments.jobs_count * ctypes.sizeof(PatchJob))
        )
        for job in jobs:
            single = job.older == job.newer
            lines = job.height * 3 // 2 if job.format == 2 else job.height
            row = job.width * {0: 3, 1: 3, 2: 1}.get(job.format, 2)
            size = (lines - 1) * job.row_bytes + row
            job.older = self._place(size, array_at(job.older, np.uint8, size), staged)
            job.newer = job.older if single else self._place(size, array_at(job.newer, np.uint8, size), staged)
            if job.map is not None:
                size = job.crop_width * job.crop_height * 8
                job.map = self._place(size, array_at(job.map, np.uint8, size), staged)
            self._table(job.across, job.out_width, staged)
            self._table(job.down, job.out_height, staged)
        return np.frombuffer(bytes(jobs), np.uint8)

    def _table(self, table: ResizeTable, outputs: int, staged: Staged) -> None:
        for name, size in (("bounds", outputs * 8), ("coefficients", outputs * table.taps * 4)):
            setattr(table, name, self._place(size, array_at(getattr(table, name), np.uint8, size), staged))

    def _check_guards(self, kernel: str, staged: Staged) -> None:
        for address, size in staged.memory:
            for band in (address, address + GUARD_BYTES + size):
                found = np.empty(GUARD_BYTES, np.uint8)
                self._device.to_host(found, band, self.stream)
                if (found != FILL).any():
                    raise EngineError(f"{kernel} wrote beside an array of {size} bytes on {self._device.name}")
