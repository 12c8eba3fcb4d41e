"""Reference of the trajectory kernel: codebook gather and SE(2) composition, in float64."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray


def compose_tokens(
    tokens: ArrayLike, fine_deltas: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Poses of a token sequence, ego frame at its start.

    Args:
        tokens: (T,) codebook indices.
        fine_deltas: (K, S, 3) pose at each sub-step relative to the pose before the token.

    Returns:
        Poses at the tokens' ends (T, 3) and at every sub-step (T * S, 3): x, y in metres, heading in rad in [-pi, pi).
    """
    steps = fine_deltas[np.asarray(tokens, np.int64)]
    heading = steps[:, -1, 2]
    before = np.concatenate([[0.0], np.cumsum(heading)])[:-1]
    cos, sin = np.cos(before)[:, None], np.sin(before)[:, None]
    x = cos * steps[..., 0] - sin * steps[..., 1]
    y = sin * steps[..., 0] + cos * steps[..., 1]
    start_x = np.concatenate([[0.0], np.cumsum(x[:, -1])])[:-1]
    start_y = np.concatenate([[0.0], np.cumsum(y[:, -1])])[:-1]
    turned = before[:, None] + steps[..., 2]
    fine = np.stack([x + start_x[:, None], y + start_y[:, None], (turned + np.pi) % (2 * np.pi) - np.pi], axis=-1)
    return fine[:, -1], fine.reshape(-1, 3)
