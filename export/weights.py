"""Weights as the graph writers want them: linears as (inputs, outputs), fused tensors split, float32, one at a time."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.checkpoint import Checkpoint

Floats = NDArray[np.float32]
QKV = ("q", "k", "v")


@dataclass(frozen=True, eq=False)
class Linear:
    """y = x @ weight + bias. `weight`: (inputs, outputs) float32; `bias`: (outputs,) float32 or None."""

    weight: Floats
    bias: Floats | None


class Weights(Protocol):
    """Where graph writers get tensors from; names as in `vision_linears` and `language_linears`."""

    def linear(self, name: str) -> Linear:
        """Weight and bias of a linear layer."""

    def vector(self, name: str) -> Floats:
        """The gain of a normalisation layer."""


class CheckpointWeights:
    """Weights straight from a checkpoint; the vision encoder's fused qkv appears as three linears."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def linear(self, name: str) -> Linear:
        """Weight and bias of a linear layer, transposed to (inputs, outputs)."""
        if name == "head":
            return Linear(np.ascontiguousarray(self._checkpoint.head().T), None)
        if name == "visual.patch_embed":
            kernel = self._checkpoint.tensor("visual.patch_embed.proj.weight")
            return Linear(np.ascontiguousarray(kernel.reshape(len(kernel), -1).T), None)
        stem, part = name.rsplit(".", 1)
        if stem.startswith("visual.") and part in QKV:
            return self._third_of_qkv(stem, QKV.index(part))
        weight = np.ascontiguousarray(self._checkpoint.tensor(f"{name}.weight").T)
        return Linear(weight, self._checkpoint.tensor(f"{name}.bias") if self._has_bias(name) else None)

    def vector(self, name: str) -> Floats:
        """The gain of a normalisation layer."""
        return self._checkpoint.tensor(f"{name}.weight")

    def _third_of_qkv(self, stem: str, index: int) -> Linear:
        weight, bias = self._checkpoint.tensor(f"{stem}.qkv.weight"), self._checkpoint.tensor(f"{stem}.qkv.bias")
        third = len(bias) // 3
        rows = slice(index * third, (index + 1) * third)
        return Linear(np.ascontiguousarray(weight[rows].T), bias[rows])

    @staticmethod
    def _has_bias(name: str) -> bool:
        return name.startswith("visual.") or name.endswith(("q_proj", "k_proj", "v_proj"))


def vision_linears(depth: int) -> Iterator[str]:
    """Names of all linear layers of the vision encoder, in order of execution."""
    yield "visual.patch_embed"
    for i in range(depth):
        for part in ("attn.q", "attn.k", "attn.v", "attn.proj", "mlp.gate_proj", "mlp.up_proj", "mlp.down_proj"):
            yield f"visual.blocks.{i}.{part}"
    yield "visual.merger.mlp.0"
    yield "visual.merger.mlp.2"


def language_linears(layers: int) -> Iterator[str]:
    """Names of all linear layers of the language model and its head, in order of execution."""
    for i in range(layers):
        for part in ("q_proj", "k_proj", "v_proj", "o_proj"):
            yield f"text.layers.{i}.self_attn.{part}"
        for part in ("gate_proj", "up_proj", "down_proj"):
            yield f"text.layers.{i}.mlp.{part}"
    yield "head"
