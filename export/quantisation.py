"""INT8: observe the float32 model on calibration scenes, smooth, and choose every layer's activation scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.bundle_manifest import ModelDimensions
from onboard_vla.export.activation_ranges import ActivationRanges
from onboard_vla.export.four_bits import FourBitLinears
from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.linear_layers import FloatLinears, HalfLinears, LinearWriter, QuantisedLinears
from onboard_vla.export.observation import Observations
from onboard_vla.export.scene_runner import SceneRunner, Sizes
from onboard_vla.export.scenes import Scene
from onboard_vla.export.smoothing import STRENGTH, SmoothedWeights, smooth
from onboard_vla.export.weights import ACTION_HEAD, HEAD, Weights, WithActionHead, language_linears

FP32, FP16, INT8, W4A16, INT8_FP16 = "fp32", "fp16", "int8", "w4a16", "int8-fp16"
QUANTISED = (INT8, W4A16, INT8_FP16)
"""Precisions of a bundle that are not of floats: INT8 everywhere, or the language model's layers in `four_bits`, with
vision and head in INT8 (of all layers four bits hurt the head most, in the reference checkpoint). INT8_FP16: INT8 with
half precision around the products, for TensorRT."""
METHOD = "static symmetric W8A8: weights per output channel, activations per tensor (largest magnitude), SmoothQuant"
METHODS = {
    INT8: METHOD,
    INT8_FP16: f"{METHOD}; half precision around the products",
    W4A16: f"{METHOD}; the language model but for its head: weights in 4 bits by blocks, activations in float",
}


@dataclass(frozen=True)
class Scaling:
    """How INT8's numbers are spread, at equal size.

    `strength`: SmoothQuant's exponent. `share`: what INT8 spans of the largest magnitude that was seen at each layer's
    input; beyond that values saturate.
    """

    strength: float = STRENGTH
    share: float = 1.0

    def smoothed(
        self,
        model: ModelDimensions,
        weights: Weights,
        largest: Mapping[str, NDArray[np.float32]],
        progress: Callable[[float], None] = lambda _: None,
    ) -> tuple[SmoothedWeights, dict[str, float]]:
        """Folded weights, and per layer the largest magnitude that INT8 spans at its input."""
        folded, ranges = smooth(model, weights, largest, self.strength, progress)
        return folded, {name: self.share * value for name, value in ranges.items()}


AS_PUBLISHED = Scaling()


@dataclass(frozen=True, eq=False)
class Quantised:
    """Smoothed weights and the writer of their layers; `integer` and `four_bits` name those that are not float32."""

    weights: Weights
    linears: LinearWriter
    integer: frozenset[str]
    four_bits: frozenset[str]

    def runs_in(self, layer: str) -> str:
        """A layer's precision."""
        return INT8 if layer in self.integer else W4A16 if layer in self.four_bits else FP32


class ByLayer:
    """Hands each layer to its writer; layers that no table names go to `rest`."""

    def __init__(self, rest: LinearWriter, *tables: tuple[frozenset[str], LinearWriter], half: bool = False) -> None:
        """`half`: see `LinearWriter`."""
        self._rest, self._tables, self.half = rest, tables, half

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append the layer."""
        writer = next((writer for names, writer in self._tables if name in names), self._rest)
        return writer.write(graph, x, name)


def observe(
    runner: SceneRunner, observations: Observations, scenes: Sequence[Scene], progress: Callable[[float], None]
) -> Mapping[str, NDArray[np.float32]]:
    """Largest magnitude per input channel of every linear layer, over all scenes, prompts and answers.

    A scene without the expert's tokens is decoded by the model itself. `runner` runs observed graphs and reports to
    `observations`.
    """
    for done, scene in enumerate(scenes, start=1):
        if scene.expert_tokens is None:
            runner.greedy(scene)
        else:
            runner.teacher_forced(scene, scene.expert_tokens.tolist())
        progress(done / len(scenes))
    return observations.largest


def observe_together(
    runner: SceneRunner, observations: Observations, scenes: Sequence[Scene]
) -> Mapping[str, NDArray[np.float32]]:
    """As `observe`, all scenes at once: for graphs that are run in pieces."""
    told = [scene for scene in scenes if scene.expert_tokens is not None]
    if told:
        tokens = [scene.expert_tokens.tolist() for scene in told]  # type: ignore[union-attr]
        runner.teacher_forced_each(told, tokens, lambda _index, _logits: None)
    if untold := [scene for scene in scenes if scene.expert_tokens is None]:
        runner.follow(untold)
    return observations.largest


def float_linears(weights: Weights, precision: str, fallbacks: frozenset[str]) -> LinearWriter:
    """The writer of a bundle that is not quantised; in half precision, `fallbacks` stay in float32."""
    if precision != FP16:
        return FloatLinears(weights)
    with_part = fallbacks | {ACTION_HEAD} if HEAD in fallbacks else fallbacks
    return ByLayer(HalfLinears(weights), (with_part, FloatLinears(weights)), half=True)


def provenance(
    ranges: ActivationRanges, precision: str, moved: frozenset[str], made: Quantised, scaling: Scaling = AS_PUBLISHED
) -> dict[str, Any]:
    """Where a quantised export's numbers come from, for the manifest; `moved`: layers that `precision` would harm."""
    return {
        "method": METHODS[precision],
        "smooth_strength": scaling.strength,
        **({} if scaling.share == AS_PUBLISHED.share else {"range_share": scaling.share}),
        "scenes_from": ranges.scenes_from,
        "scenes": ranges.scenes,
        "fallbacks": sorted(name for name in moved if made.runs_in(name) == FP32),
        "moved_to_int8": sorted(name for name in moved if made.runs_in(name) == INT8),
    }


def quantise(
    sizes: Sizes,
    weights: Weights,
    largest: Mapping[str, NDArray[np.float32]],
    moved: frozenset[str] = frozenset(),
    precision: str = INT8,
    scaling: Scaling = AS_PUBLISHED,
    kept: frozenset[str] = frozenset(),
    progress: Callable[[float], None] = lambda _: None,
) -> Quantised:
    """Fold smoothing into the weights and fix all scales.

    Layers in `moved` are a step more exact than `precision` says: what would be in four bits is in INT8, and what would
    be in INT8 is in float32. Layers in `kept` are in float32.
    """
    smoothed, ranges = scaling.smoothed(sizes.model, weights, largest, progress)
    return quantised_layers(sizes, smoothed, ranges, frozenset(largest) - kept, moved, precision)


def quantised_layers(
    sizes: Sizes,
    smoothed: SmoothedWeights,
    ranges: Mapping[str, float],
    layers: frozenset[str],
    moved: frozenset[str],
    precision: str,
) -> Quantised:
    """As `quantise`, for weights that are smoothed; what is not among `layers` is in float32."""
    four_bits = frozenset(language_linears(sizes.model.text.layers)) - {"head"} if precision == W4A16 else frozenset()
    integer = layers & ((four_bits & moved) | (layers - four_bits - moved))
    four_bits = (layers & four_bits) - moved
    half, weights = precision == INT8_FP16, WithActionHead(smoothed, sizes.actions)
    ranges = {**ranges, ACTION_HEAD: ranges[HEAD]} if HEAD in ranges else ranges
    with_part = integer | {ACTION_HEAD} if HEAD in integer else integer
    linears = ByLayer(
        FloatLinears(weights),
        (with_part, QuantisedLinears(weights, ranges, half=half)),
        (four_bits, FourBitLinears(smoothed)),
        half=half,
    )
    return Quantised(weights, linears, integer, four_bits)
