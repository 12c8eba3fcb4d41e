"""Weights as they lie in the graph files of an export: what is judged is what was written."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import onnx
from numpy.typing import NDArray
from onnx import TensorProto, external_data_helper, helper, numpy_helper

from onboard_vla.core.errors import BundleError
from onboard_vla.export.weights import Linear, LinearWeights


@dataclass(frozen=True, eq=False)
class _Stored:
    """A constant of a graph file; its bytes may lie in a file beside that."""

    graph: Path
    tensor: TensorProto

    def read(self, outputs: slice = slice(None)) -> NDArray[np.float32]:
        """The constant, or some of its last axis; the file is mapped no longer than that takes."""
        if self.tensor.data_location != TensorProto.EXTERNAL:
            whole: NDArray[np.generic] = numpy_helper.to_array(self.tensor)
        else:
            place = external_data_helper.ExternalDataInfo(self.tensor)
            kind, shape = helper.tensor_dtype_to_np_dtype(self.tensor.data_type), tuple(self.tensor.dims)
            whole = np.memmap(self.graph.parent / place.location, kind, "r", place.offset or 0, shape)
        return np.array(whole[..., outputs], np.float32)


class WrittenWeights:
    """Weights in float32 or half precision, read from graph files by the places that these name.

    A layer of several graphs, as the vision encoder's for cameras of different sizes, has to be the same in all.
    """

    def __init__(self, graphs: Sequence[Path], asked: LinearWeights) -> None:
        """`asked`: knows the shapes of the layers that are to be there."""
        self._asked = asked
        self._stored: dict[str, list[_Stored]] = {}
        for path in graphs:
            for tensor in onnx.load(path, load_external_data=False).graph.initializer:
                self._stored.setdefault(tensor.name, []).append(_Stored(path, tensor))

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        """Weight and bias of a linear layer, or of some of its outputs.

        Raises:
            BundleError: they are in no graph, or not the same in all.
        """
        bias = self._read(f"{name}.bias", outputs) if self.has_bias(name) else None
        return Linear(self._read(f"{name}.weight", outputs), bias)

    def shape(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of a linear layer."""
        return self._asked.shape(name)

    def has_bias(self, name: str) -> bool:
        """Whether a linear layer has a bias."""
        return self._asked.has_bias(name)

    def vector(self, name: str) -> NDArray[np.float32]:
        """The gain of a normalisation layer."""
        return self._read(f"{name}.weight")

    def _read(self, name: str, outputs: slice | None = None) -> NDArray[np.float32]:
        stored = self._stored.get(name)
        if stored is None:
            raise BundleError(f"{name} is in none of the graphs that were written: export again")
        first, *others = (one.read(outputs or slice(None)) for one in stored)
        if any(not np.array_equal(first, other) for other in others):
            raise BundleError(f"{name} is not the same in all graphs that were written: export again")
        return first
