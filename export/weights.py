"""Weights as the graph writers want them: linears as (inputs, outputs), fused tensors split, float32, one at a time.

A layer can be had in parts, each some of its outputs: the head of a large vocabulary never lies in memory as a whole.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.export.checkpoint import Checkpoint

Floats = NDArray[np.float32]
QKV = ("q", "k", "v")
HEAD, ACTION_HEAD = "head", "head.actions"
"""The layer that gives logits, and the part of it that gives the action tokens' alone (see `WithActionHead`)."""
PATCH_EMBED = "visual.patch_embed"
HEAD_MULTIPLE = 64
"""Outputs of the head: a multiple of what the tiles of INT8 and half-precision matrix units divide."""
PART_ELEMENTS = 1 << 21
"""Weights of a layer that are in memory at once: 8 MiB in float32.

From 32 MiB on glibc asks the kernel for fresh pages at every allocation, and clearing those takes longer than all the
rest of a reading."""


@dataclass(frozen=True, eq=False)
class Linear:
    """y = x @ weight + bias. `weight`: (inputs, outputs) float32; `bias`: (outputs,) float32 or None."""

    weight: Floats
    bias: Floats | None


class LinearWeights(Protocol):
    """Where writers of linear layers get tensors from; names as in `vision_linears` and `language_linears`."""

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        """Weight and bias of a linear layer, or of some of its outputs."""

    def shape(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of a linear layer, without reading it."""

    def has_bias(self, name: str) -> bool:
        """Whether a linear layer has a bias."""


class Weights(LinearWeights, Protocol):
    """Where graph writers get tensors from."""

    def vector(self, name: str) -> Floats:
        """The gain of a normalisation layer."""


class CheckpointWeights:
    """Weights straight from a checkpoint; the vision encoder's fused qkv appears as three linears."""

    def __init__(self, checkpoint: Checkpoint) -> None:
        self._checkpoint = checkpoint

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        """Weight and bias of a linear layer, or of some of its outputs; a view, transposed to (inputs, outputs)."""
        if name == "head":
            return Linear(self._checkpoint.head(outputs).T, None)
        tensor, first = self._stored(name)
        rows = outputs or slice(0, self.shape(name)[1])
        rows = slice(first + (rows.start or 0), first + min(rows.stop, self.shape(name)[1]))
        kernel = self._checkpoint.tensor(f"{tensor}.weight", rows)
        weight = kernel.reshape(len(kernel), -1).T
        return Linear(weight, self._checkpoint.tensor(f"{tensor}.bias", rows) if self.has_bias(name) else None)

    def shape(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of a linear layer, without reading it."""
        if name == "head":
            text = self._checkpoint.model.text
            return text.hidden_size, text.vocabulary_size
        outputs, *inputs = self._checkpoint.shape(f"{self._stored(name)[0]}.weight")
        return math.prod(inputs), outputs // 3 if _is_third(name) else outputs

    def has_bias(self, name: str) -> bool:
        """Whether a linear layer has a bias."""
        if name in ("head", PATCH_EMBED):
            return False
        return name.startswith("visual.") or name.endswith(("q_proj", "k_proj", "v_proj"))

    def vector(self, name: str) -> Floats:
        """The gain of a normalisation layer."""
        return self._checkpoint.tensor(f"{name}.weight")

    def _stored(self, name: str) -> tuple[str, int]:
        """Which tensor of the checkpoint holds a layer, and the row where it starts."""
        if name == PATCH_EMBED:
            return f"{PATCH_EMBED}.proj", 0
        if not _is_third(name):
            return name, 0
        stem, part = name.rsplit(".", 1)
        return f"{stem}.qkv", QKV.index(part) * (self._checkpoint.shape(f"{stem}.qkv.weight")[0] // 3)


def _is_third(name: str) -> bool:
    """Whether a layer is one of three that the checkpoint holds as one."""
    return name.startswith("visual.") and name.rsplit(".", 1)[1] in QKV


def parts(weights: LinearWeights, name: str) -> Iterator[tuple[slice, Linear]]:
    """A layer's outputs in `pieces`: which outputs, and their weights."""
    for piece in pieces(weights, name):
        yield piece, weights.linear(name, piece)


def pieces(weights: LinearWeights, name: str) -> Iterator[slice]:
    """A layer's outputs, at most about PART_ELEMENTS weights at once."""
    inputs, outputs = weights.shape(name)
    step = max(1, PART_ELEMENTS // inputs)
    for start in range(0, outputs, step):
        yield slice(start, min(start + step, outputs))


class PaddedHead:
    """Weights whose head has zero columns up to a multiple of HEAD_MULTIPLE; the language graph cuts them off again.

    Tensor cores want such sizes, and vocabularies that a training grew are odd (AutoVLA: 153,713).
    """

    def __init__(self, base: Weights) -> None:
        self._base = base

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        """Weight and bias of a linear layer, or of some of its outputs."""
        if name != "head":
            return self._base.linear(name, outputs)
        inputs, real = self._base.shape(name)
        wanted = outputs or slice(0, self.shape(name)[1])
        layer = self._base.linear(name, slice(min(wanted.start, real), min(wanted.stop, real)))
        zeros = np.zeros((inputs, wanted.stop - wanted.start - layer.weight.shape[1]), np.float32)
        return Linear(np.concatenate([layer.weight, zeros], axis=1), None) if zeros.size else layer

    def shape(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of a linear layer, the head's with its padding."""
        inputs, outputs = self._base.shape(name)
        return inputs, -(-outputs // HEAD_MULTIPLE) * HEAD_MULTIPLE if name == "head" else outputs

    def has_bias(self, name: str) -> bool:
        """Whether a linear layer has a bias."""
        return self._base.has_bias(name)

    def vector(self, name: str) -> Floats:
        """The gain of a normalisation layer."""
        return self._base.vector(name)


class WithActionHead:
    """Weights that have the head's columns of the action tokens as a layer of its own, too."""

    def __init__(self, base: Weights, actions: ActionTokens) -> None:
        self._base, self._first, self._count = base, actions.first_id, actions.count

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        """Weight and bias of a linear layer, or of some of its outputs."""
        if name != ACTION_HEAD:
            return self._base.linear(name, outputs)
        first, last, _ = (outputs or slice(None)).indices(self._count)
        return self._base.linear(HEAD, slice(self._first + first, self._first + last))

    def shape(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of a linear layer, without reading it."""
        return (self._base.shape(HEAD)[0], self._count) if name == ACTION_HEAD else self._base.shape(name)

    def has_bias(self, name: str) -> bool:
        """Whether a linear layer has a bias."""
        return self._base.has_bias(HEAD if name == ACTION_HEAD else name)

    def vector(self, name: str) -> Floats:
        """The gain of a normalisation layer."""
        return self._base.vector(name)


def vision_linears(depth: int) -> Iterator[str]:
    """Names of all linear layers of the vision encoder, in order of execution."""
    yield PATCH_EMBED
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
