"""INT8: observe the float32 model on calibration scenes, smooth, and choose every layer's activation scale."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.activation_ranges import ActivationRanges
from onboard_vla.export.linear_layers import QuantisedLinears
from onboard_vla.export.observation import Observations
from onboard_vla.export.scene_runner import SceneRunner, Sizes
from onboard_vla.export.scenes import Scene
from onboard_vla.export.smoothing import STRENGTH, SmoothedWeights, smooth
from onboard_vla.export.weights import Weights

METHOD = "static symmetric W8A8: weights per output channel, activations per tensor (largest magnitude), SmoothQuant"


@dataclass(frozen=True, eq=False)
class Quantised:
    """Smoothed weights and the writer of their INT8 layers."""

    weights: SmoothedWeights
    linears: QuantisedLinears


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
        runner.teacher_forced_many(told, [scene.expert_tokens.tolist() for scene in told])  # type: ignore[union-attr]
    if untold := [scene for scene in scenes if scene.expert_tokens is None]:
        runner.greedy_many(untold)
    return observations.largest


def int8_provenance(ranges: ActivationRanges, fallbacks: frozenset[str], integer_layers: int) -> dict[str, Any]:
    """Where an INT8 export's numbers come from, for the manifest."""
    return {
        "method": METHOD,
        "smooth_strength": STRENGTH,
        "scenes_from": ranges.scenes_from,
        "scenes": ranges.scenes,
        "fallbacks": sorted(fallbacks),
        "integer_layers": integer_layers,
    }


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
