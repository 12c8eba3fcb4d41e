"""Does the vehicle follow? Both sides of every limit, and no alarm while it does."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.actuators import ActuatorWatch, lateral_offset
from onboard_vla.safety.input_config import ActuatorLimits

TIMES = np.arange(51) * 0.1


def points(x, y, heading, speed, asked):
    """A published trajectory from here: straight on, accelerating as asked."""
    v = np.maximum(speed + asked * TIMES, 0.0)
    s = np.concatenate([[0.0], np.cumsum((v[1:] + v[:-1]) / 2 * 0.1)])
    return np.column_stack(
        [TIMES, x + s * math.cos(heading), y + s * math.sin(heading), 0 * s + heading, v, 0 * s + asked]
    )


def drive(asked, done, seconds=6.0, speed=15.0, sideways=0.0):
    """Codes with levels and first times; `asked`, `done`: acceleration over time; `sideways`: m/s off the path."""
    watch, x, y, v, seen = ActuatorWatch(ActuatorLimits()), 0.0, 0.0, speed, {}
    for k in range(round(seconds * 50)):
        t = k * 0.02
        a = done(t)
        for request in watch.check(points(x, 0.0, 0.0, v, asked(t)), Motion(x, y, 0.0, v, a, 0.0), k * 20_000_000):
            seen.setdefault((int(request.level), request.reason.code), t)
        v = max(0.0, v + a * 0.02)
        x, y = x + v * 0.02, y + sideways * 0.02
    return seen


def step_at(t0, value):
    return lambda t: value if t >= t0 else 0.0


@pytest.mark.parametrize("value", [-6.0, -2.0, 1.2])
@pytest.mark.parametrize("lag_s", [0.0, 0.3, 0.6])
def test_a_vehicle_that_answers_within_its_lag_asks_for_nothing(value, lag_s):
    assert drive(step_at(3.0, value), step_at(3.0 + lag_s, value)) == {}


@pytest.mark.parametrize("value", [-6.0, -3.0])
def test_a_late_answer_is_lag(value):
    assert set(drive(step_at(3.0, value), step_at(4.2, value))) == {(2, "ACTUATOR_LAG")}


@pytest.mark.parametrize(("missing", "found"), [(1.45, False), (1.6, True)])
@pytest.mark.parametrize("value", [-4.0, -6.0])
def test_braking_that_does_not_come_stops_the_vehicle(value, missing, found):
    seen = drive(step_at(3.0, value), step_at(3.2, value + missing))
    assert ((3, "ACTUATOR_FAST") in seen) is found


def test_brakes_that_fail_altogether_are_found_in_two_seconds():
    seen = drive(step_at(3.0, -4.0), lambda t: 0.0)
    assert seen[3, "ACTUATOR_FAST"] <= 5.1


@pytest.mark.parametrize(("missing", "found"), [(1.45, False), (1.6, True)])
def test_drive_that_does_not_come_leads_to_the_fallback(missing, found):
    seen = drive(step_at(3.0, 2.0), step_at(3.2, 2.0 - missing))
    assert ((2, "ACTUATOR_SLOW") in seen) is found
    assert not any(level > 2 for level, _ in seen)


def test_unasked_acceleration_stops_the_vehicle():
    seen = drive(lambda t: 0.0, step_at(3.0, 2.0))
    assert seen[3, "ACTUATOR_FAST"] <= 4.2


def test_braking_at_standstill_need_not_show():
    assert drive(lambda t: -2.0 if t > 2.0 else 0.0, lambda t: -2.0 if t > 2.2 else 0.0, seconds=12.0, speed=4.0) == {}


@pytest.mark.parametrize(("sideways", "found"), [(0.6, False), (-0.6, False), (0.72, True), (-0.72, True)])
def test_a_vehicle_beside_its_path_is_stopped(sideways, found):
    watch, seen = ActuatorWatch(ActuatorLimits()), set()
    for k in range(200):
        t = k * 0.02
        y = sideways * max(t - 1.0, 0.0)
        here = Motion(10.0 * t, y, 0.0, 10.0, 0.0, 0.0)
        for request in watch.check(points(here.x_m, y, 0.0, 10.0, 0.0), here, k * 20_000_000):
            seen.add((int(request.level), request.reason.code))
    assert seen == ({(3, "ACTUATOR_LATERAL")} if found else set())


def test_a_pause_drops_what_was_remembered():
    watch = ActuatorWatch(ActuatorLimits())
    for k in range(300):
        braking = points(0.3 * k, 0.0, 0.0, 15.0, -5.0)
        asked = braking if k % 60 < 55 else np.zeros((0, 6))
        assert watch.check(asked, Motion(0.3 * k, 0.0, 0.0, 15.0, 0.0, 0.0), k * 20_000_000) == []


def test_a_long_drive_keeps_its_memory_and_its_figures():
    assert drive(lambda t: math.sin(t), lambda t: math.sin(t - 0.3), seconds=40.0) == {}
    late = drive(lambda t: 0.0, step_at(35.0, 2.0), seconds=40.0)
    assert 35.9 <= late[3, "ACTUATOR_FAST"] <= 36.1


@pytest.mark.parametrize("turn", np.linspace(0.0, 2 * math.pi, 7)[:-1])
def test_the_offset_counts_left_positive_whatever_the_heading(turn):
    rotation = np.array([[math.cos(turn), math.sin(turn)], [-math.sin(turn), math.cos(turn)]])
    path = np.column_stack([np.arange(10.0), np.zeros(10)]) @ rotation
    for along, aside in ((4.2, 0.7), (4.2, -0.7), (30.0, 0.4), (-5.0, -0.4)):
        assert lateral_offset(path, np.array([along, aside]) @ rotation) == pytest.approx(aside)
    assert lateral_offset(np.zeros((5, 2)), np.ones(2)) is None
