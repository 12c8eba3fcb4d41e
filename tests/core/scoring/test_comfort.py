"""nuPlan's comfort limits on both sides of each, the filter against SciPy, and agreement of successive plans."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.errors import GeometryError
from onboard_vla.core.scoring.comfort import comfort, extended_comfort
from onboard_vla.core.scoring.motion import STEP_S, Motion
from onboard_vla.core.scoring.smoothing import savitzky_golay

from .scenes import INSTANTS, VEHICLE, along_x, straight_on

T = STEP_S * np.arange(INSTANTS)


def turning(speed, headings, acceleration=None):
    """Given headings (T,) at a constant speed; where it is does not matter for comfort."""
    rates = np.gradient(headings, STEP_S)
    poses = np.stack([speed * T[: len(headings)], np.zeros(len(headings)), headings], 1)
    zero = np.zeros(len(headings))
    return Motion(poses, np.full(len(headings), float(speed)), zero if acceleration is None else acceleration, rates)


def accelerating(values):
    """Given accelerations (T,); the speed does not matter for them."""
    motion = straight_on(20.0, count=len(values))
    return Motion(motion.poses, motion.speed_mps, np.asarray(values, float), motion.yaw_rate_rps)


def held(motion):
    found = comfort(motion, VEHICLE)
    return {name for name in found.__dataclass_fields__ if not getattr(found, name)}


def test_constant_speed_straight_on_is_comfortable():
    assert held(straight_on(15.0)) == set()
    assert comfort(straight_on(15.0), VEHICLE).all


@pytest.mark.parametrize(
    ("value", "missed"),
    [(-4.04, set()), (-4.05, {"longitudinal"}), (2.39, set()), (2.40, {"longitudinal"})],
)
def test_longitudinal_acceleration(value, missed):
    assert held(accelerating(np.full(INSTANTS, value))) == missed


@pytest.mark.parametrize(("jerk", "missed"), [(4.12, set()), (4.14, {"longitudinal_jerk"})])
def test_longitudinal_jerk(jerk, missed):
    # Eight samples fill the windows, so that the fitted line is the ramp itself; its magnitude falls, then rises.
    assert held(accelerating(-2.0 + jerk * T[:8])) == missed


@pytest.mark.parametrize(("jerk", "missed"), [(8.36, False), (8.38, True)])
def test_jerk_of_the_magnitude(jerk, missed):
    t = STEP_S * np.arange(8)
    assert (comfort(accelerating(jerk * t), VEHICLE).jerk is False) == missed


@pytest.mark.parametrize(("lateral", "missed"), [(4.88, set()), (4.90, {"lateral"})])
def test_lateral_acceleration_is_speed_times_yaw_rate(lateral, missed):
    assert held(turning(15.0, lateral / 15.0 * T)) == missed


@pytest.mark.parametrize(("rate", "missed"), [(0.94, set()), (0.96, {"yaw_rate"})])
def test_yaw_rate_across_the_seam_of_the_circle(rate, missed):
    headings = np.angle(np.exp(1j * (3.0 + rate * T)))
    motion = Motion(turning(2.0, headings).poses, np.full(INSTANTS, 2.0), np.zeros(INSTANTS), np.full(INSTANTS, rate))
    assert held(motion) == missed


@pytest.mark.parametrize(("rate", "missed"), [(1.92, False), (1.94, True)])
def test_yaw_acceleration(rate, missed):
    assert (not comfort(turning(1.0, rate * T[:8] ** 2 / 2), VEHICLE).yaw_acceleration) == missed


def test_history_in_front_makes_a_sudden_start_uncomfortable():
    gathers_way, brakes = accelerating(np.full(15, 1.5)), accelerating(np.full(INSTANTS, -3.3))
    assert comfort(brakes, VEHICLE).all
    assert held(brakes.after(gathers_way)) == {"longitudinal_jerk"}


def test_plans_that_agree_where_they_overlap_have_extended_comfort():
    speeds = 10.0 + np.sin(np.arange(INSTANTS + 5) / 4)
    whole = along_x(speeds)
    assert extended_comfort(whole.part(0, INSTANTS), whole.part(5), 5, VEHICLE) == 1.0


@pytest.mark.parametrize(("difference", "score"), [(0.7, 1.0), (0.71, 0.0)])
def test_plans_may_differ_by_so_much_acceleration(difference, score):
    before, now = accelerating(np.full(INSTANTS, 1.0)), accelerating(np.full(INSTANTS, 1.0 + difference))
    assert extended_comfort(before, now, 5, VEHICLE) == score


@pytest.mark.parametrize(("difference", "score"), [(0.49, 1.0), (0.51, 0.0)])
def test_plans_may_differ_by_so_much_jerk(difference, score):
    # Centred on the overlap of 3.5 s the accelerations differ by at most 0.9 m/s2, 0.52 in root mean square.
    before, now = accelerating(np.full(INSTANTS, 2.0)), accelerating(2.0 + difference * (T - 1.75))
    assert extended_comfort(before, now, 5, VEHICLE) == score


@pytest.mark.parametrize(("difference", "score"), [(0.09, 1.0), (0.11, 0.0)])
def test_plans_may_differ_by_so_much_yaw_rate(difference, score):
    assert extended_comfort(turning(1.0, 0.0 * T), turning(1.0, difference * T), 5, VEHICLE) == score


@pytest.mark.parametrize(("difference", "score"), [(0.09, 1.0), (0.11, 0.0)])
def test_plans_may_differ_by_so_much_yaw_acceleration(difference, score):
    # A yaw rate within 0.1 rad/s all along: short plans whose yaw rate passes through zero in the middle.
    t = T[:15] - T[7]
    before, now = turning(0.1, np.zeros(20)), turning(0.1, difference * t**2 / 2)
    assert extended_comfort(before, now, 5, VEHICLE) == score


def test_too_short_motions_are_refused():
    with pytest.raises(GeometryError, match="at least 5"):
        comfort(straight_on(5.0, count=4), VEHICLE)
    with pytest.raises(GeometryError, match="overlap in 3 instants"):
        extended_comfort(straight_on(5.0, count=8), straight_on(5.0, count=8), 5, VEHICLE)


@pytest.mark.parametrize(("window", "order", "derivative"), [(8, 2, 0), (15, 2, 1), (5, 2, 1), (5, 3, 2), (5, 2, 2)])
def test_filter_equals_scipys(window, order, derivative):
    signal = pytest.importorskip("scipy.signal")
    values = np.random.default_rng(3).normal(size=56)
    for count in (window, window + 1, 56):
        expected = signal.savgol_filter(values[:count], window, order, deriv=derivative, delta=0.1)
        np.testing.assert_allclose(savitzky_golay(values[:count], window, order, derivative, 0.1), expected, atol=1e-9)


def test_a_window_that_does_not_fit_is_refused():
    with pytest.raises(GeometryError, match="window of 9"):
        savitzky_golay(np.zeros(8), 9, 2)
