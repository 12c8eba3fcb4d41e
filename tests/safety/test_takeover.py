"""The takeover request: when it begins, what it says, when it ends, and that nothing waits for it."""

from __future__ import annotations

from dataclasses import replace

import pytest

from onboard_vla.core.safe_trajectory import Engagement, Mode, Takeover
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.ladder import LadderInputs, LadderState, Request, step

S = 1_000_000_000
SETTINGS = LadderSettings()
L0, L1, L2, L3, L4, L5 = Mode
DRIVING = LadderState(engagement=Engagement.ENGAGED, mode=L0)


def after(state, now_s, *levels, **inputs):
    requests = tuple(Request(level, Reason("X", 1.0, 0.0, "")) for level in levels)
    stamp_ns = 1000 * S + round(now_s * S)
    return step(state, LadderInputs(requests=requests, stamp_ns=stamp_ns, **inputs), round(now_s * S), SETTINGS).state


def takeover(state):
    """Level, request and answer in seconds."""
    stamps = (state.takeover_stamp_ns, state.driver_stamp_ns)
    return state.takeover, *(None if stamp is None else stamp / S - 1000 for stamp in stamps)


def test_the_fallback_advises_and_the_stop_demands_each_with_its_own_time():
    assert takeover(after(DRIVING, 1.0)) == (Takeover.NONE, None, None)
    assert takeover(after(DRIVING, 1.0, L1)) == (Takeover.NONE, None, None)
    advised = after(DRIVING, 1.0, L2)
    assert takeover(advised) == (Takeover.ADVISORY, 1.0, None)
    assert takeover(after(advised, 2.0, L2)) == (Takeover.ADVISORY, 1.0, None)
    assert takeover(after(advised, 3.0, L3)) == (Takeover.MANDATORY, 3.0, None)
    assert takeover(after(DRIVING, 1.0, L4)) == (Takeover.MANDATORY, 1.0, None)


def test_the_demand_stands_through_standstill_and_latch_until_the_driver_acts():
    state = after(DRIVING, 1.0, L3, speed_mps=5.0)
    for now_s in (2.0, 3.0, 4.0, 60.0):
        state = after(state, now_s, speed_mps=0.0)
        assert takeover(state) == (Takeover.MANDATORY, 1.0, None)
    assert state.engagement is Engagement.LATCHED
    acted = after(state, 61.0, speed_mps=0.0, override=True)
    assert takeover(acted) == (Takeover.NONE, 1.0, 61.0)
    assert takeover(after(acted, 62.0, speed_mps=0.0)) == (Takeover.NONE, 1.0, 61.0)


@pytest.mark.parametrize("level", [L2, L3])
def test_taking_over_while_it_drives_is_the_answer_and_its_time_is_kept(level):
    state = after(after(DRIVING, 1.0, level), 2.5, level, override=True)
    assert takeover(state) == (Takeover.NONE, 1.0, 2.5)
    assert takeover(after(state, 3.0, level, override=True)) == (Takeover.NONE, 1.0, 2.5)
    assert takeover(after(state, 4.0, level)) == (Takeover.NONE, 1.0, 2.5)


def test_disengaging_is_an_answer_too():
    state = after(after(DRIVING, 1.0, L2), 2.0, L2, commands=("disengage",))
    assert takeover(state) == (Takeover.NONE, 1.0, 2.0)


def test_what_recovers_by_itself_withdraws_the_request_without_an_answer():
    state = replace(after(DRIVING, 1.0, L2), shadow_passes=10, clear_since_ns=2 * S)
    state = after(state, 9.0, handback=True)
    assert (state.mode, takeover(state)) == (L1, (Takeover.NONE, 1.0, None))
    assert takeover(after(state, 10.0, L2)) == (Takeover.ADVISORY, 10.0, None)


def test_a_new_request_forgets_the_answer_to_the_one_before():
    answered = after(after(DRIVING, 1.0, L2), 2.0, override=True)
    engaged = after(after(answered, 3.0), 4.0, commands=("engage",))
    assert takeover(engaged) == (Takeover.ADVISORY, 4.0, None)


