"""Uncertainty of a decode, from the raw logits of its action steps."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.plan import Uncertainty
from onboard_vla.kernels.actions import StatisticsCall
from onboard_vla.kernels.layouts import KernelForm

COLUMNS = ("spread_m", "near_mass", "second_mass", "second_distance_m", "choice_log_probability")
"""What signals are made of, of the statistics of each step; the mass outside the actions may be of fewer steps."""


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
        self._columns: list[NDArray[np.float32]] = []
        self._calls: tuple[StatisticsCall, ...] = ()

    def of(
        self,
        logits: NDArray[np.float32],
        tokens: Sequence[int],
        vision_ood: dict[str, float] | None = None,
        action_logits: NDArray[np.float32] | None = None,
    ) -> Uncertainty:
        """Of one sequence.

        Args:
            logits: (K, V) raw logits, row t is what token t was chosen from; best the same array every time.
            tokens: T chosen codebook indices.
            vision_ood: each camera's distance from what the model knows; none where the bundle has no statistics.
            action_logits: (T, actions) where K < T, in the same place every time: of the steps beyond K nobody
                computed more, and the mass outside the actions is not known.
        """
        if logits is not self._logits:
            whole = self._call(logits, self._first_id, tokens)
            self._calls = (whole, whole if action_logits is None else self._call(action_logits, 0, tokens))
            self._logits = logits
            outside, steps = (call.out for call in self._calls)
            self._columns = [outside["outside_mass"], *(steps[name] for name in COLUMNS)]
        for call in dict.fromkeys(self._calls):
            assert call.chosen is not None
            call.chosen[:] = tokens[: len(call.chosen)]
            call()
        outside_mass, spread_m, near_mass, second_mass, second_distance_m, log_probability = self._columns
        return Uncertainty(
            spread_m=spread_m.copy(),
            outside_mass=outside_mass.copy(),
            chosen_mass=near_mass.copy(),
            second_mass=second_mass.copy(),
            second_distance_m=second_distance_m.copy(),
            negative_log_likelihood=-float(np.add.reduce(log_probability, dtype=np.float64)) / len(log_probability),
            vision_ood=vision_ood or {},
        )

    def _call(self, logits: NDArray[np.float32], first: int, tokens: Sequence[int]) -> StatisticsCall:
        chosen = np.array(tokens[: len(logits)], np.int32)
        return StatisticsCall(self._kernels, logits, first, self._ends, chosen=chosen)
