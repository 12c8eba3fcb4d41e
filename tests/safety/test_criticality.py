"""Closed forms of criticality against driving the same situation in small steps, at every bound and in known cases."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.safety.criticality import (
    deceleration_to_avoid_crash_mps2,
    post_encroachment_time_s,
    required_deceleration_mps2,
    time_headway_s,
    time_to_brake_s,
    time_to_collision_accelerated_s,
    time_to_collision_s,
    times_in_zone_s,
)

CASES = 12_000
STEP_S, HORIZON_S = 0.004, 16.0
BRAKE, JERK, DELAY = 6.0, 12.65, 0.2


def draw(seed, count=CASES):
    """Gap, speed, acceleration, lead's speed and acceleration, each (count,); a third of the values at a bound."""
    rng = np.random.default_rng(seed)
    bounds = ([0.0, 0.01, 1.0, 150.0], [0.0, 0.1, 40.0], [-8.0, 0.0, 3.0], [0.0, 0.1, 40.0], [-8.0, 0.0, 3.0])
    ranges = ((0.1, 150.0), (0.0, 40.0), (-8.0, 3.0), (0.0, 40.0), (-8.0, 3.0))
    edge = rng.random((5, count)) < 1 / 3
    drawn = [np.where(edge[k], rng.choice(bounds[k], count), rng.uniform(*ranges[k], count)) for k in range(5)]
    drawn[3] = np.where(rng.random(count) < 0.1, drawn[1], drawn[3])
    return drawn


def drive(gap, v, lead_v, demand, lead_a):
    """First step at which the gap is gone, stepping both with constant acceleration per step; infinite if never.

    `demand(step)`: the follower's acceleration (CASES,). Nobody drives backwards.
    """
    first = np.where(gap <= 0.0, 0.0, np.inf)
    for step in range(round(HORIZON_S / STEP_S)):
        after = np.maximum(v + demand(step) * STEP_S, 0.0)
        lead_after = np.maximum(lead_v + lead_a * STEP_S, 0.0)
        gap = gap + ((lead_v + lead_after) - (v + after)) / 2 * STEP_S
        v, lead_v = after, lead_after
        first = np.where((gap <= 0.0) & np.isinf(first), (step + 1) * STEP_S, first)
    return first


def test_accelerated_time_to_collision_equals_stepwise_driving():
    gap, v, a, lead_v, lead_a = draw(1)
    closed = time_to_collision_accelerated_s(gap, v, a, lead_v, lead_a)
    driven = drive(gap, v, lead_v, lambda _: a, lead_a)
    # Where the two only just touch, the rounding of the last step before standstill decides: leave 1 cm out.
    nearer = drive(gap - 0.01, v, lead_v, lambda _: a, lead_a)
    farther = drive(gap + 0.01, v, lead_v, lambda _: a, lead_a)
    clear = (np.isinf(nearer) == np.isinf(farther)) & (closed < HORIZON_S - 0.1)
    assert np.count_nonzero(clear) > 4_000
    assert (closed[clear] <= farther[clear] + STEP_S).all()
    assert (closed[clear] >= nearer[clear] - STEP_S).all()
    never = np.isinf(nearer) & np.isinf(farther)
    assert np.count_nonzero(never) > 2_000
    assert (closed[never] >= HORIZON_S - STEP_S).all()
    assert np.isinf(driven[never]).all()


def test_time_to_collision_with_held_speeds_equals_the_accelerated_form_without_acceleration():
    gap, v, _, lead_v, _ = draw(2)
    assert time_to_collision_s(gap, v, lead_v) == pytest.approx(
        time_to_collision_accelerated_s(gap, v, 0.0, lead_v, 0.0), abs=1e-9, rel=1e-12
    )


@pytest.mark.parametrize(
    ("gap", "v", "a", "lead_v", "lead_a", "expected"),
    [
        (40.0, 15.0, 0.0, 10.0, 0.0, 8.0),
        (40.0, 15.0, 0.0, 0.0, 0.0, 40 / 15),
        (40.0, 15.0, 0.0, 10.0, -4.0, 3.5),
        (10.0, 0.0, 2.0, 0.0, 0.0, 10**0.5),
        (10.0, 10.0, -5.0, 0.0, 0.0, 2.0),
        (10.0, 10.0, -5.001, 0.0, 0.0, np.inf),
        (10.0, 5.0, 0.0, 10.0, 0.0, np.inf),
        (0.0, 5.0, 0.0, 10.0, 0.0, 0.0),
        (-1.0, 5.0, 0.0, 10.0, 3.0, 0.0),
        (10.0, 0.0, -3.0, 0.0, -3.0, np.inf),
    ],
)
def test_known_times_to_collision(gap, v, a, lead_v, lead_a, expected):
    assert time_to_collision_accelerated_s(gap, v, a, lead_v, lead_a) == pytest.approx(expected, abs=2e-3)


