"""A plan's signals come from the kernels and are what the float64 reference says."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.kernels.forms import kernel_form
from onboard_vla.kernels.numpy_forms import NumpyForms
from onboard_vla.kernels.reference_actions import action_statistics
from onboard_vla.runtime.uncertainty import UncertaintySignals

FIRST, ACTIONS, STEPS = 41, 512, 10


@pytest.fixture(params=["fastest", "numpy"])
def form(request):
    return NumpyForms() if request.param == "numpy" else kernel_form()


@pytest.mark.parametrize("seed", range(6))
def test_signals_are_those_of_the_float64_reference(form, seed):
    rng = np.random.default_rng(seed)
    ends = np.asfortranarray(rng.uniform([-2, -4], [15, 4], (ACTIONS, 2)), np.float32)
    logits = (rng.choice([1.0, 4.0, 12.0]) * rng.standard_normal((STEPS, 700))).astype(np.float32)
    tokens = rng.integers(0, ACTIONS, STEPS).tolist()

    found = UncertaintySignals(form, FIRST, ends).of(logits, tokens, {"front": 2.0})

    wanted = [
        action_statistics(row, FIRST, ends.astype(np.float64), token) for row, token in zip(logits, tokens, strict=True)
    ]
    for name, error in (("spread_m", 2e-5), ("outside_mass", 1e-6), ("chosen_mass", 2e-6), ("second_mass", 2e-6)):
        np.testing.assert_allclose(getattr(found, name), [getattr(step, name) for step in wanted], atol=error)
    np.testing.assert_allclose(found.second_distance_m, [step.second_distance_m for step in wanted], atol=2e-5)
    mean = -np.mean([step.chosen_log_probability for step in wanted])
    assert found.negative_log_likelihood == pytest.approx(mean, abs=2e-5)
    assert found.vision_ood == {"front": 2.0}


def test_a_step_without_finite_logits_has_signals_that_no_guard_takes(form):
    logits = np.zeros((2, 700), np.float32)
    logits[1, 3] = np.nan
    found = UncertaintySignals(form, FIRST, np.zeros((ACTIONS, 2), np.float32)).of(logits, [0, 1])
    assert np.isfinite(found.spread_m).tolist() == [True, False]
    assert np.isnan(found.chosen_mass[1])
    assert np.isnan(found.negative_log_likelihood)
