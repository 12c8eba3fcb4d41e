"""The car-following law and the brake overlay: the formula at its corners, and both sides of every limit."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from onboard_vla.safety.config import IdmSettings
from onboard_vla.safety.idm import (
    Lead,
    closing_deceleration,
    emergency_brake,
    following_acceleration,
    free_acceleration,
    required_deceleration,
    stop_behind,
)

IDM = IdmSettings()
HARD = replace(IDM, comfort_mps2=4.0, clip_mps2=10.0, lead_brake_mps2=12.0)
"""With these, neither comfort nor need bounds the formula below."""


def formula(v, v0, gap, lead_v, s=IDM):
    """Treiber, Hennecke and Helbing 2000, written out."""
    root = math.sqrt(s.acceleration_mps2 * s.comfort_mps2)
    wanted_gap = s.standstill_gap_m + max(v * s.time_gap_s + v * (v - lead_v) / (2 * root), 0.0)
    return s.acceleration_mps2 * (1 - min(v / v0, 1.0) ** s.exponent - (wanted_gap / gap) ** 2)


class TestFreeRoad:
    @pytest.mark.parametrize(("v", "v0"), [(0.0, 10.0), (5.0, 10.0), (9.0, 10.0), (10.0, 10.0), (11.0, 10.0)])
    def test_the_term_is_a_times_one_less_the_ratio_to_the_fourth(self, v, v0):
        assert free_acceleration(v, v0, IDM, 2.0) == pytest.approx(1.2 * (1 - (v / v0) ** 4))

    def test_slowing_down_is_bounded(self):
        assert free_acceleration(13.0, 10.0, IDM, 2.0) == pytest.approx(-2.0)
        assert free_acceleration(12.0, 10.0, IDM, 2.0) == pytest.approx(1.2 * (1 - 1.2**4))
        assert free_acceleration(1e300, 10.0, IDM, 3.5) == -3.5

    @pytest.mark.parametrize("v0", [0.0, -1.0])
    def test_no_wanted_speed_means_slowing(self, v0):
        assert free_acceleration(1.0, v0, IDM, 1.5) == -1.5

    def test_the_smallest_wanted_speed_is_still_one(self):
        assert free_acceleration(0.0, 0.5, IDM, 2.0) == pytest.approx(1.2)

    def test_the_ratio_is_bounded_by_ten(self):
        assert free_acceleration(1000.0, 10.0, IDM, 1e9) == pytest.approx(1.2 * (1 - 10.0**4))
        assert free_acceleration(99.0, 10.0, IDM, 1e9) == pytest.approx(1.2 * (1 - 9.9**4))


class TestFollowing:
    @pytest.mark.parametrize(
        ("v", "v0", "gap", "lead_v"),
        [(12.0, 15.0, 30.0, 10.0), (12.0, 15.0, 40.0, 12.0), (8.0, 15.0, 30.0, 10.0), (15.0, 15.0, 50.0, 14.0)],
    )
    def test_it_is_the_formula(self, v, v0, gap, lead_v):
        assert following_acceleration(v, v0, Lead(gap, lead_v), HARD) == pytest.approx(
            formula(v, v0, gap, lead_v, HARD)
        )

    def test_a_lead_that_leaves_never_makes_the_wanted_gap_smaller_than_the_standstill_gap(self):
        found = following_acceleration(5.0, 15.0, Lead(3.0, 40.0), HARD)
        assert found == pytest.approx(1.2 * (1 - (5 / 15) ** 4 - (2.0 / 3.0) ** 2))

    def test_above_the_wanted_speed_the_free_term_is_one_and_no_more(self):
        settings = replace(HARD, standstill_gap_m=0.5)
        assert following_acceleration(20.0, 10.0, Lead(500.0, 40.0), settings) == pytest.approx(-1.2 * (0.5 / 500) ** 2)
        assert following_acceleration(20.0, 0.0, Lead(500.0, 40.0), settings) == pytest.approx(-1.2 * (0.5 / 500) ** 2)

    @pytest.mark.parametrize("gap", [0.0, -0.001, -5.0])
    def test_contact_is_full_braking(self, gap):
        assert following_acceleration(5.0, 10.0, Lead(gap, 20.0), IDM) == -6.0

    def test_the_smallest_gap_is_still_one(self):
        assert following_acceleration(0.0, 10.0, Lead(1e-3, 20.0), IDM) > -6.0

    def test_braking_is_bounded_by_comfort_while_that_is_enough(self):
        lead = Lead(20.0, 8.0)
        assert stop_behind(10.0, lead, IDM.standstill_gap_m, IDM.lead_brake_mps2) == pytest.approx(50 / 22)
        easy = Lead(30.0, 8.0)
        assert formula(10.0, 15.0, 30.0, 8.0) > -2.0
        assert following_acceleration(10.0, 15.0, easy, IDM) == pytest.approx(formula(10.0, 15.0, 30.0, 8.0))
        late = Lead(27.0, 0.0)
        assert formula(10.0, 15.0, 27.0, 0.0) < -2.5
        assert following_acceleration(10.0, 15.0, late, IDM) == pytest.approx(-2.0)

    def test_braking_is_bounded_by_need_where_comfort_is_not_enough(self):
        late = Lead(18.0, 0.0)
        assert following_acceleration(10.0, 15.0, late, IDM) == pytest.approx(-100 / (2 * 16.0))

    def test_braking_never_exceeds_the_clip(self):
        assert following_acceleration(20.0, 15.0, Lead(10.0, 0.0), IDM) == -6.0
        assert following_acceleration(20.0, 15.0, Lead(2.0, 0.0), IDM) == -6.0

    def test_a_ratio_of_a_hundred_is_the_largest(self):
        settings = replace(IDM, clip_mps2=10.0)
        assert following_acceleration(0.0, 15.0, Lead(1e-9, 0.0), settings) == pytest.approx(-2.0)

    def test_acceleration_is_that_of_the_settings_at_most(self):
        assert following_acceleration(0.0, 15.0, Lead(1e9, 30.0), IDM) == pytest.approx(1.2)


class TestStoppingBehind:
    def test_it_counts_the_room_that_a_braking_lead_still_gives(self):
        assert stop_behind(10.0, Lead(11.0, 8.0), 1.0, 8.0) == pytest.approx(100 / (2 * (10 + 4)))
        assert required_deceleration(10.0, Lead(11.0, 8.0), IDM) == pytest.approx(100 / (2 * (10 + 4)))

    def test_a_lead_that_comes_towards_the_vehicle_gives_none(self):
        assert stop_behind(10.0, Lead(11.0, -8.0), 1.0, 8.0) == pytest.approx(100 / 20)

    @pytest.mark.parametrize(("gap", "expected"), [(1.0, math.inf), (0.5, math.inf), (1.5, 100.0)])
    def test_without_room_no_deceleration_is_enough(self, gap, expected):
        assert stop_behind(10.0, Lead(gap, 0.0), 1.0, 8.0) == pytest.approx(expected)

    @pytest.mark.parametrize(("v", "expected"), [(0.0, 0.0), (-0.5, 0.0), (0.5, math.inf)])
    def test_who_stands_needs_nothing(self, v, expected):
        assert stop_behind(v, Lead(0.5, 0.0), 1.0, 8.0) == expected


class TestEmergencyBrake:
    @pytest.mark.parametrize(("required", "expected"), [(2.5, None), (2.51, -1.1 * 2.51), (5.0, -5.5), (5.6, -6.0)])
    def test_it_begins_above_its_limit_and_ends_at_the_clip(self, required, expected):
        lead = Lead(1.0 + 100 / (2 * required), 0.0)
        found = emergency_brake(10.0, lead, IDM)
        assert found == (None if expected is None else pytest.approx(expected))

    @pytest.mark.parametrize(("v", "lead_v", "says"), [(10.0, 10.0, False), (10.0, 9.99, True), (10.0, 10.01, False)])
    def test_it_acts_only_while_closing(self, v, lead_v, says):
        assert (
            emergency_brake(v, Lead(0.5, lead_v), replace(IDM, lead_brake_mps2=12.0, brake_gap_m=5.0)) is not None
        ) == says

    def test_it_says_nothing_at_standstill(self):
        assert emergency_brake(0.0, Lead(0.5, -1.0), IDM) is None
        assert emergency_brake(0.01, Lead(0.5, -1.0), IDM) == -6.0


class TestClosing:
    """What it takes to come down to the lead's own speed."""

    @pytest.mark.parametrize(
        ("v", "lead", "expected"),
        [
            (12.0, Lead(9.0, 8.0), 16 / (2 * 8.0)),
            (12.0, Lead(3.0, 10.0), 4 / (2 * 2.0)),
            (12.0, Lead(1.0, 10.0), math.inf),
            (12.0, Lead(0.5, 10.0), math.inf),
            (12.0, Lead(1.5, 10.0), 4.0),
            (12.0, Lead(0.5, 12.0), 0.0),
            (12.0, Lead(0.5, 13.0), 0.0),
            (12.0, Lead(9.0, -2.0), 144 / 16),
        ],
    )
    def test_it_is_the_closing_speed_squared_over_twice_the_room(self, v, lead, expected):
        assert closing_deceleration(v, lead, IDM) == pytest.approx(expected)