def test_time_to_brake_is_the_last_moment_that_still_avoids():
    gap, v, _, lead_v, _ = draw(3, 80_000)
    gap, v, lead_v = (column[gap > 0.05] for column in (gap, v, lead_v))
    closed = time_to_brake_s(gap, v, lead_v, BRAKE, JERK, DELAY)
    useful = np.isfinite(closed) & (closed > 0.05) & (closed < 8.0) & (v - lead_v > 0.05)
    assert np.count_nonzero(useful) >= 10_000
    gap, v, lead_v, closed = gap[useful], v[useful], lead_v[useful], closed[useful]

    def braking_from(begin):
        return lambda step: -np.clip(JERK * ((step + 0.5) * STEP_S - begin - DELAY), 0.0, BRAKE)

    assert np.isinf(drive(gap, v, lead_v, braking_from(closed - 0.02), 0.0)).all()
    assert np.isfinite(drive(gap, v, lead_v, braking_from(closed + 0.02), 0.0))[v - lead_v > 0.5].all()


def test_required_deceleration_just_avoids_and_a_little_less_does_not():
    gap, v, _, lead_v, lead_a = draw(4, 60_000)
    needed = required_deceleration_mps2(gap, v, lead_v, lead_a)
    assert np.isinf(needed[gap <= 0.0]).all()
    useful = (gap > 0.5) & (needed > 0.2) & (needed < 20.0) & (v < 10.0 * needed)
    assert np.count_nonzero(useful) >= 10_000
    gap, v, lead_v, lead_a, needed = (row[useful] for row in (gap, v, lead_v, lead_a, needed))
    assert np.isinf(drive(gap + 0.02, v, lead_v, lambda _: -needed, lead_a)).all()
    assert np.isfinite(drive(gap - 0.02, v, lead_v, lambda _: -needed * 0.99, lead_a))[v > 1.0].all()


def test_known_required_decelerations():
    assert deceleration_to_avoid_crash_mps2(40.0, 15.0, 10.0) == pytest.approx(25 / 80)
    assert required_deceleration_mps2(40.0, 15.0, 15.0, -4.0) == pytest.approx(225 / (2 * (40 + 225 / 8)))
    assert required_deceleration_mps2(40.0, 15.0, 10.0, 1.0) == 0.0
    assert required_deceleration_mps2(40.0, 10.0, 15.0, 0.0) == 0.0
    assert required_deceleration_mps2(5.0, 15.0, 14.0, -1.0) == pytest.approx(1.1)


def test_headway_and_encroachment():
    assert time_headway_s(20.0, 10.0) == 2.0
    assert time_headway_s(20.0, 0.0) == np.inf
    assert time_headway_s(-1.0, 0.0) == 0.0
    first, second = times_in_zone_s(10.0, 20.0, 5.0), times_in_zone_s(30.0, 38.0, 6.0)
    assert first == (2.0, 4.0)
    assert post_encroachment_time_s(*first, *second) == pytest.approx(1.0)
    assert post_encroachment_time_s(*second, *first) == pytest.approx(1.0)
    assert post_encroachment_time_s(*first, 3.0, 9.0) == pytest.approx(-1.0)
    assert post_encroachment_time_s(*first, *times_in_zone_s(5.0, 9.0, 0.0)) == np.inf
    assert post_encroachment_time_s(*first, *times_in_zone_s(-1.0, 3.0, 0.0)) == -np.inf
    assert post_encroachment_time_s(*first, *times_in_zone_s(-9.0, -1.0, 0.0)) == np.inf


NAN_CALLS = (
    (time_to_collision_s, (20.0, 10.0, 5.0)),
    (time_to_collision_accelerated_s, (20.0, 10.0, 0.0, 5.0, 0.0)),
    (required_deceleration_mps2, (20.0, 10.0, 5.0, 0.0)),
    (deceleration_to_avoid_crash_mps2, (20.0, 10.0, 5.0)),
    (time_headway_s, (20.0, 10.0)),
    (post_encroachment_time_s, (1.0, 2.0, 3.0, 4.0)),
    (lambda *row: time_to_brake_s(*row, BRAKE, JERK, DELAY), (20.0, 10.0, 5.0)),
    (lambda *row: times_in_zone_s(*row)[0] + times_in_zone_s(*row)[1], (10.0, 20.0, 5.0)),
)


