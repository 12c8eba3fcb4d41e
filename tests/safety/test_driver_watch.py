"""What the driver does: that he acts counts whatever its stamp; that he does not is knowledge in order alone."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.clock import Now
from onboard_vla.core.safe_trajectory import DriverState
from onboard_vla.safety.driver_watch import DRIVER_HOLD_NS, DriverWatch

from .driver_stamps import STAMPS, advancing, ahead, at, backwards, standing, unset

FUTURE_S = 0.005
HOLD_MS = DRIVER_HOLD_NS // 1_000_000


def hear(watch, ms, override, stamp=advancing):
    watch.hear(DriverState(stamp(ms), override), at(ms), FUTURE_S)


def heard(override, stamp, until_ms=1000) -> DriverWatch:
    watch = DriverWatch()
    for ms in range(0, until_ms + 1, 100):
        hear(watch, ms, override, stamp)
    return watch


def code(watch, ms):
    reason = watch.doubt(at(ms))
    return reason and reason.code


def test_before_anything_was_heard_nothing_is_known_and_nothing_is_doubted():
    assert not DriverWatch().acts(at(0))
    assert DriverWatch().doubt(at(0)) is None


@pytest.mark.parametrize("stamp", STAMPS)
def test_he_acts_for_the_hold_after_he_was_last_heard_to_whatever_the_stamps(stamp):
    watch = heard(True, stamp)
    assert watch.acts(at(1000 + HOLD_MS))
    assert not watch.acts(at(1001 + HOLD_MS))


def test_that_he_does_not_act_ends_nothing_sooner():
    watch = heard(True, advancing)
    hear(watch, 1100, False)
    assert watch.acts(at(1000 + HOLD_MS))
    assert not watch.acts(at(1001 + HOLD_MS))


@pytest.mark.parametrize("override", [False, True])
def test_unheard_for_longer_than_the_hold_he_is_silent(override):
    watch = heard(override, advancing)
    assert watch.doubt(at(1000 + HOLD_MS)) is None
    reason = watch.doubt(at(1001 + HOLD_MS))
    assert (reason.code, reason.measured, reason.limit) == ("DRIVER_SILENT", pytest.approx(0.501), 0.5)
    assert reason.detail == "since the driver's state was received, s"


@pytest.mark.parametrize("override", [False, True])
@pytest.mark.parametrize(
    ("stamp", "fault"),
    [
        (standing, ("DRIVER_STAMP_STANDS", 0.0, 0.0, "stamp of the driver's state behind the one before, s")),
        (unset, ("DRIVER_STAMP_STANDS", 0.0, 0.0, "stamp of the driver's state behind the one before, s")),
        (backwards, ("DRIVER_STAMP_STANDS", 0.1, 0.0, "stamp of the driver's state behind the one before, s")),
        (ahead, ("DRIVER_STAMP_AHEAD", 3600.0, FUTURE_S, "stamp of the driver's state ahead of now, s")),
    ],
)
def test_a_stream_of_bad_stamps_is_named_for_what_it_is_and_not_as_silence(override, stamp, fault):
    reason = heard(override, stamp).doubt(at(1000))
    assert (reason.code, pytest.approx(reason.measured), reason.limit, reason.detail) == fault


def test_bad_stamps_are_named_once_the_last_sound_one_is_older_than_the_hold():
    watch = DriverWatch()
    hear(watch, 0, False)
    for ms in (100, 300, HOLD_MS):
        watch.hear(DriverState(advancing(0), False), at(ms), FUTURE_S)
        assert code(watch, ms) is None
    assert code(watch, HOLD_MS + 1) == "DRIVER_STAMP_STANDS"
    hear(watch, HOLD_MS + 20, False)
    assert code(watch, HOLD_MS + 20) is None


def test_a_clock_of_his_that_was_always_ahead_is_named_at_once():
    watch = DriverWatch()
    hear(watch, 0, False, ahead)
    assert code(watch, 0) == "DRIVER_STAMP_AHEAD"


@pytest.mark.parametrize(("ahead_ns", "named"), [(5_000_000, None), (5_000_001, "DRIVER_STAMP_AHEAD")])
def test_stamps_may_be_ahead_by_as_much_as_those_of_others(ahead_ns, named):
    watch = DriverWatch()
    watch.hear(DriverState(at(0).stamp_ns + ahead_ns, False), at(0), FUTURE_S)
    assert code(watch, 0) == named


def test_a_clock_put_back_by_an_hour_costs_one_message():
    watch = heard(False, advancing)
    for ms in range(1100, 3000, 100):
        put_back = Now(at(ms).monotonic_ns, at(ms).stamp_ns - 3600 * 10**9)
        watch.hear(DriverState(put_back.stamp_ns, False), put_back, FUTURE_S)
        assert watch.doubt(put_back) is None


def test_what_he_does_is_unknown_where_nobody_says_it_or_not_soundly_and_known_where_he_acts():
    never = DriverWatch().unknown(at(0))
    assert (never.code, never.measured, never.limit) == ("DRIVER_UNHEARD", 0.0, 1.0)
    assert never.detail == "nobody says whether the driver acts"
    assert heard(False, standing).unknown(at(1000)).code == "DRIVER_STAMP_STANDS"
    assert heard(True, standing).unknown(at(1000)) is None
    assert heard(False, advancing).unknown(at(1000)) is None
    assert heard(False, advancing).unknown(at(1001 + HOLD_MS)).code == "DRIVER_SILENT"


STREAM = st.lists(st.tuples(st.integers(1, 700), st.booleans(), st.sampled_from(STAMPS)), min_size=1, max_size=12)


@given(STREAM)
def test_who_was_heard_to_act_within_the_hold_acts_and_nobody_else(stream):
    watch, ms, acted_ms = DriverWatch(), 0, None
    for gap_ms, override, stamp in stream:
        ms += gap_ms
        acts = acted_ms is not None and ms - acted_ms <= HOLD_MS
        assert watch.acts(at(ms)) == acts, "before a word, the hold of the last one"
        hear(watch, ms, override, stamp)
        acted_ms = ms if override else acted_ms
        assert watch.acts(at(ms)) == (override or acts)
        assert code(watch, ms) != "DRIVER_SILENT", "a word is heard, however it is stamped"
