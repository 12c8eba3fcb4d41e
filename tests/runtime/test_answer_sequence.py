"""The greedy choice is that over all logits after the repetition penalty, to the tie; what is not finite is refused."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.bundle_manifest import TextDimensions
from onboard_vla.core.errors import EngineError
from onboard_vla.runtime.answer_grammar import DecodeError
from onboard_vla.runtime.answer_sequence import AnswerSequence, PromptInput, penalised
from onboard_vla.runtime.language_model import LanguageModel
from onboard_vla.runtime.positions import text_positions

VOCABULARY, WIDTH = 6, 8
TEXT = TextDimensions(WIDTH, 1, 2, 1, 4, 8, VOCABULARY, 1e4, (1, 1, 0), 1e-6)


class Silent:
    executions = 0

    def run(self, inputs, outputs):
        outputs["logits"][:] = 0.0


def begun(ids, penalty):
    """An answer to a prompt of these ids."""
    sequence = AnswerSequence(LanguageModel(Silent(), TEXT, 64), np.zeros((VOCABULARY, WIDTH), np.float16), penalty)
    text = np.array(ids, np.int64)
    prompt = PromptInput(text, np.zeros((len(ids), WIDTH), np.float32), text_positions(0, len(ids)), len(ids))
    sequence.begin(prompt, (), (), (-1,), np.empty((1, VOCABULARY), np.float32))
    return sequence


@settings(max_examples=200, deadline=None)
@given(
    st.lists(st.integers(-3, 3), min_size=6, max_size=6),
    st.lists(st.integers(0, 5), min_size=2, max_size=8),
    st.sampled_from([1.0, 1.05, 1.5, 2.0, 0.7]),
)
def test_the_choice_is_the_best_of_all_penalised_logits_also_at_ties(values, ids, penalty):
    logits = np.array(values, np.float32)
    sequence = begun(ids[:-1], penalty)
    sequence.say((1, 1))
    sequence.unsay(0)
    sequence.say(ids[-1:])
    expected, before = logits.copy(), logits.copy()
    expected[ids] = penalised(logits[ids], penalty)
    assert sequence.choose(logits, "here") == int(np.argmax(expected))
    np.testing.assert_array_equal(logits, before)
    np.testing.assert_array_equal(sequence.scores(logits, ids[-1:]), expected)
    assert [sequence.score(logits, token, ids[-1:]) for token in range(VOCABULARY)] == expected.tolist()


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("where", [0, 3, 5])
def test_a_choice_among_logits_that_are_not_finite_is_refused(bad, where):
    logits = np.arange(6, dtype=np.float32)
    logits[where] = bad
    sequence = begun([1, 2], 1.05)
    with pytest.raises(DecodeError, match="1 values that are not finite"):
        sequence.choose(logits, "here")


def test_a_prompt_that_never_fits_the_cache_is_an_engines_error():
    with pytest.raises(EngineError, match="KV cache holds 65 tokens, 70 are needed"):
        begun([1] * 70, 1.05)
