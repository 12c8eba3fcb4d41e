"""A kernel's arguments on a device: which memory belongs to them, and the same struct with device addresses."""

from __future__ import annotations

import ctypes
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels.images import ROW
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

Place = Callable[[int, NDArray[np.uint8] | None], int]
"""Makes room for so many bytes on the device, with this content where it is read; gives the address."""


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


@dataclass(frozen=True)
class Result:
    """Bytes that a kernel writes: how many, where they belong in this process, where they are on the device."""

    size: int
    address: int
    there: int


def staged(arguments: Arguments, place: Place) -> tuple[Arguments, list[Result]]:
    """The same arguments with device addresses, and what to read back after the launch."""
    there = type(arguments).from_buffer_copy(arguments)
    results = []
    for region in regions(arguments):
        address = getattr(arguments, region.name)
        if address is None:
            continue
        content = None if region.written else array_at(address, np.uint8, region.size)
        if region.name == "jobs" and isinstance(arguments, PatchArguments):
            content = _jobs(arguments, place)
        moved = place(region.size, content)
        setattr(there, region.name, moved)
        if region.written:
            results.append(Result(region.size, address, moved))
    return there, results


def part_of(arguments: PatchArguments, begin: int, end: int) -> tuple[PatchArguments, object]:
    """Jobs `begin` to `end` as a launch of its own, and what must be kept alive until it is done."""
    every = (PatchJob * arguments.jobs_count).from_address(arguments.jobs)
    jobs = (PatchJob * (end - begin))(*every[begin:end])
    block, row = jobs[0].first_block, jobs[0].first_row
    for job in jobs:
        job.first_block -= block
        job.first_row -= row
    part = PatchArguments.from_buffer_copy(arguments)
    part.jobs, part.jobs_count = ctypes.addressof(jobs), end - begin
    part.blocks = (arguments.blocks if end == arguments.jobs_count else every[end].first_block) - block
    part.out = arguments.out + row * ROW * (2 if arguments.is_half else 4)
    return part, jobs


def _jobs(arguments: PatchArguments, place: Place) -> NDArray[np.uint8]:
    """Jobs whose pictures, maps and tables stand on the device."""
    jobs = (PatchJob * arguments.jobs_count).from_buffer_copy(
        array_at(arguments.jobs, np.uint8, arguments.jobs_count * ctypes.sizeof(PatchJob))
    )
    for job in jobs:
        single = job.older == job.newer
        lines = job.height * 3 // 2 if job.format == 2 else job.height
        row = job.width * {0: 3, 1: 3, 2: 1}.get(job.format, 2)
        size = (lines - 1) * job.row_bytes + row
        job.older = place(size, array_at(job.older, np.uint8, size))
        job.newer = job.older if single else place(size, array_at(job.newer, np.uint8, size))
        if job.map is not None:
            size = job.crop_width * job.crop_height * 8
            job.map = place(size, array_at(job.map, np.uint8, size))
        for table, outputs in ((job.across, job.out_width), (job.down, job.out_height)):
            _table(table, outputs, place)
    return np.frombuffer(bytes(jobs), np.uint8)


def _table(table: ResizeTable, outputs: int, place: Place) -> None:
    for name, size in (("bounds", outputs * 8), ("coefficients", outputs * table.taps * 4)):
        setattr(table, name, place(size, array_at(getattr(table, name), np.uint8, size)))
