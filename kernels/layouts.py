"""Argument structs of the kernels as ctypes lays them out; the C side is in `src/*.h`, sizes are compared at load."""

from __future__ import annotations

import ctypes
from typing import Any, ClassVar, Protocol

import numpy as np
from numpy.typing import NDArray

TOP = 8
"""Ranks of the top list (`kTop`)."""
MAX_TOKENS, MAX_SAMPLES, MAX_SOURCE_ROWS = 32, 256, 400
"""Bounds of shared memory: tokens of a trajectory, samples of a dispersion, source rows behind one patch."""
ABI_VERSION = 3
POINTER, LONG, INT, UNSIGNED, FLOAT = (
    ctypes.c_void_p, ctypes.c_int64, ctypes.c_int32, ctypes.c_uint32, ctypes.c_float,
)  # fmt: skip


def _fields(*groups: tuple[Any, str]) -> list[tuple[str, Any]]:
    return [(name, kind) for kind, names in groups for name in names.split()]


class Arguments(ctypes.Structure):
    """What one launch is given, by value."""


class ResizeTable(Arguments):
    """See `patches.h`."""

    _fields_: ClassVar = _fields((POINTER, "bounds coefficients"), (INT, "taps unused"))


class PatchJob(Arguments):
    """One camera's frame pair."""

    _fields_: ClassVar = [
        *_fields((POINTER, "older newer map")),
        ("across", ResizeTable),
        ("down", ResizeTable),
        *_fields(
            (INT, "width height row_bytes format crop_left crop_top crop_width crop_height"),
            (INT, "out_width out_height first_row first_block"),
        ),
    ]


class PatchArguments(Arguments):
    """Kernel 0."""

    _fields_: ClassVar = _fields((POINTER, "jobs table out"), (INT, "jobs_count blocks is_half unused"))


class StatisticsArguments(Arguments):
    """Kernel 1."""

    _fields_: ClassVar = _fields(
        (POINTER, "logits allowed seen chosen ends seed step out"),
        (LONG, "row_stride"),
        (INT, "rows vocabulary first_action actions is_half"),
        (FLOAT, "temperature calibration_temperature repetition_penalty near_m link_m grouped_mass"),
    )


class RowStatistics(Arguments):
    """Kernel 1's result, one row."""

    _fields_: ClassVar = [
        *_fields((INT, "best choice"), (UNSIGNED, "flags")),
        *_fields(
            (FLOAT, "margin log_sum_exp entropy best_probability choice_log_probability spread_m near_mass"),
            (FLOAT, "outside_mass second_mass second_distance_m"),
        ),
        ("top", INT * TOP),
        ("top_logit", FLOAT * TOP),
    ]


class ComposeArguments(Arguments):
    """Kernel 2."""

    _fields_: ClassVar = _fields(
        (POINTER, "tokens codebook poses fine invalid"), (INT, "samples tokens_per_sample sub_steps actions")
    )


class DispersionArguments(Arguments):
    """Kernel 3."""

    _fields_: ClassVar = _fields(
        (POINTER, "poses mean covariance pairwise mean_distance flags medoid"),
        (INT, "samples steps"),
        (FLOAT, "step_s speed_now_mps speed_max_mps acceleration_max_mps2 deceleration_max_mps2 jerk_max_mps3"),
        (FLOAT, "yaw_rate_max_rps lateral_max_mps2 reverse_max_m"),
    )


class FootprintArguments(Arguments):
    """Kernel 4."""

    _fields_: ClassVar = _fields(
        (POINTER, "fine boxes first_contact box"),
        (INT, "candidates steps boxes_count"),
        (FLOAT, "half_length_m half_width_m centre_ahead_m margin_m step_s"),
    )


class DistanceArguments(Arguments):
    """Distances of cameras, for the host alone; see `host_distances.h`."""

    _fields_: ClassVar = _fields(
        (POINTER, "embeddings tokens known means basis variances rest_variances units pooled away distances"),
        (INT, "cameras directions width unused"),
    )


KERNELS: dict[str, type[Arguments]] = {
    "patches": PatchArguments,
    "action_statistics": StatisticsArguments,
    "compose": ComposeArguments,
    "dispersion": DispersionArguments,
    "footprint": FootprintArguments,
}
"""Kernels in the order of the C ABI."""
BLOCK_THREADS = {"patches": 128, "action_statistics": 256, "compose": 64, "dispersion": 256, "footprint": 128}
"""Threads of a block, as `launches.h` has them: the reductions' tree depends on it."""
LAYOUTS: tuple[type[Arguments], ...] = (*KERNELS.values(), PatchJob, RowStatistics, DistanceArguments)
"""In the order of `ovk_size_of`."""
STATISTICS: np.dtype[Any] = np.dtype(RowStatistics)
"""A row of kernel 1's result; fields are described in `src/action_statistics.h`."""
NOT_FINITE, NONE_ALLOWED, NO_ACTION = 1, 2, 4
"""Flags of such a row."""
LIMIT_FLAGS = {
    "not_finite": 1,
    "speed": 2,
    "acceleration": 4,
    "deceleration": 8,
    "jerk": 16,
    "yaw_rate": 32,
    "lateral_acceleration": 64,
    "reverse": 128,
}
"""Bits of kernel 3's flags."""
PICTURE_FORMATS = {"rgb8": 0, "bgr8": 1, "nv12": 2, "uyvy": 3, "yuyv": 4}
"""Pixel formats by the code of `patches.h`; NV12 is (H * 3 / 2, W), the packed YUV formats (H, W, 2)."""


class KernelForm(Protocol):
    """Something that runs the kernels on arrays in this process's memory."""

    name: str

    def run(self, kernel: str, arguments: Arguments, blocks: int, *, first: int = 0, reverse: bool = False) -> None:
        """Run blocks `first` to `blocks`; `reverse`: in reverse order of blocks and threads, to the same bits."""
        ...

    def keep(self, array: NDArray[Any]) -> None:
        """A constant that calls will point at from its first byte on: a device has it until the array is garbage."""
        ...

    def patches_by_rows(self, arguments: PatchArguments, begin: int, end: int) -> None:
        """Kernel 0 for jobs `begin` to `end`, in the form that is fastest here."""
        ...
