"""The highest speeds along a path: every figure by hand, with the defaults' 1.5, 2.0 and 3.0 m/s^2."""

from __future__ import annotations

import math
from types import SimpleNamespace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.speed_caps import model_cap, speed_caps

SETTINGS = FallbackSettings(speed_cap_mps=30.0)
VEHICLE = VehicleGeometry(length_m=5.0, width_m=2.0, wheelbase_m=3.0, rear_overhang_m=1.0)
"""The front is 4 m ahead of the rear axle."""
S = np.arange(0.0, 100.5, 0.5)


def caps(heading=None, limits=25.0, known_m=1e9, settings=SETTINGS):
    """What rules and what physics allow, by arc length."""
    path = SimpleNamespace(s_m=S, heading_rad=0.0 * S if heading is None else heading, known_m=known_m)
    rules, physics = speed_caps(path, limits + 0.0 * S, settings, VEHICLE)
    return (lambda s: float(rules[round(2 * s)])), (lambda s: float(physics[round(2 * s)]))


@pytest.mark.parametrize("side", [1.0, -1.0])
def test_on_a_circle_the_lateral_acceleration_is_the_comfortable_one_up_to_both_ends(side):
    """2 m/s^2 on 50 m of radius: 10 m/s."""
    _, physics = caps(side * S / 50.0)
    for s in (0.0, 0.5, 4.5, 5.0, 50.0, 95.5, 99.5, 100.0):
        assert physics(s) == pytest.approx(10.0)


@pytest.mark.parametrize(
    ("s", "speed"),
    [
        (55.0, 10.0),  # all of the bend within 10 m: 0.02 per m
        (57.5, math.sqrt(2.0 / 0.015)),  # three quarters of it
        (60.0, math.sqrt(2.0 / 0.010)),
        (64.5, math.sqrt(2.0 / 0.001)),
        (65.0, math.sqrt(2.0 / 1e-4)),  # a curvature below 0.0001 per m counts as that
        (40.0, math.sqrt(100.0 + 2 * 1.5 * 15.0)),  # braking with 1.5 m/s^2 towards the middle of the bend
        (0.0, math.sqrt(100.0 + 2 * 1.5 * 55.0)),
    ],
)
def test_a_bend_of_a_fifth_of_a_radian_over_ten_metres(s, speed):
    _, physics = caps(np.clip((S - 50.0) / 10.0, 0.0, 1.0) * 0.2)
    assert physics(s) == pytest.approx(speed)


@pytest.mark.parametrize("s", [0.0, 20.0, 43.5, 44.0, 44.5, 100.0])
def test_the_vehicle_can_stop_with_its_front_two_metres_before_the_end_of_what_is_known(s):
    """50 m are known; 4 m of front and 2 m of margin leave 44 m, for 3 m/s^2."""
    _, physics = caps(known_m=50.0)
    assert physics(s) == pytest.approx(math.sqrt(2 * 3.0 * max(44.0 - s, 0.0)))


def test_rules_are_the_lower_of_the_limit_and_the_modes_cap_and_are_reached_by_comfortable_braking():
    rules, physics = caps(limits=np.where(S >= 30.0, 8.0, 25.0), settings=FallbackSettings(speed_cap_mps=12.0))
    assert [rules(s) for s in (30.0, 31.0, 100.0)] == pytest.approx([8.0] * 3)
    assert rules(20.0) == pytest.approx(math.sqrt(64.0 + 2 * 1.5 * 10.0))
    assert rules(0.0) == pytest.approx(12.0)
    assert physics(0.0) == pytest.approx(math.sqrt(2.0 / 1e-4))
    assert caps(limits=9.0)[0](50.0) == pytest.approx(9.0)


def test_a_limit_of_nothing_is_a_stop():
    rules, _ = caps(limits=np.where(S >= 50.0, 0.0, 25.0))
    assert rules(50.0) == 0.0
    assert rules(44.0) == pytest.approx(math.sqrt(2 * 1.5 * 6.0))


class TestModel:
    LANES = LaneObservation(
        0, np.array([[0.0, 0.0], [100.0, 0.0]]), np.ones(2), np.ones(2), 3.5, np.array([10.0, 20.0]), ()
    )
    HERE = Motion(30.0, 1.0, 0.5, 9.0, 0.0, 0.0)

    def test_without_a_share_the_domain_alone_bounds_it(self):
        assert model_cap(None, self.LANES, self.HERE, 22.0) == 22.0
        assert model_cap(None, None, self.HERE, 22.0) == 22.0

    def test_the_share_is_one_of_the_lanes_limit_where_the_vehicle_is(self):
        """Between 10 and 20 m/s along 100 m, 30 m on: 13 m/s."""
        assert model_cap(0.5, self.LANES, self.HERE, 22.0) == pytest.approx(6.5)
        assert model_cap(0.5, self.LANES, self.HERE, 6.0) == 6.0

    def test_without_lanes_it_is_one_of_the_domains(self):
        assert model_cap(0.5, None, self.HERE, 22.0) == 11.0
