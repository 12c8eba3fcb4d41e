"""Watches what flows into each linear layer: float32 graphs with one extra output per layer, the largest magnitudes."""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter
from onboard_vla.export.weights import Weights

PREFIX = "observed/"
"""Starts the names of the extra outputs; the layer's name follows."""
LEADING_AXES = (0, 1)
"""Both graphs carry (items, tokens, channels)."""


class ObservedLinears:
    """Writes float32 layers, each with an output `observed/{layer}`: (inputs,) largest |x| per input channel."""

    def __init__(self, weights: Weights, written_as: LinearWriter | None = None) -> None:
        """`written_as`: what writes the layers themselves, `FloatLinears` if nothing is said."""
        self._weights = weights
        self._float = written_as or FloatLinears(weights)
        self.half = False

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append the layer and its observation."""
        at = f"{PREFIX}{name}"
        magnitude = graph.node("Abs", x, at=at)
        largest = graph.node("ReduceMax", magnitude, graph.shape(*LEADING_AXES), at=at, keepdims=0)
        graph.output(largest, at, (self._weights.shape(name)[0],))
        return self._float.write(graph, x, name)


class Observations:
    """Largest magnitudes per input channel over all runs so far, by layer."""

    def __init__(self) -> None:
        self.largest: dict[str, NDArray[np.float32]] = {}

    def add(self, outputs: Mapping[str, NDArray[np.float32]]) -> None:
        """Take in the observations among one run's outputs."""
        for key, found in outputs.items():
            if key.startswith(PREFIX):
                name = key[len(PREFIX) :]
                self.largest[name] = np.maximum(found, self.largest.get(name, np.float32(0)))
