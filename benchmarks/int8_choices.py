"""INT8 at equal size: how far plans move by where smoothing leaves the difficulty and how much of a range counts.

Protocol: graphs of each variant in memory, over the same scenes, against the float32 graphs' own answers. `strength` is
SmoothQuant's exponent; `clip` the share of each activation's largest value that INT8 spans (what lies beyond is cut
off), the same for every layer. Three bounds that INT8 cannot pass: weights alone in INT8, vision in float32, the
language model in float32 (the last two are larger). Choose on some scenes, report on others. Counts; load is no matter.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator
from functools import cache
from pathlib import Path

from passes import CHECKPOINT
from result import show

from onboard_vla.export.doubled_rows import DoubledRows
from onboard_vla.export.golden import GoldenScene
from onboard_vla.export.graph_session import GraphSession
from onboard_vla.export.language_graph import FILE_NAME as LANGUAGE_FILE
from onboard_vla.export.linear_layers import FloatLinears, LinearWriter, quantise_layer
from onboard_vla.export.quantisation import INT8, Scaling, quantised_layers
from onboard_vla.export.scene_runner import SceneRunner
from onboard_vla.export.scenes import load_scenes
from onboard_vla.export.smoothing import STRENGTH, smooth
from onboard_vla.export.source import Source
from onboard_vla.export.verify import Figures, difference, figures_of
from onboard_vla.export.weights import Floats, Linear, Weights

STRENGTHS, CLIPS = (0.3, 0.4, STRENGTH, 0.6, 0.7, 0.8, 0.9, 1.0), (1.0, 0.9, 0.8)
SHOWN = (
    "motion_shift_mean_m",
    "token_agreement",
    "parted_share",
    "parted_margin_median",
    "ade_mean_m",
    "ade_p95_m",
    "ade_p99_m",
    "ade_p99_margin",
    "fork_agreement",
    "preference_loss_max",
)
DIGITS = 5


class RoundedWeights:
    """Weights as INT8 stores them, in float32."""

    def __init__(self, base: Weights) -> None:
        self._base = base
        self._rounded = cache(self._round)

    def linear(self, name: str, outputs: slice | None = None) -> Linear:
        """Weight and bias of a linear layer, or of some of its outputs."""
        layer, piece = self._rounded(name), outputs or slice(None)
        return Linear(layer.weight[:, piece], None if layer.bias is None else layer.bias[piece])

    def shape(self, name: str) -> tuple[int, int]:
        """Inputs and outputs of a linear layer."""
        return self._base.shape(name)

    def has_bias(self, name: str) -> bool:
        """Whether a linear layer has a bias."""
        return self._base.has_bias(name)

    def vector(self, name: str) -> Floats:
        """The gain of a normalisation layer."""
        return self._base.vector(name)

    def _round(self, name: str) -> Linear:
        quantised, bias = quantise_layer(self._base, name)
        return Linear(quantised.values * quantised.scales, bias)


Variant = tuple[str, Weights, LinearWriter]


def variants(source: Source) -> Iterator[Variant]:
    """Names, weights and writers."""
    ranges = source.own_ranges()
    if ranges is None:
        raise SystemExit(f"{source.assets.folder} has no activation ranges: onboard-vla observe")
    layers = frozenset(ranges.largest)
    vision = frozenset(name for name in layers if name.startswith("visual."))

    def quantised(strength: float, clip: float, moved: frozenset[str] = frozenset()) -> tuple[Weights, LinearWriter]:
        smoothed, spans = Scaling(strength, clip).smoothed(source.model, source.weights, ranges.largest)
        made = quantised_layers(source.sizes, smoothed, spans, layers, moved, INT8)
        return made.weights, made.linears

    for strength in STRENGTHS:
        for clip in CLIPS if strength in (STRENGTH, 0.8) else CLIPS[:1]:
            yield f"strength {strength}, clip {clip}", *quantised(strength, clip)
    rounded = RoundedWeights(smooth(source.model, source.weights, ranges.largest)[0])
    yield "weights alone", rounded, FloatLinears(rounded)
    yield "vision in float32", *quantised(STRENGTH, 1.0, vision)
    yield "language model in float32", *quantised(STRENGTH, 1.0, layers - vision)


def runner(source: Source, weights: Weights, linears: LinearWriter) -> SceneRunner:
    """Runs graphs that are written here."""
    writers = source.graph_writers(weights, linears)
    sessions = {name: GraphSession(write(None, None).SerializeToString()) for name, write in writers.items()}
    language = DoubledRows(sessions[LANGUAGE_FILE])
    return SceneRunner(source.sizes, sessions, language, source.checkpoint.embedding)


def measure(source: Source, found: SceneRunner, golden: list[GoldenScene]) -> Figures:
    """All figures of a variant."""
    measured = []
    for item in golden:
        forced = found.teacher_forced(item.scene, item.reference.tokens.tolist())
        measured.append(difference(item, forced, found.greedy(item.scene), source.assets.codebook, source.sizes))
    return figures_of(measured)


def main() -> int:
    """Ask float32 once, then every variant."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenes", type=Path, help="file of scenes (python -m onboard_vla.app.scene_collection)")
    parser.add_argument("--checkpoint", type=Path, default=CHECKPOINT)
    parser.add_argument("--every", type=int, default=1, help="every so many-th scene of the file")
    parser.add_argument("--json", action="store_true", help="print JSON alone")
    arguments = parser.parse_args()
    source = Source.open(arguments.checkpoint)
    scenes = load_scenes(arguments.scenes, source.assets)[:: arguments.every]
    exact = runner(source, source.weights, FloatLinears(source.weights))
    golden = [GoldenScene(scene, exact.greedy(scene)) for scene in scenes]
    result: dict[str, object] = {"scenes": len(scenes)}
    for name, weights, linears in variants(source):
        table = measure(source, runner(source, weights, linears), golden).as_table()
        result[name] = {figure: round(table[figure], DIGITS) for figure in SHOWN}
    show(result, as_json=arguments.json)
    return 0


if __name__ == "__main__":
    sys.exit(main())
