"""Distances of mean embeddings in NumPy: what runs without a host library, and what it is compared with."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float32]
TINY = float(np.finfo(np.float32).tiny)


@dataclass(frozen=True, eq=False)
class KnownEmbeddings:
    """Statistics of R cameras' mean embeddings of length 1.

    `means`: (R, D); `basis`: (R, K, D) orthonormal, rows of 0 where a camera has fewer directions; `variances`: (R, K)
    along them; `rest_variances`: (R,) along every other direction; `units`: (R,) the distances that are called 1.
    """

    means: Floats
    basis: Floats
    variances: Floats
    rest_variances: Floats
    units: Floats

    @classmethod
    def of_none(cls, width: int) -> KnownEmbeddings:
        """Of no camera; embeddings have this width."""
        return cls(*(np.empty(shape, np.float32) for shape in ((0, width), (0, 0, width), (0, 0), (0,), (0,))))


def pool(pairs: Sequence[Floats]) -> Floats:
    """Means (C, D) of the visual tokens (tokens, D) of one frame pair of each of some cameras."""
    means = np.empty((len(pairs), pairs[0].shape[1]), np.float32)
    for embeddings, mean in zip(pairs, means, strict=True):
        # What `mean` computes, in a third of its time.
        np.add.reduce(embeddings, axis=0, out=mean)
    means /= _counts(tuple(map(len, pairs)))
    return means


@lru_cache(16)
def _counts(tokens: tuple[int, ...]) -> Floats:
    """(C, 1) tokens of each camera: the same in every plan."""
    return np.array(tokens, np.float32)[:, None]


@np.errstate(over="ignore", invalid="ignore")
def distances(known: KnownEmbeddings, pooled: Floats) -> list[float]:
    """Mahalanobis distances of mean embeddings (R, D), in units; NaN of what is not finite."""
    lengths = np.sqrt(_squares(pooled))
    away: Floats = pooled / np.maximum(lengths, np.float32(TINY))[:, None] - known.means
    along: Floats = np.matmul(known.basis, away[:, :, None])[:, :, 0]
    near = np.add.reduce(along * along / known.variances, axis=1)
    rest = np.maximum(_squares(away) - _squares(along), np.float32(0.0))
    squared = (near + rest / known.rest_variances).tolist()
    units = known.units.tolist()
    return [
        math.sqrt(whole) / unit if math.isfinite(length) and math.isfinite(whole) else math.nan
        for length, whole, unit in zip(lengths.tolist(), squared, units, strict=True)
    ]


def _squares(rows: Floats) -> Floats:
    """(C,) each row with itself."""
    found: Floats = np.matmul(rows[:, None, :], rows[:, :, None])[:, 0, 0]
    return found
