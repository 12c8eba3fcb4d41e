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


def planned(stamps_ns, period_s: float, picture=FILE, late_ns: int = 3 * MS) -> tuple[list[int], list[int]]:
    """Anchors that a host with this period plans on, and those left out; a set is complete `late_ns` after its stamp.

    As the host does, it looks when a set is complete, and when the period is over.
    """
    pacing, found, refused, free_ns = AnchorPacing(SPACING_S, period_s), [], [], 0
    for stamp_ns, next_ns in itertools.pairwise([*stamps_ns, stamps_ns[-1] + 100 * MS]):
        begin_ns = max(stamp_ns + late_ns, free_ns)
        if begin_ns < next_ns + late_ns:
            taken = pacing.takes(frames(stamp_ns, picture))
            (found if taken else refused).append(stamp_ns)
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
    for stamp in refused:
        assert any(0 < anchor + 500 * MS - stamp <= min(PATIENCE_NS, period_ms * MS) for anchor in anchors)
    # A plan may begin a period after its anchor; then come the next one's period and, once pictures come, its one wait.
    for earlier, later in itertools.pairwise(anchors):
        first = min((stamp for stamp in stamps if stamp > earlier + 2 * period_ms * MS + 10 * MS), default=later)
        assert later <= min((stamp for stamp in stamps if stamp >= first + PATIENCE_NS), default=later)


def test_a_shared_picture_that_never_comes_is_not_waited_for_again():
    pacing = AnchorPacing(SPACING_S, 0.2)
    assert [pacing.takes(frames(k * 100 * MS)) for k in (0, 2)] == [True, True]
    assert not pacing.takes(frames(400 * MS))
    # 0.5 s is lost on its way. There would be another to wait for, but a plan waits once.
    assert pacing.takes(frames(600 * MS))


def test_slow_plans_do_not_wait_and_one_among_quick_ones_is_none():
    pacing = AnchorPacing(SPACING_S, 0.2)
    assert [pacing.takes(frames(k * 100 * MS)) for k in (0, 2)] == [True, True]
    for plan_s in (1.0, QUICK_S + 0.01):
        pacing.took(plan_s)  # it shared nothing, and so does not count
    assert not pacing.takes(frames(400 * MS))
    assert pacing.takes(frames(500 * MS))
    for plan_s in (1.0, QUICK_S + 0.01, 0.0, QUICK_S + 0.01):
        pacing.took(plan_s)
    assert pacing.takes(frames(900 * MS))  # and 1000 would share with 500
    assert pacing.takes(frames(1400 * MS))
    for _ in range(2):
        pacing.took(QUICK_S)
    assert not pacing.takes(frames(1800 * MS))


def test_a_data_clock_that_was_set_back_begins_anew():
    pacing = AnchorPacing(SPACING_S, 0.2)
    assert pacing.takes(frames(9000 * MS))
    assert pacing.takes(frames(100 * MS))
    assert pacing.takes(frames(300 * MS))
