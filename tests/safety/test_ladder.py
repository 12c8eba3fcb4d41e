"""The ladder as a table: who asks for what, when it goes up, when it comes down, and what latches."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.ladder import LadderInputs, LadderState, PlanOutcome, Request, step

S = 1_000_000_000
SETTINGS = LadderSettings()
L0, L1, L2, L3, L4, L5 = Mode
PASS, REJECT = PlanOutcome(True), PlanOutcome(False)
HARD, UNFIT = PlanOutcome(False, hard=True), PlanOutcome(True, shadow=False)


def asks(*levels):
    return tuple(Request(level, Reason("X", 1.0, 0.0, "")) for level in levels)


def engaged(mode, since_s=0.0, **changes):
    return LadderState(engagement=Engagement.ENGAGED, mode=mode, since_ns=round(since_s * S), **changes)


def after(state, now_s, **inputs):
    return step(state, LadderInputs(**inputs), round(now_s * S), SETTINGS).state


@pytest.mark.parametrize("present", [L0, L1, L2, L3])
@pytest.mark.parametrize("asked", [L1, L2, L3, L4])
def test_going_up_is_immediate_and_may_skip_levels(present, asked):
    state = after(engaged(present, 0.0), 0.001, requests=asks(asked))
    assert state.mode == max(present, asked)
    assert state.engagement is Engagement.ENGAGED


def test_the_mode_is_the_maximum_over_all_requesters():
    assert after(engaged(L0), 1.0, requests=asks(L1, L3, L2)).mode == L3
    assert after(engaged(L0), 1.0, requests=asks(L0)).mode == L0


def test_nobody_can_ask_for_latched():
    assert after(engaged(L0), 1.0, requests=asks(L5)).mode == L4


@pytest.mark.parametrize(
    ("outcomes", "mode"),
    [
        ((REJECT,), L0),
        ((REJECT, PASS, PASS), L0),
        ((REJECT, REJECT), L2),
        ((REJECT, PASS, REJECT), L2),
        ((REJECT, PASS, PASS, REJECT), L0),
        ((HARD,), L2),
        ((HARD, PASS), L0),
        ((PASS, PASS, PASS), L0),
    ],
)
def test_two_of_three_rejections_or_one_hard_fault_lead_to_the_fallback(outcomes, mode):
    assert after(engaged(L0), 1.0, outcomes=outcomes).mode == mode


def test_outcomes_are_counted_across_ticks():
    state = after(engaged(L0), 1.0, outcomes=(REJECT,))
    state = after(state, 1.2, outcomes=(PASS,))
    assert after(state, 1.4).mode == L0
    assert after(state, 1.4, outcomes=(REJECT,)).mode == L2


def handback_state(**changes):
    return engaged(L2, 0.0, **{"shadow_passes": 10, "clear_since_ns": -3 * S, **changes})


def test_handback_needs_dwell_passes_agreement_and_nobody_against():
    assert after(handback_state(), 2.0, handback=True).mode == L1
    assert after(handback_state(), 1.999, handback=True).mode == L2
    assert after(handback_state(shadow_passes=9), 5.0, handback=True).mode == L2
    assert after(handback_state(shadow_passes=9), 5.0, handback=True, outcomes=(PASS,)).mode == L1
    assert after(handback_state(), 5.0, handback=False).mode == L2
    assert after(handback_state(), 5.0, handback=True, requests=asks(L2)).mode == L2
    assert after(handback_state(), 5.0, handback=True, requests=asks(L1)).mode == L1


def test_handback_needs_three_clear_seconds():
    state = after(handback_state(clear_since_ns=None), 10.0, handback=True)
    assert (state.mode, state.clear_since_ns) == (L2, 10 * S)
    assert after(state, 12.999, handback=True).mode == L2
    assert after(state, 13.0, handback=True).mode == L1
    interrupted = after(state, 12.9, handback=True, requests=asks(L2))
    assert after(after(interrupted, 12.92, handback=True), 15.9, handback=True).mode == L2


def test_handback_goes_to_reduced_never_to_nominal():
    state = after(handback_state(), 5.0, handback=True)
    assert (state.mode, state.since_ns, state.shadow_passes) == (L1, 5 * S, 0)


@pytest.mark.parametrize("outcome", [REJECT, HARD, UNFIT])
def test_shadow_passes_must_be_consecutive(outcome):
    state = after(handback_state(), 1.0, outcomes=(outcome,))
    assert state.shadow_passes == 0
    assert after(state, 1.2, outcomes=(PASS, PASS)).shadow_passes == 2


def test_another_planner_process_starts_to_count_anew():
    assert after(handback_state(), 1.0, reset_shadow=True).shadow_passes == 0
    assert after(handback_state(), 1.0, reset_shadow=True, outcomes=(PASS,)).shadow_passes == 1


def test_no_passes_are_counted_while_the_model_drives():
    assert after(engaged(L1), 1.0, outcomes=(PASS,)).shadow_passes == 0


def test_reduced_ends_after_five_clear_seconds():
    state = after(engaged(L1, 0.0), 10.0)
    assert (state.mode, state.clear_since_ns) == (L1, 10 * S)
    assert after(state, 14.999).mode == L1
    assert after(state, 15.0).mode == L0
    interrupted = after(state, 14.0, requests=asks(L1))
    assert interrupted.clear_since_ns is None
    assert after(after(interrupted, 14.1), 15.0).mode == L1


def test_dwell_holds_even_when_the_clear_time_is_short():
    quick = LadderSettings(clear_s=0.5)
    state = step(engaged(L1, 0.0), LadderInputs(), 1 * S, quick).state
    assert step(state, LadderInputs(), round(1.9 * S), quick).state.mode == L1
    assert step(state, LadderInputs(), 2 * S, quick).state.mode == L0


def test_fallback_lasts_thirty_seconds_at_most():
    assert after(engaged(L2, 0.0), 30.0, requests=asks(L2)).mode == L2
    stepped = step(engaged(L2, 0.0), LadderInputs(requests=asks(L2)), round(30.001 * S), SETTINGS)
    assert stepped.state.mode == L3
    assert [reason.code for reason in stepped.reasons] == ["FALLBACK_TOO_LONG"]


def test_third_entry_into_the_fallback_within_ten_minutes_stops():
    state = engaged(L0, entries_ns=(100 * S, 200 * S))
    stepped = step(state, LadderInputs(requests=asks(L2)), 300 * S, SETTINGS)
    assert stepped.state.mode == L3
    assert "FALLBACK_TOO_OFTEN" in [reason.code for reason in stepped.reasons]
    assert after(state, 700.0, requests=asks(L2)).mode == L3
    assert after(state, 700.001, requests=asks(L2)).mode == L2
    once = after(engaged(L0, entries_ns=(100 * S,)), 300.0, requests=asks(L2))
    assert (once.mode, once.entries_ns) == (L2, (100 * S, 300 * S))


def outside(*levels):
    return tuple(Request(level, Reason("BLACK", 1.0, 0.0, ""), outside=True) for level in levels)


def test_outside_faults_and_own_judgement_are_counted_apart_and_each_latches():
    two_faults = engaged(L0, outside_entries_ns=(100 * S, 200 * S))
    assert after(two_faults, 300.0, requests=asks(L2)).mode == L2
    assert after(two_faults, 300.0, requests=outside(L2)).mode == L3
    assert after(engaged(L0, entries_ns=(100 * S, 200 * S)), 300.0, requests=outside(L2)).mode == L2
    assert after(two_faults, 700.001, requests=outside(L2)).outside_entries_ns == (200 * S, round(700.001 * S))


def test_an_entry_that_judgement_asks_for_too_counts_as_judgement():
    in_turns = engaged(L0, entries_ns=(100 * S, 200 * S), outside_entries_ns=(150 * S, 250 * S))
    assert [after(in_turns, 300.0, requests=kind(L2)).mode for kind in (asks, outside)] == [L3, L3]
    state = after(engaged(L0), 300.0, requests=(*outside(L2), *asks(L2)))
    assert (state.entries_ns, state.outside_entries_ns) == ((300 * S,), ())
    rejecting = step(engaged(L0), LadderInputs(requests=outside(L2), outcomes=(REJECT, REJECT)), 5 * S, SETTINGS).state
    assert (rejecting.entries_ns, rejecting.outside_entries_ns) == ((5 * S,), ())


def test_staying_in_the_fallback_is_no_entry():
    state = after(engaged(L2, 290.0, entries_ns=(100 * S, 290 * S)), 300.0, requests=asks(L2))
    assert (state.mode, state.entries_ns) == (L2, (100 * S, 290 * S))


@pytest.mark.parametrize("mode", [L3, L4])
def test_stops_never_end_before_standstill_and_then_latch(mode):
    moving = after(engaged(mode, 0.0), 100.0, speed_mps=0.11, handback=True)
    assert moving.mode == mode
    still = after(moving, 101.0, speed_mps=0.09)
    assert (still.mode, still.engagement) == (mode, Engagement.ENGAGED)
    assert after(still, 101.999, speed_mps=0.0).mode == mode
    latched = after(still, 102.0, speed_mps=0.0)
    assert (latched.mode, latched.engagement) == (L5, Engagement.LATCHED)
    assert after(after(still, 101.5, speed_mps=0.2), 102.0, speed_mps=0.0).mode == mode


def test_unknown_speed_is_no_standstill():
    still = after(engaged(L3), 1.0, speed_mps=0.0)
    assert after(still, 5.0, speed_mps=None).standstill_since_ns is None


def latched_state():
    return LadderState(engagement=Engagement.LATCHED, mode=L5, standstill_since_ns=0, must_rearm=True, entries_ns=(S,))


def test_latched_ends_by_rearm_at_standstill_with_inputs_alone():
    state = after(latched_state(), 100.0, speed_mps=0.0)
    assert (state.engagement, state.mode) == (Engagement.LATCHED, L5)
    assert after(latched_state(), 100.0, speed_mps=0.0, commands=("engage",)).engagement is Engagement.LATCHED
    armed = after(latched_state(), 100.0, speed_mps=0.0, commands=("rearm",))
    assert (armed.engagement, armed.entries_ns, armed.must_rearm) == (Engagement.STANDBY, (), False)
    moving = after(latched_state(), 100.0, speed_mps=1.0, commands=("rearm",))
    assert moving.engagement is Engagement.LATCHED
    blind = after(latched_state(), 100.0, speed_mps=0.0, commands=("rearm",), requests=asks(L3))
    assert blind.engagement is Engagement.LATCHED
    waiting = after(latched_state(), 100.0, speed_mps=0.0, commands=("rearm",), requests=asks(L2))
    assert waiting.engagement is Engagement.STANDBY


def test_engaging_needs_working_inputs_and_starts_in_the_fallback():
    standby = LadderState()
    assert after(standby, 1.0).engagement is Engagement.STANDBY
    assert after(standby, 1.0, commands=("engage",), requests=asks(L3)).engagement is Engagement.STANDBY
    begun = after(standby, 1.0, commands=("engage",), requests=asks(L2))
    assert (begun.engagement, begun.mode, begun.entries_ns) == (Engagement.ENGAGED, L2, ())
    assert after(standby, 1.0, commands=("rearm", "disengage", "?")).engagement is Engagement.STANDBY


def test_engaging_after_enough_passes_in_standby_starts_reduced():
    shown = replace(LadderState(), shadow_passes=10)
    assert after(shown, 1.0, commands=("engage",)).mode == L1
    assert after(shown, 1.0, commands=("engage",), requests=asks(L2)).mode == L2
    assert after(replace(shown, shadow_passes=9), 1.0, commands=("engage",)).mode == L2


@pytest.mark.parametrize("asked", [L0, L1, L2, L3, L4])
def test_standby_shows_what_would_be_asked_and_at_least_the_fallback(asked):
    assert after(LadderState(), 1.0, requests=asks(asked)).mode == max(asked, L2)


def test_disengaging_is_refused_during_a_stop():
    for mode in (L0, L1, L2):
        assert after(engaged(mode), 1.0, commands=("disengage",)).engagement is Engagement.STANDBY
    for mode in (L3, L4):
        assert after(engaged(mode), 1.0, commands=("disengage",)).engagement is Engagement.ENGAGED


def test_the_driver_takes_over_at_once_and_gives_back_to_standby():
    for mode in (L0, L1, L2):
        driver = after(engaged(mode), 1.0, override=True)
        assert driver.engagement is Engagement.DRIVER_OVERRIDE
        held = after(driver, 2.0, override=True, commands=("engage",))
        assert held.engagement is Engagement.DRIVER_OVERRIDE
        assert after(held, 3.0).engagement is Engagement.STANDBY


@pytest.mark.parametrize("mode", [L3, L4])
def test_a_driver_who_takes_over_during_a_stop_does_not_clear_the_latch(mode):
    driver = after(engaged(mode, must_rearm=True), 1.0, override=True)
    assert driver.engagement is Engagement.DRIVER_OVERRIDE
    assert after(driver, 2.0).engagement is Engagement.LATCHED


def test_an_override_while_standing_by_changes_nothing():
    assert after(LadderState(), 1.0, override=True).engagement is Engagement.STANDBY


def test_a_driver_who_drives_a_latched_vehicle_is_said_to_and_does_not_clear_the_latch():
    driver = after(latched_state(), 1.0, override=True, speed_mps=5.0)
    assert driver.engagement is Engagement.DRIVER_OVERRIDE
    assert after(driver, 2.0, override=True, commands=("rearm",)).engagement is Engagement.DRIVER_OVERRIDE
    assert after(driver, 2.0).engagement is Engagement.LATCHED


def test_the_function_is_pure():
    state, inputs = engaged(L0, entries_ns=(1,)), LadderInputs(requests=asks(L2), outcomes=(REJECT,))
    assert step(state, inputs, 5 * S, SETTINGS) == step(state, inputs, 5 * S, SETTINGS)
    assert state == engaged(L0, entries_ns=(1,))


@pytest.mark.parametrize("present", [L0, L1, L2])
@pytest.mark.parametrize("asked", [L0, L1, L2, L3, L4])
@pytest.mark.parametrize("more", [L0, L1, L2, L3, L4])
def test_one_more_request_never_lowers_the_mode(present, asked, more):
    state = engaged(present, 0.0, shadow_passes=10, clear_since_ns=0)
    fewer = after(state, 20.0, requests=asks(asked), handback=True)
    assert after(state, 20.0, requests=asks(asked, more), handback=True).mode >= fewer.mode
