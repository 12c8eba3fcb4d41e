"""The reference checkpoint's codebook: motions a car can do between 0 and 40 m/s, and how well tokens follow them."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.codebook import Codebook, build_k_disk
from onboard_vla.core.errors import CodebookError

Floats = NDArray[np.float64]

TOKENS = 2048
SUBSTEPS, SUBSTEP_S = 5, 0.1
STEPS = 10
"""Planning steps of a trajectory: 10 x 0.5 s."""
MAX_SPEED_MPS = 40.0
MAX_CURVATURE_PER_M = 0.2
"""Turning radius of 5 m, a passenger car's limit."""
MAX_LATERAL_MPS2 = 5.0
"""About NAVSIM's comfort bound of 4.89 m/s^2 (autonomousvision/navsim, pdm_comfort_metrics.py)."""
MIN_ACCELERATION_MPS2, MAX_ACCELERATION_MPS2 = -8.0, 4.0
CARD_SPEEDS_MPS = tuple(float(v) for v in range(0, 45, 5))
INTEGRATION_STEP_S = 0.02


def drive(speed: Floats, acceleration: Floats, curvature: Floats, curvature_rate: Floats, duration_s: float) -> Floats:
    """Integrate N motions; returns poses (N, T, 3) every 0.1 s, start excluded. Speeds stop at 0 and at 40 m/s."""
    pose = np.zeros((len(speed), 3))
    v, kappa = speed.astype(np.float64).copy(), curvature.astype(np.float64).copy()
    poses, per_pose = [], round(SUBSTEP_S / INTEGRATION_STEP_S)
    for step in range(round(duration_s / INTEGRATION_STEP_S)):
        v_next = np.clip(v + acceleration * INTEGRATION_STEP_S, 0.0, MAX_SPEED_MPS)
        distance = (v + v_next) / 2 * INTEGRATION_STEP_S
        limit = curvature_limit(v_next)
        kappa_next = np.clip(kappa + curvature_rate * INTEGRATION_STEP_S, -limit, limit)
        turn = distance * (kappa + kappa_next) / 2
        heading = pose[:, 2] + turn / 2
        pose = pose + np.stack([distance * np.cos(heading), distance * np.sin(heading), turn], axis=1)
        v, kappa = v_next, kappa_next
        if (step + 1) % per_pose == 0:
            poses.append(pose)
    return np.stack(poses, axis=1)


def curvature_limit(speed: Floats) -> Floats:
    """Largest curvature, 1/m, that the car and 5 m/s^2 of lateral acceleration allow at these speeds."""
    return np.minimum(MAX_CURVATURE_PER_M, MAX_LATERAL_MPS2 / np.maximum(speed, 0.1) ** 2)


def sample_motions(count: int, rng: np.random.Generator) -> Floats:
    """`count` motions (N, 5, 3) of 0.5 s: speeds even over 0-40 m/s, a share of braking to and starting from rest."""
    speed = rng.uniform(0.0, MAX_SPEED_MPS, count)
    slow = rng.random(count) < SLOW_SHARE
    speed[slow] = rng.uniform(0.0, SLOW_MPS, int(slow.sum()))
    speed[0] = 0.0
    hard = rng.random(count) < HARD_SHARE
    acceleration = np.clip(rng.normal(0.0, 1.5, count), MIN_ACCELERATION_MPS2, MAX_ACCELERATION_MPS2)
    acceleration[hard] = rng.uniform(MIN_ACCELERATION_MPS2, MAX_ACCELERATION_MPS2, int(hard.sum()))
    acceleration[0] = 0.0
    limit = curvature_limit(speed)
    share = rng.uniform(-1.0, 1.0, count)
    curvature = limit * share
    rate = limit * rng.uniform(-0.5, 0.5, count)
    return drive(speed, acceleration, curvature, rate, SUBSTEPS * SUBSTEP_S)


SLOW_SHARE, SLOW_MPS = 0.25, 8.0
"""Share of extra samples below town speed, where most planning happens."""
HARD_SHARE = 0.3
"""Share of samples over the whole range of accelerations; the rest is everyday driving (sigma 1.5 m/s^2)."""


def sample_trajectories(speed_mps: float, count: int, rng: np.random.Generator) -> Floats:
    """`count` smooth 5 s trajectories (N, 10, 3) from `speed_mps` on: gentle speed changes, swinging curvature."""
    speed = np.full(count, speed_mps)
    acceleration = np.clip(rng.normal(0.0, 1.0, count), -3.0, 2.0)
    limit = curvature_limit(np.maximum(speed, 3.0))
    curvature = limit * rng.uniform(-0.7, 0.7, count)
    rate = -curvature * rng.uniform(0.0, 0.4, count)
    fine = drive(speed, acceleration, curvature, rate, STEPS * SUBSTEPS * SUBSTEP_S)
    return fine[:, SUBSTEPS - 1 :: SUBSTEPS]


def quantisation_ade(codebook: Codebook, count: int = 200, seed: int = 1) -> dict[str, float]:
    """Mean distance in metres between trajectories and their decoded tokens, per start speed in m/s."""
    rng, result = np.random.default_rng(seed), {}
    for speed in CARD_SPEEDS_MPS:
        poses = sample_trajectories(speed, count, rng)
        decoded = np.stack([codebook.decode(tokens)[0] for tokens in codebook.encode_batch(poses)])
        result[f"{speed:g}"] = float(np.hypot(*(decoded - poses)[..., :2].transpose(2, 0, 1)).mean())
    return result


def build_codebook(
    seed: int, tokens: int = TOKENS, motions: int = 60_000, progress: Callable[[float], None] | None = None
) -> Codebook:
    """The codebook with the largest disk radius (to 0.25 mm) at which `tokens` tokens are just found."""
    sampled = sample_motions(motions, np.random.default_rng(seed))
    low, high, best = 0.002, 0.5, None
    rounds = BISECTIONS
    for index in range(rounds):
        tolerance = (low + high) / 2
        try:
            best = build_k_disk(sampled, tokens, tolerance, np.random.default_rng(seed))
            low = tolerance
        except CodebookError:
            high = tolerance
        if progress is not None:
            progress((index + 1) / rounds)
    if best is None:
        raise CodebookError(f"codebook: {motions} motions are too few for {tokens} tokens")
    return best


BISECTIONS = 9
