"""Random calls of each kernel, for comparing forms: the same seed gives the same call."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels.actions import (
    MotionLimits,
    Rectangle,
    Sampling,
    action_statistics,
    codebook_table,
    compose,
    dispersion,
    first_contacts,
)
from onboard_vla.kernels.images import ROW, PatchKernel, PictureLayout
from onboard_vla.kernels.layouts import PICTURE_FORMATS, KernelForm
from onboard_vla.kernels.reference_images import normalisation_table
from onboard_vla.kernels.resize_tables import undistortion_map

Arrays = list[NDArray[Any]]
Case = Callable[[KernelForm], Arrays]
TABLE = normalisation_table((0.48145466, 0.4578275, 0.40821073), (0.26862954, 0.26130258, 0.27577711))


def patches(rng: np.random.Generator) -> Case:
    """Up to three cameras of any format, crop and size, some undistorted; pairs and single pictures; both types."""
    layouts, pairs = [], []
    for _ in range(rng.integers(1, 4)):
        width, height = (2 * int(n) for n in rng.integers(20, 120, 2))
        left, top = int(rng.integers(0, width - 12)), int(rng.integers(0, height - 12))
        right, bottom = int(rng.integers(left + 6, width + 1)), int(rng.integers(top + 6, height + 1))
        points = None
        if rng.random() < 0.3:
            y, x = np.mgrid[top:bottom, left:right] + rng.uniform(-9, 9, (2, bottom - top, right - left))
            points = undistortion_map(x, y)
        pixel_format = str(rng.choice(list(PICTURE_FORMATS)))
        out_width, out_height = (28 * int(n) for n in rng.integers(1, 4, 2))
        layout = PictureLayout(width, height, (left, top, right, bottom), out_width, out_height, pixel_format, points)
        older, newer = rng.integers(0, 256, (2, *layout.shape), np.uint8)
        layouts.append(layout)
        pairs.append((older, older if rng.random() < 0.3 else newer))
    kind = np.float16 if rng.random() < 0.5 else np.float32

    def call(form: KernelForm) -> Arrays:
        kernel = PatchKernel(form, layouts, TABLE)
        out = np.zeros((kernel.rows, ROW), kind)
        kernel.point_at(pairs, out)
        form.run("patches", kernel.arguments, kernel.rows)
        return [out]

    return call


def statistics(rng: np.random.Generator) -> Case:
    """Up to 16 rows that begin anywhere, masks, penalties, draws, given actions, groups, sometimes a bad logit."""
    actions = int(rng.choice([8, 100, 2048]))
    vocabulary, rows = actions + int(rng.integers(0, 3000)), int(rng.integers(1, 17))
    first = int(rng.integers(0, vocabulary - actions + 1))
    flat = rng.choice([0.5, 3.0, 12.0]) * rng.standard_normal(rows * vocabulary + 1)
    logits = flat.astype(np.float16 if rng.random() < 0.5 else np.float32)[1:].reshape(rows, vocabulary)
    if rng.random() < 0.1:
        logits[rng.integers(rows), rng.integers(vocabulary)] = rng.choice([np.nan, np.inf])
    ends = rng.uniform([-5, -4], [15, 4], (actions, 2)).astype(np.float32)
    allowed = rng.random(actions) < 0.7 if rng.random() < 0.6 else None
    seen = rng.random((rows, actions)) < 0.1 if rng.random() < 0.5 else None
    heat = float(rng.choice([0.0, 0.3, 1.2]))
    link, grouped = float(rng.choice([0.2, 0.5, 2.0])), float(rng.choice([0.0, 0.95, 0.999]))
    sampling = Sampling(heat, 1.3, 1.2, 0.3, link, grouped, int(rng.integers(2**62)), int(rng.integers(50)))
    chosen = rng.integers(-1, actions + 1, rows) if rng.random() < 0.3 else None
    return lambda form: [action_statistics(form, logits, first, ends, sampling, allowed, seen, chosen)]


def trajectories(rng: np.random.Generator) -> Case:
    """Up to 256 samples of 1 to 32 tokens, sometimes one that is no action."""
    actions, steps = int(rng.integers(2, 2049)), int(rng.integers(1, 8))
    table = codebook_table(np.cumsum(rng.uniform([0, -0.1, -0.3], [2, 0.1, 0.3], (actions, steps, 3)), axis=1))
    tokens = rng.integers(0, actions, (rng.integers(1, 257), rng.integers(1, 33))).astype(np.int32)
    if rng.random() < 0.3:
        tokens[rng.integers(len(tokens)), 0] = actions

    def call(form: KernelForm) -> Arrays:
        made = compose(form, tokens, table)
        return [made.poses, made.fine, made.invalid]

    return call


def spread(rng: np.random.Generator) -> Case:
    """Up to 256 samples of up to 20 steps, sometimes one that is not finite."""
    shape = int(rng.choice([1, 2, 7, 64, 256])), int(rng.integers(1, 21)), 3
    poses = np.cumsum(rng.uniform(-0.5, 3, shape), axis=1).astype(np.float32)
    if rng.random() < 0.3:
        poses[rng.integers(shape[0])] = np.nan
    limits = MotionLimits(0.5, 5.0, 30.0, 3.0, 6.0, 8.4, 0.95, 4.0, 0.3)

    def call(form: KernelForm) -> Arrays:
        made = dispersion(form, poses, limits)
        return [made.mean, made.covariance, made.pairwise, made.mean_distance, made.flags, np.array([made.medoid])]

    return call


def footprints(rng: np.random.Generator) -> Case:
    """Up to 64 candidates of up to 50 poses against up to 64 boxes, also none."""
    candidates, steps, count = (int(rng.integers(1, n)) for n in (65, 51, 65))
    heading = rng.uniform(-np.pi, np.pi, (candidates, steps))
    xy = np.cumsum(rng.uniform(-0.5, 1.5, (candidates, steps, 2)), axis=1)
    fine = np.concatenate([xy, np.stack([heading, np.cos(heading), np.sin(heading)], axis=-1)], -1).astype(np.float32)
    turn = rng.uniform(-np.pi, np.pi, count)
    near, size, speed = (
        rng.uniform(-30, 60, (2, count)),
        rng.uniform(0.3, 3, (2, count)),
        rng.uniform(-4, 4, (2, count)),
    )
    boxes = np.stack([*near, np.cos(turn), np.sin(turn), *size, *speed], axis=-1).astype(np.float32)
    if rng.random() < 0.1:
        fine[0, 0, 0] = np.nan
    return lambda form: list(first_contacts(form, fine, boxes, Rectangle(2.4, 1.0, 1.4, 0.3), 0.1))


CASES: dict[str, Callable[[np.random.Generator], Case]] = {
    "patches": patches,
    "action_statistics": statistics,
    "compose": trajectories,
    "dispersion": spread,
    "footprint": footprints,
}


def camera_patches(rng: np.random.Generator) -> Case:
    """Six NV12 pictures of 1600x900 to 420x224, halves: what a planner needs ten times a second."""
    layout = PictureLayout(1600, 900, (0, 0, 1600, 900), 420, 224, "nv12")
    pictures = rng.integers(0, 256, (6, *layout.shape), np.uint8)

    def call(form: KernelForm) -> Arrays:
        kernel = PatchKernel(form, [layout] * 6, TABLE)
        out = np.zeros((kernel.rows, ROW), np.float16)
        kernel.point_at([(picture, picture) for picture in pictures], out)
        form.run("patches", kernel.arguments, kernel.rows)
        return [out]

    return call


def sampled_statistics(rows: int) -> Callable[[np.random.Generator], Case]:
    """K rows of 2048 actions inside a vocabulary of odd length, halves, one draw each."""

    def make(rng: np.random.Generator) -> Case:
        logits = (3 * rng.standard_normal((rows, 2049))).astype(np.float16)
        ends = rng.uniform([-5, -4], [15, 4], (2048, 2)).astype(np.float32)
        return lambda form: [action_statistics(form, logits, 1, ends, Sampling(1.0, seed=1))]

    return make


def sixty_four(kernel: str) -> Callable[[np.random.Generator], Case]:
    """Kernels 2 to 4 for 64 samples of ten tokens."""

    def make(rng: np.random.Generator) -> Case:
        table = codebook_table(np.cumsum(rng.uniform([0, -0.1, -0.02], [2, 0.1, 0.02], (2048, 5, 3)), axis=1))
        tokens = rng.integers(0, 2048, (64, 10)).astype(np.int32)
        poses = rng.normal(0, 5, (64, 10, 3)).astype(np.float32)
        fine = np.zeros((64, 50, 5), np.float32)
        boxes = rng.uniform([50, 50, 1, 0, 1, 1, 0, 0], [90, 90, 1, 0, 3, 3, 1, 1], (64, 8)).astype(np.float32)
        limits = MotionLimits(0.5, 5.0, 30.0, 3.0, 6.0, 8.4, 0.95, 4.0, 0.3)
        calls: dict[str, Case] = {
            "compose": lambda form: [compose(form, tokens, table).poses],
            "dispersion": lambda form: [dispersion(form, poses, limits).mean],
            "footprint": lambda form: list(first_contacts(form, fine, boxes, Rectangle(2.4, 1.0, 1.4, 0.3), 0.1)),
        }
        return calls[kernel]

    return make


TIMED: dict[str, Callable[[np.random.Generator], Case]] = {
    "patches, 6 x 1600x900 to 420x224": camera_patches,
    **{f"action_statistics, K={rows}": sampled_statistics(rows) for rows in (1, 16, 64)},
    **{f"{kernel}, K=64": sixty_four(kernel) for kernel in ("compose", "dispersion", "footprint")},
}
"""Calls that are timed."""
