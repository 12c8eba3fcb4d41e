"""Linear layers with weights in four bits (W4A16): blocks along the inputs, one scale each, activations in float.

`com.microsoft.MatMulNBits` as ONNX Runtime defines it, symmetric: a block of `BLOCK` inputs of one output holds
q in 0..15, weight = (q - 8) * scale; the scale is the block's value of largest magnitude divided by -8, so that this
value is exact. On the processor ONNX Runtime computes activations in float32. TensorRT does not read this operator.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.linear_layers import FLOAT
from onboard_vla.export.weights import LinearWeights, parts

DOMAIN, OPERATOR = "com.microsoft", "MatMulNBits"
WEIGHT_SUFFIX = ".weight_int4"
BITS, BLOCK = 4, 32
MIDDLE, HIGHEST = 8, 15
"""The value that stands for 0, and the largest."""


def pack_blocks(weight: NDArray[np.float32]) -> tuple[NDArray[np.uint8], NDArray[np.float32]]:
    """A weight (inputs, outputs) as packed values (outputs, blocks, BLOCK / 2) and scales (outputs, blocks).

    The first of two neighbours is in the low four bits. Inputs are padded with zeros to whole blocks.
    """
    inputs, outputs = weight.shape
    count = -(-inputs // BLOCK)
    padded = np.zeros((outputs, count * BLOCK), np.float32)
    padded[:, :inputs] = weight.T
    blocks = padded.reshape(outputs, count, BLOCK)
    peak = np.take_along_axis(blocks, np.abs(blocks).argmax(axis=2)[..., None], axis=2)
    scales = (peak / -MIDDLE).astype(np.float32)
    divisors = np.where(scales == 0, np.float32(1), scales)
    values = np.clip(np.rint(blocks / divisors) + MIDDLE, 0, HIGHEST).astype(np.uint8)
    return values[..., 0::2] | (values[..., 1::2] << BITS), scales[..., 0]


class FourBitLinears:
    """MatMulNBits and Add."""

    half = False

    def __init__(self, weights: LinearWeights) -> None:
        self._weights = weights

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append MatMulNBits (+ Add)."""
        (inputs, outputs), biased = self._weights.shape(name), self._weights.has_bias(name)
        count = -(-inputs // BLOCK)
        values, scales = f"{name}{WEIGHT_SUFFIX}", f"{name}.weight_scale"
        shapes: dict[str, Any] = {values: ((outputs, count, BLOCK // 2), np.dtype(np.uint8))}
        shapes[scales] = ((outputs, count), FLOAT)
        if biased:
            shapes[f"{name}.bias"] = ((outputs,), FLOAT)
        graph.weights(shapes, lambda: self._arrays(name))
        sizes = {"K": inputs, "N": outputs, "bits": BITS, "block_size": BLOCK}
        y = graph.node(OPERATOR, x, values, scales, at=name, domain=DOMAIN, **sizes)
        return graph.node("Add", y, f"{name}.bias", at=name) if biased else y

    def _arrays(self, name: str) -> dict[str, NDArray[Any]]:
        packed, scales, biases = [], [], []
        for _, layer in parts(self._weights, name):
            values, factors = pack_blocks(layer.weight)
            packed.append(values)
            scales.append(factors)
            if layer.bias is not None:
                biases.append(layer.bias)
        arrays: dict[str, NDArray[Any]] = {f"{name}{WEIGHT_SUFFIX}": np.concatenate(packed)}
        arrays[f"{name}.weight_scale"] = np.concatenate(scales)
        return {**arrays, f"{name}.bias": np.concatenate(biases)} if biases else arrays
