"""What must hold of the ladder for all histories: monotone, deterministic, one level down, bounded changes."""

from __future__ import annotations

import dataclasses
import itertools
from collections import Counter
from dataclasses import replace

from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.safe_trajectory import Engagement, Mode, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.ladder import LadderInputs, LadderState, PlanOutcome, Request, step

S = 1_000_000_000
TICK_NS = 20_000_000
QUICK = LadderSettings(
    dwell_s=0.06, clear_s=0.1, handback_clear_s=0.04, shadow_passes=2, fallback_max_s=1.0, fallback_entries=100
)
CODES = st.sampled_from(["A", "B", "C"])
REASONS = st.builds(Reason, CODES, st.just(1.0), st.just(0.0), st.just(""))
REQUESTS = st.builds(Request, st.sampled_from(list(Mode)), REASONS, st.booleans())
MILD = st.builds(Request, st.sampled_from([Mode.NOMINAL, Mode.REDUCED, Mode.FALLBACK]), REASONS, st.booleans())
OUTCOMES = st.builds(PlanOutcome, st.booleans(), st.booleans(), st.booleans())
INPUTS = st.builds(
    LadderInputs,
    requests=st.lists(REQUESTS, max_size=2).map(tuple),
    outcomes=st.lists(OUTCOMES, max_size=2).map(tuple),
    commands=st.lists(st.sampled_from(["engage", "disengage", "rearm", "stop", "?"]), max_size=2).map(tuple),
    override=st.booleans(),
    speed_mps=st.sampled_from([None, 0.0, 5.0]),
    handback=st.booleans(),
    reset_shadow=st.booleans(),
    obstacles=st.sampled_from([(), (Reason("O", 1.0, 0.0, ""),)]),
)
CALM = st.builds(
    LadderInputs,
    requests=st.lists(MILD, max_size=1).map(tuple),
    outcomes=st.just((PlanOutcome(True),)),
    handback=st.just(True),
    speed_mps=st.just(5.0),
)
HISTORIES = st.lists(INPUTS, max_size=25)
MANY = settings(max_examples=100, deadline=None, derandomize=True)
ENGAGED = LadderState(engagement=Engagement.ENGAGED, mode=Mode.NOMINAL)


def run(history, has_fallback=True, start=None, ladder=QUICK):
    """All steps of a history."""
    state, steps = start or LadderState(), []
    for k, inputs in enumerate(history):
        taken = step(state, replace(inputs, has_fallback=has_fallback, stamp_ns=k), k * TICK_NS, ladder)
        state = taken.state
        steps.append(taken)
    return steps


def reached(history, has_fallback):
    """A state that this history leads to, and the time after it."""
    steps = run(history, has_fallback, ENGAGED)
    return (steps[-1].state if steps else ENGAGED), len(history) * TICK_NS


@MANY
@given(HISTORIES, INPUTS, REQUESTS, st.booleans())
def test_one_more_request_never_lowers_the_mode_from_any_state(history, inputs, more, has_fallback):
    state, now_ns = reached(history, has_fallback)
    inputs = replace(inputs, has_fallback=has_fallback)
    worse = replace(inputs, requests=(*inputs.requests, more))
    better = step(state, inputs, now_ns, QUICK).state
    # Rearming is refused on more grounds, and then the latched mode stays: that is the higher one as well.
    assert step(state, worse, now_ns, QUICK).state.mode >= better.mode


@MANY
@given(HISTORIES, INPUTS, st.data())
def test_a_higher_request_or_a_rejected_plan_or_a_lost_agreement_never_lowers_the_mode(history, inputs, data):
    state, now_ns = reached(history, True)
    better = step(state, inputs, now_ns, QUICK).state.mode
    worse = [replace(inputs, handback=False), replace(inputs, reset_shadow=True)]
    if inputs.requests:
        k = data.draw(st.integers(0, len(inputs.requests) - 1))
        higher = replace(inputs.requests[k], level=Mode(min(inputs.requests[k].level + 1, Mode.STOPPED)))
        worse.append(replace(inputs, requests=(*inputs.requests[:k], higher, *inputs.requests[k + 1 :])))
    if inputs.outcomes:
        refused = replace(inputs.outcomes[-1], passed=False)
        worse.append(replace(inputs, outcomes=(*inputs.outcomes[:-1], refused)))
    for case in worse:
        assert step(state, case, now_ns, QUICK).state.mode >= better


@MANY
@given(HISTORIES, st.booleans())
def test_while_engaged_the_mode_is_at_least_what_is_asked_for(history, has_fallback):
    for taken, inputs in zip(run(history, has_fallback, ENGAGED), history, strict=True):
        if taken.state.engagement is not Engagement.LATCHED:
            assert taken.state.mode >= min(max((r.level for r in inputs.requests), default=0), Mode.EMERGENCY_STOP)
        if not has_fallback and taken.state.engagement is Engagement.ENGAGED:
            assert taken.state.mode is not Mode.FALLBACK


