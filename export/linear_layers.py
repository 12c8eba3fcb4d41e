"""How a linear layer is written: in float32, in half precision, or with INT8 operands between Q and DQ nodes.

With half precision, products alone are in it, attention's included; sums, norms, rotations and the residual stream
stay in float32, because Qwen2.5-VL's largest activations and their squares do not fit into 65504.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.errors import CheckpointError
from onboard_vla.export.weights import LinearWeights, parts

if TYPE_CHECKING:
    from onboard_vla.export.graph import GraphWriter

FLOAT, HALF = np.dtype(np.float32), np.dtype(np.float16)
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

    @property
    def half(self) -> bool:
        """Whether this graph's products are in half precision, attention's included."""

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append the nodes of layer `name` applied to value `x`; returns the result's name."""


class FloatLinears:
    """MatMul and Add in float32."""

    half = False

    def __init__(self, weights: LinearWeights) -> None:
        self._weights = weights

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append MatMul (+ Add)."""
        (inputs, outputs), biased = self._weights.shape(name), self._weights.has_bias(name)
        shapes: dict[str, Any] = {f"{name}.weight": ((inputs, outputs), FLOAT)}
        if biased:
            shapes[f"{name}.bias"] = ((outputs,), FLOAT)
        graph.weights(shapes, lambda: self._arrays(name))
        y = graph.node("MatMul", x, f"{name}.weight", at=name)
        return graph.node("Add", y, f"{name}.bias", at=name) if biased else y

    def _arrays(self, name: str) -> dict[str, NDArray[Any]]:
        layer = self._weights.linear(name)
        arrays: dict[str, NDArray[Any]] = {f"{name}.weight": layer.weight}
        return arrays if layer.bias is None else {**arrays, f"{name}.bias": layer.bias}


class HalfLinears:
    """MatMul and Add in half precision, between casts."""

    half = True

    def __init__(self, weights: LinearWeights) -> None:
        self._weights = weights

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append Cast, MatMul (+ Add), Cast."""
        (inputs, outputs), biased = self._weights.shape(name), self._weights.has_bias(name)
        shapes: dict[str, Any] = {f"{name}.weight": ((inputs, outputs), HALF)}
        if biased:
            shapes[f"{name}.bias"] = ((outputs,), HALF)
        graph.weights(shapes, lambda: self._arrays(name))
        y = graph.node("MatMul", graph.half(x), f"{name}.weight", at=name)
        return graph.full(graph.node("Add", y, f"{name}.bias", at=name) if biased else y)

    def _arrays(self, name: str) -> dict[str, NDArray[Any]]:
        layer = self._weights.linear(name)
        arrays = {f"{name}.weight": as_half(layer.weight, name)}
        return arrays if layer.bias is None else {**arrays, f"{name}.bias": as_half(layer.bias, name)}


def as_half(array: NDArray[np.float32], name: str) -> NDArray[np.float16]:
    """Rounded to half precision.

    Raises:
        CheckpointError: a value is too large for it.
    """
    if np.abs(array).max(initial=0) > np.finfo(HALF).max:
        raise CheckpointError(
            f"{name}: a weight of {np.abs(array).max():.3g} does not fit half precision ({np.finfo(HALF).max:.0f}): "
            f"keep this layer in float32 (--keep-float {name})"
        )
    return array.astype(np.float16)


@dataclass(frozen=True, eq=False)
class QuantisedWeight:
    """`values`: (inputs, outputs) int8; `scales`: (outputs,) float32; weight = values * scales."""

    values: NDArray[np.int8]
    scales: NDArray[np.float32]


def quantise_weight(weight: NDArray[np.float32], *, half: bool = False) -> QuantisedWeight:
    """Round to int8 per output channel, ties to even; a channel of zeros keeps scale 1.

    `half`: scales are numbers that half precision has, so that rounding them costs nothing.
    """
    largest = np.abs(weight).max(axis=0)
    scales = np.where(largest > 0, largest / INT8_LIMIT, 1.0).astype(np.float32)
    if half:
        scales = half_scale(scales).astype(np.float32)
    values = np.clip(np.rint(weight / scales), -INT8_LIMIT, INT8_LIMIT).astype(np.int8)
    return QuantisedWeight(values, scales)


