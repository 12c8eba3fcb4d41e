"""Guessing ahead against one token a pass, on made-up models that say anything: the answers are equal in everything."""

from __future__ import annotations

import dataclasses
import zlib

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.bundle_manifest import ActionTokens, TextDimensions
from onboard_vla.runtime.answer_grammar import DecodeError
from onboard_vla.runtime.answer_sequence import PromptInput
from onboard_vla.runtime.decoding import GreedyDecoder
from onboard_vla.runtime.language_model import LanguageModel
from onboard_vla.runtime.prompt import AnswerIds
from onboard_vla.runtime.token_memory import LONGEST_CONTEXT, TokenMemory

VOCABULARY, FIRST, COUNT, N = 30, 16, 8, 6
TEXT = TextDimensions(8, 1, 2, 1, 4, 8, VOCABULARY, 1e4, (1, 1, 0), 1e-6)
ANSWER = AnswerIds(fast_prefix=(1, 2, 5, 7, 8), slow_prefix=(1, 2, 6, 9), fork_index=2, reasoning_suffix="HI")
ACTIONS = ActionTokens(FIRST, COUNT, N, 0.5, "")
CLOSE, END = 11, 12
PROMPT = (3, 4, 3)


class Letters:
    def encode(self, text):
        return tuple(ord(letter) - ord("A") for letter in text)

    def decode(self, ids):
        return "".join(chr(ord("A") + i) for i in ids)


class Oracle:
    """Logits that are a function of the tokens before and of `mood`: every action run is another one.

    `sameness`: how strongly they do not depend on the tokens before. `strays`: how likely text wins among actions.
    """

    def __init__(self, mood, sameness, strays):
        self.mood, self.sameness, self.strays = mood, sameness, strays
        self.executions = 0

    def run(self, inputs, outputs):
        self.executions += 1
        past = inputs["past_key_0"][:, 0, 0].astype(int).tolist()
        new = inputs["embeds"][:, 0].astype(int).tolist()
        outputs["new_key_0"][:, 0, 0] = new
        for logits, row in zip(outputs["logits"], inputs["rows"], strict=True):
            logits[:] = self.logits((past + new[: row + 1])[len(PROMPT) :])

    def logits(self, sequence):
        answering = sequence[-2:] == [7, 8] or (sequence and sequence[-1] >= FIRST)
        fixed = np.random.default_rng([self.mood, len(sequence)])
        fresh = np.random.default_rng([self.mood, zlib.crc32(bytes(sequence))])
        row = (self.sameness * fixed.normal(0, 1, VOCABULARY) + fresh.normal(0, 1, VOCABULARY)).astype(np.float32)
        if answering:
            row[FIRST : FIRST + COUNT] += 6.0 - 6.0 * (fresh.random() < self.strays)
        elif len(sequence) > ANSWER.fork_index:
            row[FIRST:] -= 9.0
            row[7 if sequence[-1] != 7 else 8] += 2.0
        return row


def decoder(penalty, *, look_ahead, check_end=False):
    model = LanguageModel(Oracle(0, 0.0, 0.0), TEXT, 64)
    embeddings = np.repeat(np.arange(VOCABULARY, dtype=np.float16)[:, None], 8, axis=1)
    return model, GreedyDecoder(
        model, embeddings, ANSWER, ACTIONS, (END,), CLOSE, penalty, 9, Letters(),
        wordless=(), look_ahead=look_ahead, check_end=check_end,
    )  # fmt: skip


def prompt():
    ids = np.array(PROMPT, np.int64)
    embeddings = np.repeat(ids[:, None], 8, axis=1).astype(np.float32)
    return PromptInput(ids, embeddings, np.broadcast_to(np.arange(3, dtype=np.int64), (3, 3)), 3)


def outcome(made, oracle, depth, given=None):
    """Everything that a decode says, and its passes."""
    model, decode = made
    model._engine, before = oracle, oracle.executions
    try:
        found = decode.decode(given or prompt(), depth)
    except DecodeError as error:
        return (error.code, error.detail), oracle.executions - before
    parts = (found.tokens, found.fork_logits, found.depth, found.reasoning, found.generated, found.logits.tobytes())
    return parts, oracle.executions - before


@settings(max_examples=60, deadline=None)
@given(
    moods=st.lists(st.integers(0, 3), min_size=2, max_size=6),
    sameness=st.sampled_from([0.0, 1.0, 4.0]),
    strays=st.sampled_from([0.0, 0.05]),
    penalty=st.sampled_from([1.0, 1.05, 1.2, 2.0, 0.8]),
    depth=st.sampled_from(["fast", "slow", "model"]),
    check_end=st.booleans(),
)
def test_answers_and_refusals_are_those_of_one_token_a_pass(moods, sameness, strays, penalty, depth, check_end):
    quick = decoder(penalty, look_ahead=True, check_end=check_end)
    plain = decoder(penalty, look_ahead=False, check_end=check_end)
    for mood in moods:
        found, passes = outcome(quick, Oracle(mood, sameness, strays), depth)
        expected, most = outcome(plain, Oracle(mood, sameness, strays), depth)
        assert found == expected
        assert passes <= most


