"""Single figures of the actuator guard: reason, measured value and limit on both sides of every threshold.

Ticks of 1/64 s make every sum of speeds exact, so that a value can be put on a limit itself.
"""

from __future__ import annotations

import math
from itertools import groupby, pairwise

import numpy as np
import pytest

from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.actuators import ActuatorWatch, lateral_offset
from onboard_vla.safety.input_config import ActuatorLimits

EXACT_S, TICK_S = 1 / 64, 0.02
UNEQUAL = ActuatorLimits(slow_mps=1.5, fast_mps=1.0, confirm_s=0.02)


def along(asked, first_speed=0.0, kink_s=0.4, after=0.0):
    """Points (T, 6) of a published trajectory: `asked` m/s^2 until `kink_s`, `after` from there on."""
    times = np.array([0.0, kink_s, 1.0, 5.0])
    speeds = first_speed + asked * np.minimum(times, kink_s) + after * np.maximum(times - kink_s, 0.0)
    return np.column_stack([times, 10.0 * times, 0 * times, 0 * times, speeds, 0 * times])


def fed(limits, asked, speed, seconds, tick_s=TICK_S, points=along):
    """Per tick its time and what the guard asks for; `asked`, `speed`: over the time."""
    watch = ActuatorWatch(limits)
    for k in range(round(seconds / tick_s) + 1):
        t = k * tick_s
        here = Motion(10.0 * t, 0.0, 0.0, speed(t), 0.0, 0.0)
        yield t, [(r.level, r.reason.code, r.reason.measured, r.reason.limit)
                  for r in watch.check(points(asked(t)), here, round(t * 1e9))]  # fmt: skip


def first_times(ticks):
    seen = {}
    for t, requests in ticks:
        for _, code, _, _ in requests:
            seen.setdefault(code, round(t, 6))
    return seen


def values(ticks, code):
    return [request for _, requests in ticks for request in requests if request[1] == code]


def ramp(rate, begin=0.0, end=math.inf):
    return lambda t: rate * max(min(t, end) - begin, 0.0)


def test_the_first_judgement_waits_for_the_window_and_the_longest_lag_and_is_confirmed():
    """1.0 s and 1.2 s, judged every third tick of 20 ms: 2.22 s; four checks later 0.2 s are over."""
    ticks = list(fed(ActuatorLimits(), lambda t: 2.0, lambda t: 15.0, 3.0))
    assert first_times(ticks) == {"ACTUATOR_SLOW": 2.46}
    assert values(ticks, "ACTUATOR_SLOW")[0] == (Mode.FALLBACK, "ACTUATOR_SLOW", pytest.approx(2.0), 1.5)


def test_a_window_and_lag_that_are_just_over_are_judged():
    """1 s and 1 s: a check at 2.0 s itself, and the next, 1/16 s later, confirms it."""
    limits = ActuatorLimits(late_s=1.0, confirm_s=0.02)
    assert first_times(fed(limits, lambda t: 2.0, lambda t: 15.0, 3.0, EXACT_S)) == {"ACTUATOR_SLOW": 2.0625}


def test_after_a_pause_all_begins_anew_however_long_the_drive_before():
    watch = ActuatorWatch(ActuatorLimits())
    for k in range(1100):
        assert watch.check(along(0.0), Motion(0.2 * k, 0.0, 0.0, 15.0, 0.0, 0.0), k * 20_000_000) == []
    assert watch.check(np.zeros((0, 6)), Motion(0.0, 0.0, 0.0, 15.0, 0.0, 0.0), 22_000_000_000) == []
    found = [
        k for k in range(130)
        if watch.check(along(2.0), Motion(0.2 * k, 0.0, 0.0, 15.0, 0.0, 0.0), 23_000_000_000 + k * 20_000_000)
    ]  # fmt: skip
    assert found[0] == 123


def test_a_fault_that_lasted_exactly_the_confirmation_is_confirmed():
    assert first_times(fed(ActuatorLimits(confirm_s=0.18), lambda t: 2.0, lambda t: 15.0, 3.0)) == {
        "ACTUATOR_SLOW": 2.4
    }


def test_what_was_remembered_counts_from_the_first_tick_whatever_the_clock_shows():
    watch, seen = ActuatorWatch(ActuatorLimits()), None
    for k in range(130):
        if watch.check(along(2.0), Motion(0.2 * k, 0.0, 0.0, 15.0, 0.0, 0.0), 10**15 + k * 20_000_000):
            seen = k if seen is None else seen
    assert seen == 123


