"""How a linear layer is written: in float32, or with INT8 operands between quantise and dequantise nodes."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.weights import Weights, parts

if TYPE_CHECKING:
    from onboard_vla.export.graph import GraphWriter

INT8_LIMIT = 127
"""Quantised values lie in [-127, 127]: symmetric, zero point 0, the only form that all engines share."""
SCALE_NUDGE = 2.0**-9
"""Relative distance between the scales of MatMuls that share an input.

Equal quantise nodes are merged by ONNX Runtime's common subexpression elimination, and a shared one is not fused with
its MatMuls: weights are then expanded at every run (seen with 1.31; `fusion_check` catches it, and a test shows it).
Upwards, so nothing is clipped; large enough to survive a cast to float16.
"""


class LinearWriter(Protocol):
    """Writes linear layers into a graph."""

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append the nodes of layer `name` applied to value `x`; returns the result's name."""


class FloatLinears:
    """MatMul and Add in float32."""

    def __init__(self, weights: Weights) -> None:
        self._weights = weights

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append MatMul (+ Add)."""
        layer = self._weights.linear(name)
        y = graph.node("MatMul", x, graph.constant(f"{name}.weight", layer.weight), at=name)
        return y if layer.bias is None else graph.node("Add", y, graph.constant(f"{name}.bias", layer.bias), at=name)


@dataclass(frozen=True, eq=False)
class QuantisedWeight:
    """`values`: (inputs, outputs) int8; `scales`: (outputs,) float32; weight = values * scales."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def quantise_weight(weight: NDArray[np.float32]) -> QuantisedWeight:
    """Round to int8 per output channel, ties to even; a channel of zeros keeps scale 1."""
    largest = np.abs(weight).max(axis=0)
    scales = np.where(largest > 0, largest / INT8_LIMIT, 1.0).astype(np.float32)
    values = np.clip(np.rint(weight / scales), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    return QuantisedWeight(values, scales)


def quantise_layer(weights: Weights, name: str) -> tuple[QuantisedWeight, NDArray[np.float32] | None]:
    """A layer's weight in int8 and its bias, read in parts."""
    inputs, outputs = weights.shape(name)
    whole = QuantisedWeight(np.empty((inputs, outputs), np.int8), np.empty(outputs, np.float32))
    bias = np.empty(outputs, np.float32) if weights.has_bias(name) else None
    for piece, layer in parts(weights, name):
        part = quantise_weight(layer.weight)
        whole.values[:, piece], whole.scales[piece] = part.values, part.scales
        if bias is not None and layer.bias is not None:
            bias[piece] = layer.bias
    return whole, bias


class QuantisedLinears:
    """INT8 weights per output channel, INT8 activations per tensor, both static and symmetric.

    Layers in `fallbacks` stay in fp32. `ranges` maps a layer to the largest magnitude that calibration saw at its
    input.
    """

    def __init__(self, weights: Weights, ranges: Mapping[str, float], fallbacks: frozenset[str] = frozenset()) -> None:
        self._weights, self._ranges, self._fallbacks = weights, ranges, fallbacks
        self._float = FloatLinears(weights)

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append QuantizeLinear, DequantizeLinear (both operands), MatMul (+ Add)."""
        if name in self._fallbacks:
            return self._float.write(graph, x, name)
        scale = self._ranges[name] / INT8_LIMIT * (1 + SCALE_NUDGE * graph.earlier_uses(x))
        weight, bias = quantise_layer(self._weights, name)
        zero = graph.constant("zero_point", np.array(0, np.int8))
        x_scale = graph.constant(f"{name}.input_scale", np.array(scale, np.float32))
        quantised = graph.node("QuantizeLinear", x, x_scale, zero, at=name)
        restored = graph.node("DequantizeLinear", quantised, x_scale, zero, at=name)
        zeros = graph.constant(f"{name}.weight_zero_point", np.zeros(len(weight.scales), np.int8))
        w = graph.node(
            "DequantizeLinear",
            graph.constant(f"{name}.weight_int8", weight.values),
            graph.constant(f"{name}.weight_scale", weight.scales),
            zeros,
            at=f"{name}.weight",
            axis=1,
        )
        y = graph.node("MatMul", restored, w, at=name)
        return y if bias is None else graph.node("Add", y, graph.constant(f"{name}.bias", bias), at=name)
