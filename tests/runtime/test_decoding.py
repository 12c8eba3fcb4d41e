"""Decoding with a scripted engine: pass counts, the fork, rollback, and every way in which an answer can be wrong."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.bundle_manifest import ActionTokens, TextDimensions
from onboard_vla.runtime.answer_grammar import DecodeError, parse_answer
from onboard_vla.runtime.answer_sequence import PromptInput, penalised
from onboard_vla.runtime.decoding import GreedyDecoder
from onboard_vla.runtime.language_model import LEAST_ROWS, LanguageModel, causal_bias
from onboard_vla.runtime.prompt import AnswerIds

VOCABULARY, FIRST, COUNT, N = 40, 20, 16, 10
TEXT = TextDimensions(8, 1, 2, 1, 4, 8, VOCABULARY, 1e4, (1, 1, 0), 1e-6)
ANSWER = AnswerIds(fast_prefix=(1, 2, 5, 7, 8), slow_prefix=(1, 2, 6, 9), fork_index=2, reasoning_suffix="HI")
SUFFIX = (7, 8)
ACTIONS = ActionTokens(FIRST, COUNT, N, 0.5, "")
CLOSE, END = 11, 12
FAST_FORK, SLOW_FORK = 5, 6
WORD = 15
WORDLESS = 13
PROMPT = (3, 4, 3)


class Letters:
    """A tokenizer in which id i is the i-th letter, and one id stands for two letters."""

    MERGED = 14
    """Reads "PH": a word's end and the suffix's beginning in one token."""

    def encode(self, text):
        return tuple(ord(letter) - ord("A") for letter in text)

    def decode(self, ids):
        return "".join("PH" if i == self.MERGED else chr(ord("A") + i) for i in ids)


class ScriptedEngine:
    """Says `script[i]` after the i-th token of the answer; the cache tells it which tokens came before."""

    def __init__(self, says, fork=FAST_FORK):
        self.says, self.fork = says, fork
        self.executions = 0
        self.passes = []

    def run(self, inputs, outputs):
        self.executions += 1
        past = inputs["past_key_0"][:, 0, 0].astype(int).tolist()
        new = inputs["embeds"][:, 0].astype(int).tolist()
        outputs["new_key_0"][:, 0, 0] = new
        lone = len(new) == LEAST_ROWS and inputs["rows"].tolist() == [0] * LEAST_ROWS
        self.passes.append(1 if lone else len(new))
        for logits, row in zip(outputs["logits"], inputs["rows"], strict=True):
            sequence = (past + new[: row + 1])[len(PROMPT) :]
            logits[:] = self.logits(sequence)

    def logits(self, sequence):
        row = np.zeros(VOCABULARY, np.float32)
        if len(sequence) == ANSWER.fork_index:
            row[self.fork] = 4.0
            return row
        row[self.says(sequence)] = 9.0
        return row


def script(tokens, prefix=ANSWER.fast_prefix):
    """After `prefix` the tokens one by one, then the closing tag."""

    def says(sequence):
        done = len(sequence) - len(prefix)
        return tokens[done] if 0 <= done < len(tokens) else CLOSE

    return says


def decoder(engine, *, penalty=1.0, check_end=False, max_reasoning=6):
    model = LanguageModel(engine, TEXT, 64)
    embeddings = np.repeat(np.arange(VOCABULARY, dtype=np.float16)[:, None], 8, axis=1)
    return GreedyDecoder(
        model, embeddings, ANSWER, ACTIONS, (END,), CLOSE, penalty, max_reasoning, Letters(),
        wordless=(WORDLESS, END), check_end=check_end,
    )  # fmt: skip


def prompt():
    ids = np.array(PROMPT, np.int64)
    embeddings = np.repeat(ids[:, None], 8, axis=1).astype(np.float32)
    return PromptInput(ids, embeddings, np.broadcast_to(np.arange(3, dtype=np.int64), (3, 3)), 3)


def run(engine, depth="fast", **options):
    return decoder(engine, **options).decode(prompt(), depth)


TEN = [FIRST + i for i in (3, 3, 4, 1, 0, 9, 9, 9, 2, 15)]


def test_a_fast_plan_is_one_prefill_and_nine_steps():
    engine = ScriptedEngine(script(TEN))
    result = run(engine)
    assert result.tokens == (3, 3, 4, 1, 0, 9, 9, 9, 2, 15)
    assert engine.passes == [len(PROMPT) + len(ANSWER.fast_prefix)] + [1] * 9
    assert result.depth == "fast"
    assert result.generated == (*ANSWER.fast_prefix, *TEN)
    assert result.logits.shape == (N, VOCABULARY)
    assert np.argmax(result.logits, axis=1).tolist() == TEN


def test_the_forks_logits_come_from_the_same_prefill():
    assert run(ScriptedEngine(script(TEN), FAST_FORK)).fork_logits == (4.0, 0.0)
    assert run(ScriptedEngine(script(TEN), SLOW_FORK)).fork_logits == (0.0, 4.0)


@pytest.mark.parametrize("depth", ["fast", "model"])
def test_the_forks_logits_are_those_that_decide_under_a_repetition_penalty(depth):
    class Torn(ScriptedEngine):
        def logits(self, sequence):
            row = super().logits(sequence)
            if len(sequence) == ANSWER.fork_index:
                row[SLOW_FORK] = 3.0
            return row

    once = PromptInput(np.array([3, FAST_FORK, 3]), prompt().embeddings, prompt().positions, 3)
    says = script(TEN) if depth == "fast" else script([WORD, *SUFFIX, *TEN], ANSWER.slow_prefix)
    result = decoder(Torn(says), penalty=2.0).decode(once, depth)
    assert result.fork_logits == (2.0, 3.0)
    assert result.depth == ("fast" if depth == "fast" else "slow")


def test_the_model_depth_takes_the_fast_branch_without_a_further_pass():
    engine = ScriptedEngine(script(TEN), FAST_FORK)
    assert run(engine, "model").depth == "fast"
    assert engine.executions == N


def test_the_slow_branch_rolls_back_to_the_fork_and_reasons():
    words = [WORD, WORD, *SUFFIX]
    engine = ScriptedEngine(script(words + TEN, ANSWER.slow_prefix), SLOW_FORK)
    result = run(engine, "model")
    assert result.depth == "slow"
    assert result.reasoning == "PP"
    assert result.generated == (*ANSWER.slow_prefix, *words, *TEN)
    # prefill, the slow prefix after the fork, four words one by one, nine actions
    assert engine.passes == [8, 2, 1, 1, 1, 1] + [1] * 9


def test_a_requested_slow_plan_prefills_the_slow_prefix():
    engine = ScriptedEngine(script([*SUFFIX, *TEN], ANSWER.slow_prefix))
    assert run(engine, "slow").reasoning == ""
    assert engine.passes[0] == len(PROMPT) + len(ANSWER.slow_prefix)


def test_reasoning_past_its_budget_is_closed_by_force():
    def says(sequence):
        closed = sequence[-2:] == list(SUFFIX) or any(t >= FIRST for t in sequence)
        return FIRST + 2 if closed else WORD

    engine = ScriptedEngine(says)
    result = run(engine, "slow", max_reasoning=3)
    assert result.reasoning == "PPP"
    assert result.tokens == (2,) * N
    assert engine.passes == [7, 1, 1, 1, 2] + [1] * 9


def test_of_a_long_reasoning_not_the_whole_text_is_read_again_at_every_token(monkeypatch):
    read, decode = [], Letters.decode
    monkeypatch.setattr(Letters, "decode", lambda self, ids: read.append(len(ids)) or decode(self, ids))
    engine = ScriptedEngine(script([WORD] * 30 + [*SUFFIX, *TEN], ANSWER.slow_prefix))
    assert run(engine, "slow", max_reasoning=40).reasoning == "P" * 30
    assert sum(length > 4 * len(SUFFIX) for length in read) == 1


def test_a_suffix_whose_beginning_merged_with_the_reasoning_is_found_and_completed():
    engine = ScriptedEngine(script([WORD, Letters.MERGED, SUFFIX[1], *TEN], ANSWER.slow_prefix))
    assert run(engine, "slow").reasoning == "PP"
    engine = ScriptedEngine(lambda s: FIRST if s[-1] == SUFFIX[1] or s[-1] >= FIRST else Letters.MERGED)
    result = run(engine, "slow", max_reasoning=1)
    assert result.generated[4:6] == (Letters.MERGED, SUFFIX[1])


def test_a_half_written_suffix_is_completed_and_not_doubled():
    def says(sequence):
        if sequence[-1] == SUFFIX[-1] or sequence[-1] >= FIRST:
            return FIRST + 1
        return SUFFIX[0]

    result = run(ScriptedEngine(says), "slow", max_reasoning=1)
    assert result.generated[4:6] == SUFFIX
    assert result.tokens == (1,) * N


@pytest.mark.parametrize(
    ("tokens", "code"),
    [
        ([], "no_actions"),
        (TEN[:9], "too_few_actions"),
        ([*TEN[:4], WORD, *TEN[4:]], "text_in_actions"),
        ([*TEN[:4], END], "too_few_actions"),
        ([WORD], "text_in_actions"),
        ([FIRST + COUNT], "text_in_actions"),
        ([FIRST - 1], "text_in_actions"),
    ],
)
def test_anything_but_ten_actions_is_a_structured_rejection(tokens, code):
    with pytest.raises(DecodeError) as error:
        run(ScriptedEngine(script(tokens)))
    assert error.value.code == code


def test_an_eleventh_action_is_seen_when_the_end_is_checked():
    engine = ScriptedEngine(script([*TEN, FIRST]))
    with pytest.raises(DecodeError) as error:
        run(engine, check_end=True)
    assert error.value.code == "too_many_actions"
    assert engine.executions == N + 1
    assert run(ScriptedEngine(script(TEN)), check_end=True).tokens == run(ScriptedEngine(script(TEN))).tokens


def test_an_action_inside_the_reasoning_is_rejected():
    with pytest.raises(DecodeError) as error:
        run(ScriptedEngine(script([WORD, FIRST + 1], ANSWER.slow_prefix)), "slow")
    assert error.value.code == "action_outside_answer"


@pytest.mark.parametrize(
    ("depth", "tokens", "where"),
    [
        ("slow", [WORD, WORDLESS, *SUFFIX, *TEN], "1 in the reasoning"),
        ("slow", [WORDLESS, *SUFFIX, *TEN], "0 in the reasoning"),
        ("free", [*ANSWER.slow_prefix, WORDLESS, *SUFFIX, *TEN, CLOSE, END], "4 in the answer"),
    ],
)
def test_a_token_that_is_no_text_is_rejected_where_text_is_expected(depth, tokens, where):
    with pytest.raises(DecodeError) as error:
        run(ScriptedEngine(script(tokens, ANSWER.slow_prefix if depth == "slow" else ())), depth)
    assert error.value.code == "token_without_text"
    assert error.value.detail == f"token {WORDLESS}, which is no text, stands at {where}"


def test_a_token_that_is_no_text_is_not_said_where_the_budget_ends():
    def says(sequence):
        return FIRST if SUFFIX[-1] in sequence else [WORD, WORDLESS][len(sequence) - len(ANSWER.slow_prefix)]

    assert run(ScriptedEngine(says), "slow", max_reasoning=1).reasoning == "P"


@pytest.mark.parametrize("bad", [np.nan, np.inf, -np.inf])
@pytest.mark.parametrize("step", [0, 4])
def test_logits_that_are_not_finite_are_rejected_before_anything_is_read_from_them(bad, step):
    class Poisoned(ScriptedEngine):
        def logits(self, sequence):
            row = super().logits(sequence)
            if len(sequence) == len(ANSWER.fast_prefix) + step:
                row[0] = bad
                row[WORD] = 50.0
            return row

    with pytest.raises(DecodeError) as error:
        run(Poisoned(script(TEN)))
    assert error.value.code == "nan_logits"


def test_a_slow_answer_is_cancelled_within_one_token():
    engine = ScriptedEngine(lambda sequence: WORD)
    asked = iter([False, False, True])
    with pytest.raises(DecodeError) as error:
        decoder(engine).decode(prompt(), "slow", lambda: next(asked))
    assert error.value.code == "cancelled"
    assert engine.executions == 3


def test_decodes_do_not_see_each_other():
    engine = ScriptedEngine(script(TEN))
    shared = decoder(engine, penalty=1.7)
    first = shared.decode(prompt(), "fast")
    assert shared.decode(prompt(), "fast").tokens == first.tokens


def test_free_decoding_takes_the_whole_answer_step_by_step():
    engine = ScriptedEngine(script([*ANSWER.fast_prefix, *TEN, CLOSE, END], ()))
    result = run(engine, "free")
    assert result.tokens == tuple(t - FIRST for t in TEN)
    assert engine.passes == [3] + [1] * (len(ANSWER.fast_prefix) + N + 1)


def test_the_token_that_begins_an_answers_suffix_may_stand_in_the_reasoning():
    words = [WORD, CLOSE, WORD, *SUFFIX]
    result = run(ScriptedEngine(script(words + TEN, ANSWER.slow_prefix)), "slow")
    assert result.reasoning == "PLP"


def test_reasoning_that_ends_the_answer_is_closed_by_force():
    def says(sequence):
        return FIRST if SUFFIX[-1] in sequence else END

    assert run(ScriptedEngine(says), "slow").tokens == (0,) * N


def test_the_repetition_penalty_counts_prompt_forced_and_generated_ids():
    class Close(ScriptedEngine):
        def logits(self, sequence):
            row = super().logits(sequence)
            row[FIRST + 7] = 8.5
            return row

    result = run(Close(lambda s: FIRST + 3), penalty=1.1)
    # 9.0 beats 8.5 once; then 9.0 / 1.1 = 8.18 loses, 8.5 / 1.1 = 7.73 loses against 8.18.
    assert result.tokens == (3, 7, *(3,) * 8)


@pytest.mark.parity
@pytest.mark.parametrize("penalty", [1.0, 1.05, 1.3, 0.7])
def test_the_penalty_equals_that_of_transformers_to_the_bit(penalty):
    torch = pytest.importorskip("torch")
    processors = pytest.importorskip("transformers.generation.logits_process")
    rng = np.random.default_rng(0)
    logits = rng.normal(0, 5, 500).astype(np.float32)
    ids = rng.integers(0, 500, 80)
    theirs = processors.RepetitionPenaltyLogitsProcessor(penalty)(
        torch.from_numpy(ids)[None], torch.from_numpy(logits)[None]
    )
    ours = logits.copy()
    ours[ids] = penalised(logits[ids], penalty)
    np.testing.assert_array_equal(ours, theirs[0].numpy())


def test_the_bias_is_causal_over_cache_and_new_tokens():
    bias = causal_bias(2, 3)
    np.testing.assert_array_equal(bias == 0, [[1, 1, 1, 0, 0], [1, 1, 1, 1, 0], [1, 1, 1, 1, 1]])


GOOD = (*ANSWER.fast_prefix, *TEN, CLOSE, END)


def test_a_whole_answer_is_parsed():
    assert parse_answer(GOOD, ANSWER, ACTIONS, (CLOSE, END), Letters().decode) == tuple(t - FIRST for t in TEN)
    slow = (*ANSWER.slow_prefix, WORD, *SUFFIX, *TEN, CLOSE)
    assert parse_answer(slow, ANSWER, ACTIONS, (CLOSE, END), Letters().decode) == tuple(t - FIRST for t in TEN)


@pytest.mark.parametrize(
    ("generated", "code"),
    [
        ((), "no_actions"),
        (ANSWER.fast_prefix, "no_actions"),
        ((*ANSWER.fast_prefix, *TEN[:9], CLOSE), "too_few_actions"),
        ((*ANSWER.fast_prefix, *TEN[:9]), "too_few_actions"),
        ((*ANSWER.fast_prefix, *TEN, FIRST, CLOSE), "too_many_actions"),
        ((*ANSWER.fast_prefix, *TEN, CLOSE, FIRST), "action_outside_answer"),
        ((*ANSWER.fast_prefix, *TEN[:5], WORD, *TEN[5:], CLOSE), "text_in_actions"),
        ((*ANSWER.fast_prefix, *TEN[:5], WORD, CLOSE), "text_in_actions"),
        ((WORD, *TEN, CLOSE), "action_outside_answer"),
        ((*ANSWER.slow_prefix, *TEN, CLOSE), "action_outside_answer"),
        (tuple(TEN), "action_outside_answer"),
    ],
)
def test_a_wrong_answer_is_rejected_with_its_code(generated, code):
    with pytest.raises(DecodeError) as error:
        parse_answer(generated, ANSWER, ACTIONS, (CLOSE, END), Letters().decode)
    assert error.value.code == code
