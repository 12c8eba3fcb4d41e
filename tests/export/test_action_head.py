"""The head of the actions alone: the columns of the whole one to the bit, of the rows that were asked for there."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import ActionTokens
from onboard_vla.export.checkpoint import Checkpoint
from onboard_vla.export.fusion_check import check_fusion
from onboard_vla.export.language_graph import language_graph
from onboard_vla.export.linear_layers import FloatLinears, HalfLinears, QuantisedLinears
from onboard_vla.export.weights import ACTION_HEAD, CheckpointWeights, PaddedHead, WithActionHead, language_linears

from .test_quantised_graphs import language_feed, run

FIRST, COUNT = 5, 37
"""Not at the vocabulary's end, so that the head's padding is none of them."""
EVERY = np.arange(17)


@pytest.fixture
def checkpoint(numpy_checkpoint):
    return Checkpoint(numpy_checkpoint.save())


def quantised(weights, text):
    names = (*language_linears(text.layers), ACTION_HEAD)
    return QuantisedLinears(weights, dict.fromkeys(names, 4.0))


@pytest.mark.parametrize(
    ("linears", "error"),
    # Half precision is TensorRT's: how ONNX Runtime sums it on the processor depends on the number of rows.
    [(lambda w, _: FloatLinears(w), 0.0), (lambda w, _: HalfLinears(w), 5e-3), (quantised, 0.0)],
)
def test_every_list_of_rows_gets_what_the_whole_head_gives(checkpoint, linears, error):
    text = checkpoint.model.text
    weights = WithActionHead(PaddedHead(CheckpointWeights(checkpoint)), ActionTokens(FIRST, COUNT, 10, 0.5, ""))
    graph = language_graph(text, weights, linears(weights, text), action_head=True)
    plain = language_graph(text, weights, linears(weights, text))
    feed = {**language_feed(text), "rows": EVERY}
    whole = run(plain, feed)["logits"]
    assert text.vocabulary_size > FIRST + COUNT

    untold = run(graph, feed)
    np.testing.assert_array_equal(untold["logits"], whole)
    assert untold["action_logits"].shape == (0, COUNT)
    for full, few in (([], [2, 16, 2]), ([1, 3], [0, 9])):
        lists = {"rows": np.array(full, np.int64), "action_rows": np.array(few, np.int64)}
        found = run(graph, {**feed, **lists})
        np.testing.assert_allclose(found["logits"], whole[full].reshape(-1, text.vocabulary_size), 0.0, error)
        np.testing.assert_allclose(found["action_logits"], whole[few, FIRST : FIRST + COUNT], 0.0, error)


def test_its_quantised_form_runs_in_integers_beside_the_whole_one(checkpoint):
    text = checkpoint.model.text
    weights = WithActionHead(CheckpointWeights(checkpoint), ActionTokens(FIRST, COUNT, 10, 0.5, ""))
    graph = language_graph(text, weights, quantised(weights, text), action_head=True)
    report = check_fusion(graph, {*language_linears(text.layers), ACTION_HEAD}, "language")
    assert ACTION_HEAD in report.integer


def test_parts_of_the_actions_columns_are_those_of_the_head(checkpoint):
    base = CheckpointWeights(checkpoint)
    weights = WithActionHead(base, ActionTokens(FIRST, COUNT, 10, 0.5, ""))
    whole = base.linear("head").weight
    assert weights.shape(ACTION_HEAD) == (whole.shape[0], COUNT)
    for part in (None, slice(0, COUNT), slice(3, 20), slice(30, 99)):
        expected = whole[:, FIRST : FIRST + COUNT][:, part or slice(None)]
        np.testing.assert_array_equal(weights.linear(ACTION_HEAD, part).weight, expected)
