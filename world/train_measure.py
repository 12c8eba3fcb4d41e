"""Open-loop figures: displacement errors beside constant velocity, with wrong pictures, and the fork's accuracy."""

from __future__ import annotations

import numpy as np
import torch
from numpy.typing import NDArray

from onboard_vla.world.train_decode import decode_fast
from onboard_vla.world.train_learner import Learner
from onboard_vla.world.train_samples import Samples

Floats = NDArray[np.float64]
STEPS_3S = 6
MEASURE_BATCH = 64


def displacement(decoded: Floats, truth: Floats) -> dict[str, float]:
    """ADE over 3 s and 5 s and final error, metres, of trajectories (N, 10, 3)."""
    error = np.hypot(*(decoded - truth)[..., :2].transpose(2, 0, 1))
    return {
        "ade_3s_m": float(error[:, :STEPS_3S].mean()),
        "ade_5s_m": float(error.mean()),
        "fde_5s_m": float(error[:, -1].mean()),
        "lateral_3s_m": float(np.abs((decoded - truth)[:, :STEPS_3S, 1]).mean()),
    }


def constant_velocity(speed: Floats, steps: int = 10, step_s: float = 0.5) -> Floats:
    """Straight on at the present speed (N,): trajectories (N, steps, 3)."""
    result = np.zeros((len(speed), steps, 3))
    result[..., 0] = speed[:, None] * step_s * np.arange(1, steps + 1)
    return result


@torch.no_grad()
def measure(learner: Learner, samples: Samples, chosen: NDArray[np.int64], seed: int) -> dict[str, float]:
    """Figures over the chosen samples; for a seeing model also with pictures taken from another sample."""
    rng = np.random.default_rng(seed)
    own, swapped, fork, fast = [], [], [], []
    for start in range(0, len(chosen), MEASURE_BATCH):
        rows = chosen[start : start + MEASURE_BATCH]
        batch = samples.batch(rows, None)
        decoded = decode_fast(learner, batch)
        own.append(_poses(samples, decoded.actions))
        fork.append(decoded.slow == samples.demanding[rows])
        fast.append(~decoded.slow)
        if not learner.blind:
            other = samples.batch(rng.permutation(chosen)[: len(rows)], None)
            wrong = decode_fast(learner, batch, learner.visual_tokens(other, deep=False))
            swapped.append(_poses(samples, wrong.actions))
    truth = samples.poses[chosen]
    result = displacement(np.concatenate(own), truth)
    result["fork_accuracy"] = float(np.concatenate(fork).mean())
    result["fork_fast_share"] = float(np.concatenate(fast).mean())
    if swapped:
        wrong_pictures = displacement(np.concatenate(swapped), truth)
        result["swapped_ade_5s_m"] = wrong_pictures["ade_5s_m"]
        result["swapped_ratio_5s"] = wrong_pictures["ade_5s_m"] / result["ade_5s_m"]
        result["swapped_ratio_3s"] = wrong_pictures["ade_3s_m"] / result["ade_3s_m"]
    return result


def _poses(samples: Samples, actions: NDArray[np.int64]) -> Floats:
    return np.stack([samples.codebook.decode(tokens)[0] for tokens in actions]).astype(np.float64)