@pytest.mark.parametrize(("metric", "values"), NAN_CALLS)
def test_an_unknown_argument_gives_no_number(metric, values):
    assert np.isfinite(metric(*values))
    for place in range(len(values)):
        broken = [np.nan if k == place else value for k, value in enumerate(values)]
        assert np.isnan(metric(*broken))
        rows = [np.array([value, broken[k], value]) for k, value in enumerate(values)]
        assert np.isnan(metric(*rows)).tolist() == [False, True, False]


def test_no_object_ahead_is_an_infinite_gap():
    assert time_to_collision_s(np.inf, 10.0, 0.0) == np.inf
    assert time_to_collision_accelerated_s(np.inf, 10.0, 1.0, 0.0, 0.0) == np.inf
    assert required_deceleration_mps2(np.inf, 10.0, 0.0, -8.0) == 0.0
    assert time_to_brake_s(np.inf, 10.0, 0.0, BRAKE, JERK, DELAY) == np.inf


class TestEdges:
    """Where a condition changes: at it, and a little to either side."""

    def test_half_a_metre_is_no_contact_and_half_a_metre_a_second_is_no_standstill(self):
        assert time_to_collision_s(0.5, 10.0, 0.0) == 0.05
        assert time_to_collision_accelerated_s(0.5, 10.0, 0.0, 0.0, 0.0) == 0.05
        assert time_headway_s(0.5, 10.0) == 0.05
        assert time_headway_s(20.0, 0.5) == 40.0
        assert time_to_brake_s(0.5, 0.5, 0.0, 6.0, 12.0, 0.25) == pytest.approx(
            0.5 / 0.5 - 0.25 - (1 / 12) ** 0.5 * 2 / 3
        )
        assert times_in_zone_s(10.0, 20.0, 0.5) == (20.0, 40.0)

    def test_contact_is_contact_at_any_speed(self):
        for gap in (0.0, -1.0):
            assert time_to_collision_s(gap, 0.0, 5.0) == 0.0
            assert time_to_collision_accelerated_s(gap, 5.0, 0.0, 10.0, -3.0) == 0.0
            assert time_headway_s(gap, 0.0) == 0.0
            assert required_deceleration_mps2(gap, 0.0, 5.0, 0.0) == np.inf
            assert time_to_brake_s(gap, 10.0, 5.0, BRAKE, JERK, DELAY) == -np.inf
            assert time_to_brake_s(gap, 5.0, 10.0, BRAKE, JERK, DELAY) == -np.inf

    def test_who_only_just_touches_a_moving_lead_touches_it(self):
        """10 m - 10 t + 2.5 t^2 has its double zero at 2 s, when both drive 10 m/s."""
        assert time_to_collision_accelerated_s(10.0, 20.0, -5.0, 10.0, 0.0) == 2.0
        assert time_to_collision_accelerated_s(10.01, 20.0, -5.0, 10.0, 0.0) == np.inf

    def test_two_who_stand_need_no_braking(self):
        assert required_deceleration_mps2(10.0, 0.0, 0.0, 0.0) == 0.0
        assert required_deceleration_mps2(10.0, 0.0, 0.0, -3.0) == 0.0

    def test_who_stands_at_the_line_of_a_zone_has_entered_it_and_half_a_metre_before_it_never_will(self):
        assert times_in_zone_s(0.0, 5.0, 0.0) == (-np.inf, np.inf)
        assert times_in_zone_s(-5.0, 0.0, 0.0) == (-np.inf, -np.inf)
        assert times_in_zone_s(0.5, 5.0, 0.0) == (np.inf, np.inf)

    @pytest.mark.parametrize("other", ["before", "inside", "beyond"])
    @pytest.mark.parametrize("one", ["before", "beyond"])
    def test_who_stands_before_a_zone_or_beyond_it_meets_nobody(self, one, other):
        where = {"before": (np.inf, np.inf), "inside": (-np.inf, np.inf), "beyond": (-np.inf, -np.inf)}
        assert post_encroachment_time_s(*where[one], *where[other]) == np.inf
        assert post_encroachment_time_s(*where[other], *where[one]) == np.inf
        assert post_encroachment_time_s(*where[one], 2.0, 3.0) == np.inf
        assert post_encroachment_time_s(2.0, 3.0, *where[one]) == np.inf
