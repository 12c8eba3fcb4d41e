"""A graph of one matrix product, written as a bundle's layers are: what this machine's products are timed with."""

from __future__ import annotations

import numpy as np
import onnx

from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter, QuantisedLinears
from onboard_vla.export.weights import Linear


def product_graph(rows: int, inputs: int, outputs: int, *, int8: bool) -> onnx.ModelProto:
    """One linear layer of random weights, x (1, rows, inputs) to y: what a machine's products are timed with."""
    weights = _OneLayer(inputs, outputs)
    linears: LinearWriter = QuantisedLinears(weights, {"layer": 1.0}) if int8 else FloatLinears(weights)
    graph = GraphWriter("product", linears)
    x = graph.input("x", (1, rows, inputs))
    graph.output(graph.linear(x, "layer"), "y", (1, rows, outputs))
    return graph.model()


class _OneLayer:
    def __init__(self, inputs: int, outputs: int) -> None:
        rng = np.random.default_rng(0)
        self._weight = rng.standard_normal((inputs, outputs), np.float32)

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        return Linear(self._weight[:, outputs or slice(None)], None)

    def shape(self, name: str) -> tuple[int, int]:
        inputs, outputs = self._weight.shape
        return inputs, outputs

    def has_bias(self, name: str) -> bool:
        return False
