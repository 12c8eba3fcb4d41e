"""Plans on pictures that serve another plan, too, and never so that plans stay out."""

from __future__ import annotations

import itertools

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from onboard_vla.core.cameras import EncodedPicture, FrameSet
from onboard_vla.runtime.anchor_pacing import JITTER_NS, PATIENCE_NS, QUICK_S, AnchorPacing

MS = 1_000_000
SPACING_S = 0.5
FILE = EncodedPicture(b"", 4, 4, lambda data, factor: np.zeros((4, 4, 3), np.uint8))


def frames(stamp_ns: int, picture=FILE) -> FrameSet:
    return FrameSet(stamp_ns, {"front": (picture,)}, {"front": (stamp_ns,)})


def planned(stamps_ns, period_s: float, picture=FILE, late_ns=3 * MS, clock_ns: int = 0) -> tuple[list[int], list[int]]:
    """Anchors that a host with this period plans on, and the moments at which it was told to wait.

    As the host does, it looks when a set is complete, and when the period is over. A set is complete `late_ns` after
    its stamp (a number, or one for each); `clock_ns`: by how much the host's clock is ahead of the cameras'.
    """
    lates = itertools.repeat(late_ns) if isinstance(late_ns, int) else late_ns
    complete = [(stamp_ns + late, stamp_ns) for stamp_ns, late in zip(stamps_ns, lates, strict=False)]
    ends = [arrival_ns for arrival_ns, _ in complete[1:]] + [complete[-1][0] + 100 * MS]
    pacing, found, refused, free_ns = AnchorPacing(SPACING_S, period_s), [], [], 0
    for (arrival_ns, stamp_ns), end_ns in zip(complete, ends, strict=True):
        begin_ns = max(arrival_ns, free_ns)
        if begin_ns < end_ns:
            taken = pacing.takes(frames(stamp_ns, picture), begin_ns + clock_ns)
            (found if taken else refused).append(stamp_ns if taken else begin_ns)
            free_ns = begin_ns + round(period_s * 1e9) if taken else free_ns
    return found, refused


def at(hertz: float, seconds: float = 10.0) -> list[int]:
    return [round(k * 1e9 / hertz) for k in range(round(seconds * hertz))]


def shared(anchors: list[int]) -> int:
    """Plans whose older pictures had been an anchor's."""
    return sum(any(abs(b - a - 500 * MS) <= JITTER_NS for a in anchors) for b in anchors)


@pytest.mark.parametrize(
    ("hertz", "period_s", "plans"), [(10, 0.2, 40), (30, 0.2, 40), (10, 0.25, 40), (10, 0.1, 100), (10, 0.5, 20)]
)
def test_plans_share_their_pictures(hertz, period_s, plans):
    anchors, _ = planned(at(hertz), period_s)
    assert abs(len(anchors) - plans) <= 1
    assert shared([a for a in anchors if a >= 500 * MS]) >= len([a for a in anchors if a >= 1000 * MS])


@given(st.lists(st.integers(3 * MS, 12 * MS), min_size=30, max_size=30), st.sampled_from((-3600, 0, 3600)))
def test_rhythm_is_kept_where_sets_are_complete_a_little_late_and_clocks_differ(lates, clock_s):
    """The period may end just before a set is complete: the one at hand, a camera's period old, serves nobody."""
    anchors, _ = planned(at(10, 3.0), 0.2, late_ns=lates, clock_ns=clock_s * 1000 * MS)
    settled = [anchor for anchor in anchors if anchor >= 1000 * MS]
    assert len(settled) == 8
    # It may begin as 0, 0.1, 0.5 s, and then takes one step to 0, 0.2, 0.5 s.
    assert sum(anchor - 500 * MS not in anchors for anchor in settled) <= 1


def test_without_pacing_none_of_five_plans_a_second_would():
    anchors = at(5)
    assert shared(anchors) == 0


def test_raw_pictures_are_planned_on_as_they_come():
    raw = np.zeros((4, 4, 3), np.uint8)
    assert planned(at(10), 0.2, raw) == (at(5), [])


@given(
    jitter=st.lists(st.integers(-5 * MS, 5 * MS), min_size=60, max_size=60),
    lost=st.sets(st.integers(0, 58), max_size=30),
    period_ms=st.integers(0, 600),
)
def test_no_plan_waits_longer_than_it_may(jitter, lost, period_ms):
    stamps = [k * 100 * MS + jitter[k] for k in range(60) if k not in lost]
    anchors, refused = planned(stamps, period_ms / 1e3)
    for moment in refused:
        newest = max(stamp for stamp in stamps if stamp + 3 * MS <= moment)
        awaited = min(anchor + 500 * MS for anchor in anchors if anchor + 500 * MS > newest + JITTER_NS)
        assert awaited + 3 * MS - moment <= min(PATIENCE_NS, period_ms * MS)
    # A plan may begin a period after its anchor; then come the next one's period and, once pictures come, its one wait.
    for earlier, later in itertools.pairwise(anchors):
        first = min((stamp for stamp in stamps if stamp > earlier + 2 * period_ms * MS + 10 * MS), default=later)
        assert later <= min((stamp for stamp in stamps if stamp >= first + PATIENCE_NS), default=later)


def test_a_shared_picture_that_never_comes_is_not_waited_for_again():
    pacing = AnchorPacing(SPACING_S, 0.2)
    assert [pacing.takes(frames(k * 100 * MS), k * 100 * MS) for k in (0, 2)] == [True, True]
    assert not pacing.takes(frames(400 * MS), 400 * MS)
    # 0.5 s is lost on its way. There would be another to wait for, but a plan waits once.
    assert pacing.takes(frames(600 * MS), 600 * MS)


def test_slow_plans_do_not_wait_and_one_among_quick_ones_is_none():
    pacing = AnchorPacing(SPACING_S, 0.2)
    assert [pacing.takes(frames(k * 100 * MS), k * 100 * MS) for k in (0, 2)] == [True, True]
    for plan_s in (1.0, QUICK_S + 0.01):
        pacing.took(plan_s)  # it shared nothing, and so does not count
    assert not pacing.takes(frames(400 * MS), 400 * MS)
    assert pacing.takes(frames(500 * MS), 500 * MS)
    for plan_s in (1.0, QUICK_S + 0.01, 0.0, QUICK_S + 0.01):
        pacing.took(plan_s)
    assert pacing.takes(frames(900 * MS), 900 * MS)  # and 1000 would share with 500
    assert pacing.takes(frames(1400 * MS), 1400 * MS)
    for _ in range(2):
        pacing.took(QUICK_S)
    assert not pacing.takes(frames(1800 * MS), 1800 * MS)


def test_a_data_clock_that_was_set_back_begins_anew():
    pacing = AnchorPacing(SPACING_S, 0.2)
    assert pacing.takes(frames(9000 * MS), 9000 * MS)
    assert pacing.takes(frames(100 * MS), 100 * MS)
    assert pacing.takes(frames(300 * MS), 300 * MS)
