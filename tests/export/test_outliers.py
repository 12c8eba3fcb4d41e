"""Activation outliers in a trained model: four channels of every norm of the language model made 40 times larger.

The layers behind shrink to match, so the function is the same. Plain INT8 then loses the model, and smoothing keeps it
within every limit: the outliers are of the kind that it can undo, so this shows the folding and not its strength.
"""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.export.linear_layers import QuantisedLinears
from onboard_vla.export.parity_limits import misses
from onboard_vla.export.quantisation import quantise
from onboard_vla.export.source import GOLDEN, Source
from onboard_vla.export.verify import compare


def ignore(_):
    pass


class Outliers:
    """The reference checkpoint with outliers, its float32 answers without them, and the ranges that it then shows."""

    def __init__(self, folder, outlier_weights, scratch):
        plain = Source.open(folder)
        self.source = replace(plain, weights=outlier_weights(plain.weights, plain.model))
        self.scratch = scratch
        scenes = plain.scenes(None, GOLDEN)[1]
        plain.write_float_graphs(scratch / "fp32", ignore)
        self.references = plain.references(scratch / "fp32", scenes, ignore)
        self.largest = self.source.observe(scenes, ignore)
        self.without = plain.observe(scenes, ignore)

    def figures(self, weights, linears):
        self.source.write_graphs(self.scratch / "trial", weights, linears, ignore)
        return compare(self.source.runner(self.scratch / "trial"), self.references, self.source.assets.codebook, ignore)


@pytest.fixture(scope="module")
def outliers(reference_checkpoint, outlier_weights, tmp_path_factory):
    return Outliers(reference_checkpoint, outlier_weights, tmp_path_factory.mktemp("outliers"))


def test_the_model_is_the_same_and_its_activations_are_not(outliers):
    outliers.source.write_float_graphs(outliers.scratch / "trial", ignore)
    runner = outliers.source.runner(outliers.scratch / "trial")
    figures = compare(runner, outliers.references, outliers.source.assets.codebook, ignore)
    assert figures.token_agreement == 1
    assert figures.logit_difference_max < 1e-3
    name = "text.layers.1.mlp.up_proj"
    np.testing.assert_allclose(outliers.largest[name][9], 40 * outliers.without[name][9], rtol=1e-3)
    assert outliers.largest[name].max() > 5 * outliers.without[name].max()


def test_plain_int8_loses_the_model_and_smoothing_keeps_it_within_every_limit(outliers):
    plain = QuantisedLinears(
        outliers.source.weights, {name: float(values.max()) for name, values in outliers.largest.items()}
    )
    lost = outliers.figures(outliers.source.weights, plain)
    smoothed = quantise(outliers.source.sizes, outliers.source.weights, outliers.largest)
    kept = outliers.figures(smoothed.weights, smoothed.linears)
    assert misses(lost)
    assert misses(kept) == []
    assert 1 - kept.cosine_mean < (1 - lost.cosine_mean) / 10
    assert kept.token_agreement >= 0.95 > lost.token_agreement
    assert kept.fork_agreement == 1
