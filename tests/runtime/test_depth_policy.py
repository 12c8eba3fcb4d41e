"""When a fast plan is followed by a slow one: properties over sequences of plans, and each limit from both sides."""

from __future__ import annotations

import itertools
import math
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.supervision import Supervision
from onboard_vla.runtime.decoding import DEPTHS
from onboard_vla.runtime.depth_policy import (
    BRAKING,
    CALM,
    DEGRADED,
    FIRST_ANSWER,
    NO_NUMBERS,
    NO_TIME,
    RESTING,
    THINK,
    UNSUPERVISED,
    DepthLimits,
    DepthState,
    Scores,
    decide,
    demand_of,
    token_budget,
)

SECOND, PERIOD = 1_000_000_000, 200_000_000
LIMITS = DepthLimits()
TORN, SURE, BETWEEN = Scores(0.9, 0.1, 0.0), Scores(0.1, 0.1, 0.0), Scores(0.45, 0.1, 0.0)
FREE = Supervision(0, Mode.NOMINAL, math.inf, "")
numbers = st.floats(width=32)
words = st.one_of(st.none(), st.builds(Supervision, st.just(0), st.sampled_from(Mode), numbers))
scores = st.builds(Scores, numbers, numbers, numbers)
moments = st.lists(st.tuples(scores, words, st.integers(-1, 60), st.floats(-0.1, 1.0)), max_size=40)


def drive(plans, word=FREE, tokens=48, start_ns=0, state=None, limits=LIMITS):
    """Reasons and states of plans in a row, 0.2 s apart."""
    state, reasons, now_ns = state or DepthState(), [], start_ns
    for plan in plans:
        now_ns += PERIOD
        state, decision = decide(state, plan, None if word is None else (word, now_ns), tokens, now_ns, limits)
        reasons.append(decision.reason)
    return reasons, state, now_ns


def test_every_policy_begins_with_an_answer_that_the_decoder_knows():
    assert set(FIRST_ANSWER.values()) <= set(DEPTHS)
    assert FIRST_ANSWER["adaptive"] == "fast"


@given(moments)
def test_whatever_comes_thinking_has_leave_time_and_rest(plans):
    state, now_ns, began = DepthState(), 0, None
    for plan, word, tokens, heard_before_s in plans:
        now_ns += PERIOD
        heard_ns = now_ns - round(heard_before_s * SECOND)
        told = None if word is None else (word, heard_ns)
        state, decision = decide(state, plan, told, tokens, now_ns, LIMITS)
        assert (decision.tokens > 0) == (decision.reason == THINK)
        if decision.tokens:
            assert word is not None
            assert word.mode is Mode.NOMINAL
            assert word.time_to_brake_s >= 1.5
            assert abs(now_ns - heard_ns) <= 0.35 * SECOND
            assert decision.tokens == tokens >= LIMITS.least_tokens
            assert all(map(math.isfinite, (plan.slow_probability, plan.spread_m, plan.second_mass)))
            assert began is None or now_ns - began >= SECOND
            began = now_ns


@given(moments)
def test_the_same_past_gives_the_same_decision(plans):
    def run():
        state, found = DepthState(), []
        for number, (plan, word, tokens, _) in enumerate(plans):
            now_ns = number * PERIOD
            state, decision = decide(state, plan, None if word is None else (word, now_ns), tokens, now_ns, LIMITS)
            found.append(decision)
        return found

    assert run() == run()


@given(st.lists(st.floats(0.401, 0.499), min_size=16, max_size=60))
def test_a_score_between_the_two_limits_never_ends_the_wish_once_begun(probabilities):
    state = drive([TORN, TORN])[1]
    assert state.wants
    reasons, state, _ = drive([Scores(p, 0.0, 0.0) for p in probabilities], state=state, start_ns=2 * PERIOD)
    assert CALM not in reasons
    assert state.wants


@given(st.lists(st.floats(0.0, 0.499), max_size=60))
def test_a_score_that_stays_below_the_upper_limit_never_begins_it(probabilities):
    reasons, state, _ = drive([Scores(p, 0.0, 0.0) for p in probabilities])
    assert set(reasons) <= {CALM}
    assert not state.wants


@given(st.lists(st.booleans(), min_size=30, max_size=120))
def test_flapping_scores_do_not_make_the_wish_flap(highs):
    """Between two beginnings of the wish lie the three calm seconds that ended it."""
    state, begun, now_ns = DepthState(), [], 0
    for high in highs:
        before = state.wants
        now_ns += PERIOD
        state, _ = decide(state, TORN if high else SURE, (FREE, now_ns), 48, now_ns, LIMITS)
        if state.wants and not before:
            begun.append(now_ns)
    assert all(later - earlier >= 3 * SECOND for earlier, later in itertools.pairwise(begun))


def test_one_plan_in_doubt_is_not_enough_and_two_of_three_are():
    assert drive([TORN, SURE, SURE, TORN])[0] == [CALM] * 4
    assert drive([TORN, SURE, TORN])[0] == [CALM, CALM, THINK]