@pytest.mark.parametrize(
    ("change", "expected"),
    [(1.0, None), (1.0 + 1 / 64, ("ACTUATOR_FAST", Mode.IN_LANE_STOP, 1.0)),
     (-1.5, None), (-1.5 - 1 / 64, ("ACTUATOR_SLOW", Mode.FALLBACK, 1.5))],
)  # fmt: skip
def test_speed_that_nobody_asked_for_counts_beyond_its_limit(change, expected):
    """The change takes one second, so that one window alone holds all of it."""
    ticks = list(fed(UNEQUAL, lambda t: 0.0, lambda t: 10.0 + ramp(change, 3.0)(t), 5.0, EXACT_S))
    found = {request for _, requests in ticks for request in requests}
    if expected is None:
        assert found == set()
    else:
        code, level, limit = expected
        assert found == {(level, code, abs(change), limit)}


@pytest.mark.parametrize(
    ("gain", "asked", "code", "limit", "measured"),
    [(1.0, -3.0, "ACTUATOR_FAST", 1.0, 1.0 + 3 * 0.025), (-1.5, 3.0, "ACTUATOR_SLOW", 1.5, 1.5 + 3 * 0.025)],
)
def test_an_answer_on_the_limit_of_the_longest_lag_is_late_and_later_on_a_fault(gain, asked, code, limit, measured):
    """The vehicle's speed changes evenly, by exactly the limit in a second, and from 4 s on the opposite is asked for.

    Windows 0.6 s ago see it after 4.6 s, those 1.2 s ago after 5.2 s; the checks every four ticks of 1/64 s lie at
    4.625 and 5.25 s, and the second of each counts.
    """
    ticks = list(fed(UNEQUAL, lambda t: asked if t > 4.0 else 0.0, lambda t: 20.0 + gain * t, 7.0, EXACT_S))
    assert first_times(ticks) == {"ACTUATOR_LAG": 4.6875, code: 5.3125}
    level, _, excess, found = values(ticks, "ACTUATOR_LAG")[0]
    assert (level, found) == (Mode.FALLBACK, limit)
    assert measured < excess == pytest.approx(measured + 3 / 16, abs=0.05)


@pytest.mark.parametrize("asked", [20.0, -20.0])
@pytest.mark.parametrize(("lag_s", "codes"), [(0.58, set()), (0.7, {"ACTUATOR_LAG"}), (1.2, {"ACTUATOR_LAG"})])
def test_the_longest_lags_are_compared_themselves(asked, lag_s, codes):
    """20 m/s^2 make 2 m/s of a tenth of a second."""
    limits = ActuatorLimits(confirm_s=0.02)
    ticks = fed(limits, lambda t: asked if t > 3.0 else 0.0, lambda t: 200.0 + ramp(asked, 3.0 + lag_s)(t), 8.0)
    assert set(first_times(ticks)) == codes


@pytest.mark.parametrize(("kink_s", "after", "asked"), [(0.4, 9.0, 2.0), (0.4, -9.0, 2.0), (0.2, 0.0, 4.0)])
@pytest.mark.parametrize("first_speed", [0.0, 12.0])
def test_what_is_asked_for_is_the_mean_of_the_first_four_tenths_of_a_second(kink_s, after, asked, first_speed):
    ticks = fed(ActuatorLimits(), lambda t: asked, lambda t: 15.0, 3.0,
                points=lambda value: along(value, first_speed, kink_s, after))  # fmt: skip
    assert values(ticks, "ACTUATOR_SLOW")[0][2] == pytest.approx(2.0)


@pytest.mark.parametrize(("speed", "found"), [(0.29, False), (0.3, True), (0.31, True)])
def test_braking_need_not_show_below_walking_speed(speed, found):
    ticks = fed(ActuatorLimits(), lambda t: -3.0, lambda t: speed, 3.0, points=lambda value: along(value, 12.0))
    assert ("ACTUATOR_FAST" in first_times(ticks)) is found


@pytest.mark.parametrize("speed", [0.0, 0.29])
@pytest.mark.parametrize("asked", [0.8, 2.0])
def test_drive_that_is_asked_for_at_standstill_must_show(speed, asked):
    ticks = list(fed(ActuatorLimits(slow_mps=0.5), lambda t: asked, lambda t: speed, 3.0))
    assert values(ticks, "ACTUATOR_SLOW")[0][2] == pytest.approx(asked)
    assert first_times(fed(ActuatorLimits(slow_mps=0.5), lambda t: -asked, lambda t: speed, 3.0)) == {}


def test_the_longest_window_and_lag_are_always_remembered():
    """5 s and 3 s: judged from 8 s on without a break, past the 20.48 s after which half of the memory goes."""
    limits = ActuatorLimits(window_s=5.0, late_s=3.0, confirm_s=0.02)
    ticks = list(fed(limits, lambda t: 0.0, ramp(2.0), 22.0))
    assert all(requests for t, requests in ticks if t > 8.2)
    excesses = np.array([request[2] for request in values(ticks, "ACTUATOR_FAST")])
    assert excesses == pytest.approx(np.full(len(excesses), 10.0))


