"""Graphs of given dimensions without any weights: what a model of that size costs can be counted, not run."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any

import numpy as np
from numpy.typing import NDArray
from onnx import TensorProto, helper

from onboard_vla.core.bundle_manifest import ModelDimensions
from onboard_vla.export.external_data import Array, Shapes
from onboard_vla.export.four_bits import FourBitLinears
from onboard_vla.export.graph_cost import CountedGraph
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter, QuantisedLinears
from onboard_vla.export.quantisation import QUANTISED, W4A16, ByLayer
from onboard_vla.export.vision_graph import vision_graph
from onboard_vla.export.vision_grid import vision_grid
from onboard_vla.export.weights import PATCH_EMBED, Linear, PaddedHead, language_linears, vision_linears


class NoWeights:
    """The shapes of a Qwen2.5-VL's layers; every weight and gain is zero."""

    def __init__(self, model: ModelDimensions) -> None:
        text, vision, unit = model.text, model.vision, model.vision.merge_size**2
        kv, wide = text.kv_heads * text.head_dim, text.heads * text.head_dim
        self._model = model
        self._shapes = {
            "q_proj": (text.hidden_size, wide),
            "k_proj": (text.hidden_size, kv),
            "v_proj": (text.hidden_size, kv),
            "o_proj": (wide, text.hidden_size),
            "head": (text.hidden_size, text.vocabulary_size),
            PATCH_EMBED: (vision.channels * vision.temporal_patch_size * vision.patch_size**2, vision.hidden_size),
            "visual.merger.mlp.0": (vision.hidden_size * unit, vision.hidden_size * unit),
            "visual.merger.mlp.2": (vision.hidden_size * unit, text.hidden_size),
        }

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        """Zeros that take no memory."""
        inputs, width = self.shape(name)
        wanted = len(range(*(outputs or slice(None)).indices(width)))
        bias = np.zeros(wanted, np.float32) if self.has_bias(name) else None
        return Linear(np.broadcast_to(np.float32(0), (inputs, wanted)), bias)

    def shape(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of a linear layer."""
        part = name.rsplit(".", 1)[-1]
        if name in self._shapes or part in self._shapes:
            return self._shapes.get(name) or self._shapes[part]
        sizes = self._model.vision if name.startswith("visual.") else self._model.text
        wide, inner = sizes.hidden_size, sizes.intermediate_size
        return (
            (wide, wide) if part in ("q", "k", "v", "proj") else (inner, wide) if part == "down_proj" else (wide, inner)
        )

    def has_bias(self, name: str) -> bool:
        """Whether a linear layer has a bias."""
        if name in ("head", PATCH_EMBED):
            return False
        return name.startswith("visual.") or name.endswith(("q_proj", "k_proj", "v_proj"))

    def vector(self, name: str) -> NDArray[np.float32]:
        """A gain of zeros."""
        sizes = self._model.vision if name.startswith("visual.") else self._model.text
        return np.zeros(sizes.hidden_size, np.float32)


class _Nowhere:
    """Stands for the file of a graph's constants: keeps their shapes."""

    def tensors(self, shapes: Shapes, make: Callable[[], Mapping[str, Array]]) -> dict[str, TensorProto]:
        """References to constants that are nowhere; `make` is not called."""
        return {name: _reference(name, shape, kind) for name, (shape, kind) in shapes.items()}


def _reference(name: str, shape: tuple[int, ...], kind: np.dtype[Any]) -> TensorProto:
    tensor = TensorProto(name=name, dims=shape, data_location=TensorProto.EXTERNAL)
    tensor.data_type = helper.np_dtype_to_tensor_dtype(kind)
    return tensor


def language_of(model: ModelDimensions, precision: str) -> CountedGraph:
    """The language graph of a model of this size; what is no precision of exports is in float."""
    weights = PaddedHead(NoWeights(model))
    linears = _linears(weights, list(language_linears(model.text.layers)), precision)
    return CountedGraph(language_graph(model.text, weights, linears, external=_Nowhere()), "language")


def vision_of(model: ModelDimensions, grid_h: int, grid_w: int, precision: str) -> CountedGraph:
    """The vision graph of a model of this size, for pictures of this many patches."""
    weights, grid = NoWeights(model), vision_grid(grid_h, grid_w, model.vision)
    linears = _linears(weights, list(vision_linears(model.vision.depth)), precision)
    return CountedGraph(vision_graph(model, grid, weights, linears, external=_Nowhere()), grid.name)


def _linears(weights: NoWeights | PaddedHead, names: list[str], precision: str) -> LinearWriter:
    """As exports divide layers among precisions."""
    integer = frozenset(names) if precision in QUANTISED else frozenset[str]()
    small = frozenset(name for name in integer if name.startswith("text.")) if precision == W4A16 else frozenset[str]()
    quantised = QuantisedLinears(weights, dict.fromkeys(names, 1.0))
    return ByLayer(FloatLinears(weights), (integer - small, quantised), (small, FourBitLinears(weights)))
