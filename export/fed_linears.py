"""Linear layers whose weights are handed to a graph at every run: what is run once needs no file, and no repacking.

A step of a large model is then a graph of a few kilobytes, and a pass over all steps reads the checkpoint once.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.graph_session import cores
from onboard_vla.export.weights import LinearWeights, pieces

if TYPE_CHECKING:
    from onboard_vla.export.graph import GraphWriter

WEIGHT, BIAS = "weight", "bias"


class FedLinears:
    """MatMul and Add in float32; `LAYER.weight` (outputs, inputs) and `LAYER.bias` are inputs of the graph."""

    half = False

    def __init__(self, weights: LinearWeights) -> None:
        self._weights = weights
        self._rooms: dict[tuple[int, int], list[NDArray[np.float32]]] = {}

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append Transpose and MatMul, which ONNX Runtime makes one product of (+ Add)."""
        inputs, outputs = self._weights.shape(name)
        rows = graph.input(f"{name}.{WEIGHT}", (outputs, inputs))
        y = graph.node("MatMul", x, graph.node("Transpose", rows, at=name, perm=[1, 0]), at=name)
        if not self._weights.has_bias(name):
            return y
        return graph.node("Add", y, graph.input(f"{name}.{BIAS}", (outputs,)), at=name)

    def feed(self, inputs: Iterable[str]) -> dict[str, NDArray[Any]]:
        """The arrays of layers whose inputs are named, valid until the next feed: their memory is used again."""
        found: dict[str, NDArray[Any]] = {}
        taken = Counter[tuple[int, int]]()
        for name in sorted({name.rpartition(".")[0] for name in inputs}):
            width, outputs = self._weights.shape(name)
            rows, bias = self._room((outputs, width), taken), np.empty(outputs, np.float32)
            self._read(name, rows, bias)
            found[f"{name}.{WEIGHT}"] = rows
            if self._weights.has_bias(name):
                found[f"{name}.{BIAS}"] = bias
        return found

    def _read(self, name: str, rows: NDArray[np.float32], bias: NDArray[np.float32]) -> None:
        """Fill both with a layer's weight and bias."""

        def read(piece: slice) -> None:
            layer = self._weights.linear(name, piece)
            rows[piece] = layer.weight.T
            if layer.bias is not None:
                bias[piece] = layer.bias

        with ThreadPoolExecutor(cores()) as pool:
            list(pool.map(read, pieces(self._weights, name)))

    def _room(self, shape: tuple[int, int], taken: Counter[tuple[int, int]]) -> NDArray[np.float32]:
        """Memory of this shape that this feed has not taken."""
        rooms = self._rooms.setdefault(shape, [])
        if taken[shape] == len(rooms):
            rooms.append(np.empty(shape, np.float32))
        taken[shape] += 1
        return rooms[taken[shape] - 1]
