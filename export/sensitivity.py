"""Which layers INT8 hurts: each kind of layer kept in float32 in turn, all others in INT8, figures on golden scenes."""

from __future__ import annotations

import re
import tempfile
from collections.abc import Callable
from pathlib import Path

from onboard_vla.export.quantisation import quantise
from onboard_vla.export.source import CALIBRATION, GOLDEN, Source
from onboard_vla.export.verify import Figures, compare

NOTHING = "none"
"""Key of the figures with every layer in INT8."""


def layer_kinds(source: Source) -> dict[str, frozenset[str]]:
    """Layers grouped by what they do, over all depths: `text.layers.mlp.down_proj` stands for every layer's."""
    kinds: dict[str, set[str]] = {}
    for name in frozenset[str]().union(*source.layers().values()):
        kinds.setdefault(re.sub(r"\.\d+(?=\.(attn|self_attn|mlp)\.)", "", name), set()).add(name)
    return {kind: frozenset(names) for kind, names in sorted(kinds.items())}


def measure_sensitivity(
    checkpoint: Path,
    *,
    golden_scenes: Path | None = None,
    calibration_scenes: Path | None = None,
    progress: Callable[[str], None] | None = None,
) -> dict[str, Figures]:
    """Figures with each kind of layer in float32 and the rest in INT8, and with everything in INT8 (`NOTHING`).

    A kind whose figures are much better than those of `NOTHING` is what INT8 hurts; its layers are candidates for the
    `fallbacks` of `export_bundle`.

    Raises:
        CheckpointError: the checkpoint or a file of scenes is not valid.
    """
    source = Source.open(checkpoint)
    golden, calibration = source.scenes(golden_scenes, GOLDEN)[1], source.scenes(calibration_scenes, CALIBRATION)[1]
    figures: dict[str, Figures] = {}
    with tempfile.TemporaryDirectory() as scratch:
        folder = Path(scratch)
        source.write_float_graphs(folder / "fp32", _ignore)
        references = source.references(folder / "fp32", golden, _ignore)
        largest = source.observe(calibration, _ignore)
        for kind, kept in {NOTHING: frozenset[str](), **layer_kinds(source)}.items():
            if progress is not None:
                progress(kind)
            quantised = quantise(source.sizes, source.weights, largest, kept)
            source.write_graphs(folder / "int8", quantised.weights, quantised.linears, _ignore)
            figures[kind] = compare(source.runner(folder / "int8"), references, source.assets.codebook, _ignore)
    return figures


def _ignore(_: float) -> None:
    """Progress that nobody watches."""