def half_scale(scales: NDArray[np.float32]) -> NDArray[np.float16]:
    """The next numbers upwards that half precision has: nothing is clipped by them, and none is 0."""
    nearest = scales.astype(np.float16)
    above = np.nextafter(nearest, np.float16(np.inf))
    return np.where(nearest.astype(np.float32) < scales, above, nearest).astype(np.float16)


def quantise_layer(
    weights: LinearWeights, name: str, *, half: bool = False
) -> tuple[QuantisedWeight, NDArray[np.float32] | None]:
    """A layer's weight in int8 and its bias, read in parts."""
    inputs, outputs = weights.shape(name)
    whole = QuantisedWeight(np.empty((inputs, outputs), np.int8), np.empty(outputs, np.float32))
    bias = np.empty(outputs, np.float32) if weights.has_bias(name) else None
    for piece, layer in parts(weights, name):
        part = quantise_weight(layer.weight, half=half)
        whole.values[:, piece], whole.scales[piece] = part.values, part.scales
        if bias is not None and layer.bias is not None:
            bias[piece] = layer.bias
    return whole, bias


class QuantisedLinears:
    """INT8 weights per output channel, INT8 activations per tensor, both static and symmetric.

    `ranges` maps a layer to the largest magnitude that calibration saw at its input. `half`: products come out in half
    precision and are cast back.
    """

    def __init__(self, weights: LinearWeights, ranges: Mapping[str, float], *, half: bool = False) -> None:
        self._weights, self._ranges, self.half = weights, ranges, half
        self._type = HALF if half else FLOAT

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append QuantizeLinear, DequantizeLinear (both operands), MatMul (+ Add)."""
        scale = np.array(self._ranges[name] / INT8_LIMIT * (1 + SCALE_NUDGE * graph.earlier_uses(x)), np.float32)
        scale = half_scale(scale).astype(np.float32) if self.half else scale
        (inputs, outputs), biased = self._weights.shape(name), self._weights.has_bias(name)
        values, scales = f"{name}.weight_int8", f"{name}.weight_scale"
        shapes: dict[str, Any] = {values: ((inputs, outputs), np.dtype(np.int8)), scales: ((outputs,), self._type)}
        if biased:
            shapes[f"{name}.bias"] = ((outputs,), self._type)
        graph.weights(shapes, lambda: self._arrays(name))
        zero = graph.constant("zero_point", np.array(0, np.int8))
        x_scale = restored_scale = graph.constant(f"{name}.input_scale", scale)
        if self.half:
            # What comes out has the scale's type.
            restored_scale = graph.constant(f"{name}.input_scale_half", scale.astype(HALF))
        quantised = graph.node("QuantizeLinear", x, x_scale, zero, at=name)
        restored = graph.node("DequantizeLinear", quantised, restored_scale, zero, at=name)
        w = graph.node("DequantizeLinear", values, scales, at=f"{name}.weight", axis=1)
        y = graph.node("MatMul", restored, w, at=name)
        y = graph.node("Add", y, f"{name}.bias", at=name) if biased else y
        return graph.full(y) if self.half else y

    def _arrays(self, name: str) -> dict[str, NDArray[Any]]:
        weight, bias = quantise_layer(self._weights, name, half=self.half)
        scales = weight.scales.astype(self._type)
        arrays: dict[str, NDArray[Any]] = {f"{name}.weight_int8": weight.values, f"{name}.weight_scale": scales}
        return arrays if bias is None else {**arrays, f"{name}.bias": as_half(bias, name) if self.half else bias}


class ReportedLinears:
    """Writes as another writer does, and tells how much of `total` weights is written."""

    def __init__(
        self, inner: LinearWriter, weights: LinearWeights, total: int, progress: Callable[[float], None]
    ) -> None:
        self._inner, self._weights, self._total, self._progress = inner, weights, total, progress
        self.half = inner.half
        self._done = 0

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append the layer."""
        value = self._inner.write(graph, x, name)
        self._done += math.prod(self._weights.shape(name))
        self._progress(self._done / self._total)
        return value
