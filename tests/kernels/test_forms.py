"""Which form of the kernels runs, and that the two say the same on figures that no reference has."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.errors import ConfigurationError, EnvironmentLacksError
from onboard_vla.kernels import forms
from onboard_vla.kernels.actions import Sampling, action_statistics
from onboard_vla.kernels.forms import VARIABLE, kernel_form
from onboard_vla.kernels.host_library import HostLibrary
from onboard_vla.kernels.layouts import ComposeArguments, FootprintArguments
from onboard_vla.kernels.numpy_forms import NumpyForms
from onboard_vla.kernels.numpy_statistics import philox


@pytest.fixture
def built(monkeypatch, library):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(forms, "host_library", lambda: library)
    return library


@pytest.fixture
def not_built(monkeypatch):
    monkeypatch.delenv(VARIABLE, raising=False)
    monkeypatch.setattr(forms, "host_library", lambda: None)


def test_the_host_library_runs_where_it_was_built(built):
    assert kernel_form() is built
    assert kernel_form("host") is built


def test_numpy_runs_without_a_library(not_built):
    assert isinstance(kernel_form(), NumpyForms)


def test_numpy_can_be_asked_for_by_argument_and_by_environment(built, monkeypatch):
    assert isinstance(kernel_form("numpy"), NumpyForms)
    monkeypatch.setenv(VARIABLE, "numpy")
    assert isinstance(kernel_form(), NumpyForms)
    assert kernel_form("host") is built


def test_asking_for_a_library_that_was_not_built_is_an_error(not_built):
    with pytest.raises(EnvironmentLacksError, match="compiler"):
        kernel_form("host")


def test_a_form_that_does_not_exist_is_an_error(built, monkeypatch):
    monkeypatch.setenv(VARIABLE, "tpu")
    with pytest.raises(ConfigurationError, match="'tpu'"):
        kernel_form()


def test_a_file_that_is_no_library_is_an_error(tmp_path):
    (tmp_path / "lib.so").write_bytes(b"no library")
    with pytest.raises(EnvironmentLacksError, match="cannot be loaded"):
        HostLibrary(tmp_path / "lib.so")


def test_arguments_of_another_kernel_are_refused(form):
    with pytest.raises(TypeError, match="ComposeArguments"):
        form.run("compose", FootprintArguments(), 1)


def test_numpy_runs_no_part_of_a_launch():
    with pytest.raises(ValueError, match="whole launches"):
        NumpyForms().run("compose", ComposeArguments(), 2, first=1)


def test_philox_gives_the_published_words():
    """Known answers of the authors' Random123 library (kat_vectors: philox4x32, 10 rounds)."""
    zero = np.zeros(1, np.uint64)
    assert [int(w[0]) for w in philox(zero, zero, 0, 0)] == [0x6627E8D5, 0xE169C58D, 0xBC57AC4C, 0x9B00DBD8]


def test_both_forms_give_equal_draws_and_figures_with_every_setting(library):
    rng = np.random.default_rng(0)
    logits = (4 * rng.standard_normal((64, 2101))).astype(np.float16)
    ends = rng.uniform([-5, -4], [15, 4], (2048, 2)).astype(np.float32)
    allowed, seen = rng.random(2048) < 0.8, rng.random((64, 2048)) < 0.1
    sampling = Sampling(1.2, 1.5, 1.3, 0.5, 2.0, 0.9, seed=2**40 + 3, step=9)

    host, numpy = (
        action_statistics(form, logits, 20, ends, sampling, allowed, seen) for form in (library, NumpyForms())
    )

    for name in ("best", "choice", "flags", "top", "top_logit", "margin"):
        np.testing.assert_array_equal(numpy[name], host[name], err_msg=name)
    for name in ("log_sum_exp", "entropy", "best_probability", "choice_log_probability", "spread_m"):
        np.testing.assert_allclose(numpy[name], host[name], atol=3e-5, err_msg=name)
    for name in ("near_mass", "outside_mass", "second_mass"):
        np.testing.assert_allclose(numpy[name], host[name], atol=1e-6, err_msg=name)
    np.testing.assert_allclose(numpy["second_distance_m"], host["second_distance_m"], atol=1e-5)
    assert (host["second_mass"] > 0).any()


def test_a_row_without_a_number_has_both_flags_in_both_forms(form):
    logits = np.zeros((2, 40), np.float32)
    logits[1, 4:36] = np.nan

    result = action_statistics(form, logits, 4, np.zeros((32, 2), np.float32))

    assert list(result["flags"]) == [0, 3]
