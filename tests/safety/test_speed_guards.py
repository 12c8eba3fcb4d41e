"""Ego states and wheel speeds: what one message may say, and what they may say of each other."""

from __future__ import annotations

import math

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.ego import WheelSpeed
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.guards.freshness import input_requests
from onboard_vla.safety.input_config import WheelLimits
from onboard_vla.safety.inputs import Inputs

from .driving_range import make_ego, simulation_config

REQUIRED = simulation_config(wheel=WheelLimits(presence="required"))
OPTIONAL = simulation_config()
T0, MS = 50_000_000_000, 1_000_000
NONE = "no fault"


def at(ms, data_ms=None):
    return Now(T0 + round(ms * MS), T0 + round((ms if data_ms is None else data_ms) * MS))


class Feed:
    """A vehicle's odometry and wheels at 50 Hz into `Inputs`."""

    def __init__(self, config=OPTIONAL, wheels=True):
        self.inputs, self.config, self.wheels = Inputs(config), config, wheels
        self.k, self.x, self.speed = -1, 0.0, 10.0

    def run(self, seconds, acceleration=0.0, ego=None, wheel=None):
        """Seconds until each code first showed. `ego`, `wheel`: change what is sent (None: nothing is)."""
        seen = {}
        for step in range(round(seconds * 50)):
            self.k += 1
            self.speed += acceleration * 0.02
            self.x += self.speed * 0.02
            now = at(20 * self.k)
            values = dict(x_m=self.x, speed_mps=self.speed, acceleration_mps2=acceleration)
            values = ego(values, step) if ego else values
            if values is not None:
                self.inputs.receive(make_ego(now.stamp_ns, **values), now)
            speed = wheel(self.speed, step) if wheel else self.speed
            if self.wheels and speed is not None:
                self.inputs.receive(WheelSpeed(now.stamp_ns, speed), now)
            for request in input_requests(self.inputs, now, self.config):
                seen.setdefault((int(request.level), request.reason.code), step * 0.02)
        missing = ("OBJECTS_MISSING", "LANES_MISSING", "ROUTE_MISSING", "EGO_LATE")
        return {key: time for key, time in seen.items() if key[1] not in missing}


@pytest.mark.parametrize("acceleration", [-6.0, -1.0, 0.0, 2.0])
@pytest.mark.parametrize("config", [OPTIONAL, REQUIRED])
def test_two_sources_that_agree_ask_for_nothing(config, acceleration):
    feed = Feed(config)
    feed.run(0.5)
    assert feed.run(1.5, acceleration) == {}


def test_noise_of_both_sources_asks_for_nothing():
    rng, feed = np.random.default_rng(1), Feed(REQUIRED)

    def noisy(values, step):
        speed, x, acceleration = (values[key] for key in ("speed_mps", "x_m", "acceleration_mps2"))
        return {
            "speed_mps": speed + rng.normal(0, 0.05),
            "x_m": x + rng.normal(0, 0.02),
            "acceleration_mps2": acceleration + rng.normal(0, 0.15),
        }

    assert feed.run(30.0, 0.0, noisy, lambda speed, step: speed * 1.02 + rng.normal(0, 0.03)) == {}


@pytest.mark.parametrize(("apart", "found"), [(1.99, False), (2.01, True), (-1.99, False), (-2.01, True)])
def test_sources_more_than_two_metres_a_second_apart_stop_the_vehicle_within_100_ms(apart, found):
    feed = Feed()
    feed.run(1.0)
    seen = feed.run(0.5, wheel=lambda speed, step: speed + apart)
    assert seen == ({(3, "SPEED_SOURCES_APART"): pytest.approx(0.04)} if found else {})
    assert feed.run(0.5) == {}


def test_one_wheel_speed_apart_is_not_enough():
    feed = Feed()
    feed.run(1.0)
    assert feed.run(1.0, wheel=lambda speed, step: speed + (2.4 if step % 3 else 0.0)) == {}


@pytest.mark.parametrize(
    ("speed", "code"),
    [(math.nan, "WHEEL_NOT_FINITE"), (math.inf, "WHEEL_NOT_FINITE"), (-2.01, "WHEEL_IMPLAUSIBLE"),
     (50.01, "WHEEL_IMPLAUSIBLE"), (60.0, "WHEEL_IMPLAUSIBLE"), (120.0, "WHEEL_IMPLAUSIBLE"), (15.0, "WHEEL_JUMP"),
     (12.7, None), (12.8, "WHEEL_JUMP")],
)  # fmt: skip
def test_a_wheel_speed_that_cannot_be_is_refused(speed, code):
    feed = Feed(REQUIRED)
    feed.run(0.1)
    now = at(20 * feed.k + 20)
    feed.inputs.receive(WheelSpeed(now.stamp_ns, speed), now)
    assert (feed.inputs.faults["wheel"].code if "wheel" in feed.inputs.faults else None) == code
    assert feed.inputs.wheel.speed_mps == (speed if code is None else 10.0)


