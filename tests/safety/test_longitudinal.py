"""Rolling a speed profile: against exact motion, with bounded jerk, and never backwards."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.safety.longitudinal import POINT_STEP_S, POINTS, roll, stop_distance

TIMES = np.arange(POINTS) * POINT_STEP_S
FREE = 1e9
"""A jerk limit that bounds nothing."""


def constant(acceleration, jerk=FREE):
    return lambda _t, _s, _v: (acceleration, jerk)


def test_a_profile_has_five_seconds_in_steps_of_a_tenth_and_begins_now():
    profile = roll(10.0, 0.5, constant(0.5))
    assert profile.distance_m.shape == profile.speed_mps.shape == profile.acceleration_mps2.shape == (51,)
    assert (profile.distance_m[0], profile.speed_mps[0], profile.acceleration_mps2[0]) == (0.0, 10.0, 0.5)


def test_constant_acceleration_is_exact():
    profile = roll(10.0, 1.0, constant(1.0))
    assert profile.speed_mps == pytest.approx(10.0 + TIMES)
    assert profile.distance_m == pytest.approx(10.0 * TIMES + TIMES**2 / 2)
    assert profile.acceleration_mps2 == pytest.approx(1.0)


def test_jerk_bounds_both_directions():
    up, down = roll(10.0, 0.0, constant(9.0, 2.0)), roll(30.0, 0.0, constant(-9.0, 2.0))
    assert up.acceleration_mps2[:45] == pytest.approx(2.0 * TIMES[:45])
    assert down.acceleration_mps2[:45] == pytest.approx(-2.0 * TIMES[:45])
    from_braking = roll(30.0, -4.0, constant(1.0, 5.0))
    assert from_braking.acceleration_mps2[:10] == pytest.approx(-4.0 + 5.0 * TIMES[:10])


def test_the_law_sees_time_distance_and_speed_of_every_step():
    seen = []

    def law(time_s, distance_m, speed):
        seen.append((time_s, distance_m, speed))
        return 1.0, FREE

    roll(10.0, 1.0, law)
    rows = np.array(seen)
    assert rows[:, 0] == pytest.approx(0.05 * np.arange(100))
    assert rows[:, 1] == pytest.approx(10.0 * rows[:, 0] + rows[:, 0] ** 2 / 2)
    assert rows[:, 2] == pytest.approx(10.0 + rows[:, 0])


def test_braking_ends_at_standstill_where_physics_says_and_stays_there():
    profile = roll(6.0, -4.0, constant(-4.0))
    assert profile.distance_m[-1] == pytest.approx(36 / 8, abs=0.02)
    assert (profile.speed_mps[15:] == 0.0).all()
    assert profile.speed_mps.min() == 0.0
    assert (np.diff(profile.distance_m) >= 0.0).all()


def test_a_standing_vehicle_is_held_with_at_most_the_hold_brake():
    assert roll(0.0, 0.0, constant(-9.0)).acceleration_mps2[1:] == pytest.approx(-1.5)
    assert roll(0.0, 0.0, constant(-0.5)).acceleration_mps2[1:] == pytest.approx(-0.5)
    assert roll(0.0, 0.0, constant(0.0)).acceleration_mps2[1:] == pytest.approx(0.0)
    held = roll(0.0, 0.0, constant(-9.0))
    assert (held.distance_m == 0.0).all()
    assert (held.speed_mps == 0.0).all()


def test_the_last_braking_step_keeps_its_demand_and_moves_on_by_half():
    profile = roll(0.1, -4.0, constant(-4.0))
    assert profile.acceleration_mps2[1] in (pytest.approx(-4.0), pytest.approx(-1.5))
    assert profile.distance_m[1] == pytest.approx(0.1 * 0.05 / 2)


def test_a_negative_speed_counts_as_standing():
    profile = roll(-3.0, 0.0, constant(1.0, FREE))
    assert profile.speed_mps[0] == 0.0
    assert profile.speed_mps[-1] == pytest.approx(5.0)


@settings(max_examples=200, deadline=None)
@given(
    speed=st.floats(-1, 50), start=st.floats(-8, 4), wanted=st.floats(-20, 10), jerk=st.floats(0.5, 30),
)  # fmt: skip
def test_no_law_drives_backwards_or_jumps(speed, start, wanted, jerk):
    profile = roll(speed, start, constant(wanted, jerk))
    assert (profile.speed_mps >= 0.0).all()
    assert (np.diff(profile.distance_m) >= 0.0).all()
    moving = (profile.speed_mps[1:] > 0.0) & (profile.speed_mps[:-1] > 0.0)
    assert (np.abs(np.diff(profile.acceleration_mps2))[moving] <= jerk * POINT_STEP_S + 1e-9).all()


def integrated(v, a, deceleration, jerk, dt=2e-3):
    distance, a = 0.0, min(max(a, -deceleration), deceleration)
    while v > 0.0:
        lower = max(a - jerk * dt, -deceleration)
        after = max(v + (a + lower) / 2 * dt, 0.0)
        distance, v, a = distance + (v + after) / 2 * dt, after, lower
    return distance


@pytest.mark.parametrize("v", [0.05, 0.5, 1.0, 1.5, 3.0, 15.0, 30.0])
@pytest.mark.parametrize("a", [-9.0, -6.0, -1.0, 0.0, 2.0, 6.0, 9.0])
@pytest.mark.parametrize(("deceleration", "jerk"), [(6.0, 12.65), (1.5, 1.0)])
def test_stop_distance_equals_an_integration(v, a, deceleration, jerk):
    assert stop_distance(v, a, deceleration, jerk) == pytest.approx(integrated(v, a, deceleration, jerk), abs=8e-3)


def test_who_stands_or_rolls_back_needs_no_distance():
    assert stop_distance(0.0, -1.0, 6.0, 12.65) == 0.0
    assert stop_distance(-2.0, -1.0, 6.0, 12.65) == 0.0
