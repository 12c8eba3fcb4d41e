"""Which layers quantisation hurts, and which are kept more exact: each linear layer alone, on golden scenes."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.golden import GoldenScene
from onboard_vla.export.graph_session import GraphSession
from onboard_vla.export.language_graph import FILE_NAME as LANGUAGE_FILE
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter
from onboard_vla.export.parity_limits import PARITY_LIMITS, ParityLimit, misses
from onboard_vla.export.quantisation import AS_PUBLISHED, INT8, Quantised, Scaling, quantise, quantised_layers
from onboard_vla.export.scene_runner import SceneRunner
from onboard_vla.export.scenes import Scene
from onboard_vla.export.smoothing import SmoothedWeights
from onboard_vla.export.source import Share, Source
from onboard_vla.export.verify import Figures, compare, difference, figures_of
from onboard_vla.export.weights import Weights

TARGET_SHARE = 0.5
"""Layers are moved to float32 (from four bits to INT8) until every figure is within this share of its limit: scenes
that nobody has seen yet need the rest."""
LARGEST_SHARE = 0.25
"""Of all weights of linear layers, at most this share is moved; beyond it quantising no longer pays."""
RANKING_SCENES = 4
"""Golden scenes that each layer is measured on alone: enough to rank, for a mean over their steps ignores near ties."""


@dataclass(frozen=True)
class LayerSensitivity:
    """What one layer alone does when quantised, all others in float32; figures along float32's own tokens.

    `weight_share`: the layer's share of all weights of linear layers.
    """

    weight_share: float
    motion_shift_mean_m: float
    cosine_mean: float
    preference_loss_max: float


@dataclass(frozen=True, eq=False)
class FallbackChoice:
    """`moved`: layers to keep more exact, in the order of choosing; `table`: every layer, the most sensitive first.

    `everywhere`: figures with every layer quantised.
    """

    moved: tuple[str, ...]
    table: dict[str, LayerSensitivity]
    everywhere: Figures


class Measures(Protocol):
    """Runs variants of a model on golden scenes."""

    def everything_but(self, moved: frozenset[str]) -> Figures:
        """All figures with all layers quantised, `moved` a step less (see `quantise`)."""

    def alone(self, layer: str) -> Figures:
        """Figures along float32's tokens with `layer` quantised, all others in float32; those of plans mean nothing."""


class Trial:
    """Writes graphs with some layers quantised as `precision` says and measures them."""

    def __init__(
        self,
        source: Source,
        references: Sequence[GoldenScene],
        largest: Mapping[str, NDArray[np.float32]],
        scratch: Path,
        precision: str = INT8,
        kept: frozenset[str] = frozenset(),
        scaling: Scaling = AS_PUBLISHED,
    ) -> None:
        """`kept`: layers that are in float32 whatever is measured."""
        self._kept, self._scaling = kept, scaling
        self._source, self._references, self._largest, self._scratch = source, references, largest, scratch
        self._precision = precision
        self._ranked = list(references[:RANKING_SCENES])

    def everything_but(self, moved: frozenset[str]) -> Figures:
        """See `Measures`."""
        source = self._source
        quantised = quantise(
            source.sizes, source.weights, self._largest, moved, self._precision, self._scaling, self._kept
        )
        source.write_graphs(self._scratch, quantised.weights, quantised.linears, _ignore)
        return compare(source.runner(self._scratch), self._references, source.assets.codebook, _ignore)

    def alone(self, layer: str) -> Figures:
        """See `Measures`; over `RANKING_SCENES` scenes."""
        items, codebook = self._ranked, self._source.assets.codebook
        found = self._runner_with(layer).teacher_forced_many(*self._forced)
        sizes = self._source.sizes
        return figures_of([difference(item, one, one, codebook, sizes) for item, one in zip(items, found, strict=True)])

    def _runner_with(self, layer: str) -> SceneRunner:
        """Float32 but for one layer."""
        source, layers = self._source, self._source.layers()
        smoothed, ranges = self._smoothed
        quantised = quantised_layers(source.sizes, smoothed, ranges, frozenset((layer,)), frozenset(), self._precision)
        changed = self._sessions(smoothed, quantised.linears, [name for name in layers if layer in layers[name]])
        if LANGUAGE_FILE in changed:
            return self._float_runner.with_language(changed[LANGUAGE_FILE])
        return self._float_runner.with_vision(changed)

    def _sessions(self, weights: Weights, linears: LinearWriter, names: Iterable[str]) -> dict[str, GraphSession]:
        writers = self._source.graph_writers(weights, linears)
        return {name: GraphSession(writers[name](None, None).SerializeToString()) for name in names}

    @cached_property
    def _forced(self) -> tuple[list[Scene], list[list[int]]]:
        return [item.scene for item in self._ranked], [item.reference.tokens.tolist() for item in self._ranked]

    @cached_property
    def _smoothed(self) -> tuple[SmoothedWeights, dict[str, float]]:
        return self._scaling.smoothed(self._source.model, self._source.weights, self._largest)

    @cached_property
    def _float_runner(self) -> SceneRunner:
        """Runs the ranking scenes in float32; it has seen their pictures."""
        source = self._source
        sessions = self._sessions(source.weights, FloatLinears(source.weights), source.layers())
        runner = SceneRunner(source.sizes, sessions, sessions[LANGUAGE_FILE], source.checkpoint.embedding)
        runner.teacher_forced_many(*self._forced)
        return runner


def choose_fallbacks(
    source: Source,
    trial: Measures,
    progress: Share,
    limits: tuple[ParityLimit, ...] = PARITY_LIMITS,
    kept: frozenset[str] = frozenset(),
) -> FallbackChoice:
    """Measure every layer alone, then keep the most sensitive more exact until all is well within its limits.

    `kept`: layers that are in float32 already; they count in the share of all weights.

    Sensitive is what moves the actions' expected motion: unlike a count of equal tokens, that figure is not decided by
    near ties. Nothing is moved if all is well within the limits already.
    """
    layers = sorted(frozenset[str]().union(*source.layers().values()))
    weights = {name: math.prod(source.weights.shape(name)) for name in layers}
    total, table = sum(weights.values()), {}
    for done, name in enumerate(layers, start=1):
        found = trial.alone(name)
        table[name] = LayerSensitivity(
            weights[name] / total, found.motion_shift_mean_m, found.cosine_mean, found.preference_loss_max
        )
        progress(done / (len(layers) + 1))
    ranked = sorted(layers, key=lambda name: (-table[name].motion_shift_mean_m, name))
    everywhere = current = trial.everything_but(frozenset())
    chosen: list[str] = []
    for name in ranked:
        if not misses(current, TARGET_SHARE, limits):
            break
        if name not in kept and sum(weights[other] for other in (*kept, *chosen, name)) <= LARGEST_SHARE * total:
            chosen.append(name)
            current = trial.everything_but(frozenset(chosen))
    progress(1.0)
    return FallbackChoice(tuple(chosen), {name: table[name] for name in ranked}, everywhere)


def sensitivity_rows(choice: FallbackChoice, made: Quantised) -> dict[str, Any]:
    """For the manifest: every layer, the most sensitive first, and the figures with all of them quantised."""
    return {
        "sensitivity": [
            {"layer": name, "runs_in": made.runs_in(name), **vars(found)} for name, found in choice.table.items()
        ],
        "all_quantised": choice.everywhere.as_table(),
    }


def _ignore(_: float) -> None:
    """Progress that nobody watches."""
