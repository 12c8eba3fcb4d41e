"""The ladder's limits from both sides: oscillation, what counts as standstill, what is remembered and for how long."""

from __future__ import annotations

import pytest

from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import LadderSettings
from onboard_vla.safety.ladder import LadderInputs, LadderState, Request, step
from onboard_vla.safety.ladder_state import ModeChange

S = 1_000_000_000
SETTINGS = LadderSettings()
L0, L1, L2, L3, L4, L5 = Mode


def asks(*levels, code="X", outside=False):
    return tuple(Request(level, Reason(code, 1.0, 0.0, ""), outside) for level in levels)


def engaged(mode, since_s=0.0, **changes):
    return LadderState(engagement=Engagement.ENGAGED, mode=mode, since_ns=round(since_s * S), **changes)


def stepped(state, now_s, **inputs):
    return step(state, LadderInputs(**inputs), round(now_s * S), SETTINGS)


def changes(*times_s, low=L0, high=L1):
    return tuple(ModeChange(round(t * S), low, high) for t in times_s)


class TestOscillation:
    def test_the_fourth_change_between_two_modes_is_free_and_the_fifth_is_held_in_the_safer(self):
        fourth = stepped(engaged(L0, changes=changes(1, 2, 3)), 50.0, requests=asks(L1))
        assert (fourth.state.mode, fourth.state.held, fourth.reasons) == (L1, None, ())
        assert fourth.state.changes == changes(1, 2, 3, 50)
        fifth = stepped(engaged(L0, changes=changes(1, 2, 3, 4)), 50.0, requests=asks(L1))
        assert (fifth.state.mode, fifth.state.held) == (L1, L1)
        assert [(r.code, r.measured, r.limit) for r in fifth.reasons] == [("OSCILLATION", 5.0, 4.0)]
        assert "between NOMINAL and REDUCED" in fifth.reasons[0].detail

    def test_a_fifth_change_downwards_is_not_made(self):
        state = engaged(L1, changes=changes(1, 2, 3, 4), clear_since_ns=0)
        result = stepped(state, 50.0)
        assert (result.state.mode, result.state.held, result.state.since_ns) == (L1, L1, 0)
        assert result.state.changes == state.changes
        assert [reason.code for reason in result.reasons] == ["OSCILLATION"]

    def test_changes_between_other_modes_do_not_count(self):
        state = engaged(L0, changes=(*changes(1, 2, 3), *changes(4, 5, 6, high=L2), *changes(7, 8, low=L1, high=L2)))
        assert stepped(state, 50.0, requests=asks(L1)).state.held is None

    @pytest.mark.parametrize(("now_s", "held"), [(61.0, L1), (61.001, None)])
    def test_a_change_counts_for_a_minute(self, now_s, held):
        state = engaged(L0, changes=changes(1, 59, 60, 60.5))
        assert stepped(state, now_s, requests=asks(L1)).state.held is held

    def test_a_held_mode_is_entered_from_above_and_not_left_downwards(self):
        above = engaged(L2, held=L1, shadow_passes=10, clear_since_ns=0)
        back = stepped(above, 10.0, handback=True)
        assert (back.state.mode, back.reasons) == (L1, ())
        still = stepped(engaged(L1, held=L1, clear_since_ns=0), 10.0)
        assert (still.state.mode, [r.code for r in still.reasons]) == (L1, ["OSCILLATION"])
        assert stepped(engaged(L2, held=L2, shadow_passes=10, clear_since_ns=0), 10.0, handback=True).state.mode is L2

    def test_staying_is_no_change(self):
        for mode, request in ((L0, L0), (L1, L1), (L2, L2)):
            state = stepped(engaged(mode, 1.0), 5.0, requests=asks(request)).state
            assert (state.mode, state.since_ns, state.changes) == (mode, S, ())


class TestTimes:
    def test_dwell_counts_from_the_entry_whenever_that_was(self):
        state = engaged(L1, since_s=100.0, clear_since_ns=0)
        assert stepped(state, 101.999).state.mode is L1
        assert stepped(state, 102.0).state.mode is L0

    def test_the_time_in_the_fallback_is_reported_exactly(self):
        (reason,) = stepped(engaged(L2, 5.0), 36.0, requests=asks(L2)).reasons
        assert (reason.code, reason.measured, reason.limit) == ("FALLBACK_TOO_LONG", 31.0, 30.0)

    @pytest.mark.parametrize(("now_s", "mode"), [(610.0, L3), (610.001, L2)])
    @pytest.mark.parametrize("kind", ["entries_ns", "outside_entries_ns"])
    def test_an_entry_counts_for_ten_minutes_and_its_kind_is_named(self, kind, now_s, mode):
        outside = kind == "outside_entries_ns"
        result = stepped(engaged(L0, **{kind: (10 * S, 300 * S)}), now_s, requests=asks(L2, outside=outside))
        assert result.state.mode is mode
        if mode is L3:
            (reason,) = result.reasons
            assert reason.code == "FALLBACK_TOO_OFTEN"
            assert ("outside causes" if outside else "own causes") in reason.detail

    @pytest.mark.parametrize(("speed", "standing"), [(0.1, False), (-0.1, False), (0.0999, True), (-0.0999, True)])
    def test_standstill_is_below_a_tenth_of_a_metre_a_second(self, speed, standing):
        state = stepped(engaged(L3), 1.0, speed_mps=speed).state
        assert (state.standstill_since_ns is not None) == standing


class TestStops:
    @pytest.mark.parametrize("mode", [L3, L4])
    def test_it_latches_at_standstill_while_the_cause_still_asks(self, mode):
        state = engaged(mode, standstill_since_ns=0)
        latched = stepped(state, 5.0, speed_mps=0.0, requests=asks(mode)).state
        assert (latched.engagement, latched.mode) == (Engagement.LATCHED, L5)

    @pytest.mark.parametrize(("mode", "asked"), [(L0, L3), (L1, L4), (L2, L3), (L3, L0), (L4, L0)])
    def test_every_stop_must_be_rearmed(self, mode, asked):
        assert stepped(engaged(mode), 5.0, requests=asks(asked)).state.must_rearm

    @pytest.mark.parametrize("mode", [L0, L1, L2])
    def test_the_fallback_alone_need_not_be_rearmed(self, mode):
        assert not stepped(engaged(mode), 5.0, requests=asks(L2)).state.must_rearm

    def test_what_asks_for_the_stop_is_remembered_without_the_softer_causes(self):
        requests = (*asks(L3, code="LANES"), *asks(L2, code="DARK"), *asks(L1, code="LATE"))
        assert stepped(engaged(L0), 5.0, requests=requests).state.causes == ("LANES",)

    def test_a_worse_cause_during_the_stop_is_remembered_too(self):
        state = stepped(engaged(L0), 5.0, requests=asks(L3, code="LANES")).state
        state = stepped(state, 6.0, requests=asks(L4, code="EGO")).state
        assert (state.mode, state.causes) == (L4, ("LANES", "EGO"))
