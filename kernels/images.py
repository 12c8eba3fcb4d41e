"""Kernel 0 for callers: cameras' pictures to patches."""

from __future__ import annotations

import ctypes
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.concurrent_work import results_of
from onboard_vla.core.errors import FrameError
from onboard_vla.kernels.layouts import (
    MAX_SOURCE_ROWS,
    PICTURE_FORMATS,
    KernelForm,
    PatchArguments,
    PatchJob,
    ResizeTable,
)
from onboard_vla.kernels.resize_tables import ResizeAxis, resize_axis

PATCH, MERGE = 14, 2
ROW = 3 * 2 * PATCH * PATCH


@dataclass(frozen=True, eq=False)
class PictureLayout:
    """How one camera's pictures lie in memory and what becomes of them.

    `crop`: left, top, right, bottom in pixels. `map`: (crop height, crop width, 2) int32, see `undistortion_map`.
    """

    width: int
    height: int
    crop: tuple[int, int, int, int]
    out_width: int
    out_height: int
    pixel_format: str = "rgb8"
    map: NDArray[np.int32] | None = None

    def __post_init__(self) -> None:
        left, top, right, bottom = self.crop
        block = PATCH * MERGE
        if self.pixel_format not in PICTURE_FORMATS:
            raise FrameError(f"pixel format {self.pixel_format!r}: expected one of {', '.join(PICTURE_FORMATS)}")
        if not (0 <= left < right <= self.width and 0 <= top < bottom <= self.height):
            raise FrameError(f"crop {self.crop} of a {self.width}x{self.height} picture leaves no pixels")
        if self.out_width % block or self.out_height % block or self.out_width < 1 or self.out_height < 1:
            raise FrameError(f"patches of {self.out_width}x{self.out_height}: sides must be multiples of {block}")
        if self.pixel_format != "rgb8" and self.pixel_format != "bgr8" and (self.width % 2 or self.height % 2):
            raise FrameError(f"{self.pixel_format} pictures have even sides, found {self.width}x{self.height}")
        if self.map is not None and (self.map.shape != (bottom - top, right - left, 2) or self.map.dtype != np.int32):
            raise FrameError(f"undistortion map {self.map.shape} {self.map.dtype} does not fit the crop {self.crop}")
        bounds = resize_axis(bottom - top, self.out_height).bounds
        rows = (bounds[PATCH - 1 :: PATCH].sum(axis=1) - bounds[::PATCH, 0]).max()
        if rows > MAX_SOURCE_ROWS:
            raise FrameError(f"a patch of this resize needs {rows} source rows, at most {MAX_SOURCE_ROWS} fit")

    @property
    def patches(self) -> int:
        """Rows of the output."""
        return (self.out_width // PATCH) * (self.out_height // PATCH)

    @property
    def shape(self) -> tuple[int, ...]:
        """The shape of a picture array."""
        if self.pixel_format == "nv12":
            return (self.height * 3 // 2, self.width)
        return (self.height, self.width, 2 if self.pixel_format in ("uyvy", "yuyv") else 3)


class PatchKernel:
    """Patches of several cameras in one call; tables and jobs are made once, nothing is allocated per call.

    Args:
        form: what runs it, see `forms.py`.
        layouts: one per camera, in the order of the output's rows.
        table: (3, 256) float32, see `reference_images.normalisation_table`.
    """

    def __init__(self, form: KernelForm, layouts: Sequence[PictureLayout], table: NDArray[np.float32]) -> None:
        self.layouts = tuple(layouts)
        self.rows = sum(layout.patches for layout in self.layouts)
        self._form = form
        self._pool: tuple[int, ThreadPoolExecutor] | None = None
        self._table = np.ascontiguousarray(table, np.float32)
        if self._table.shape != (3, 256):
            raise FrameError(f"normalisation table of shape {self._table.shape}: expected (3, 256)")
        self._jobs = (PatchJob * len(self.layouts))()
        self._axes: list[ResizeAxis] = []
        self._maps: list[NDArray[np.int32]] = []
        first = 0
        for job, layout in zip(self._jobs, self.layouts, strict=True):
            self._describe(job, layout, first)
            first += layout.patches
        for constant in (
            self._table,
            *self._maps,
            *(a for axis in self._axes for a in (axis.bounds, axis.coefficients)),
        ):
            form.keep(constant)
        self.arguments = PatchArguments(
            jobs=ctypes.addressof(self._jobs),
            table=self._table.ctypes.data,
            jobs_count=len(self.layouts),
            blocks=self.rows,
        )

    def _describe(self, job: PatchJob, layout: PictureLayout, first: int) -> None:
        left, top, right, bottom = layout.crop
        across, down = resize_axis(right - left, layout.out_width), resize_axis(bottom - top, layout.out_height)
        self._axes += [across, down]
        if layout.map is not None:
            self._maps.append(np.ascontiguousarray(layout.map))
            job.map = self._maps[-1].ctypes.data
        job.across, job.down = _table(across), _table(down)
        job.width, job.height, job.format = layout.width, layout.height, PICTURE_FORMATS[layout.pixel_format]
        job.crop_left, job.crop_top, job.crop_width, job.crop_height = left, top, right - left, bottom - top
        job.out_width, job.out_height, job.first_row, job.first_block = (
            layout.out_width, layout.out_height, first, first,
        )  # fmt: skip

    def run(
        self,
        pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
        out: NDArray[np.float32] | NDArray[np.float16],
        threads: int = 1,
    ) -> None:
        """Write (rows, 1176) patches of all cameras' (older, newer) pictures; the same array twice for a single one.

        Raises:
            FrameError: a picture or the output has another shape, type or memory layout than declared.
        """
        self.point_at(pairs, out)
        count = len(self.layouts)
        if threads <= 1 or count <= 1:
            self._form.patches_by_rows(self.arguments, 0, count)
            return
        if self._pool is None or self._pool[0] != threads:
            self._pool = threads, ThreadPoolExecutor(threads, "patches")
        pool, one = self._pool[1], self._form.patches_by_rows
        results_of(pool.submit(one, self.arguments, job, job + 1) for job in range(count))

    def point_at(
        self,
        pairs: Sequence[tuple[NDArray[np.uint8], NDArray[np.uint8]]],
        out: NDArray[np.float32] | NDArray[np.float16],
    ) -> None:
        """Check pictures and output and put their addresses into `arguments`; `run` does this itself."""
        if out.shape != (self.rows, ROW) or not out.flags.c_contiguous or out.dtype not in (np.float32, np.float16):
            raise FrameError(f"output {out.shape} {out.dtype}: expected contiguous ({self.rows}, {ROW}) fp32 or fp16")
        if len(pairs) != len(self.layouts):
            raise FrameError(f"{len(pairs)} frame pairs, expected {len(self.layouts)}")
        for job, layout, pair in zip(self._jobs, self.layouts, pairs, strict=True):
            older, newer = pair
            for picture in pair:
                _check(picture, layout)
            if older.strides[0] != newer.strides[0]:
                raise FrameError("the pictures of a pair differ in their row length in memory")
            job.older, job.newer, job.row_bytes = older.ctypes.data, newer.ctypes.data, older.strides[0]
        self.arguments.out = out.ctypes.data
        self.arguments.is_half = int(out.dtype == np.float16)


def _table(axis: ResizeAxis) -> ResizeTable:
    return ResizeTable(axis.bounds.ctypes.data, axis.coefficients.ctypes.data, axis.taps, 0)


def _check(picture: NDArray[np.uint8], layout: PictureLayout) -> None:
    if picture.dtype != np.uint8 or picture.shape != layout.shape:
        raise FrameError(f"picture {picture.shape} {picture.dtype}: expected {layout.shape} uint8")
    inner = picture.strides[1:]
    if inner != np.empty(layout.shape[1:], np.uint8).strides:
        raise FrameError("a picture's pixels must follow each other within a row")
