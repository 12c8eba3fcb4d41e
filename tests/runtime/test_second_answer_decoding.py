"""A slow answer after a fast one to the same prompt: the same tokens as a slow answer alone, and no second reading."""

from __future__ import annotations

import pytest

from onboard_vla.runtime.answer_grammar import CANCELLED, DecodeError

from .test_decoding import ANSWER, FIRST, SUFFIX, TEN, WORD, N, ScriptedEngine, decoder, prompt, script

OTHER = [FIRST + i for i in (5, 5, 5, 1, 1, 1, 2, 2, 2, 7)]
WORDS = [WORD, WORD, WORD]


def two_minded(words=WORDS):
    """Fast it says TEN; slow `words`, the suffix unless that was forced upon it, and OTHER."""
    fast, slow = script(TEN), script([*words, *SUFFIX], ANSWER.slow_prefix)

    def says(sequence):
        if len(sequence) <= ANSWER.fork_index or sequence[ANSWER.fork_index] != ANSWER.slow_prefix[ANSWER.fork_index]:
            return fast(sequence)
        spoken = sequence[len(ANSWER.slow_prefix) :]
        if tuple(SUFFIX) != tuple(id for id in spoken if id < FIRST)[-2:]:
            return slow(sequence)
        return OTHER[sum(id >= FIRST for id in spoken)]

    return ScriptedEngine(says)


def after_a_fast_answer(engine, **options):
    thinking = decoder(engine, **options)
    thinking.decode(prompt(), "fast")
    return thinking


def test_it_says_what_a_slow_answer_alone_says_and_reads_the_prompt_once():
    engine = two_minded()
    further = after_a_fast_answer(engine).decode_further(6)
    alone = decoder(two_minded()).decode(prompt(), "slow")
    assert (further.tokens, further.generated, further.reasoning) == (alone.tokens, alone.generated, "PPP")
    assert (further.depth, further.complete, further.fork_logits) == ("slow", True, alone.fork_logits)
    assert further.logits.tobytes() == alone.logits.tobytes()
    first_further = engine.passes[N]
    assert first_further == len(ANSWER.slow_prefix) - ANSWER.fork_index


def test_at_the_end_of_its_budget_it_is_closed_by_force_and_says_so():
    engine = two_minded([WORD] * 20)
    further = after_a_fast_answer(engine).decode_further(2)
    assert (further.reasoning, further.complete) == ("PP", False)


def test_the_bundles_own_budget_is_never_exceeded():
    engine = two_minded([WORD] * 20)
    assert after_a_fast_answer(engine, max_reasoning=3).decode_further(100).reasoning == "PPP"


@pytest.mark.parametrize("asked", range(4 + 9))
def test_it_is_given_up_within_one_token_and_the_next_fast_answer_is_not_touched(asked):
    engine = two_minded()
    thinking = after_a_fast_answer(engine)
    passes, questions = len(engine.passes), []

    def cancelled():
        questions.append(len(engine.passes))
        return len(questions) > asked

    with pytest.raises(DecodeError) as error:
        thinking.decode_further(6, cancelled)
    assert error.value.code == CANCELLED
    assert len(engine.passes) == questions[-1], "no pass after it was told to stop"
    assert max(b - a for a, b in zip([passes, *questions], questions, strict=False)) <= 1, "asked before every pass"
    assert thinking.decode(prompt(), "fast").tokens == decoder(two_minded()).decode(prompt(), "fast").tokens


def test_without_a_fast_answer_just_before_there_is_nothing_to_think_further_about():
    thinking = after_a_fast_answer(two_minded())
    thinking.decode_further(6)
    with pytest.raises(ValueError, match="fast answer"):
        thinking.decode_further(6)
    thinking.decode(prompt(), "fast")
    with pytest.raises(DecodeError):
        thinking.decode(prompt(), "free")
    with pytest.raises(ValueError, match="fast answer"):
        thinking.decode_further(6)
    with pytest.raises(ValueError, match="fast answer"):
        decoder(two_minded()).decode_further(6)