@pytest.mark.parametrize(("depth", "passes"), [("fast", 1), ("slow", 2)])
def test_an_answer_given_before_takes_one_prefill_and_for_a_slow_one_few_passes(depth, passes):
    made, first = decoder(1.05, look_ahead=True), Oracle(7, 4.0, 0.0)
    answer, cold = outcome(made, first, depth)
    again, warm = outcome(made, first, depth)
    assert again == answer
    assert cold >= N
    # Slow: prefill, a pass with guesses through the reasoning, one with the actions' guesses.
    assert warm <= passes + (2 if depth == "slow" else 0)


def test_without_memory_every_token_is_a_pass():
    made, oracle = decoder(1.0, look_ahead=False), Oracle(7, 4.0, 0.0)
    assert [outcome(made, oracle, "fast")[1] for _ in range(2)] == [N, N]


def test_logits_behind_a_wrong_guess_refuse_nothing():
    made, oracle = decoder(1.0, look_ahead=True), Oracle(1, 0.0, 0.0)
    expected, _ = outcome(decoder(1.0, look_ahead=False), Oracle(2, 0.0, 0.0), "fast")
    first, _ = outcome(made, oracle, "fast")

    class Poisoned(Oracle):
        def logits(self, sequence):
            row = super().logits(sequence)
            told = list(expected[4])
            if sequence != told[: len(sequence)]:
                row[:] = np.nan
            return row

    assert first[0] != expected[0]
    assert outcome(made, Poisoned(2, 0.0, 0.0), "fast")[0] == expected


def test_text_in_the_cache_is_not_reused_after_logits_that_are_not_finite():
    class Poisoned(Oracle):
        def logits(self, sequence):
            return super().logits(sequence) * np.nan

    class Sizes(Oracle):
        def run(self, inputs, outputs):
            self.sizes = [*getattr(self, "sizes", []), len(inputs["embeds"])]
            super().run(inputs, outputs)

    made, whole = decoder(1.0, look_ahead=False), len(PROMPT) + len(ANSWER.fast_prefix)
    begun = dataclasses.replace(prompt(), text=2)
    for oracle, first_pass in (
        (Sizes(1, 0.0, 0.0), whole),
        (Sizes(2, 0.0, 0.0), whole - 2),
        (Poisoned(2, 0.0, 0.0), None),
        (Sizes(3, 0.0, 0.0), whole),
    ):
        outcome(made, oracle, "fast", begun)
        assert first_pass is None or oracle.sizes[0] == first_pass


def test_memory_prefers_the_longest_context_and_of_its_continuations_the_newest():
    memory = TokenMemory()
    memory.learn((1, 2, 3, 4))
    memory.learn((9, 2, 3, 5))
    assert memory.recall((1, 2, 3)) == ((1, 2, 3), 4)
    assert memory.recall((9, 2, 3)) == ((9, 2, 3), 5)
    assert memory.recall((7, 2, 3)) == ((2, 3), 5)
    assert memory.recall((8,)) == ((), None)
    assert TokenMemory().recall(()) == ((), None)


def test_memory_forgets_what_it_learnt_longest_ago():
    memory = TokenMemory(capacity=3)
    memory.learn((1, 2))
    memory.learn((3, 4))
    memory.learn((1, 2))
    memory.learn((5, 6, 7))
    assert len(memory) == 3
    assert memory.recall((3,)) == ((), None)
    assert memory.recall((5, 6)) == ((5, 6), 7)


@given(st.lists(st.integers(0, 4), min_size=2, max_size=LONGEST_CONTEXT + 1))
def test_memory_repeats_a_whole_answer_from_its_first_token(ids):
    memory, marked = TokenMemory(), [99, *ids]
    memory.learn(marked[: LONGEST_CONTEXT + 1])
    said = marked[:1]
    while len(said) < min(len(marked), LONGEST_CONTEXT + 1):
        said.append(memory.recall(tuple(said))[1])
    assert said == marked[: LONGEST_CONTEXT + 1]


def test_of_runs_that_begin_where_all_answers_are_the_same_the_longest_alone_is_remembered():
    opening, memory = tuple(range(100, 125)), TokenMemory()
    memory.learn((*opening, *range(10)), len(opening))
    assert len(memory) == sum(min(1 + said, LONGEST_CONTEXT) for said in range(10))
    for said in range(10):
        assert memory.recall((*opening, *range(said)))[1] == said
        assert memory.recall((50, *range(1, 1 + said)))[1] == (1 + said if 0 < said < 9 else None)


@given(st.lists(st.lists(st.integers(0, 2), min_size=1, max_size=14), min_size=1, max_size=4), st.data())
def test_what_was_not_known_of_a_context_need_not_be_asked_for_again(answers, data):
    opening, memory = (8, 9), TokenMemory()
    for answer in answers:
        memory.learn((*opening, *answer), len(opening))
    whole = known = (*opening, *data.draw(st.lists(st.integers(0, 2), max_size=6)))
    for _ in range(6):
        known, token = memory.recall(known)
        assert token == memory.recall(whole)[1]
        if token is None:
            break
        known, whole = (*known, token), (*whole, token)