def test_where_ticks_come_too_fast_to_be_remembered_for_long_enough_nothing_is_judged():
    assert first_times(fed(ActuatorLimits(), lambda t: 10.0, lambda t: 15.0, 4.0, tick_s=0.001)) == {}


def aside_ticks(sideways, seconds=3.0, path=lambda k: 4, **limits):
    """The vehicle slides off sideways while every path begins at it and goes straight on."""
    watch = ActuatorWatch(ActuatorLimits(confirm_s=0.02, **limits))
    for k in range(round(seconds / TICK_S) + 1):
        t = k * TICK_S
        y = sideways * t
        times = np.linspace(0.0, 5.0, path(k))
        points = np.column_stack([times, 10 * (t + times), 0 * times + y, 0 * times, 0 * times + 10, 0 * times])
        requests = watch.check(points, Motion(10 * t, y, 0.0, 10.0, 0.0, 0.0), round(t * 1e9))
        yield t, [(r.level, r.reason.code, r.reason.measured, r.reason.limit) for r in requests]


def nearest_age(t, wanted):
    """Age of the kept path whose age is nearest to the one wanted; one is kept every 0.1 s."""
    ages = t - 0.1 * np.arange(math.floor(t / 0.1 + 1e-9) + 1)
    return float(ages[np.argmin(np.abs(ages - wanted))])


@pytest.mark.parametrize(("age", "first"), [(1.5, 1.5), (5.0, 4.98)])
@pytest.mark.parametrize("sideways", [1.0, -1.0])
def test_the_offset_is_that_from_the_path_nearest_to_its_age(sideways, age, first):
    """Checked at multiples of 0.06 s, at 1.44 s for the first time (4.92 s), and confirmed by the next."""
    seen = {}
    for t, requests in aside_ticks(sideways, age + 1.5, path_s=age):
        for request in requests:
            seen.setdefault(round(request[2], 6), t)
            assert request == (Mode.IN_LANE_STOP, "ACTUATOR_LATERAL", request[2], 1.0)
    assert min(seen.values()) == pytest.approx(first)
    for measured, t in seen.items():
        assert measured == pytest.approx(nearest_age(t, age))


def test_every_third_tick_is_compared():
    values_at = [round(requests[0][2], 6) for t, requests in aside_ticks(1.0, 4.0) if requests]
    lengths = [len(list(group)) for _, group in groupby(values_at)]
    assert set(lengths[:-1]) <= {3, 6}


def test_paths_of_another_length_begin_anew():
    """From 2 s on the paths have other points: the offset is unknown until one of those is 1.4 s old."""
    found = [round(t, 2) for t, requests in aside_ticks(1.0, 5.0, path=lambda k: 4 if k < 100 else 7) if requests]
    gap = [(a, b) for a, b in pairwise(found) if b - a > 0.03]
    assert len(gap) == 1
    assert gap[0][0] < 2.1
    assert 3.4 <= gap[0][1] <= 3.5


@pytest.mark.parametrize(("aside", "found"), [(1.0, False), (-1.0, False), (1.000001, True), (-1.000001, True)])
def test_an_offset_on_the_limit_is_within_it(aside, found):
    watch, seen = ActuatorWatch(ActuatorLimits(confirm_s=0.02)), set()
    times = np.linspace(0.0, 5.0, 4)
    for k in range(100):
        t = k * TICK_S
        points = np.column_stack([times, 10 * (t + times), 0 * times, 0 * times, 0 * times + 10, 0 * times])
        for request in watch.check(points, Motion(10 * t, aside, 0.0, 10.0, 0.0, 0.0), round(t * 1e9)):
            seen.add(request.reason.code)
    assert seen == ({"ACTUATOR_LATERAL"} if found else set())


CORNER = np.array([[0.0, 0.0], [2.0, 0.0], [2.0, 0.0], [2.0, 6.0]])
"""2 m along x, a rest, then 6 m along y."""


@pytest.mark.parametrize(
    ("here", "offset"),
    [((0.5, 0.25), 0.25), ((0.5, -0.25), -0.25), ((1.75, 2.9), 0.25), ((2.2, 0.1), -0.2), ((2.5, 1.0), -0.5),
     ((2.5, 4.0), -0.5), ((1.5, 7.0), 0.5), ((-1.0, 0.5), 0.5), ((0.5, 5.0), 1.5)],
)  # fmt: skip
def test_the_offset_is_that_from_the_nearest_moving_part_of_the_path(here, offset):
    assert lateral_offset(CORNER, np.array(here)) == pytest.approx(offset)


@pytest.mark.parametrize(("step", "offset"), [(0.001, None), (0.0011, 0.5)])
def test_a_path_that_moves_by_less_than_a_millimetre_stands(step, offset):
    assert lateral_offset(np.array([[0.0, 0.0], [step, 0.0]]), np.array([0.0, 0.5])) == offset
