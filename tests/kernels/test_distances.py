"""Cameras' distances: against the whole covariance inverted in float64, library against NumPy, what has no distance."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.kernels import forms
from onboard_vla.kernels.distances import DistanceCall
from onboard_vla.kernels.forms import on_processor
from onboard_vla.kernels.gpu_form import GpuForm
from onboard_vla.kernels.numpy_distances import KnownEmbeddings, pool

SIZES = [(192, 32), (48, 3), (37, 5), (9, 1), (8, 0)]
"""Widths that fill registers, fill half of one, leave a rest; directions."""
TOKENS, ROWS = (28, 1, 40, 7), (2, 0, 1, 0)


def known_embeddings(width: int, directions: int, cameras: int = 3, seed: int = 0) -> KnownEmbeddings:
    rng = np.random.default_rng(seed)
    means = rng.standard_normal((cameras, width))
    means /= np.linalg.norm(means, axis=1, keepdims=True)
    basis = [np.linalg.qr(rng.standard_normal((width, width)))[0][:directions] for _ in range(cameras)]
    numbers = (
        rng.uniform(0.01, 0.5, (cameras, directions)),
        rng.uniform(0.001, 0.01, cameras),
        rng.uniform(1, 9, cameras),
    )
    return KnownEmbeddings(*(np.asarray(table, np.float32) for table in (means, basis, *numbers)))


def embeddings(width: int, seed: int = 1) -> list[np.ndarray]:
    rng = np.random.default_rng(seed)
    return [rng.standard_normal((tokens, width)).astype(np.float32) for tokens in TOKENS]


def by_inversion(known: KnownEmbeddings, row: int, tokens: np.ndarray) -> float:
    basis, width = known.basis[row].astype(np.float64), known.means.shape[1]
    across = np.eye(width) - basis.T @ basis
    covariance = basis.T @ np.diag(known.variances[row]) @ basis + float(known.rest_variances[row]) * across
    pooled = tokens.astype(np.float64).mean(axis=0)
    away = pooled / np.linalg.norm(pooled) - known.means[row]
    return float(np.sqrt(away @ np.linalg.inv(covariance) @ away)) / float(known.units[row])


@pytest.fixture
def runs_on(form):
    """The host library, and None: NumPy."""
    return on_processor(form)


@pytest.mark.parametrize(("width", "directions"), SIZES)
def test_distances_are_mahalanobis_with_the_shrunk_covariance(runs_on, width, directions):
    known, pairs = known_embeddings(width, directions), embeddings(width)
    expected = [by_inversion(known, row, pair) for row, pair in zip(ROWS, pairs, strict=True)]

    assert DistanceCall(runs_on, known, ROWS, TOKENS)(pairs) == pytest.approx(expected, rel=1e-5)


@pytest.mark.parametrize(("width", "directions"), SIZES)
def test_the_library_pools_to_numpys_bits_and_its_distances_are_numpys_but_for_last_bits(library, width, directions):
    known = known_embeddings(width, directions)
    host, numpy = (DistanceCall(one, known, ROWS, TOKENS) for one in (library, None))
    for seed in range(20):
        pairs = embeddings(width, seed)
        assert host(pairs) == pytest.approx(numpy(pairs), rel=2e-6)
        np.testing.assert_array_equal(host.pooled, pool(pairs))
        np.testing.assert_array_equal(numpy.pooled, host.pooled)


@pytest.mark.filterwarnings("error")
@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf, 1e22])
def test_a_camera_that_is_not_finite_or_too_large_to_be_squared_has_no_distance_and_the_others_have_theirs(
    runs_on, bad
):
    call, pairs = DistanceCall(runs_on, known_embeddings(37, 5), ROWS, TOKENS), embeddings(37)
    before = call(pairs)

    pairs[2][3, 36] = bad

    after = call(pairs)
    assert np.isnan(after[2])
    assert after[:2] + after[3:] == before[:2] + before[3:]


def test_a_camera_of_which_nothing_is_known_is_pooled_and_has_no_distance(runs_on):
    known, pairs = known_embeddings(37, 5), embeddings(37)
    whole = DistanceCall(runs_on, known, ROWS, TOKENS)(pairs)
    some = DistanceCall(runs_on, known, (2, None, 1, None), TOKENS)
    none = DistanceCall(runs_on, KnownEmbeddings.of_none(37), (None,) * 4, TOKENS)

    found = some(pairs)

    assert [found[0], found[2]] == pytest.approx([whole[0], whole[2]], rel=2e-6)
    assert np.isnan([found[1], found[3], *none(pairs)]).all()
    np.testing.assert_array_equal(some.pooled, pool(pairs))
    np.testing.assert_array_equal(none.pooled, pool(pairs))


def test_an_embedding_of_zeros_has_a_finite_distance(runs_on):
    call = DistanceCall(runs_on, known_embeddings(37, 5), (0,), (2,))
    assert np.isfinite(call([np.zeros((2, 37), np.float32)])).all()


def test_an_infinite_sum_of_finite_parts_is_no_distance(runs_on):
    known = known_embeddings(9, 1)
    known.variances[:] = 1e-45
    assert np.isnan(DistanceCall(runs_on, known, (0,), (2,))([np.ones((2, 9), np.float32)])).all()


def test_embeddings_that_do_not_fit_are_refused_before_a_byte_of_them_is_read(runs_on, library):
    call, pairs = DistanceCall(runs_on, known_embeddings(37, 5), ROWS, TOKENS), embeddings(37)
    for other in (pairs[0][:-1], pairs[0].T, pairs[0][:, :-1]):
        with pytest.raises(ValueError, match=r"expected .*\(28, 37\)"):
            call([other, *pairs[1:]])
    for other in (pairs[0].astype(np.float64), np.asfortranarray(pairs[0]), np.repeat(pairs[0], 2, axis=1)[:, ::2]):
        with pytest.raises(ValueError, match="elements follow each other"):
            DistanceCall(library, known_embeddings(37, 5), ROWS, TOKENS)([other, *pairs[1:]])
    with pytest.raises(ValueError, match=r"longer|of shapes"):
        call(pairs[:-1])


def test_statistics_that_do_not_fit_are_refused(runs_on):
    known = known_embeddings(37, 5)
    with pytest.raises(ValueError, match="rows there"):
        DistanceCall(runs_on, known, (0, 3), (1, 1))
    with pytest.raises(ValueError, match="and tokens"):
        DistanceCall(runs_on, known, (0, 1), (1, 0))
    with pytest.raises(ValueError, match="beside a basis"):
        DistanceCall(runs_on, dataclasses.replace(known, units=known.units[:-1]), (0,), (1,))


def test_what_computes_beside_a_form(form, library, monkeypatch):
    monkeypatch.setattr(forms, "host_library", lambda: library)
    assert on_processor(form) is (library if form is library else None)
    assert on_processor(object.__new__(GpuForm)) is library
