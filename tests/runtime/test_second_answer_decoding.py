"""A slow answer after a fast one to the same prompt: the same tokens as a slow answer alone, and no second reading."""

from __future__ import annotations

import pytest

from onboard_vla.runtime.answer_grammar import CANCELLED, DecodeError

from .test_decoding import ANSWER, FIRST, SLOW_FORK, SUFFIX, TEN, WORD, N, ScriptedEngine, decoder, prompt, script

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


@pytest.mark.parametrize("depth", ["slow", "model"])
@pytest.mark.parametrize("asked", range(5 + 9))
def test_told_to_act_now_it_says_what_a_fast_answer_says_with_no_pass_of_its_own_but_one(depth, asked):
    fast = decoder(two_minded()).decode(prompt(), "fast")
    engine = two_minded()
    engine.fork = SLOW_FORK
    thinking, questions = decoder(engine), []

    def act_now(reasoning):
        questions.append((len(engine.passes), reasoning))
        return len(questions) > asked

    said = thinking.decode(prompt(), depth, act_now=act_now)
    assert [reasoning for _, reasoning in questions] == ([True] * 5 + [False] * 9)[: asked + 1]
    assert (said.depth, said.tokens, said.generated, said.reasoning) == ("fast", fast.tokens, fast.generated, "")
    assert said.logits.tobytes() == fast.logits.tobytes()
    passes = engine.passes[questions[-1][0] :]
    assert passes[0] == len(ANSWER.fast_prefix) - ANSWER.fork_index
    assert len(passes) == 1 + (N - 1), "nothing of the prompt is read again"
    assert thinking.decode_further(6).tokens == decoder(two_minded()).decode(prompt(), "slow").tokens


def test_a_guess_that_was_right_is_read_already_so_that_nobody_asks_whether_there_is_time_for_it():
    engine = two_minded()
    thinking, questions = decoder(engine), []
    first = thinking.decode(prompt(), "slow")
    passes = len(engine.passes)

    def act_now(reasoning):
        questions.append(reasoning)
        return False

    again = thinking.decode(prompt(), "slow", act_now=act_now)
    assert (again.generated, again.depth) == (first.generated, "slow")
    assert questions.count(True) < len(WORDS + list(SUFFIX))
    assert len(engine.passes) - passes < passes


def test_a_slow_answer_that_may_go_on_is_to_the_bit_the_one_that_nobody_asks_about():
    plain, asked = (decoder(two_minded()) for _ in range(2))
    for _ in range(3):
        want, said = plain.decode(prompt(), "slow"), asked.decode(prompt(), "slow", act_now=lambda _: False)
        assert (said.generated, said.complete, said.reasoning) == (want.generated, want.complete, want.reasoning)
        assert said.logits.tobytes() == want.logits.tobytes()


@pytest.mark.parametrize("asked", [0, 7])
def test_told_to_stop_it_makes_no_fast_answer_of_what_may_not_go_on(asked):
    engine = two_minded()
    questions = []

    def cancelled():
        questions.append(len(engine.passes))
        return len(questions) > asked

    with pytest.raises(DecodeError) as error:
        decoder(engine).decode(prompt(), "slow", cancelled, lambda _: len(questions) > asked)
    assert (error.value.code, len(engine.passes)) == (CANCELLED, questions[-1])
