"""Uncertainty of a decode, from the raw logits of its action steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.plan import Uncertainty
from onboard_vla.kernels.reference_actions import action_statistics


def uncertainty_of(
    logits: NDArray[np.float32],
    tokens: Sequence[int],
    first_id: int,
    ends: NDArray[np.float64],
    vision_ood: dict[str, float] | None = None,
) -> Uncertainty:
    """Signals of one action sequence.

    Args:
        logits: (T, V) raw logits, row t is what token t was chosen from.
        tokens: T chosen codebook indices.
        first_id: vocabulary id of codebook token 0.
        ends: (K, 2) end points of the codebook's tokens, metres.
        vision_ood: each camera's distance from what the model knows; none where the bundle has no statistics.
    """
    steps = [action_statistics(row, first_id, ends, token) for row, token in zip(logits, tokens, strict=True)]
    return Uncertainty(
        spread_m=np.array([step.spread_m for step in steps], np.float32),
        outside_mass=np.array([step.outside_mass for step in steps], np.float32),
        chosen_mass=np.array([step.chosen_mass for step in steps], np.float32),
        second_mass=np.array([step.second_mass for step in steps], np.float32),
        second_distance_m=np.array([step.second_distance_m for step in steps], np.float32),
        negative_log_likelihood=-float(np.mean([step.chosen_log_probability for step in steps])),
        vision_ood=vision_ood or {},
    )
