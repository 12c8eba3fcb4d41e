"""Which layers INT8 hurts, and which stay in float32: measured on golden scenes, one kind of layer at a time."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from onboard_vla.export.golden import GoldenScene
from onboard_vla.export.parity_limits import misses
from onboard_vla.export.quantisation import quantise
from onboard_vla.export.source import Share, Source
from onboard_vla.export.verify import Figures, compare

NOTHING = "none"
"""Key of the figures with every layer in INT8."""
TARGET_SHARE = 0.5
"""Layers are moved to float32 until every figure is within this share of its limit: scenes that nobody has seen yet
need the rest."""
LARGEST_SHARE = 0.25
"""Of all weights of linear layers, at most this share moves to float32; beyond it INT8 no longer pays."""


@dataclass(frozen=True, eq=False)
class FallbackChoice:
    """`fallbacks`: layers to keep in float32; `kinds`: their kinds, in the order of choosing.

    `table[kind]`: layers of that kind, their share of all weights, and the figures with that kind alone in float32.
    """

    fallbacks: frozenset[str]
    kinds: tuple[str, ...]
    table: dict[str, dict[str, Any]]


def layer_kinds(source: Source) -> dict[str, frozenset[str]]:
    """Layers grouped by what they do, over all depths: `text.layers.mlp.down_proj` stands for every layer's."""
    kinds: dict[str, set[str]] = {}
    for name in frozenset[str]().union(*source.layers().values()):
        kinds.setdefault(re.sub(r"\.\d+(?=\.(attn|self_attn|mlp)\.)", "", name), set()).add(name)
    return {kind: frozenset(names) for kind, names in sorted(kinds.items())}


def weight_shares(source: Source, kinds: Mapping[str, frozenset[str]]) -> dict[str, float]:
    """Each kind's share of all weights of linear layers."""
    sizes = {kind: sum(math.prod(source.weights.shape(name)) for name in names) for kind, names in kinds.items()}
    return {kind: size / sum(sizes.values()) for kind, size in sizes.items()}


class Trial:
    """Writes graphs with some layers in float32 into a scratch folder and measures them."""

    def __init__(
        self,
        source: Source,
        references: Sequence[GoldenScene],
        largest: Mapping[str, NDArray[np.float32]],
        scratch: Path,
    ) -> None:
        self._source, self._references, self._largest, self._scratch = source, references, largest, scratch

    def measure(self, kept: frozenset[str]) -> Figures:
        """Figures with the layers `kept` in float32 and all others in INT8."""
        source = self._source
        quantised = quantise(source.sizes, source.weights, self._largest, kept)
        source.write_graphs(self._scratch, quantised.weights, quantised.linears, _ignore)
        return compare(source.runner(self._scratch), self._references, source.assets.codebook, _ignore)


def choose_fallbacks(source: Source, trial: Trial, progress: Share) -> FallbackChoice:
    """Measure every kind of layer, then move kinds to float32 until the figures are well within their limits.

    The kind that brings the actions' expected motion nearest to the reference comes first: unlike a count of equal
    tokens, that figure is not decided by near ties. Nothing is moved if INT8 alone is well within the limits.
    """
    kinds = layer_kinds(source)
    shares, figures = weight_shares(source, kinds), {}
    for done, (kind, names) in enumerate({NOTHING: frozenset[str](), **kinds}.items(), start=1):
        figures[kind] = trial.measure(names)
        progress(done / (len(kinds) + 1))
    table = {
        kind: {"layers": len(names), "weight_share": shares[kind], **figures[kind].as_table()}
        for kind, names in kinds.items()
    }
    table[NOTHING] = {"layers": 0, "weight_share": 0.0, **figures[NOTHING].as_table()}
    chosen: list[str] = []
    current = figures[NOTHING]
    for kind in sorted(kinds, key=lambda kind: figures[kind].motion_shift_mean_m):
        helps = figures[kind].motion_shift_mean_m < figures[NOTHING].motion_shift_mean_m
        if not helps or not misses(current, TARGET_SHARE):
            break
        if shares[kind] + sum(shares[other] for other in chosen) <= LARGEST_SHARE:
            chosen.append(kind)
            current = trial.measure(frozenset[str]().union(*(kinds[other] for other in chosen)))
    return FallbackChoice(frozenset[str]().union(*(kinds[kind] for kind in chosen)), tuple(chosen), table)


def _ignore(_: float) -> None:
    """Progress that nobody watches."""
