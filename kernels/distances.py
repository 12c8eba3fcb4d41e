"""How far cameras' embeddings lie from what is known of them: one call of the host library, else NumPy.

Every form of the kernels has the embeddings in the processor's memory, so that none computes this on a GPU.
"""

from __future__ import annotations

import ctypes
import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.kernels import numpy_distances
from onboard_vla.kernels.host_library import HostLibrary
from onboard_vla.kernels.layouts import DistanceArguments
from onboard_vla.kernels.numpy_distances import KnownEmbeddings

Floats = NDArray[np.float32]
FLOAT32 = np.dtype(np.float32).str


class DistanceCall:
    """Distances of the same cameras again and again, from embeddings that are read where they lie.

    `pooled`: (C, D) the newest call's means over tokens.

    Args:
        library: what runs it; None: NumPy.
        known: statistics of R cameras.
        rows: of `known`, of each of the C cameras; None where nothing is known of it.
        tokens: of each camera.

    Raises:
        ValueError: a shape does not fit.
    """

    def __init__(
        self,
        library: HostLibrary | None,
        known: KnownEmbeddings,
        rows: Sequence[int | None],
        tokens: Sequence[int],
    ) -> None:
        count, directions, width = known.basis.shape
        if any(row is not None and not 0 <= row < count for row in rows) or min(tokens, default=1) < 1:
            raise ValueError(f"rows {rows} of {count} statistics and {tokens} tokens: expected rows there and tokens")
        shapes = [a.shape for a in (known.means, known.variances, known.rest_variances, known.units)]
        if shapes != [(count, width), (count, directions), (count,), (count,)]:
            raise ValueError(f"statistics of shapes {shapes} beside a basis {known.basis.shape}: expected the same")
        self._shapes = [(number, width) for number in tokens]
        self.pooled: Floats = np.empty((len(rows), width), np.float32)
        self._library = library
        if library is None:
            self._given = [place for place, row in enumerate(rows) if row is not None]
            own = [row for row in rows if row is not None]
            self._known = KnownEmbeddings(*(getattr(known, name)[own] for name in known.__dataclass_fields__))
            return
        self._distances, self._addresses = np.empty(len(rows), np.float32), (ctypes.c_void_p * len(rows))()
        numbers = [np.array(given, np.int32) for given in (tokens, [-1 if row is None else row for row in rows])]
        tables = [np.ascontiguousarray(getattr(known, n), np.float32) for n in known.__dataclass_fields__]
        arrays = [*numbers, *tables, self.pooled, np.empty(width, np.float32), self._distances]
        self._kept_alive = arrays
        self._arguments = DistanceArguments(
            ctypes.addressof(self._addresses),
            *(array.ctypes.data for array in arrays),
            len(rows),
            directions,
            width,
        )

    def __call__(self, embeddings: Sequence[Floats]) -> list[float]:
        """Of each camera's embeddings (tokens, D), whose elements follow each other; NaN where nothing is known.

        Raises:
            ValueError: they have another shape; for a library also where they have another type or layout.
        """
        if self._library is None:
            return self._numpy(embeddings)
        self._addresses[:] = [
            self._address(array, shape) for array, shape in zip(embeddings, self._shapes, strict=True)
        ]
        self._library.distances(self._arguments)
        distances: list[float] = self._distances.tolist()
        return distances

    @staticmethod
    def _address(array: Floats, shape: tuple[int, int]) -> int:
        # One look at what an array is; each of its attributes is an object of its own.
        about = array.__array_interface__
        if about["shape"] != shape or about["typestr"] != FLOAT32 or about["strides"] is not None:
            raise ValueError(
                f"embeddings {array.shape} {array.dtype} of strides {array.strides}: expected {shape} float32 "
                "whose elements follow each other"
            )
        address: int = about["data"][0]
        return address

    def _numpy(self, embeddings: Sequence[Floats]) -> list[float]:
        if (shapes := [array.shape for array in embeddings]) != self._shapes:
            raise ValueError(f"embeddings of shapes {shapes}: expected {self._shapes}")
        found = [math.nan] * len(embeddings)
        if embeddings:
            self.pooled = numpy_distances.pool(embeddings)
        if self._given:
            pooled = self.pooled if len(self._given) == len(found) else self.pooled[self._given]
            for place, distance in zip(self._given, numpy_distances.distances(self._known, pooled), strict=True):
                found[place] = distance
        return found
