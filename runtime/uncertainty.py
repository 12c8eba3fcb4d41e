"""Uncertainty of a decode, from the raw logits of its action steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.plan import Uncertainty
from onboard_vla.kernels.actions import action_statistics
from onboard_vla.kernels.layouts import KernelForm


def uncertainty_of(
    kernels: KernelForm,
    logits: NDArray[np.float32],
    tokens: Sequence[int],
    first_id: int,
    ends: NDArray[np.float32],
    vision_ood: dict[str, float] | None = None,
) -> Uncertainty:
    """Signals of one action sequence; NaN where a step's logits are not finite.

    Args:
        kernels: what computes them, in float32 (`kernels/README.md` has the errors).
        logits: (T, V) raw logits, row t is what token t was chosen from.
        tokens: T chosen codebook indices.
        first_id: vocabulary id of codebook token 0.
        ends: (K, 2) end points of the codebook's tokens, metres; not copied where they lie in Fortran's order.
        vision_ood: each camera's distance from what the model knows; none where the bundle has no statistics.
    """
    steps = action_statistics(kernels, logits, first_id, ends, chosen=np.array(tokens, np.int32))
    return Uncertainty(
        spread_m=steps["spread_m"].copy(),
        outside_mass=steps["outside_mass"].copy(),
        chosen_mass=steps["near_mass"].copy(),
        second_mass=steps["second_mass"].copy(),
        second_distance_m=steps["second_distance_m"].copy(),
        negative_log_likelihood=-float(np.mean(steps["choice_log_probability"], dtype=np.float64)),
        vision_ood=vision_ood or {},
    )