@MANY
@given(HISTORIES, st.booleans())
def test_the_way_down_is_one_level_at_a_time_and_never_out_of_a_stop(history, has_fallback):
    for before, taken in itertools.pairwise(run(history, has_fallback, ENGAGED)):
        was, now = before.state, taken.state
        if was.engagement is now.engagement is Engagement.ENGAGED and now.mode < was.mode:
            assert was.mode <= Mode.FALLBACK
            assert now.mode == was.mode - 1
        if was.engagement is Engagement.ENGAGED and was.mode >= Mode.IN_LANE_STOP:
            assert now.engagement is not Engagement.STANDBY


@MANY
@given(HISTORIES, st.booleans())
def test_a_stop_that_was_begun_is_cleared_by_rearming_alone(history, has_fallback):
    for (before, taken), inputs in zip(
        itertools.pairwise(run(history, has_fallback, ENGAGED)), history[1:], strict=True
    ):
        if before.state.must_rearm and not taken.state.must_rearm:
            assert "rearm" in inputs.commands
            assert before.state.engagement is Engagement.LATCHED or inputs.override is False


@MANY
@given(HISTORIES, st.booleans())
def test_the_same_history_gives_the_same_steps(history, has_fallback):
    assert run(history, has_fallback) == run([dataclasses.replace(i) for i in history], has_fallback)


@MANY
@given(HISTORIES, st.sampled_from(list(Takeover)))
def test_no_mode_depends_on_the_takeover_request(history, level):
    asked = replace(ENGAGED, takeover=level, takeover_stamp_ns=1, driver_stamp_ns=2)
    assert [s.state.mode for s in run(history, start=ENGAGED)] == [s.state.mode for s in run(history, start=asked)]


@settings(max_examples=30, deadline=None, derandomize=True)
@given(st.lists(CALM, min_size=60, max_size=250))
def test_between_the_same_two_modes_there_are_at_most_four_changes_a_minute_and_one_more_up(history):
    ladder = replace(QUICK, fallback_max_s=600.0)
    modes = [taken.state.mode for taken in run(history, start=ENGAGED, ladder=ladder)]
    changes = [(min(a, b), max(a, b), b > a) for a, b in itertools.pairwise([Mode.NOMINAL, *modes]) if a != b]
    assert len(history) * TICK_NS < 60 * S
    for pair, count in Counter((low, high) for low, high, _ in changes).items():
        last_up = [up for low, high, up in changes if (low, high) == pair][-1]
        assert count <= 4 or (count == 5 and last_up), (pair, changes)


def test_flapping_ends_held_in_the_safer_mode_with_its_reason():
    reduced = Request(Mode.REDUCED, Reason("DARK", 1.0, 0.0, ""))
    history = [LadderInputs(requests=(reduced,) if k % 20 < 5 else ()) for k in range(200)]
    steps = run(history, start=ENGAGED)
    changes = [k for k, (a, b) in enumerate(itertools.pairwise(steps)) if a.state.mode != b.state.mode]
    assert len(changes) == 4  # after the first one up at once: down, up, down, and the fifth one up, held
    assert steps[-1].state.mode is Mode.REDUCED
    assert steps[-1].state.held is Mode.REDUCED
    assert "OSCILLATION" in {reason.code for taken in steps for reason in taken.reasons}
    assert "OSCILLATION" not in {reason.code for taken in steps[:40] for reason in taken.reasons}


def test_a_held_mode_is_left_upwards_at_once_and_forgotten_with_the_next_engaging():
    held = replace(ENGAGED, mode=Mode.REDUCED, held=Mode.REDUCED)
    up = step(held, LadderInputs(requests=(Request(Mode.FALLBACK, Reason("A", 1.0, 0.0, "")),)), S, QUICK).state
    assert (up.mode, up.held) == (Mode.FALLBACK, Mode.REDUCED)
    calm = step(held, LadderInputs(), 100 * S, QUICK).state
    assert step(calm, LadderInputs(), 200 * S, QUICK).state.mode is Mode.REDUCED
    standby = step(calm, LadderInputs(commands=("disengage", "engage")), 201 * S, QUICK).state
    assert (standby.engagement, standby.held, standby.changes) == (Engagement.ENGAGED, None, ())


def test_two_handled_faults_in_a_minute_are_no_oscillation():
    def fault(k):
        return LadderInputs(
            requests=(Request(Mode.FALLBACK, Reason("BLACK", 1.0, 0.0, ""), outside=True),) if k in (10, 60) else (),
            outcomes=(PlanOutcome(True),),
            handback=True,
        )

    modes = [taken.state.mode for taken in run([fault(k) for k in range(110)], start=ENGAGED)]
    assert (modes[9], modes[10], modes[59], modes[60], modes[-1]) == (0, 2, 0, 2, 0)