@pytest.mark.parametrize(("config", "level"), [(REQUIRED, 2), (OPTIONAL, 0)])
def test_lost_wheels_are_a_fault_where_they_are_required(config, level):
    feed = Feed(config)
    feed.run(0.5)
    seen = feed.run(0.5, wheel=lambda speed, step: None)
    assert seen == {(level, "WHEEL_SILENT"): pytest.approx(0.2)}
    assert Feed(config, wheels=False).run(0.1) == ({(2, "WHEEL_MISSING"): 0.0} if level else {})


@pytest.mark.parametrize(("ms", "found"), [(200, False), (200.1, True)])
@pytest.mark.parametrize("clock", ["reception", "data"])
def test_wheel_ages_count_on_both_clocks(ms, found, clock):
    inputs = Inputs(REQUIRED)
    inputs.receive(WheelSpeed(T0, 5.0), at(0))
    now = at(ms, 0) if clock == "reception" else at(0, ms)
    codes = [request.reason.code for request in input_requests(inputs, now, REQUIRED)]
    assert ("WHEEL_SILENT" in codes) is found


def test_both_sources_lost_stop_the_vehicle_hard():
    feed = Feed(REQUIRED)
    feed.run(0.5)
    seen = feed.run(0.4, ego=lambda values, step: None, wheel=lambda speed, step: None)
    assert seen[4, "SPEED_LOST"] == pytest.approx(0.2)
    assert (4, "EGO_LOST") not in seen
    feed = Feed(REQUIRED)
    feed.run(0.5)
    seen = feed.run(0.1, ego=lambda values, step: {**values, "speed_mps": math.nan}, wheel=lambda s, k: math.nan)
    assert seen[4, "SPEED_LOST"] == 0.0


def test_one_source_lost_is_no_emergency():
    feed = Feed(REQUIRED)
    feed.run(0.5)
    assert max(level for level, _ in feed.run(0.3, ego=lambda values, step: None)) == Mode.IN_LANE_STOP


@pytest.mark.parametrize("value", [-5.0, 60.0, 120.0, math.nan, 15.0])
def test_an_impossible_odometry_speed_stops_the_vehicle_in_the_same_message(value):
    feed = Feed()
    feed.run(0.5)
    seen = feed.run(0.1, ego=lambda values, step: {**values, "speed_mps": value})
    assert {(level, time) for (level, _), time in seen.items()} == {(3, 0.0)}


@pytest.mark.parametrize("acceleration", [-4.0, -2.0, 1.5])
def test_a_stuck_speed_is_found_within_a_second_against_the_acceleration(acceleration):
    feed = Feed(wheels=False)
    feed.run(1.5)
    seen = feed.run(1.2, acceleration, ego=lambda values, step: {**values, "speed_mps": 10.0})
    assert min(time for (level, code), time in seen.items() if level == 3) <= 1.0
    assert {code for _, code in seen} <= {"EGO_SPEED_STUCK", "EGO_ACCELERATION", "EGO_SPEED_SOURCES"}


@pytest.mark.parametrize(("gained", "found"), [(0.49, False), (0.53, True)])
@pytest.mark.parametrize("sign", [1.0, -1.0])
def test_the_stuck_limit_holds_on_both_sides(gained, found, sign):
    feed = Feed(wheels=False)
    feed.run(1.5)
    rate = sign * gained / 0.9
    seen = feed.run(1.2, ego=lambda values, step: {**values, "acceleration_mps2": rate})
    assert seen == ({(3, "EGO_SPEED_STUCK"): pytest.approx(0.86, abs=0.05)} if found else {})


def test_a_speed_that_moves_a_little_is_not_stuck_and_a_constant_one_without_acceleration_neither():
    feed = Feed(wheels=False)
    assert feed.run(3.0) == {}
    wobble = feed.run(1.5, ego=lambda v, step: {**v, "acceleration_mps2": 0.7, "speed_mps": 10.0 + 0.002 * (step % 2)})
    assert wobble == {}


@pytest.mark.parametrize(("gap", "found"), [(1.45, False), (1.55, True)])
def test_speed_and_summed_acceleration_may_differ_by_so_much(gap, found):
    feed = Feed(wheels=False)
    feed.run(1.5)
    rate = gap / 0.9

    def sent(values, step):
        return {**values, "acceleration_mps2": rate, "speed_mps": 10.0 + 0.01 * (step % 2)}

    assert ((3, "EGO_ACCELERATION") in feed.run(1.0, ego=sent)) is found


@pytest.mark.parametrize(("speed", "found"), [(0.5, False), (0.51, True)])
def test_equal_poses_while_moving_are_stuck_after_300_ms(speed, found):
    feed = Feed(wheels=False)
    feed.speed = speed
    feed.run(1.0)
    here = feed.x
    seen = feed.run(0.5, ego=lambda values, step: {**values, "x_m": here})
    assert seen == ({(3, "EGO_POSE_STUCK"): pytest.approx(0.3, abs=0.021)} if found else {})


def test_hard_braking_reported_late_is_no_contradiction():
    feed, rates = Feed(wheels=False), []
    feed.run(1.5)

    def late(values, step):
        rates.append(values["acceleration_mps2"])
        return {**values, "acceleration_mps2": rates[-10] if len(rates) >= 10 else 0.0}

    assert feed.run(1.4, -6.0, late) == {}
