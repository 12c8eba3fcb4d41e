"""Uncertainty of a decode, from the raw logits of its action steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.plan import Uncertainty
from onboard_vla.kernels.actions import StatisticsCall
from onboard_vla.kernels.layouts import KernelForm


class UncertaintySignals:
    """Signals of one action sequence after another; NaN where a step's logits are not finite.

    Args:
        kernels: what computes them, in float32 (`kernels/README.md` has the errors).
        first_id: vocabulary id of codebook token 0.
        ends: (K, 2) end points of the codebook's tokens, metres; not copied where they lie in Fortran's order.
    """

    def __init__(self, kernels: KernelForm, first_id: int, ends: NDArray[np.float32]) -> None:
        self._kernels, self._first_id, self._ends = kernels, first_id, ends
        self._logits: NDArray[np.float32] | None = None
        self._call: StatisticsCall | None = None

    def of(
        self, logits: NDArray[np.float32], tokens: Sequence[int], vision_ood: dict[str, float] | None = None
    ) -> Uncertainty:
        """Of one sequence.

        Args:
            logits: (T, V) raw logits, row t is what token t was chosen from; best the same array every time.
            tokens: T chosen codebook indices.
            vision_ood: each camera's distance from what the model knows; none where the bundle has no statistics.
        """
        if self._call is None or logits is not self._logits:
            chosen = np.array(tokens, np.int32)
            self._call = StatisticsCall(self._kernels, logits, self._first_id, self._ends, chosen=chosen)
            self._logits = logits
        assert self._call.chosen is not None
        self._call.chosen[:] = tokens
        steps = self._call()
        return Uncertainty(
            spread_m=steps["spread_m"].copy(),
            outside_mass=steps["outside_mass"].copy(),
            chosen_mass=steps["near_mass"].copy(),
            second_mass=steps["second_mass"].copy(),
            second_distance_m=steps["second_distance_m"].copy(),
            negative_log_likelihood=-float(steps["choice_log_probability"].sum(dtype=np.float64)) / len(steps),
            vision_ood=vision_ood or {},
        )
