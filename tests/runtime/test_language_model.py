"""Passes that were met before take the same arrays again, and give the same; what is remembered has a bound."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import TextDimensions
from onboard_vla.core.errors import EngineError
from onboard_vla.runtime import language_model
from onboard_vla.runtime.engine import StandingArrays
from onboard_vla.runtime.language_model import LanguageModel, causal_bias
from onboard_vla.runtime.positions import text_positions

WIDTH, VOCABULARY = 8, 5
TEXT = TextDimensions(WIDTH, 1, 2, 1, 4, 8, VOCABULARY, 1e4, (1, 1, 0), 1e-6)


class Echo:
    """Writes what it was given where it can be seen: the sum of the past's keys, and each wanted token's embedding."""

    def __init__(self):
        self.executions, self.inputs = 0, []

    def run(self, inputs, outputs):
        self.executions += 1
        self.inputs.append(inputs)
        outputs["new_key_0"][:, 0] = inputs["embeds"][:, :4]
        for logits, row in zip(outputs["logits"], inputs["rows"], strict=True):
            logits[:] = inputs["embeds"][row, :VOCABULARY] + inputs["past_key_0"].sum()
        self.biases = inputs["bias"].copy(), inputs["cos"].copy()


@pytest.fixture
def model():
    return LanguageModel(Echo(), TEXT, 64)


def tokens(count, value=1.0):
    return np.full((count, WIDTH), value, np.float32)


def run(model, past, count, logits, value=1.0, start=None):
    model.rollback(min(past, model.cache.length))
    while model.cache.length < past:
        model.forward(tokens(1), text_positions(model.cache.length, 1), [0], np.empty((1, VOCABULARY), np.float32))
    positions = text_positions(past if start is None else start, count)
    model.forward(tokens(count, value), positions, range(count), logits[:count])
    return model._engine.inputs[-1]


def test_a_pass_that_comes_again_has_the_same_arrays_and_its_own_content(model):
    logits = model.logits_room(4)
    first = run(model, 3, 2, logits, 1.0)
    assert logits[:2, 0].tolist() == [1 + 3 * 4, 1 + 3 * 4]
    again = run(model, 3, 2, logits, 7.0)
    assert again is first
    assert isinstance(again, StandingArrays)
    assert logits[:2, 0].tolist() == [7 + 3 * 4, 7 + 3 * 4]


@pytest.mark.parametrize("change", [{"past": 4}, {"count": 3}, {"start": 9}])
def test_another_length_or_position_is_another_pass(model, change):
    logits = model.logits_room(4)
    first = run(model, 3, 2, logits)
    asked = {"past": 3, "count": 2, "start": None, **change}
    other = run(model, asked["past"], asked["count"], logits, start=asked["start"])
    assert other is not first
    bias, cos = model._engine.biases
    np.testing.assert_array_equal(bias, causal_bias(asked["past"], asked["count"]))
    np.testing.assert_array_equal(
        cos, model._rotary.look_up(text_positions(asked["start"] or asked["past"], asked["count"]))[0]
    )


def test_logits_go_where_each_pass_says(model):
    logits = model.logits_room(8)
    run(model, 3, 2, logits[:2], 1.0)
    run(model, 3, 2, logits[4:6], 2.0)
    assert logits[[0, 4], 0].tolist() == [13, 14]


def test_passes_into_somebody_elses_memory_are_not_remembered(model):
    for _ in range(3):
        run(model, 3, 2, np.empty((2, VOCABULARY), np.float32))
    assert not any(key[0] == 3 for key in model._passes._known)


def test_what_is_remembered_has_a_bound(model, monkeypatch):
    monkeypatch.setattr(language_model, "PASSES", 5)
    logits = model.logits_room(4)
    for past in range(20):
        run(model, past, 2, logits)
    assert len(model._passes._known) == 5
    monkeypatch.setattr(language_model, "PASSES_BYTES", 1)
    run(model, 30, 2, logits)
    assert len(model._passes._known) == 1


def test_a_remembered_pass_still_refuses_positions_past_the_capacity(model):
    logits = model.logits_room(2)
    for _ in range(2):
        with pytest.raises(EngineError, match="past the capacity"):
            run(model, 3, 2, logits, start=63)


@pytest.mark.parametrize("given", ["room", "own"])
def test_a_lone_token_is_doubled_wherever_its_embedding_comes_from(model, given):
    embeddings = model.room(1) if given == "room" else tokens(1)
    embeddings[:] = 3.0
    logits = model.logits_room(1)
    model.forward(embeddings, text_positions(0, 1), [0], logits)
    assert model._engine.inputs[-1]["embeds"][:, 0].tolist() == [3, 3]
    assert (model.cache.length, logits[0, 0]) == (1, 3)
