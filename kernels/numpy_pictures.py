"""Kernel 0 in NumPy and Pillow: pictures of any format to RGB crops, and from there as `reference_images.py`."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels.layouts import PICTURE_FORMATS, PatchArguments, PatchJob
from onboard_vla.kernels.memory import array_at
from onboard_vla.kernels.reference_images import crop_and_resize, patches_of_pair
from onboard_vla.kernels.resize_tables import MAP_BITS

WHOLE = (0.0, 0.0, 1.0, 1.0)
PATCH, ROW = 14, 3 * 2 * 14 * 14


def run_patch_jobs(arguments: PatchArguments, begin: int, end: int) -> None:
    """Jobs `begin` to `end` of a launch; equal to the bit to the block program."""
    jobs = (PatchJob * arguments.jobs_count).from_address(arguments.jobs)
    kind = np.dtype(np.float16 if arguments.is_half else np.float32)
    table = array_at(arguments.table, np.float32, 3, 256).astype(kind)
    for job in jobs[begin:end]:
        rows = (job.out_width // PATCH) * (job.out_height // PATCH)
        out = array_at(arguments.out + job.first_row * ROW * kind.itemsize, kind, rows, ROW)
        older = _resized(job, job.older)
        newer = older if job.newer == job.older else _resized(job, job.newer)
        patches_of_pair(older, newer, table, out=out)


def _resized(job: PatchJob, address: int) -> NDArray[np.uint8]:
    picture = rgb_picture(job, address)
    if job.map is None:
        left, top = job.crop_left, job.crop_top
        crop = picture[top : top + job.crop_height, left : left + job.crop_width]
    else:
        crop = undistorted(picture, array_at(job.map, np.int32, job.crop_height, job.crop_width, 2))
    return crop_and_resize(crop, WHOLE, job.out_width, job.out_height)


def rgb_picture(job: PatchJob, address: int) -> NDArray[np.uint8]:
    """(height, width, 3) RGB of the whole picture; a view where it is RGB or BGR."""
    height, width = job.height, job.width
    names = {code: name for name, code in PICTURE_FORMATS.items()}
    name = names[job.format]
    lines, row_bytes = (height * 3 // 2, width) if name == "nv12" else (height, width * (3 if "8" in name else 2))
    memory = array_at(address, np.uint8, (lines - 1) * job.row_bytes + row_bytes)
    rows = np.lib.stride_tricks.as_strided(memory, (lines, row_bytes), (job.row_bytes, 1))
    if name in ("rgb8", "bgr8"):
        colours = np.lib.stride_tricks.as_strided(memory, (height, width, 3), (job.row_bytes, 3, 1))
        return colours if name == "rgb8" else colours[..., ::-1]
    if name == "nv12":
        y, u, v = rows[:height], rows[height:, ::2], rows[height:, 1::2]
        u, v = (np.repeat(np.repeat(plane, 2, axis=0), 2, axis=1) for plane in (u, v))
    else:
        luma, blue, red = (1, 0, 2) if name == "uyvy" else (0, 1, 3)
        y = rows[:, luma::2]
        u, v = np.repeat(rows[:, blue::4], 2, axis=1), np.repeat(rows[:, red::4], 2, axis=1)
    return rgb_of_yuv(y, u, v)


def rgb_of_yuv(y: NDArray[np.uint8], u: NDArray[np.uint8], v: NDArray[np.uint8]) -> NDArray[np.uint8]:
    """ITU-R BT.601, studio swing, in the fixed point of OpenCV's cvtColor (20 bits)."""
    luma = np.maximum(y.astype(np.int32) - 16, 0) * 1220542 + (1 << 19)
    blue, red = u.astype(np.int32) - 128, v.astype(np.int32) - 128
    channels = luma + 1673527 * red, luma - 852492 * red - 409993 * blue, luma + 2116026 * blue
    return np.stack([np.clip(channel >> 20, 0, 255) for channel in channels], axis=-1).astype(np.uint8)


def undistorted(picture: NDArray[np.uint8], points: NDArray[np.int32]) -> NDArray[np.uint8]:
    """Bilinear samples of `picture` at (H, W, 2) fixed-point coordinates; black outside."""
    height, width, _ = picture.shape
    one = 1 << MAP_BITS
    column, row = points[..., 0] >> MAP_BITS, points[..., 1] >> MAP_BITS
    right, low = points[..., 0] & (one - 1), points[..., 1] & (one - 1)
    total = np.full((*points.shape[:2], 3), one * one // 2, np.int32)
    for across in (0, 1):
        for down in (0, 1):
            x, y = column + across, row + down
            inside = (x >= 0) & (y >= 0) & (x < width) & (y < height)
            weight = (right if across else one - right) * (low if down else one - low) * inside
            pixels = picture[np.clip(y, 0, height - 1), np.clip(x, 0, width - 1)]
            total += weight[..., None] * pixels
    return (total >> (2 * MAP_BITS)).astype(np.uint8)
