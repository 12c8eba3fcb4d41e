"""SmoothQuant: moves outliers from activations into weights, exactly, by scaling a layer and what feeds it.

For a layer's input channel j, s_j = max|x_j|^strength / max|W_j|^(1 - strength); the input shrinks by s_j where it is
made (a norm's gain, or the output channels of the linear layer before), the weight's row grows by s_j.
(Xiao et al. 2023, SmoothQuant, arXiv:2211.10438. Folding sites for Qwen2.5-VL: own; exactness is tested.)
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ModelDimensions
from onboard_vla.export.weights import Linear, Weights, parts

Floats = NDArray[np.float32]

STRENGTH = 0.5
"""Share of the difficulty that moves into the weights; the published default."""
SMALLEST = 1e-5
"""Magnitudes below this count as this, so that silent channels keep finite factors."""


@dataclass(frozen=True)
class Site:
    """Layers `linears` that share an input made by `source`: a norm's gain or a linear layer's output channels.

    `fold`: how the input's channels map to the source's. "same": one to one. "merged": the input is several copies of
    the source's channels side by side. "grouped": each source head feeds `group` input heads of `head_dim` channels.
    """

    source: str
    linears: tuple[str, ...]
    fold: str = "same"
    group: int = 1
    head_dim: int = 1

    @property
    def source_is_norm(self) -> bool:
        """Whether the source is a norm's gain rather than a linear layer."""
        return self.source.rsplit(".", 1)[-1].startswith(
            ("norm", "ln_q", "input_layernorm", "post_attention_layernorm")
        )


def sites(model: ModelDimensions) -> Iterator[Site]:
    """All places where the model can be smoothed exactly."""
    for i in range(model.vision.depth):
        at = f"visual.blocks.{i}"
        yield Site(f"{at}.norm1", (f"{at}.attn.q", f"{at}.attn.k", f"{at}.attn.v"))
        yield Site(f"{at}.attn.v", (f"{at}.attn.proj",))
        yield Site(f"{at}.norm2", (f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj"))
        yield Site(f"{at}.mlp.up_proj", (f"{at}.mlp.down_proj",))
    yield Site("visual.merger.ln_q", ("visual.merger.mlp.0",), "merged", group=model.vision.merge_size**2)
    text = model.text
    for i in range(text.layers):
        at = f"text.layers.{i}"
        qkv = tuple(f"{at}.self_attn.{part}_proj" for part in "qkv")
        yield Site(f"{at}.input_layernorm", qkv)
        group = text.heads // text.kv_heads
        yield Site(f"{at}.self_attn.v_proj", (f"{at}.self_attn.o_proj",), "grouped", group, text.head_dim)
        yield Site(f"{at}.post_attention_layernorm", (f"{at}.mlp.gate_proj", f"{at}.mlp.up_proj"))
        yield Site(f"{at}.mlp.up_proj", (f"{at}.mlp.down_proj",))
    yield Site("text.norm", ("head",))


class SmoothedWeights:
    """Weights with all folding applied on reading; the function they compute is that of the base."""

    def __init__(
        self, base: Weights, inputs: Mapping[str, Floats], outputs: Mapping[str, Floats], gains: Mapping[str, Floats]
    ) -> None:
        """Factors per layer: input channels multiplied, output channels divided, norm gains divided."""
        self._base, self._inputs, self._outputs, self._gains = base, inputs, outputs, gains

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        """Weight and bias of a linear layer, or of some of its outputs."""
        layer = self._base.linear(name, outputs)
        weight, bias = layer.weight, layer.bias
        if name in self._inputs:
            weight = weight * self._inputs[name][:, None]
        if name in self._outputs:
            divisor = self._outputs[name][outputs or slice(None)]
            weight = weight / divisor
            bias = None if bias is None else bias / divisor
        return Linear(weight, bias)

    def shape(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of a linear layer, without reading it."""
        return self._base.shape(name)

    def has_bias(self, name: str) -> bool:
        """Whether a linear layer has a bias."""
        return self._base.has_bias(name)

    def vector(self, name: str) -> Floats:
        """The gain of a normalisation layer."""
        gain = self._base.vector(name)
        return gain / self._gains[name] if name in self._gains else gain


def smooth(
    model: ModelDimensions,
    weights: Weights,
    largest: Mapping[str, Floats],
    strength: float = STRENGTH,
    progress: Callable[[float], None] = lambda _: None,
) -> tuple[SmoothedWeights, dict[str, float]]:
    """Fold all sites whose layers were observed.

    Args:
        model: dimensions.
        weights: the unsmoothed weights.
        largest: per layer the largest |x| of each input channel, (inputs,).
        strength: exponent on the activations, 0 to 1.
        progress: takes in the finished share.

    Returns:
        The folded weights, and per layer the largest |x| that its input then has.
    """
    inputs: dict[str, Floats] = {}
    outputs: dict[str, Floats] = {}
    gains: dict[str, Floats] = {}
    here = [site for site in sites(model) if all(name in largest for name in site.linears)]
    for done, site in enumerate(here):
        progress(done / len(here))
        activation = _fold(np.max([largest[name] for name in site.linears], axis=0), site)
        rows = np.max([largest_per_input(weights, name) for name in site.linears], axis=0)
        # The weight rows of one source channel count together.
        weight = _fold(rows, site)
        raised = np.maximum(activation, SMALLEST) ** strength / np.maximum(weight, SMALLEST) ** (1 - strength)
        factor: Floats = np.maximum(raised, SMALLEST).astype(np.float32)
        (gains if site.source_is_norm else outputs)[site.source] = factor
        for name in site.linears:
            inputs[name] = _unfold(factor, site)
    ranges = {
        name: float(max((found / inputs[name]).max() if name in inputs else found.max(), SMALLEST))
        for name, found in largest.items()
    }
    return SmoothedWeights(weights, inputs, outputs, gains), ranges


def largest_per_input(weights: Weights, name: str) -> Floats:
    """Largest magnitude of each row (inputs,) of a layer's weight."""
    found: Floats = np.max([np.abs(layer.weight).max(axis=1) for _, layer in parts(weights, name)], axis=0)
    return found


def _fold(values: Floats, site: Site) -> Floats:
    """Largest value over the input channels that one source channel feeds."""
    folded: Floats = values
    if site.fold == "merged":
        folded = values.reshape(site.group, -1).max(axis=0)
    elif site.fold == "grouped":
        folded = values.reshape(-1, site.group, site.head_dim).max(axis=1).ravel()
    return folded


def _unfold(factor: Floats, site: Site) -> Floats:
    """A source channel's factor at every input channel that it feeds."""
    if site.fold == "merged":
        return np.tile(factor, site.group)
    if site.fold == "grouped":
        return np.repeat(factor.reshape(-1, 1, site.head_dim), site.group, axis=1).ravel()
    return factor