class TestTouch:
    """The driver takes over at 1 s; `speed_mps` is 8 m/s but where said."""

    def given_up(self, let_go_s, speed_mps=8.0):
        driver = after(DRIVING, 1.0, override=True, speed_mps=speed_mps)
        return after(driver, let_go_s, speed_mps=speed_mps)

    @pytest.mark.parametrize("speed_mps", [8.0, 0.1, -0.1, None])
    def test_a_touch_that_ends_the_drive_of_a_moving_vehicle_demands_that_somebody_drives(self, speed_mps):
        state = self.given_up(2.25, speed_mps)
        assert (state.engagement, takeover(state)) == (Engagement.STANDBY, (Takeover.MANDATORY, 2.25, None))
        assert takeover(after(state, 60.0, L4, speed_mps=speed_mps)) == (Takeover.MANDATORY, 2.25, None)

    def test_who_acts_for_a_second_and_more_drives(self):
        assert takeover(self.given_up(2.5)) == (Takeover.NONE, None, None)

    @pytest.mark.parametrize("speed_mps", [0.0, 0.09, -0.09])
    def test_a_vehicle_that_stands_needs_nobody(self, speed_mps):
        assert takeover(self.given_up(2.0, speed_mps)) == (Takeover.NONE, None, None)
        assert takeover(after(self.given_up(2.0), 3.0, speed_mps=speed_mps)) == (Takeover.NONE, 2.0, None)

    def test_another_touch_is_no_answer_and_to_act_for_longer_is(self):
        touched = after(self.given_up(2.0), 3.0, override=True, speed_mps=8.0)
        assert takeover(after(touched, 4.0, speed_mps=8.0)) == (Takeover.MANDATORY, 2.0, None)
        begun = after(after(touched, 4.0, speed_mps=8.0), 5.0, override=True, speed_mps=8.0)
        assert takeover(after(begun, 6.49, override=True, speed_mps=8.0)) == (Takeover.MANDATORY, 2.0, None)
        acted = after(begun, 6.5, override=True, speed_mps=8.0)
        assert takeover(acted) == (Takeover.NONE, 2.0, 6.5)
        assert takeover(after(acted, 7.0, speed_mps=8.0)) == (Takeover.NONE, 2.0, 6.5)

    def test_engaging_ends_it(self):
        again = after(replace(self.given_up(2.0), shadow_passes=10), 3.0, commands=("engage",), speed_mps=8.0)
        assert (again.engagement, again.takeover) == (Engagement.ENGAGED, Takeover.NONE)

    def test_who_disengages_knows_that_he_drives(self):
        assert takeover(after(DRIVING, 1.0, commands=("disengage",), speed_mps=8.0)) == (Takeover.NONE, None, None)

    def test_a_touch_during_a_stop_leaves_the_vehicle_to_the_stop(self):
        driver = after(after(DRIVING, 0.5, L3, speed_mps=8.0), 1.0, override=True, speed_mps=8.0)
        state = after(driver, 1.5, speed_mps=8.0)
        assert (state.engagement, takeover(state)) == (Engagement.LATCHED, (Takeover.NONE, 0.5, 1.0))


def test_standby_asks_nobody():
    assert takeover(after(LadderState(), 1.0, L4)) == (Takeover.NONE, None, None)


def test_the_record_survives_rearming():
    latched = LadderState(
        engagement=Engagement.LATCHED, mode=L5, standstill_since_ns=0, takeover=Takeover.MANDATORY, takeover_stamp_ns=7
    )
    state = after(latched, 9.0, speed_mps=0.0, commands=("rearm",))
    assert (state.engagement, state.takeover, state.takeover_stamp_ns) == (Engagement.STANDBY, Takeover.NONE, 7)


def test_modes_are_the_same_whatever_the_takeover_record_says():
    for levels in ((), (L1,), (L2,), (L3,), (L4,)):
        for mode in (L0, L1, L2, L3):
            plain = replace(DRIVING, mode=mode, shadow_passes=10)
            asked = replace(plain, takeover=Takeover.MANDATORY, takeover_stamp_ns=1, driver_stamp_ns=2)
            one, other = after(plain, 9.0, *levels, handback=True), after(asked, 9.0, *levels, handback=True)
            assert (one.mode, one.engagement) == (other.mode, other.engagement)
