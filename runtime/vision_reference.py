"""How far a camera's pictures lie from those that the model knows, from the embeddings that the plan is made of anyway.

The embeddings of a camera's newest frame pair are averaged and scaled to length 1 (without that, distances follow the
norm: Mahalanobis++, arXiv 2505.18032); their Mahalanobis distance (Lee et al., arXiv 1807.03888) to nominal drives is
the figure. The covariance is shrunk: the leading directions keep their variances, all others share one, the maximum
likelihood of probabilistic PCA (Tipping and Bishop, 1999). Distances are given in units of the one that 1 % of the
nominal pictures exceeded that the statistics were not fitted on: 1 is rare, 2 is unknown.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import BundleError
from onboard_vla.kernels.distances import DistanceCall
from onboard_vla.kernels.host_library import HostLibrary
from onboard_vla.kernels.numpy_distances import TINY, KnownEmbeddings

Floats = NDArray[np.float32]
FIELDS = ("mean", "basis", "variances", "rest_variance", "unit")


@dataclass(frozen=True, eq=False)
class CameraReference:
    """Statistics of one camera. `mean`: (D,); `basis`: (K, D) orthonormal rows; `variances`: (K,) along them.

    `rest_variance`: along every other direction. `unit`: the distance that is called 1.
    """

    mean: Floats
    basis: Floats
    variances: Floats
    rest_variance: float
    unit: float

    @np.errstate(over="ignore", invalid="ignore")
    def distance(self, pooled: Floats) -> float:
        """Of the mean embedding (D,) of a frame pair, in units of `unit`; NaN for embeddings that are not finite."""
        length = math.sqrt(pooled @ pooled)
        if not math.isfinite(length):
            return math.nan
        away = pooled / max(length, TINY) - self.mean
        along = self.basis @ away
        rest = max(float(away @ away) - float(along @ along), 0.0)
        squared = float(np.sum(along * along / self.variances)) + rest / self.rest_variance
        return math.sqrt(squared) / self.unit if math.isfinite(squared) else math.nan


class CameraReferences:
    """Statistics of several cameras, in one call for all; what each `CameraReference` gives, but for last bits.

    Args:
        references: by role.
        library: what computes, see `forms.on_processor`; None: NumPy.
    """

    def __init__(self, references: Mapping[str, CameraReference], library: HostLibrary | None = None) -> None:
        self._row = {role: row for row, role in enumerate(references)}
        found = list(references.values())
        most = max((len(one.variances) for one in found), default=0)
        width = len(found[0].mean) if found else 0
        # Directions that a camera does not have: nothing lies along them.
        basis, variances = np.zeros((len(found), most, width), np.float32), np.ones((len(found), most), np.float32)
        for row, one in enumerate(found):
            basis[row, : len(one.basis)], variances[row, : len(one.variances)] = one.basis, one.variances
        means = np.array([one.mean for one in found], np.float32).reshape(len(found), width)
        rests = np.array([one.rest_variance for one in found], np.float32)
        units = np.array([one.unit for one in found], np.float32)
        self._known, self._library = KnownEmbeddings(means, basis, variances, rests, units), library
        self._roles: tuple[str, ...] = ()
        self._call: DistanceCall | None = None

    @property
    def pooled(self) -> dict[str, Floats]:
        """Mean embedding (D,) of each camera of the newest call; a copy."""
        return {} if self._call is None else dict(zip(self._roles, self._call.pooled.copy(), strict=True))

    def distances(self, roles: tuple[str, ...], pairs: Sequence[Floats]) -> dict[str, float]:
        """By role, of each camera that there are statistics of; see `CameraReference.distance`.

        `pairs`: visual tokens (tokens, D) of a frame pair of each role; as many as before while the roles stay.

        Raises:
            ValueError: a shape, type or layout does not fit.
        """
        call = self._call
        if call is None or roles != self._roles:
            call = self._call_for(roles, pairs)
        found = zip(roles, call(pairs), strict=True)
        return dict(found) if self._all_known else {role: away for role, away in found if role in self._row}

    def _call_for(self, roles: tuple[str, ...], pairs: Sequence[Floats]) -> DistanceCall:
        known = self._known if self._row or not pairs else KnownEmbeddings.of_none(pairs[0].shape[-1])
        rows = [self._row.get(role) for role in roles]
        self._call, self._roles = DistanceCall(self._library, known, rows, [len(pair) for pair in pairs]), roles
        self._all_known = None not in rows
        return self._call


@np.errstate(over="ignore", invalid="ignore")
def scaled(pooled: Floats) -> Floats:
    """To length 1, over the last axis."""
    lengths = np.sqrt(np.sum(pooled * pooled, axis=-1, keepdims=True))
    return np.asarray(pooled / np.maximum(lengths, TINY), np.float32)


def save_reference(path: Path, cameras: Mapping[str, CameraReference], note: Mapping[str, Any]) -> None:
    """Write `{camera}/{field}` arrays, and `note` (texts and whole numbers) beside them; basis rows in float16."""
    arrays: dict[str, Any] = {name: np.array(value) for name, value in note.items()}
    for camera, reference in cameras.items():
        for field in FIELDS:
            kind = np.float16 if field == "basis" else np.float32
            arrays[f"{camera}/{field}"] = np.asarray(getattr(reference, field), kind)
    with path.open("wb") as file:
        np.savez_compressed(file, **arrays)


def load_reference(path: Path, cameras: Mapping[str, int]) -> dict[str, CameraReference]:
    """Read the statistics of `cameras`, by role the width D of their embeddings.

    Raises:
        BundleError: the file cannot be read, lacks a camera, or its arrays do not fit each other.
    """
    try:
        with np.load(path, allow_pickle=False) as archive:
            arrays = {name: np.asarray(archive[name], np.float32) for name in archive.files if "/" in name}
    except Exception as error:  # zipfile and zlib raise types of their own on damaged archives
        raise BundleError(f"{path} cannot be read as vision statistics: {error!r}") from None
    expected = {f"{camera}/{field}" for camera in cameras for field in FIELDS}
    if set(arrays) != expected:
        raise BundleError(f"{path}: expected {sorted(expected)}, found {sorted(arrays)}")
    return {camera: _reference(path, camera, width, arrays) for camera, width in cameras.items()}


def _reference(path: Path, camera: str, width: int, arrays: Mapping[str, Floats]) -> CameraReference:
    mean, basis, variances, rest, unit = (arrays[f"{camera}/{field}"] for field in FIELDS)
    count = len(variances) if variances.ndim == 1 else -1
    shapes = {"mean": (width,), "basis": (count, width), "variances": (count,), "rest_variance": (), "unit": ()}
    found = {field: arrays[f"{camera}/{field}"].shape for field in FIELDS}
    if found != shapes:
        raise BundleError(f"{path}: {camera}: expected arrays of shapes {shapes}, found {found}")
    finite = all(np.isfinite(arrays[f"{camera}/{field}"]).all() for field in FIELDS)
    if not finite or not (variances > 0).all() or not rest > 0 or not unit > 0:
        raise BundleError(f"{path}: {camera}: expected finite numbers, variances and unit above 0")
    return CameraReference(mean, basis, variances, float(rest), float(unit))
