"""Which layers INT8 hurts."""

from __future__ import annotations

import pytest

from onboard_vla.export import sensitivity
from onboard_vla.export.sensitivity import NOTHING, layer_kinds, measure_sensitivity
from onboard_vla.export.source import Source


def test_kinds_partition_all_layers(reference_checkpoint):
    source = Source.open(reference_checkpoint)
    kinds = layer_kinds(source)
    layers = frozenset().union(*source.layers().values())
    assert sum(map(len, kinds.values())) == len(layers) == 53
    assert kinds["text.layers.mlp.down_proj"] == {f"text.layers.{i}.mlp.down_proj" for i in range(4)}
    assert {"head", "visual.patch_embed", "visual.merger.mlp.0"} <= set(kinds)


@pytest.mark.parametrize("everything", [True, False])
def test_keeping_layers_in_float_brings_the_reference_nearer(reference_checkpoint, monkeypatch, everything):
    source = Source.open(reference_checkpoint)
    layers = frozenset().union(*source.layers().values())
    kept = layers if everything else frozenset(name for name in layers if name.startswith("text."))
    monkeypatch.setattr(sensitivity, "layer_kinds", lambda _: {"kept": kept})
    figures = measure_sensitivity(reference_checkpoint)
    assert 1 - figures["kept"].cosine_mean < (1 - figures[NOTHING].cosine_mean) / (1000 if everything else 2)
