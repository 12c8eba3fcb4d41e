"""The kernels in NumPy, for machines without a compiler: the host library's interface on the same argument structs.

Where the host library rounds in float32, these forms compute in float64 and round once, so that the results of kernels
1 to 4 differ in last bits, and draws only where two candidates are equal to within them. Patches are equal to the bit.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels.layouts import (
    KERNELS,
    STATISTICS,
    Arguments,
    ComposeArguments,
    DispersionArguments,
    FootprintArguments,
    PatchArguments,
    StatisticsArguments,
)
from onboard_vla.kernels.memory import array_at
from onboard_vla.kernels.numpy_pictures import run_patch_jobs
from onboard_vla.kernels.numpy_statistics import row_statistics
from onboard_vla.kernels.numpy_trajectories import dispersion, first_contacts
from onboard_vla.kernels.reference_trajectory import compose_tokens


class NumpyForms:
    """Runs whole launches; there is no order of threads that could be reversed."""

    name = "NumPy"

    def run(self, kernel: str, arguments: Arguments, blocks: int, *, first: int = 0, reverse: bool = False) -> None:
        """Run a kernel on the arrays that `arguments` points at.

        Raises:
            TypeError: the arguments are another kernel's.
            ValueError: `first` is not 0: a NumPy form has no blocks.
        """
        if not isinstance(arguments, KERNELS[kernel]):
            raise TypeError(f"{kernel} takes {KERNELS[kernel].__name__}, found {type(arguments).__name__}")
        if first:
            raise ValueError(f"{kernel}: a NumPy form runs whole launches, found a first block of {first}")
        if isinstance(arguments, PatchArguments):
            run_patch_jobs(arguments, 0, arguments.jobs_count)
        elif isinstance(arguments, StatisticsArguments):
            _statistics(arguments)
        elif isinstance(arguments, ComposeArguments):
            _compose(arguments)
        elif isinstance(arguments, DispersionArguments):
            _dispersion(arguments)
        elif isinstance(arguments, FootprintArguments):
            _footprint(arguments)

    def keep(self, array: NDArray[Any]) -> None:
        """Nothing to do: the array lies where the kernels read."""

    def patches_by_rows(self, arguments: PatchArguments, begin: int, end: int) -> None:
        """Kernel 0 for jobs `begin` to `end`."""
        run_patch_jobs(arguments, begin, end)


def _statistics(a: StatisticsArguments) -> None:
    kind = np.dtype(np.float16 if a.is_half else np.float32)
    flat = array_at(a.logits, kind, (a.rows - 1) * a.row_stride + a.vocabulary if a.rows else 0)
    logits = np.lib.stride_tricks.as_strided(
        flat, (a.rows, a.vocabulary), (a.row_stride * kind.itemsize, kind.itemsize)
    )
    allowed = None if a.allowed is None else array_at(a.allowed, np.uint8, a.actions) != 0
    seen = None if a.seen is None else array_at(a.seen, np.uint8, a.rows, a.actions) != 0
    chosen = None if a.chosen is None else array_at(a.chosen, np.int32, a.rows)
    ends = array_at(a.ends, np.float32, 2, a.actions).T
    out = array_at(a.out, STATISTICS, a.rows)
    seed, step = int(array_at(a.seed, np.uint64, 1)[0]), int(array_at(a.step, np.uint32, 1)[0])
    row_statistics(logits, ends, allowed, seen, chosen, a, (seed, step), out)


def _compose(a: ComposeArguments) -> None:
    fine_poses = a.tokens_per_sample * a.sub_steps
    table = array_at(a.codebook, np.float32, a.actions, a.sub_steps, 5)
    tokens = array_at(a.tokens, np.int32, a.samples, a.tokens_per_sample)
    poses = array_at(a.poses, np.float32, a.samples, a.tokens_per_sample, 3)
    fine = array_at(a.fine, np.float32, a.samples, fine_poses, 5)
    invalid = array_at(a.invalid, np.int32, a.samples)
    invalid[:] = ((tokens < 0) | (tokens >= a.actions)).any(axis=1)
    poses[:], fine[:] = np.nan, np.nan
    for sample in np.flatnonzero(invalid == 0):
        used = table[tokens[sample], :, :3].astype(np.float64)
        poses[sample], fine[sample, :, :3] = compose_tokens(np.arange(len(used)), used)
        fine[sample, :, 3], fine[sample, :, 4] = np.cos(fine[sample, :, 2]), np.sin(fine[sample, :, 2])


def _dispersion(a: DispersionArguments) -> None:
    found = dispersion(array_at(a.poses, np.float32, a.samples, a.steps, 3).astype(np.float64), a)
    array_at(a.mean, np.float32, a.steps, 2)[:] = found.mean
    array_at(a.covariance, np.float32, a.steps, 3)[:] = found.covariance
    array_at(a.pairwise, np.float32, a.samples, a.samples)[:] = found.pairwise
    array_at(a.mean_distance, np.float32, a.samples)[:] = found.mean_distance
    array_at(a.flags, np.uint32, a.samples)[:] = found.flags
    array_at(a.medoid, np.int32, 1)[:] = found.medoid


def _footprint(a: FootprintArguments) -> None:
    fine = array_at(a.fine, np.float32, a.candidates, a.steps, 5).astype(np.float64)
    boxes = array_at(a.boxes, np.float32, a.boxes_count, 8).astype(np.float64)
    contact, box = first_contacts(fine, boxes, a)
    array_at(a.first_contact, np.int32, a.candidates)[:] = contact
    array_at(a.box, np.int32, a.candidates)[:] = box
