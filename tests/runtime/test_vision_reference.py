"""Vision's distance: against the full covariance inverted, what it does not depend on, and files that do not fit."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.errors import BundleError
from onboard_vla.kernels.forms import kernel_form, on_processor
from onboard_vla.kernels.numpy_distances import pool
from onboard_vla.runtime.vision_reference import (
    CameraReference,
    CameraReferences,
    load_reference,
    save_reference,
    scaled,
)

WIDTH, KEPT = 12, 4


def reference(seed=0, unit=3.0):
    rng = np.random.default_rng(seed)
    basis = np.linalg.qr(rng.normal(size=(WIDTH, KEPT)))[0].T.astype(np.float16).astype(np.float32)
    mean = rng.normal(size=WIDTH).astype(np.float32)
    return CameraReference(mean / np.linalg.norm(mean), basis, np.float32([0.4, 0.2, 0.1, 0.05]), 0.01, unit)


def by_inversion(found, pooled):
    """Mahalanobis distance with the whole covariance matrix, in float64, by its inverse."""
    basis, width = found.basis.astype(np.float64), len(found.mean)
    across = np.eye(width) - basis.T @ basis
    covariance = basis.T @ np.diag(found.variances.astype(np.float64)) @ basis + found.rest_variance * across
    away = pooled / np.linalg.norm(pooled) - found.mean
    return float(np.sqrt(away @ np.linalg.inv(covariance) @ away)) / found.unit


@pytest.mark.parametrize("seed", range(20))
def test_the_distance_is_mahalanobis_with_the_shrunk_covariance(seed):
    pooled = np.random.default_rng(100 + seed).normal(size=WIDTH).astype(np.float32) * 7
    assert reference(seed).distance(pooled) == pytest.approx(by_inversion(reference(seed), pooled), rel=2e-3)


def test_the_mean_is_at_distance_zero_and_a_known_step_at_a_known_one():
    basis = np.eye(WIDTH, dtype=np.float32)[1:3]
    mean = np.eye(WIDTH, dtype=np.float32)[0]
    found = CameraReference(mean, basis, np.float32([0.04, 0.01]), 0.01, 2.0)
    assert found.distance(5 * mean) == pytest.approx(0.0, abs=1e-6)
    aside = np.zeros(WIDTH, np.float32)
    aside[0], aside[1] = 0.8, 0.6
    assert found.distance(aside) == pytest.approx(np.sqrt(0.36 / 0.04 + 0.04 / 0.01) / 2.0, rel=1e-5)


@settings(max_examples=50, deadline=None)
@given(st.floats(1e-3, 1e3), st.integers(0, 1000))
def test_the_length_of_an_embedding_does_not_count(factor, seed):
    pooled = np.random.default_rng(seed).normal(size=WIDTH).astype(np.float32)
    found = reference()
    assert found.distance(pooled * np.float32(factor)) == pytest.approx(found.distance(pooled), rel=1e-3)


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
def test_what_is_not_finite_has_no_distance(bad):
    pooled = np.ones(WIDTH, np.float32)
    pooled[3] = bad
    assert np.isnan(reference().distance(pooled))


def test_an_empty_embedding_has_a_finite_distance():
    assert np.isfinite(reference().distance(np.zeros(WIDTH, np.float32)))


@pytest.fixture(params=["installed", "numpy"])
def library(request):
    """What cameras together are computed by."""
    return on_processor(kernel_form()) if request.param == "installed" else None


def test_cameras_together_have_the_distances_that_each_has_alone(library):
    known = {role: reference(seed) for seed, role in enumerate(("front", "left", "right", "back"))}
    known["left"] = dataclasses.replace(
        known["left"], basis=known["left"].basis[:2], variances=known["left"].variances[:2]
    )
    together, rng = CameraReferences(known, library), np.random.default_rng(5)
    for shown in (("front", "left", "right", "back"), ("back", "front"), ("left",), ("side", "right"), ("side",), ()):
        pooled = rng.normal(size=(len(shown), WIDTH)).astype(np.float32)
        expected = {role: known[role].distance(row) for role, row in zip(shown, pooled, strict=True) if role in known}
        found = together.distances(shown, list(pooled[:, None]))
        assert found == pytest.approx(expected, rel=1e-5)
        assert list(found) == list(expected)
        assert {role: row.tolist() for role, row in together.pooled.items()} == dict(
            zip(shown, pooled.tolist(), strict=True)
        )
    spoilt = np.ones((4, 1, WIDTH), np.float32)
    spoilt[1, 0, 3] = np.nan
    assert [role for role, away in together.distances(tuple(known), list(spoilt)).items() if np.isnan(away)] == ["left"]


def test_without_statistics_cameras_are_pooled_all_the_same(library):
    nothing_known = CameraReferences({}, library)
    assert nothing_known.pooled == {}
    assert nothing_known.distances(("front", "left"), [np.full((2, 3), value, np.float32) for value in (4, 5)]) == {}
    kept = nothing_known.pooled
    nothing_known.distances(("front", "left"), [np.zeros((2, 3), np.float32)] * 2)
    assert {role: row.tolist() for role, row in kept.items()} == {"front": [4.0] * 3, "left": [5.0] * 3}


@pytest.mark.filterwarnings("error")
def test_embeddings_too_large_to_be_squared_have_no_distance_and_warn_of_nothing(library):
    tokens = np.full((4, WIDTH), 1e20, np.float32)
    assert np.isnan(CameraReferences({"front": reference()}, library).distances(("front",), [tokens])["front"])
    assert np.isnan(reference().distance(tokens[0]))
    assert np.isnan(scaled(np.full(WIDTH, np.inf, np.float32))).all()


def test_pooling_is_the_mean_over_tokens():
    assert pool([np.float32([[1, 2], [3, 6]]), np.float32([[5, 7]])]).tolist() == [[2.0, 4.0], [5.0, 7.0]]


def test_a_file_gives_the_same_distances_again(tmp_path):
    made = {"front": reference(1), "back": reference(2)}
    save_reference(tmp_path / "v.npz", made, {"fingerprint": "a", "precision": "int8"})
    loaded = load_reference(tmp_path / "v.npz", {"front": WIDTH, "back": WIDTH})
    pooled = np.random.default_rng(5).normal(size=WIDTH).astype(np.float32)
    assert list(loaded) == ["front", "back"]
    for camera, before in made.items():
        assert loaded[camera].distance(pooled) == pytest.approx(before.distance(pooled), rel=1e-6)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"variances": np.float32([0.4, 0.0, 0.1, 0.1])}, "variances and unit above 0"),
        ({"unit": 0.0}, "variances and unit above 0"),
        ({"rest_variance": float("nan")}, "finite numbers"),
        ({"mean": np.ones(WIDTH - 1, np.float32)}, "expected arrays of shapes"),
        ({"basis": np.ones((3, WIDTH), np.float32)}, "expected arrays of shapes"),
    ],
)
def test_arrays_that_do_not_fit_are_refused(tmp_path, change, message):
    save_reference(tmp_path / "v.npz", {"front": dataclasses.replace(reference(), **change)}, {})
    with pytest.raises(BundleError, match=message):
        load_reference(tmp_path / "v.npz", {"front": WIDTH})


def test_another_cameras_file_and_a_damaged_one_are_refused(tmp_path):
    path = tmp_path / "v.npz"
    save_reference(path, {"front": reference()}, {})
    with pytest.raises(BundleError, match="back/mean"):
        load_reference(path, {"front": WIDTH, "back": WIDTH})
    path.write_bytes(path.read_bytes()[:100])
    with pytest.raises(BundleError, match="cannot be read as vision statistics"):
        load_reference(path, {"front": WIDTH})
