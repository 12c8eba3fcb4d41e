"""Where the vehicle was: closed forms between, before and after the states it keeps."""

from __future__ import annotations

import math

import pytest

from onboard_vla.safety.ego_history import EgoHistory, advance
from onboard_vla.safety.guards.clock_step import restated_by

from .driving_range import make_ego

S = 1_000_000_000
FIELDS = ("x_m", "y_m", "heading_rad", "speed_mps", "acceleration_mps2", "yaw_rate_rps")


def values(motion):
    return [getattr(motion, name) for name in FIELDS]


def kept(*states, span_s=2.0, extrapolation_s=0.06):
    history = EgoHistory(span_s, extrapolation_s)
    for state in states:
        history.add(state)
    return history


class TestAdvance:
    @pytest.mark.parametrize("duration_s", [0.5, -0.5, 0.0])
    def test_a_turn_moves_along_the_chord_of_its_middle_heading(self, duration_s):
        ego = make_ego(0, x_m=3.0, y_m=-2.0, heading_rad=0.4, speed_mps=12.0, acceleration_mps2=-1.5, yaw_rate_rps=0.3)
        moved = advance(ego, duration_s)
        course = 0.4 + 0.3 * duration_s / 2
        expected = (
            3.0 + 12.0 * duration_s * math.cos(course), -2.0 + 12.0 * duration_s * math.sin(course),
            0.4 + 0.3 * duration_s, 12.0, -1.5, 0.3,
        )  # fmt: skip
        assert values(moved) == pytest.approx(expected, abs=1e-12)
        assert moved.pose == pytest.approx(expected[:3], abs=1e-12)

    def test_the_heading_stays_within_half_a_turn(self):
        assert advance(make_ego(0, heading_rad=3.0, yaw_rate_rps=1.0), 0.5).heading_rad == pytest.approx(
            3.5 - 2 * math.pi
        )


class TestBetween:
    BEFORE = make_ego(S, x_m=1.0, y_m=2.0, heading_rad=0.1, speed_mps=5.0, acceleration_mps2=-1.0, yaw_rate_rps=0.2)
    AFTER = make_ego(S + 40, x_m=2.0, y_m=0.0, heading_rad=0.5, speed_mps=9.0, acceleration_mps2=1.0, yaw_rate_rps=-0.2)

    def test_every_value_is_interpolated(self):
        found = kept(self.BEFORE, self.AFTER).at(S + 10)
        assert values(found) == pytest.approx([1.25, 1.5, 0.2, 6.0, -0.5, 0.1])

    def test_at_a_stamp_it_is_that_state(self):
        history = kept(self.BEFORE, self.AFTER)
        assert values(history.at(S)) == pytest.approx([1.0, 2.0, 0.1, 5.0, -1.0, 0.2])
        assert values(history.at(S + 40)) == pytest.approx([2.0, 0.0, 0.5, 9.0, 1.0, -0.2])

    def test_headings_are_interpolated_the_short_way_round(self):
        history = kept(make_ego(0, heading_rad=3.1), make_ego(100, heading_rad=-3.1))
        turn = 2 * math.pi - 6.2
        assert history.at(25).heading_rad == pytest.approx(3.1 + turn / 4)
        assert history.at(75).heading_rad == pytest.approx(-3.1 - turn / 4)


class TestEnds:
    def test_before_the_first_state_nothing_is_known(self):
        history = kept(make_ego(S), make_ego(S + 20))
        assert history.at(S - 1) is None
        assert EgoHistory(2.0, 0.06).at(S) is None
        assert EgoHistory(2.0, 0.06).newest is None

    def test_after_the_newest_it_goes_on_for_the_extrapolation_alone(self):
        history = kept(make_ego(S, x_m=4.0))
        assert history.at(S + 60_000_000).x_m == pytest.approx(4.0 + 0.6)
        assert history.at(S + 60_000_001) is None

    def test_what_is_older_than_the_span_goes_once_it_is_twice_as_old(self):
        history = kept(*(make_ego(round(k * 0.5 * S), x_m=k) for k in range(9)))
        assert history.at(0).x_m == 0.0  # 4 s, twice the span: still all there
        history.add(make_ego(round(4.1 * S), x_m=9.0))
        assert history.at(round(2.0 * S)) is None
        assert history.at(round(2.5 * S)).x_m == 5.0
        assert history.newest.x_m == 9.0
        assert [state.x_m for state in history.since(0)] == [5.0, 6.0, 7.0, 8.0, 9.0]

    def test_a_state_exactly_one_span_old_is_kept(self):
        history = kept(*(make_ego(round(k * S)) for k in (0, 3)), make_ego(5 * S))
        assert history.at(3 * S) is not None
        assert history.at(3 * S - 1) is None


class TestSince:
    HISTORY = kept(*(make_ego(k * S // 10, x_m=k) for k in range(5)))

    @pytest.mark.parametrize(
        ("at_s", "first"), [(0.25, 2), (0.2, 2), (0.4, 4), (9.0, 4), (-1.0, 0), (0.0, 0), (0.199, 1)]
    )
    def test_it_begins_with_the_last_state_at_or_before(self, at_s, first):
        assert [state.x_m for state in self.HISTORY.since(round(at_s * S))] == list(range(first, 5))


def test_after_a_clock_step_states_are_found_at_their_new_stamps():
    history = kept(make_ego(S, x_m=1.0), make_ego(2 * S, x_m=2.0))
    history.restate(restated_by(10 * S, 100 * S))
    assert history.at(S) is None
    assert history.at(11 * S).x_m == 1.0
    assert history.newest.stamp_ns == 12 * S
    history.add(make_ego(13 * S, x_m=3.0))
    assert history.at(12 * S + S // 2).x_m == pytest.approx(2.5)