def test_it_thinks_once_a_second_and_stops_three_calm_seconds_after_the_doubt():
    reasons, state, now_ns = drive([TORN] * 12)
    assert [place for place, reason in enumerate(reasons) if reason == THINK] == [1, 6, 11]
    assert set(reasons[2:6]) == {RESTING}
    assert CALM not in drive([SURE] * 14, state=state, start_ns=now_ns)[0]
    assert drive([SURE] * 15, state=state, start_ns=now_ns)[0][-1] == CALM


@pytest.mark.parametrize(
    ("scores", "brake_s", "asks"),
    [
        (Scores(0.5, 0.0, 0.0), math.inf, True),
        (Scores(0.499, 0.0, 0.0), math.inf, False),
        (Scores(0.0, 0.5, 0.0), math.inf, True),
        (Scores(0.0, 0.499, 0.0), math.inf, False),
        (Scores(0.0, 0.0, 0.15), math.inf, True),
        (Scores(0.0, 0.0, 0.149), math.inf, False),
        (Scores(0.0, 0.0, 0.0), 6.0, True),
        (Scores(0.0, 0.0, 0.0), 6.01, False),
    ],
)
def test_each_score_alone_asks_for_thinking(scores, brake_s, asks):
    word = Supervision(0, Mode.NOMINAL, brake_s, "")
    assert drive([scores] * 2, word)[0][-1] == (THINK if asks else CALM)


@pytest.mark.parametrize(
    ("word", "reason"),
    [
        (None, UNSUPERVISED),
        (Supervision(0, Mode.NOMINAL, 1.5, ""), THINK),
        (Supervision(0, Mode.NOMINAL, 1.49, ""), BRAKING),
        (Supervision(0, Mode.NOMINAL, -1.0, ""), BRAKING),
        (Supervision(0, Mode.NOMINAL, math.nan, ""), BRAKING),
        (Supervision(0, Mode.REDUCED, math.inf, ""), DEGRADED),
        (Supervision(0, Mode.STOPPED, math.inf, ""), DEGRADED),
    ],
)
def test_nobody_thinks_without_the_supervisors_leave(word, reason):
    assert drive([TORN] * 2, word)[0][-1] == reason


@pytest.mark.parametrize(
    ("heard_s", "reason"), [(0.35, THINK), (0.36, UNSUPERVISED), (-0.01, THINK), (-0.36, UNSUPERVISED)]
)
def test_leave_is_for_a_third_of_a_second_also_if_it_came_while_the_clock_was_read(heard_s, reason):
    now_ns = 2 * PERIOD
    told = FREE, now_ns - round(heard_s * SECOND)
    assert decide(DepthState(wants=True), TORN, told, 48, now_ns, LIMITS)[1].reason == reason


@pytest.mark.parametrize("bad", [math.nan, math.inf, -math.inf])
@pytest.mark.parametrize("field", ["slow_probability", "spread_m", "second_mass"])
def test_scores_that_are_no_numbers_ask_for_nothing_and_change_nothing(field, bad):
    state = DepthState(wants=True)
    found = decide(state, replace(TORN, **{field: bad}), (FREE, PERIOD), 48, PERIOD, LIMITS)
    assert (found[0], found[1].tokens, found[1].reason) == (state, 0, NO_NUMBERS)


def test_too_little_time_is_not_begun_with_and_does_not_count_as_thinking():
    reasons, state, _ = drive([TORN] * 3, tokens=LIMITS.least_tokens - 1)
    assert reasons[1:] == [NO_TIME] * 2
    assert state.began_ns is None


@given(st.floats(0.0, 10.0), st.floats(1e-4, 0.1), st.integers(1, 20))
def test_the_budget_fits_the_time_with_all_actions_behind_it(left_s, pass_s, actions):
    tokens = token_budget(left_s, pass_s, actions)
    assert tokens == 0 or (tokens + actions) * pass_s <= left_s + 1e-9
    assert token_budget(left_s, pass_s / 2, actions) >= tokens
    assert token_budget(left_s + 1.0, pass_s, actions) >= tokens


@pytest.mark.parametrize(("left_s", "pass_s"), [(0.1, 0.0), (0.1, -1.0), (0.1, math.nan), (math.nan, 0.1), (-1.0, 0.1)])
def test_without_a_measure_or_time_there_is_no_budget(left_s, pass_s):
    assert token_budget(left_s, pass_s, 10) == 0


def test_the_budget_of_known_figures():
    # 100 ms at 2 ms a pass: 50 passes, of which ten actions and three of overhead.
    assert token_budget(0.1, 0.002, 10) == 37


def test_demand_is_the_greatest_share_of_a_limit():
    assert demand_of(BETWEEN, None, LIMITS) == pytest.approx(0.9)
    assert demand_of(BETWEEN, (Supervision(0, Mode.NOMINAL, 3.0, ""), 0), LIMITS) == pytest.approx(2.0)
