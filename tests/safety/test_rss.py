"""RSS distances: published numbers, another implementation, what the definitions mean when they are driven."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.safety.rss import (
    CONSERVATIVE_EGO,
    CONSERVATIVE_OTHER,
    RssDynamics,
    lateral_m,
    opposite_direction_m,
    same_direction_m,
    stop_before_intersection_m,
)

EGO, OTHER = CONSERVATIVE_EGO, CONSERVATIVE_OTHER
CASES = 10_000
SPEEDS = (0.0, 0.01, 0.1, 5.0, 13.89, 27.78, 50.0, 99.9)
BOUNDS = {
    "response_s": (0.05, 4.0),
    "acceleration_mps2": (0.0, 6.0),
    "acceleration_speed_max_mps": (1.0, 100.0),
    "brake_min_mps2": (4.0, 8.0),
    "brake_max_mps2": (8.0, 12.0),
    "brake_min_correct_mps2": (0.5, 4.0),
    "lateral_acceleration_mps2": (0.0, 3.0),
    "lateral_brake_mps2": (0.1, 4.0),
    "fluctuation_m": (0.0, 1.0),
    "standstill_gap_m": (0.0, 5.0),
}


@pytest.mark.parametrize(
    ("rear", "front", "expected"),
    [(15.0, 10.0, 53.28125), (13.89, 13.89, 41.38), (27.78, 27.78, 103.6), (13.89, 0.0, 53.44)],
)
def test_same_direction_golden_values(rear, front, expected):
    assert same_direction_m(rear, front, EGO, OTHER) == pytest.approx(expected, abs=0.05 if expected > 100 else 0.005)


def test_other_golden_values():
    brisk = replace(EGO, response_s=0.5, acceleration_mps2=1.5)
    assert same_direction_m(13.89, 13.89, brisk, brisk) == pytest.approx(21.87, abs=0.005)
    assert opposite_direction_m(10.0, 10.0, EGO, OTHER) == pytest.approx(105.25, abs=1e-9)
    assert lateral_m(0.0, 0.0, EGO, OTHER) == pytest.approx(0.725, abs=1e-12)
    assert lateral_m(0.0, 0.0, EGO, EGO) == pytest.approx(0.35, abs=1e-12)


def test_the_speed_bound_of_the_response_time_caps_acceleration_alone():
    slow = replace(EGO, acceleration_speed_max_mps=10.0)
    assert stop_before_intersection_m(9.0, slow) == pytest.approx(9.0 + (1 - 1 / 7) + 100 / 8)
    assert stop_before_intersection_m(12.0, slow) == pytest.approx(12.0 + 144 / 8)


def test_a_following_vehicle_that_keeps_the_distance_never_touches_and_just_below_it_does():
    v_rear, v_front = 15.0, 10.0
    gap = float(same_direction_m(v_rear, v_front, EGO, OTHER))
    t = np.arange(0.0, 12.0, 1e-4)
    answered = np.maximum(t - EGO.response_s, 0.0)
    fastest = v_rear + EGO.acceleration_mps2 * EGO.response_s
    rear = np.minimum(v_rear + EGO.acceleration_mps2 * t, fastest) - EGO.brake_min_mps2 * answered
    front = v_front - OTHER.brake_max_mps2 * t
    closest = np.min(gap + 1e-4 * np.cumsum(np.maximum(front, 0.0) - np.maximum(rear, 0.0)))
    assert closest == pytest.approx(0.0, abs=2e-3)


def test_a_bigger_standstill_gap_adds_itself():
    far = replace(EGO, standstill_gap_m=2.0)
    assert same_direction_m(5.0, 50.0, far, OTHER) == 2.0
    assert same_direction_m(15.0, 10.0, far, OTHER) == pytest.approx(55.28125)
    assert opposite_direction_m(10.0, 10.0, EGO, far) == pytest.approx(opposite_direction_m(10.0, 10.0, EGO, EGO) + 2.0)


@pytest.mark.parametrize("bad", [np.nan, -0.01])
def test_a_speed_that_is_unknown_or_backwards_has_no_answer(bad):
    assert np.isnan(same_direction_m(bad, 1.0, EGO, OTHER))
    assert np.isnan(same_direction_m(1.0, bad, EGO, OTHER))
    assert np.isnan(opposite_direction_m(bad, 1.0, EGO, OTHER))
    assert np.isnan(stop_before_intersection_m(bad, EGO))
    assert np.isnan(lateral_m(np.nan, 0.0, EGO, OTHER))


@pytest.mark.parametrize(
    "change",
    [
        {"brake_min_mps2": 0.0},
        {"response_s": np.nan},
        {"lateral_brake_mps2": -0.8},
        {"brake_max_mps2": 3.9},
        {"brake_min_correct_mps2": 4.1},
    ],
)
def test_parameters_outside_their_range_are_refused(change):
    with pytest.raises(ConfigurationError):
        RssDynamics(**change)


def some_dynamics(rng):
    """Any parameters, a fifth with one of them at its bound; in steps of 0.01, as the library takes 1 mm for equal."""
    drawn = {name: round(float(rng.uniform(*bounds)), 2) for name, bounds in BOUNDS.items()}
    if rng.random() < 0.2:
        name = str(rng.choice(list(BOUNDS)))
        drawn[name] = float(rng.choice(BOUNDS[name]))
    return RssDynamics(**drawn)


def nearly_tied(speed_mps, dynamics):
    """Whether the speed after the response time is nearly the cap: the library takes 1 mm/s for equal."""
    reached = speed_mps + dynamics.acceleration_mps2 * dynamics.response_s
    return 0.0 < abs(reached - dynamics.acceleration_speed_max_mps) < 2e-3


def test_every_distance_equals_that_of_ad_rss():
    from . import rss_oracle as oracle

    rng = np.random.default_rng(20)
    library = oracle.structured
    worst, compared = dict.fromkeys(("same", "opposite", "lateral", "intersection"), 0.0), 0
    for case in itertools.count():
        if compared == CASES:
            break
        first, second = (EGO, OTHER) if case % 3 == 0 else (some_dynamics(rng), some_dynamics(rng))
        v1, v2 = (rng.choice(SPEEDS, 2) if case % 4 == 0 else rng.uniform(0.0, 60.0, 2)).tolist()
        y1, y2 = (rng.choice([-2.0, 0.0, 2.0], 2) if case % 4 == 0 else rng.uniform(-3.0, 3.0, 2)).tolist()
        if nearly_tied(v1, first) or nearly_tied(v2, second):
            continue
        one = oracle.state(first, v1, y1)
        two = oracle.state(second, v2, y2)
        expected = {
            "same": oracle.distance(library.calculateSafeLongitudinalDistanceSameDirection, two, one),
            "opposite": oracle.distance(library.calculateSafeLongitudinalDistanceOppositeDirection, one, two),
            "lateral": oracle.distance(library.calculateSafeLateralDistance, one, two),
            "intersection": oracle.distance_to_stop(one) + first.standstill_gap_m,
        }
        found = {
            "same": same_direction_m(v1, v2, first, second),
            "opposite": opposite_direction_m(v1, v2, first, second),
            "lateral": lateral_m(y1, y2, first, second),
            "intersection": stop_before_intersection_m(v1, first),
        }
        for name, value in expected.items():
            worst[name] = max(worst[name], abs(float(found[name]) - value))
        compared += 1
    assert case < 1.01 * CASES
    assert max(worst.values()) < 1e-9, worst


def test_equal_decelerations_and_no_acceleration_are_sound():
    even = RssDynamics(brake_min_correct_mps2=4.0, brake_min_mps2=4.0, brake_max_mps2=4.0, acceleration_mps2=0.0)
    with np.errstate(all="raise"):
        assert stop_before_intersection_m(10.0, even) == 10.0 + 100 / 8
    assert (CONSERVATIVE_EGO.response_s, CONSERVATIVE_OTHER.response_s) == (1.0, 2.0)
