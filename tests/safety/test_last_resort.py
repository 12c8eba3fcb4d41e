"""The stored stop: exact braking, exact path, exact times, for trajectories of any shape."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.safety.last_resort import ROWS, STEP_S, brake, stop_along, store_stop

TIMES = np.arange(51) * 0.1


def straight(speed=10.0, demand=0.0, heading=0.0, start=(3.0, -2.0)):
    """Points (51, 6) at constant speed on a straight line."""
    run = speed * TIMES
    x, y = start[0] + run * math.cos(heading), start[1] + run * math.sin(heading)
    return np.column_stack([TIMES, x, y, np.full(51, heading), np.full(51, speed), np.full(51, demand)])


def circle(speed=10.0, radius=30.0):
    turn = speed * TIMES / radius
    x, y = radius * np.sin(turn), radius * (1 - np.cos(turn))
    wrapped = (turn + np.pi) % (2 * np.pi) - np.pi
    return np.column_stack([TIMES, x, y, wrapped, np.full(51, speed), np.zeros(51)])


def exact(speed, demand, times):
    """Speed and distance of a stop with jerk 12.65 to 6 m/s^2, from fine integration."""
    dt = 1e-4
    fine = np.arange(0.0, times[-1] + dt, dt)
    a = np.maximum(demand - 12.65 * fine, -6.0)
    v = np.maximum(speed + np.concatenate([[0.0], np.cumsum((a[1:] + a[:-1]) / 2 * dt)]), 0.0)
    s = np.concatenate([[0.0], np.cumsum((v[1:] + v[:-1]) / 2 * dt)])
    return np.interp(times, fine, v), np.interp(times, fine, s)


@pytest.mark.parametrize(("speed", "demand"), [(10.0, 0.0), (10.0, -3.0), (25.0, -6.0), (2.0, 0.0), (0.0, 0.0)])
def test_braking_is_the_l4_profile(speed, demand):
    times = np.arange(ROWS) * STEP_S
    distance, speeds, demands = brake(speed, demand, times)
    v, s = exact(speed, demand, times)
    assert speeds == pytest.approx(v, abs=0.06)
    assert distance == pytest.approx(s, abs=0.05)
    assert demands == pytest.approx(np.maximum(demand - 12.65 * times, -6.0))
    assert (distance[0], speeds[0], demands[0]) == (0.0, speed, demand)


def test_a_stop_stays_on_the_points_and_goes_straight_beyond_them():
    stop = stop_along(straight(20.0, heading=0.6)[:11], 0.0, TIMES)
    run = np.hypot(stop[:, 1] - 3.0, stop[:, 2] + 2.0)
    distance, speeds, demand = brake(20.0, 0.0, TIMES)
    assert run == pytest.approx(distance, abs=1e-9)
    assert stop[:, 1] == pytest.approx(3.0 + distance * math.cos(0.6))
    assert stop[:, 2] == pytest.approx(-2.0 + distance * math.sin(0.6))
    assert stop[:, 3] == pytest.approx(0.6)
    assert stop[:, 4] == pytest.approx(speeds)
    assert stop[:, 5] == pytest.approx(demand)
    assert stop[:, 0] == pytest.approx(TIMES)


def test_it_begins_where_the_points_are_by_then_with_their_speed_and_demand():
    given = straight(10.0, -2.0)
    given[:, 4] = 10.0 - 2.0 * TIMES
    stop = stop_along(given, 0.25)
    assert stop[0, 1] == pytest.approx(3.0 + 2.5)
    assert stop[0, 4] == pytest.approx(9.5)
    assert stop[0, 5] == pytest.approx(-2.0)


def test_an_acceleration_in_force_is_given_up_at_once():
    assert stop_along(straight(10.0, 1.2), 0.0)[0, 5] == 0.0


def test_on_a_circle_position_and_heading_follow_it_over_the_wrap():
    for radius in (8.0, -8.0):
        given = circle(8.0, radius)
        stop = stop_along(given, 3.0)
        turn = (8.0 * 3.0 + brake(8.0, 0.0, TIMES)[0]) / radius
        assert np.hypot(stop[:, 1], stop[:, 2] - radius) == pytest.approx(abs(radius), abs=0.03)
        off = (stop[:, 3] - turn + np.pi) % (2 * np.pi) - np.pi
        assert off == pytest.approx(0.0, abs=0.06)
        assert (np.abs(stop[:, 3]) <= np.pi).all()


def test_points_that_stand_still_keep_their_place():
    given = straight(0.0)
    stop = stop_along(given, 1.0)
    assert stop[:, 1:4] == pytest.approx(given[:, 1:4])
    assert (stop[:, 4] == 0.0).all()


def test_points_that_stop_midway_are_followed_to_their_end_then_straight():
    given = straight(10.0)
    given[21:, 1:3] = given[20, 1:3]
    stop = stop_along(given, 1.5)
    assert stop[-1, 1] == pytest.approx(3.0 + 15.0 + brake(10.0, 0.0, TIMES)[0][-1])


def test_a_stored_stop_is_read_by_time_and_held_at_its_end():
    stored = store_stop(straight(12.0), 7_000_000_000, 42)
    assert (stored.plan_id, stored.from_ns) == (42, 7_000_000_000)
    assert stored.points.shape == (121, 6)
    first = stored.read(7_000_000_000, 51)
    assert first.shape == (51, 6)
    assert first[:, 0] == pytest.approx(TIMES)
    assert first == pytest.approx(stop_along(straight(12.0), 0.0), abs=1e-9)
    later = stored.read(7_200_000_000, 40)
    assert later[:30, 1:] == pytest.approx(first[2:32, 1:])
    assert later[:, 0] == pytest.approx(TIMES[:40])
    assert stored.read(6_000_000_000, 51) == pytest.approx(first)
    end = stored.read(7_000_000_000 + 60_000_000_000, 3)
    assert end[:, 1:] == pytest.approx(np.repeat(stored.points[-1:, 1:], 3, axis=0))
    assert end[:, 4] == pytest.approx(0.0)


def test_a_stored_stop_turns_over_the_wrap_without_a_jump_and_cannot_be_written():
    stored = store_stop(circle(8.0, 8.0), 0, 1)
    read = stored.read(0, 51)
    assert (np.abs(read[:, 3]) <= np.pi).all()
    between = store_stop(circle(8.0, 3.0), 0, 1).read(50_000_000, 51)
    turn = np.diff(np.unwrap(between[:, 3]))
    assert np.abs(turn).max() < 0.3
    with pytest.raises(ValueError, match="read-only"):
        stored.points[0, 0] = 1.0


def test_a_stop_from_sixty_metres_a_second_fits_the_rows():
    assert store_stop(straight(60.0), 0, 1).points[-1, 4] == 0.0
