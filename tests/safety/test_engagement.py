"""Who drives: what every command needs, and that a refused one is answered with each reason and changes nothing."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.engagement import left_to_a_person
from onboard_vla.safety.ladder import LadderInputs, LadderState, Request, step

S = 1_000_000_000
SETTINGS = LadderSettings()
L0, L1, L2, L3, L4, L5 = Mode
STANDBY, ENGAGED, OVERRIDE, LATCHED = Engagement


def asks(level, code="X", measured=3.0, limit=2.0):
    return Request(level, Reason(code, measured, limit, ""))


def after(state, now_s, **inputs):
    return step(state, LadderInputs(**inputs), round(now_s * S), SETTINGS).state


def refused(state):
    return [(r.code, r.measured, r.limit) for r in state.refusals]


LATCHED_STATE = LadderState(engagement=LATCHED, mode=L5, standstill_since_ns=0, must_rearm=True)
STOPPING = LadderState(engagement=ENGAGED, mode=L3, must_rearm=True)


class TestEngaging:
    def test_it_is_refused_with_every_request_beyond_the_fallback_and_its_figures(self):
        requests = (asks(L3, "LANES_SILENT", 0.4, 0.3), asks(L4, "EGO_LOST", 0.7, 0.5), asks(L2, "PLAN_MISSING"))
        state = after(LadderState(), 1.0, commands=("engage",), requests=requests)
        assert state.engagement is STANDBY
        assert refused(state) == [("LANES_SILENT", 0.4, 0.3), ("EGO_LOST", 0.7, 0.5)]

    def test_other_obstacles_refuse_too_whatever_the_requests(self):
        obstacle = Reason("SELF_TEST_FAILED", 1.0, 0.0, "")
        state = after(LadderState(shadow_passes=99), 1.0, commands=("engage",), obstacles=(obstacle,))
        assert (state.engagement, state.refusals) == (STANDBY, (obstacle,))

    def test_it_is_refused_while_the_driver_acts(self):
        state = after(LadderState(), 1.0, commands=("engage",), override=True)
        assert (state.engagement, refused(state)) == (STANDBY, [("DRIVER_ACTS", 1.0, 0.0)])

    @pytest.mark.parametrize("state", [LATCHED_STATE, LadderState(engagement=OVERRIDE)])
    def test_it_is_possible_in_standby_alone(self, state):
        answered = after(state, 9.0, commands=("engage",), override=state.engagement is OVERRIDE, speed_mps=0.0)
        assert answered.engagement is state.engagement
        assert refused(answered) == [("COMMAND_NOT_NOW", 1.0, 0.0)]

    def test_it_begins_reduced_where_that_is_the_most_that_somebody_asks_for(self):
        state = LadderState(shadow_passes=10)
        assert after(state, 1.0, commands=("engage",), requests=(asks(L1),)).mode is L1
        assert after(state, 1.0, commands=("engage",), requests=(asks(L2),)).mode is L2

    def test_the_answer_stands_until_a_command_is_obeyed(self):
        state = after(LadderState(), 1.0, commands=("engage",), requests=(asks(L3),))
        state = after(state, 1.1)
        assert len(state.refusals) == 1
        assert after(state, 1.2, commands=("engage",)).refusals == ()

    def test_repeating_it_while_engaged_changes_nothing(self):
        state = after(LadderState(shadow_passes=10), 1.0, commands=("engage",))
        again = after(state, 1.5, commands=("engage",))
        assert (again.engagement, again.mode, again.since_ns, again.refusals) == (ENGAGED, L1, S, ())

    def test_where_nothing_else_can_drive_it_needs_passes_and_nobody_who_asks_for_the_fallback(self):
        few = after(LadderState(shadow_passes=9), 1.0, commands=("engage",), has_fallback=False)
        assert (few.engagement, refused(few)) == (STANDBY, [("SHADOW_PASSES", 9.0, 10.0)])
        asked = after(
            LadderState(shadow_passes=10), 1.0, commands=("engage",), has_fallback=False, requests=(asks(L2, "SILENT"),)
        )
        assert (asked.engagement, refused(asked)) == (STANDBY, [("SILENT", 3.0, 2.0)])
        rejecting = LadderState(shadow_passes=10, window=(True, True))
        assert [c for c, *_ in refused(after(rejecting, 1.0, commands=("engage",), has_fallback=False))] == [
            "PLANS_REJECTED"
        ]
        good = after(LadderState(shadow_passes=10), 1.0, commands=("engage",), has_fallback=False)
        assert (good.engagement, good.mode) == (ENGAGED, L1)


class TestOverride:
    @pytest.mark.parametrize("mode", [L3, L4])
    def test_a_stop_that_the_driver_takes_over_in_its_first_tick_still_latches(self, mode):
        taken = after(LadderState(engagement=ENGAGED, mode=mode), 1.0, override=True)
        assert (taken.engagement, taken.must_rearm) == (OVERRIDE, True)
        assert after(taken, 2.0).engagement is LATCHED

    @pytest.mark.parametrize("mode", [L0, L1, L2])
    def test_without_a_stop_it_ends_in_standby(self, mode):
        taken = after(LadderState(engagement=ENGAGED, mode=mode), 1.0, override=True)
        assert (taken.engagement, taken.must_rearm) == (OVERRIDE, False)
        assert after(taken, 2.0).engagement is STANDBY


class TestWithoutFallback:
    @pytest.mark.parametrize("mode", [L0, L1])
    def test_what_asks_for_the_fallback_gets_the_stop(self, mode):
        state = LadderState(engagement=ENGAGED, mode=mode)
        assert after(state, 1.0, requests=(asks(L2),), has_fallback=False).mode is L3
        assert after(state, 1.0, requests=(asks(L1),), has_fallback=False).mode is L1
        assert after(state, 1.0, requests=(asks(L4),), has_fallback=False).mode is L4

    def test_standby_shows_the_stop_instead_of_the_fallback(self):
        assert after(LadderState(), 1.0, requests=(asks(L2),), has_fallback=False).mode is L3
        assert after(LadderState(), 1.0, has_fallback=False).mode is L1


class TestDisengaging:
    def test_a_stop_that_has_begun_is_not_left_by_command(self):
        state = after(STOPPING, 1.0, commands=("disengage",))
        assert (state.engagement, refused(state)) == (ENGAGED, [("STOP_BEGUN", 3.0, 2.0)])

    def test_an_unknown_command_is_answered(self):
        state = after(LadderState(), 1.0, commands=("go" * 99,))
        assert refused(state) == [("COMMAND_UNKNOWN", 1.0, 0.0)]
        assert state.refusals[0].detail == f"'{'go' * 25}': expected engage, disengage, rearm or stop"


class TestStopping:
    @pytest.mark.parametrize("mode", [L0, L1, L2])
    def test_it_stops_in_lane_at_once_though_nobody_else_asks_for_it_and_says_why_until_standstill(self, mode):
        taken = step(LadderState(engagement=ENGAGED, mode=mode), LadderInputs(commands=("stop",)), S, SETTINGS)
        assert (taken.state.engagement, taken.state.mode, taken.state.must_rearm) == (ENGAGED, L3, True)
        assert [reason.code for reason in taken.reasons] == ["OPERATOR_STOP"]
        later = step(taken.state, LadderInputs(speed_mps=5.0), 60 * S, SETTINGS)
        assert (later.state.mode, [reason.code for reason in later.reasons]) == (L3, ["OPERATOR_STOP"])

    def test_it_ends_latched_and_is_forgotten_by_rearming(self):
        state = after(LadderState(engagement=ENGAGED, mode=L0), 1.0, commands=("stop",), speed_mps=3.0)
        state = after(after(state, 2.0, speed_mps=0.0), 3.0, speed_mps=0.0)
        assert (state.engagement, state.mode) == (LATCHED, L5)
        armed = step(state, LadderInputs(commands=("rearm",), speed_mps=0.0), 4 * S, SETTINGS)
        assert (armed.state.engagement, armed.state.refusals, armed.reasons) == (STANDBY, (), ())

    def test_nobody_disengages_out_of_it_though_both_come_in_one_tick(self):
        state = after(LadderState(engagement=ENGAGED, mode=L0), 1.0, commands=("stop", "disengage"))
        assert (state.engagement, state.mode, refused(state)) == (ENGAGED, L3, [("STOP_BEGUN", 3.0, 2.0)])

    def test_a_harder_stop_is_not_eased_by_it(self):
        state = after(LadderState(engagement=ENGAGED, mode=L4, causes=("X",)), 1.0, commands=("stop",), speed_mps=5.0)
        assert (state.mode, state.causes, state.refusals) == (L4, ("X", "OPERATOR_STOP"), ())

    def test_a_driver_who_takes_over_does_not_clear_it(self):
        state = after(LadderState(engagement=ENGAGED, mode=L1), 1.0, commands=("stop",), override=False)
        state = after(after(state, 2.0, override=True), 3.0)
        assert state.engagement is LATCHED

    @pytest.mark.parametrize("state", [LadderState(), LATCHED_STATE, LadderState(engagement=OVERRIDE)])
    def test_who_does_not_drive_is_not_stopped(self, state):
        asked = after(state, 9.0, commands=("stop",), override=state.engagement is OVERRIDE, speed_mps=0.0)
        assert asked.engagement is state.engagement
        assert refused(asked) == [("COMMAND_NOT_NOW", 1.0, 0.0)]

    def test_it_is_heard_behind_an_engaging_that_changes_nothing(self):
        state = LadderState(engagement=ENGAGED, mode=L0, since_ns=0)
        assert after(state, 1.0, commands=("engage", "stop")).mode is L3

    def test_plans_that_passed_before_it_count_no_longer(self):
        state = LadderState(engagement=ENGAGED, mode=L2, since_ns=0, shadow_passes=5)
        stopped = after(state, 1.0, commands=("stop",))
        assert (stopped.mode, stopped.since_ns, stopped.shadow_passes) == (L3, S, 0)

    @pytest.mark.parametrize("mode", [L3, L4])
    def test_a_stop_that_is_under_way_goes_on_as_it_began(self, mode):
        state = LadderState(engagement=ENGAGED, mode=mode, since_ns=S // 2, must_rearm=True)
        stopped = after(state, 1.0, commands=("stop",))
        assert (stopped.mode, stopped.since_ns) == (mode, S // 2)


class TestRearming:
    def test_it_needs_standstill_for_a_second_and_says_how_long_there_has_been_one(self):
        state = replace(LATCHED_STATE, standstill_since_ns=None)
        state = after(state, 5.0, speed_mps=0.05, commands=("rearm",))
        assert (state.engagement, refused(state)) == (LATCHED, [("NOT_STANDING", 0.0, 1.0)])
        assert refused(after(state, 5.75, speed_mps=0.05, commands=("rearm",))) == [("NOT_STANDING", 0.75, 1.0)]
        armed = after(state, 6.0, speed_mps=0.05, commands=("rearm",))
        assert (armed.engagement, armed.refusals, armed.must_rearm) == (STANDBY, (), False)

    def test_an_unknown_speed_is_no_standstill(self):
        state = after(LATCHED_STATE, 5.0, speed_mps=None, commands=("rearm",))
        assert refused(state) == [("NOT_STANDING", 0.0, 1.0)]

    def test_a_failed_self_test_and_a_driver_who_acts_stand_against_it(self):
        failed = Reason("SELF_TEST_FAILED", 1.0, 0.0, "a plan that is not a number is refused")
        state = after(LATCHED_STATE, 5.0, speed_mps=0.0, commands=("rearm",), obstacles=(failed,))
        assert (state.engagement, [code for code, *_ in refused(state)]) == (LATCHED, ["SELF_TEST_FAILED"])
        driver = after(LATCHED_STATE, 5.0, speed_mps=0.0, commands=("rearm",), override=True)
        assert driver.must_rearm
        assert (driver.engagement, [code for code, *_ in refused(driver)]) == (OVERRIDE, ["COMMAND_NOT_NOW"])

    def test_the_cause_of_the_stop_must_be_gone_though_it_asks_for_the_fallback_alone(self):
        state = LadderState(engagement=ENGAGED, mode=L2)
        silent = asks(L2, "PLANNER_SILENT")
        state = after(state, 30.1, requests=(silent,), speed_mps=5.0)
        assert (state.mode, state.causes) == (L3, ("PLANNER_SILENT",))
        state = after(state, 40.0, requests=(silent,), speed_mps=0.0)
        state = after(state, 41.0, requests=(silent,), speed_mps=0.0)
        assert state.engagement is LATCHED
        state = after(state, 42.0, requests=(silent,), speed_mps=0.0, commands=("rearm",))
        assert (state.engagement, [code for code, *_ in refused(state)]) == (LATCHED, ["CAUSE_PRESENT"])
        assert refused(state) == [("CAUSE_PRESENT", 1.0, 0.0)]
        other = after(state, 43.0, requests=(asks(L2, "PLAN_MISSING"),), speed_mps=0.0, commands=("rearm",))
        assert (other.engagement, other.causes) == (STANDBY, ())

    def test_rejected_plans_that_led_to_the_stop_must_be_over(self):
        state = LadderState(engagement=ENGAGED, mode=L0, window=(True, True), entries_ns=(1, 2))
        state = after(state, 1.0)
        assert (state.mode, state.causes) == (L3, ("PLANS_REJECTED",))
        latched = replace(state, engagement=LATCHED, mode=L5, standstill_since_ns=0)
        assert after(latched, 9.0, speed_mps=0.0, commands=("rearm",)).engagement is LATCHED
        passing = replace(latched, window=(False, False, False))
        assert after(passing, 9.0, speed_mps=0.0, commands=("rearm",)).engagement is STANDBY

    def test_a_stop_for_a_harder_cause_does_not_wait_for_the_softer_ones_beside_it(self):
        state = after(LadderState(engagement=ENGAGED, mode=L1), 1.0, requests=(asks(L4, "EGO_LOST"), asks(L2, "DARK")))
        assert state.causes == ("EGO_LOST",)

    def test_it_is_possible_when_latched_alone(self):
        for state in (LadderState(), STOPPING):
            answered = after(state, 5.0, speed_mps=0.0, commands=("rearm",))
            assert answered.engagement is state.engagement
            assert [code for code, *_ in refused(answered)] == ["COMMAND_NOT_NOW"]


@pytest.mark.parametrize(
    ("engagement", "standstill_since_ns", "left"),
    [
        (STANDBY, None, True),
        (STANDBY, 0, True),
        (OVERRIDE, 0, True),
        (OVERRIDE, None, False),
        (ENGAGED, None, False),
        (ENGAGED, 0, False),
        (LATCHED, 0, False),
    ],
)
def test_it_is_left_to_a_person_in_standby_and_where_he_holds_it_still(engagement, standstill_since_ns, left):
    state = LadderState(engagement=engagement, standstill_since_ns=standstill_since_ns)
    assert left_to_a_person(state) is left
