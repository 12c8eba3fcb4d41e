"""Kernels 3 and 4 in NumPy: dispersion and limits of K trajectories, footprints against moving boxes; float64."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels.layouts import LIMIT_FLAGS, DispersionArguments, FootprintArguments


@dataclass(frozen=True, eq=False)
class Dispersion:
    """Results of kernel 3, described in `src/dispersion.h`."""

    mean: NDArray[np.float64]
    covariance: NDArray[np.float64]
    pairwise: NDArray[np.float64]
    mean_distance: NDArray[np.float64]
    flags: NDArray[np.uint32]
    medoid: int


def dispersion(poses: NDArray[np.float64], limits: DispersionArguments) -> Dispersion:
    """Of (samples, steps, 3) poses; `limits`: the launch's numbers, its pointers are not looked at."""
    samples, steps, _ = poses.shape
    finite = np.isfinite(poses).all(axis=(1, 2))
    flags = np.full(samples, LIMIT_FLAGS["not_finite"], np.uint32)
    mean, covariance = np.full((steps, 2), np.nan), np.full((steps, 3), np.nan)
    pairwise, mean_distance = np.full((samples, samples), np.nan), np.full(samples, np.nan)
    if not finite.any():
        return Dispersion(mean, covariance, pairwise, mean_distance, flags, -1)
    flags[finite] = limit_flags(poses[finite], limits)
    points = poses[finite, :, :2]
    mean = points.mean(axis=0)
    x, y = np.moveaxis(points - mean, -1, 0)
    covariance = np.stack([(x * x).mean(axis=0), (x * y).mean(axis=0), (y * y).mean(axis=0)], axis=-1)
    apart = points[:, None] - points[None]
    distances = np.hypot(apart[..., 0], apart[..., 1]).mean(axis=-1)
    pairwise[np.ix_(finite, finite)] = distances
    mean_distance[finite] = distances.sum(axis=1) / max(len(points) - 1, 1)
    return Dispersion(mean, covariance, pairwise, mean_distance, flags, int(np.nanargmin(mean_distance)))


def limit_flags(poses: NDArray[np.float64], limits: DispersionArguments) -> NDArray[np.uint32]:
    """Limits that finite poses break, by finite differences; the pose before the first is the origin."""
    moves = np.diff(poses, axis=1, prepend=0.0)
    way = np.hypot(moves[..., 0], moves[..., 1])
    before = np.concatenate([np.broadcast_to([1.0, 0.0], (len(poses), 1, 2)), moves[:, :-1, :2]], axis=1)
    along = (moves[..., :2] * before).sum(axis=-1)
    speed = way / limits.step_s
    acceleration = np.diff(speed, axis=1, prepend=limits.speed_now_mps) / limits.step_s
    jerk = np.diff(acceleration, axis=1) / limits.step_s
    turn = moves[..., 2]
    turn = np.where(turn > np.pi, turn - 2 * np.pi, np.where(turn < -np.pi, turn + 2 * np.pi, turn))
    yaw_rate = np.abs(turn) / limits.step_s
    broken = {
        "speed": speed > limits.speed_max_mps,
        "acceleration": acceleration > limits.acceleration_max_mps2,
        "deceleration": acceleration < -limits.deceleration_max_mps2,
        "jerk": np.abs(jerk) > limits.jerk_max_mps3,
        "yaw_rate": yaw_rate > limits.yaw_rate_max_rps,
        "lateral_acceleration": yaw_rate * speed > limits.lateral_max_mps2,
        "reverse": (along < 0.0) & (way > limits.reverse_max_m),
    }
    flags = np.zeros(len(poses), np.uint32)
    for name, where in broken.items():
        flags |= np.where(where.any(axis=1), LIMIT_FLAGS[name], 0).astype(np.uint32)
    return flags


def first_contacts(
    fine: NDArray[np.float64], boxes: NDArray[np.float64], vehicle: FootprintArguments
) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """First overlapping pose (steps: none, -1: not finite) and lowest box there (-1: none) of each candidate."""
    candidates, steps, _ = fine.shape
    if not np.isfinite(boxes).all():
        return np.full(candidates, -1), np.full(candidates, -1)
    time = (np.arange(steps) + 1.0)[:, None] * vehicle.step_s
    others = boxes[None, :, :2] + time[..., None] * boxes[None, :, 6:]
    direction = fine[:, :, None, 3:5]
    gap = others - (fine[:, :, None, :2] + vehicle.centre_ahead_m * direction)
    own = np.array([vehicle.half_length_m, vehicle.half_width_m]) + vehicle.margin_m
    hit = _overlap(gap, direction, own, boxes[None, None, :, 2:4], boxes[None, None, :, 4:6]).reshape(candidates, -1)
    finite = np.isfinite(fine).all(axis=(1, 2))
    contact = finite & hit.any(axis=1)
    first = hit.argmax(axis=1) if hit.shape[1] else np.zeros(candidates, np.int64)
    count = max(len(boxes), 1)
    step = np.where(contact, first // count, np.where(finite, steps, -1))
    return step, np.where(contact, first % count, -1)


def _overlap(
    gap: NDArray[np.float64],
    direction: NDArray[np.float64],
    size: NDArray[np.float64],
    other_direction: NDArray[np.float64],
    other_size: NDArray[np.float64],
) -> NDArray[np.bool_]:
    """Separating axes of rectangles; `gap` between centres, sizes halved, directions as cosine and sine."""

    def local(axis: NDArray[np.float64]) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
        c, s = axis[..., 0], axis[..., 1]
        return np.abs(gap[..., 0] * c + gap[..., 1] * s), np.abs(gap[..., 1] * c - gap[..., 0] * s)

    c, s, oc, os = direction[..., 0], direction[..., 1], other_direction[..., 0], other_direction[..., 1]
    cosine, sine = np.abs(c * oc + s * os), np.abs(c * os - s * oc)
    length, width, other_length, other_width = size[0], size[1], other_size[..., 0], other_size[..., 1]
    along, across = local(direction)
    other_along, other_across = local(other_direction)
    return np.asarray(
        (along <= length + other_length * cosine + other_width * sine)
        & (across <= width + other_length * sine + other_width * cosine)
        & (other_along <= other_length + length * cosine + width * sine)
        & (other_across <= other_width + length * sine + width * cosine)
    )
