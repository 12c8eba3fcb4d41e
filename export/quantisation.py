"""INT8: observe the float32 model on calibration scenes, smooth, and choose every layer's activation scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import QuantisedLinears
from onboard_vla.export.observation import Observations, ObservedLinears
from onboard_vla.export.scene_runner import SceneRunner, Sizes
from onboard_vla.export.scenes import Scene
from onboard_vla.export.smoothing import STRENGTH, SmoothedWeights, smooth
from onboard_vla.export.vision_graph import vision_graph
from onboard_vla.export.vision_grid import VisionGrid
from onboard_vla.export.weights import Weights

METHOD = "static symmetric W8A8: weights per output channel, activations per tensor (largest magnitude), SmoothQuant"


@dataclass(frozen=True, eq=False)
class Quantised:
    """Smoothed weights and the writer of their INT8 layers."""

    weights: SmoothedWeights
    linears: QuantisedLinears


def observe(
    sizes: Sizes,
    grids: Sequence[VisionGrid],
    weights: Weights,
    embedding: NDArray[Any],
    scenes: Sequence[Scene],
    progress: Callable[[float], None],
) -> Mapping[str, NDArray[np.float32]]:
    """Largest magnitude per input channel of every linear layer, over all scenes, prompts and answers.

    A scene without the expert's tokens is decoded by the float32 model itself.
    """
    observations, observed = Observations(), ObservedLinears(weights)
    vision = {grid.name: vision_graph(sizes.model, grid, weights, observed).SerializeToString() for grid in grids}
    language = language_graph(sizes.model.text, weights, observed).SerializeToString()
    runner = SceneRunner(sizes, vision, language, embedding, observations)
    for done, scene in enumerate(scenes, start=1):
        if scene.expert_tokens is None:
            runner.greedy(scene)
        else:
            runner.teacher_forced(scene, scene.expert_tokens.tolist())
        progress(done / len(scenes))
    return observations.largest


def quantise(
    sizes: Sizes,
    weights: Weights,
    largest: Mapping[str, NDArray[np.float32]],
    fallbacks: frozenset[str] = frozenset(),
    strength: float = STRENGTH,
) -> Quantised:
    """Fold smoothing into the weights and fix all scales; layers in `fallbacks` stay in float32."""
    smoothed, ranges = smooth(sizes.model, weights, largest, strength)
    return Quantised(smoothed, QuantisedLinears(smoothed, ranges, fallbacks))
