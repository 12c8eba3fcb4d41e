"""The plant against closed forms, and the gate's watchdog in virtual time."""

import dataclasses
import math

import numpy as np
import pytest

from onboard_vla.core.clock import Now, nanoseconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.world.vehicle import Control, Vehicle, VehicleGate

DT = 0.02


def straight_trajectory(speed, stamp_ns=0, engagement=Engagement.ENGAGED, points=None):
    times = np.arange(0.0, 5.05, 0.1)
    if points is None:
        zeros = np.zeros_like(times)
        points = np.column_stack([times, speed * times, zeros, zeros, np.full_like(times, speed), zeros])
    return SafeTrajectory(
        stamp_ns,
        1,
        engagement,
        Mode.NOMINAL,
        "model",
        1,
        (),
        points,
        hazard_lights=False,
        takeover=Takeover.NONE,
        takeover_stamp_ns=-1,
        driver_stamp_ns=-1,
        refusals=(),
        shadow_passes=0,
        config_hash="",
    )


def ego_at(speed, stamp_ns=0, x=0.0, y=0.0, heading=0.0):
    return EgoState(stamp_ns, x, y, heading, speed, 0.0, 0.0)


def test_constant_curvature_drives_a_circle():
    vehicle = Vehicle(0.0, 0.0, 0.0, 5.0)
    vehicle.curvature_per_m = 0.05
    steps = round(2 * math.pi / 0.05 / 5.0 / DT)
    for _ in range(steps):
        vehicle.step(Control(0.0, 0.05), DT)
    assert math.hypot(vehicle.x_m, vehicle.y_m) < 0.1
    assert max(abs(vehicle.x_m), abs(vehicle.y_m)) < 0.1


def test_acceleration_follows_a_first_order_lag_of_200_ms():
    vehicle = Vehicle(0.0, 0.0, 0.0, 20.0)
    for _ in range(10):
        vehicle.step(Control(-4.0, 0.0), DT)
    assert vehicle.acceleration_mps2 == pytest.approx(-4.0 * (1 - math.exp(-1.0)), rel=1e-6)


def test_stopping_distance_is_travel_in_the_lag_plus_v_squared_over_2a():
    vehicle = Vehicle(0.0, 0.0, 0.0, 20.0)
    while vehicle.speed_mps > 0.0:
        vehicle.step(Control(-4.0, 0.0), DT)
    assert vehicle.x_m == pytest.approx(20.0**2 / 8.0 + 20.0 * 0.2, abs=0.5)


def test_vehicle_never_rolls_backwards():
    vehicle = Vehicle(0.0, 0.0, 0.0, 0.5)
    for _ in range(100):
        vehicle.step(Control(-8.0, 0.0), DT)
    assert vehicle.speed_mps == 0.0
    assert 0.0 < vehicle.x_m < 0.25


def test_commands_that_are_not_finite_brake():
    vehicle = Vehicle(0.0, 0.0, 0.0, 10.0)
    for _ in range(50):
        vehicle.step(Control(math.nan, math.inf), DT)
    assert vehicle.speed_mps < 5.0
    assert vehicle.y_m == 0.0


def test_gate_holds_before_the_first_trajectory_and_in_standby():
    gate = VehicleGate()
    assert gate.control(ego_at(3.0), Now(0, 0)).acceleration_mps2 < 0.0
    gate.follow(straight_trajectory(5.0, engagement=Engagement.STANDBY), Now(0, 0))
    assert gate.control(ego_at(3.0), Now(0, 0)).acceleration_mps2 < 0.0


def test_gate_takes_a_drivers_override_although_it_carries_no_points():
    gate = VehicleGate()
    gate.follow(straight_trajectory(8.0), Now(0, 0))
    override = straight_trajectory(8.0, engagement=Engagement.DRIVER_OVERRIDE)
    gate.follow(dataclasses.replace(override, points=np.zeros((0, 6))), Now(1, 1))
    assert gate.control(ego_at(8.0), Now(1, 1)).acceleration_mps2 < 0.0


def test_gate_keeps_a_steady_speed_on_a_straight_line():
    gate = VehicleGate()
    gate.follow(straight_trajectory(8.0), Now(0, 0))
    control = gate.control(ego_at(8.0), Now(0, 0))
    assert control.acceleration_mps2 == pytest.approx(0.0, abs=1e-9)
    assert control.curvature_per_m == pytest.approx(0.0, abs=1e-12)


def test_gate_steers_back_with_the_pure_pursuit_arc():
    gate = VehicleGate()
    gate.follow(straight_trajectory(8.0), Now(0, 0))
    # Look-ahead 4.8 m from 1 m left of the line: the chord's lateral part is -1 m, curvature 2 y / L^2.
    control = gate.control(ego_at(8.0, y=1.0), Now(0, 0))
    assert control.curvature_per_m == pytest.approx(-2.0 / 4.8**2, rel=0.02)


@pytest.mark.parametrize("bad", ["nan", "shape", "old"])
def test_gate_does_not_count_bad_trajectories_as_alive(bad):
    gate = VehicleGate()
    gate.follow(straight_trajectory(8.0, stamp_ns=5), Now(0, 0))
    points = np.full((3, 6), np.nan) if bad == "nan" else np.zeros((3, 5)) if bad == "shape" else None
    late = Now(nanoseconds(0.3), nanoseconds(0.3))
    gate.follow(straight_trajectory(8.0, stamp_ns=1 if bad == "old" else 9, points=points), late)
    assert gate.silent(late)


def test_gate_starts_from_standstill_along_a_gently_rising_speed():
    times = np.arange(0.0, 5.05, 0.1)
    zeros = np.zeros_like(times)
    points = np.column_stack([times, 0.25 * times**2, zeros, zeros, 0.5 * times, np.full_like(times, 0.5)])
    gate = VehicleGate()
    gate.follow(straight_trajectory(0.0, points=points), Now(0, 0))
    assert gate.control(ego_at(0.0), Now(0, 0)).acceleration_mps2 > 0.2


@pytest.mark.parametrize("mode", [Mode.IN_LANE_STOP, Mode.EMERGENCY_STOP, Mode.STOPPED])
def test_stop_that_was_planned_from_a_wrong_speed_brakes_no_less_than_it_says(mode):
    """A supervisor that believes 5 m/s too much plans its stop from there; feedback alone would cancel the braking."""
    times = np.arange(0.0, 5.05, 0.1)
    zeros, speeds = np.zeros_like(times), np.maximum(20.0 - 6.0 * times, 0.0)
    travelled = np.cumsum(speeds) * 0.1
    points = np.column_stack([times, travelled, zeros, zeros, speeds, np.where(speeds > 0.0, -6.0, 0.0)])
    gate = VehicleGate()
    gate.follow(dataclasses.replace(straight_trajectory(0.0, points=points), mode=mode), Now(0, 0))
    assert gate.control(ego_at(15.0), Now(0, 0)).acceleration_mps2 == pytest.approx(-6.0)
    assert gate.control(ego_at(22.0), Now(0, 0)).acceleration_mps2 < -6.0
