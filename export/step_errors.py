"""What quantising costs layer by layer where no graph can be run as a whole, gathered while ranges are observed.

Once a step of a graph has run on all calibration scenes its ranges are known. The first scenes' inputs then go through
it twice more: in float32 with every linear layer computed a second time as it will be quantised, and quantised as a
whole. What is compared is each layer's own output, and what leaves the step; how an error grows on its way through the
layers after it is not in these figures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.activation_ranges import ActivationRanges
from onboard_vla.export.graph import GraphWriter
from onboard_vla.export.graph_session import Arrays, Feed
from onboard_vla.export.language_graph import HIDDEN
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter
from onboard_vla.export.observation import Observations
from onboard_vla.export.pieces import opened, owned
from onboard_vla.export.quantisation import INT8, INT8_FP16, Quantised, quantise
from onboard_vla.export.sensitivity import LARGEST_SHARE, RANKING_SCENES
from onboard_vla.export.source import Source
from onboard_vla.export.weights import LinearWeights

PROBED_SCENES = RANKING_SCENES
"""Calibration scenes whose inputs are compared."""
LARGEST_ERROR = 0.1
"""A layer that errs by more than a tenth of its output is kept more exact (20 dB; own choice). In the reference
checkpoint, where INT8 everywhere keeps all limits, the worst layer errs by 0.046, the median by 0.007."""
PREFIX = "error/"
"""Starts the names of the extra outputs; the layer's name follows."""
LEAVING = (HIDDEN, "embeddings")
"""What may leave a step."""
SMALLEST = 1e-20
"""Lengths below this count as this, so that a token of zeros divides nothing by zero."""


class ComparedLinears:
    """Writes layers as `exact` does, each with an output `error/{layer}`: how far `other` is from that.

    Mean over all tokens of |other - exact| / |x @ weight|: biases, which can be large, are left out of the length.
    """

    half = False

    def __init__(self, exact: LinearWriter, other: LinearWriter, weights: LinearWeights) -> None:
        self._exact, self._other, self._weights = exact, other, weights

    def write(self, graph: GraphWriter, x: str, name: str) -> str:
        """Append the layer, twice, and the comparison."""
        y, found, at = self._exact.write(graph, x, name), self._other.write(graph, x, name), f"{PREFIX}{name}"
        product = graph.node("Sub", y, f"{name}.bias", at=at) if self._weights.has_bias(name) else y
        error, length = (
            graph.node("ReduceL2", value, graph.shape(-1), at=at, keepdims=0)
            for value in (graph.node("Sub", found, y, at=at), product)
        )
        share = graph.node("Div", error, graph.node("Max", length, graph.scalar(SMALLEST), at=at), at=at)
        graph.output(graph.node("ReduceMean", share, at=at, keepdims=0), at, ())
        return y


class ErrorProbe:
    """Looks at the steps of one graph, each once, and puts what it finds into `errors`: layers and steps by name.

    INT8 with half precision around it counts as INT8.
    """

    def __init__(
        self,
        source: Source,
        graph: str,
        inputs: int,
        observations: Observations,
        precision: str,
        scratch: Path,
        errors: dict[str, float],
    ) -> None:
        """`inputs`: how many inputs it looks at; `observations`: ranges known so far."""
        self._source, self._graph, self.inputs, self._observations = source, graph, inputs, observations
        self._precision = INT8 if precision == INT8_FP16 else precision
        self._scratch, self._errors, self._seen = scratch, errors, set[int]()

    def look(self, piece: range, feeds: Sequence[Feed]) -> dict[str, float]:
        """See `Probe`: means over the inputs; in later runs of the graph, a decoder's, nothing more is measured."""
        if piece.start in self._seen:
            return {}
        source, largest = self._source, self._observations.largest
        names = source.layers_of_step(self._graph, piece.start)
        made = quantise(source.sizes, source.weights, {n: largest[n] for n in names}, precision=self._precision)
        compared = ComparedLinears(FloatLinears(made.weights), made.linears, made.weights)
        exact = self._run(made, compared, piece, feeds)
        found = {name: float(np.mean([outputs[f"{PREFIX}{name}"] for outputs in exact])) for name in names}
        if len(names) == 1:  # the head: what leaves the step is the layer's output
            return found
        quantised = self._run(made, made.linears, piece, feeds)
        leaving = next(name for name in LEAVING if name in exact[0])
        changes = [_relative(b[leaving], a[leaving]) for a, b in zip(exact, quantised, strict=True)]
        return {**found, source.step_name(self._graph, piece.start): float(np.mean(changes))}

    def take(self, piece: range, found: Mapping[str, float]) -> None:
        """See `Probe`; of layers that several graphs have, the largest counts."""
        self._seen.add(piece.start)
        for name, error in found.items():
            self._errors[name] = max(error, self._errors.get(name, 0.0))

    def _run(self, made: Quantised, linears: LinearWriter, piece: range, feeds: Sequence[Feed]) -> list[Arrays]:
        write = self._source.graph_writers(made.weights, linears)[self._graph]
        with opened(write, piece, self._scratch) as session:
            found = [owned(session.run({name: feed[name] for name in session.inputs})) for feed in feeds]
            del session
        return found


def _relative(found: NDArray[np.float32], exact: NDArray[np.float32]) -> float:
    """Mean over all tokens of |found - exact| / |exact|."""
    lengths = np.maximum(np.linalg.norm(exact, axis=-1), SMALLEST)
    return float(np.mean(np.linalg.norm(found - exact, axis=-1) / lengths))


def beyond(ranges: ActivationRanges, weights: Mapping[str, int], kept: frozenset[str] = frozenset()) -> list[str]:
    """Layers to compute more exactly: their own error is above LARGEST_ERROR; the worst first.

    With `kept`, which are in float32 already, they have at most LARGEST_SHARE of all `weights`.
    """
    chosen: list[str] = []
    candidates = (weights.keys() & ranges.errors.keys()) - kept
    for name in sorted(candidates, key=lambda name: (-ranges.errors[name], name)):
        share = sum(weights[other] for other in (*kept, *chosen, name)) / sum(weights.values())
        if ranges.errors[name] > LARGEST_ERROR and share <= LARGEST_SHARE:
            chosen.append(name)
    return chosen


def error_rows(ranges: ActivationRanges, weights: Mapping[str, int], made: Quantised) -> dict[str, Any]:
    """For the manifest: what was measured of every layer and step, the worst first; nothing, if nothing was."""
    ranked = sorted(ranges.errors, key=lambda name: (-ranges.errors[name], name))
    total = sum(weights.values())
    if not ranked:
        return {}
    return {
        "sensitivity": [
            {
                "layer": name,
                "runs_in": made.runs_in(name),
                "weight_share": weights[name] / total,
                "output_error": ranges.errors[name],
            }
            for name in ranked
            if name in weights
        ],
        "steps": [{"step": name, "output_error": ranges.errors[name]} for name in ranked if name not in weights],
        "largest_error": LARGEST_ERROR,
    }
