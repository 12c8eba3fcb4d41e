"""ad-rss (LGPL, tests alone) behind plain numbers. Its brakes are negative, its lateral speeds positive right."""

from __future__ import annotations

import warnings

import pytest

with warnings.catch_warnings():
    warnings.simplefilter("ignore", RuntimeWarning)
    ad_rss = pytest.importorskip("ad_rss", reason="ad-rss has wheels for x86-64, glibc >= 2.35, Python 3.10 to 3.13")

structured, Distance = ad_rss.rss.structured, ad_rss.physics.Distance


def state(dynamics, speed_mps=0.0, lateral_mps=0.0, to_intersection_m=1000.0):
    """A road user as the library wants it. `lateral_mps`: positive left."""
    made = ad_rss.rss.core.RelativeObjectState()
    made.object_type = ad_rss.rss.world.ObjectType.OtherVehicle
    at, speed = made.structured_object_state, ad_rss.physics.Speed
    at.velocity.speed_lon_min = at.velocity.speed_lon_max = speed(speed_mps)
    at.velocity.speed_lat_min = at.velocity.speed_lat_max = speed(-lateral_mps)
    at.is_in_correct_lane = True
    at.distance_to_enter_intersection = Distance(to_intersection_m)
    at.distance_to_leave_intersection = Distance(to_intersection_m + 100.0)
    limits, acceleration = made.dynamics, ad_rss.physics.Acceleration
    limits.response_time = ad_rss.physics.Duration(dynamics.response_s)
    limits.max_speed_on_acceleration = speed(dynamics.acceleration_speed_max_mps)
    limits.alpha_lon.accel_max = acceleration(dynamics.acceleration_mps2)
    limits.alpha_lon.brake_max = acceleration(-dynamics.brake_max_mps2)
    limits.alpha_lon.brake_min = acceleration(-dynamics.brake_min_mps2)
    limits.alpha_lon.brake_min_correct = acceleration(-dynamics.brake_min_correct_mps2)
    limits.alpha_lat.accel_max = acceleration(dynamics.lateral_acceleration_mps2)
    limits.alpha_lat.brake_min = acceleration(-dynamics.lateral_brake_mps2)
    limits.lateral_fluctuation_margin = Distance(dynamics.fluctuation_m)
    limits.min_longitudinal_safety_distance = Distance(dynamics.standstill_gap_m)
    _fill_what_is_checked_but_unused(limits.unstructured_settings, made.unstructured_object_state)
    return made


def _fill_what_is_checked_but_unused(settings, free):
    """The library's free-space model is not used here, but it refuses states that lack it. Values of its own tests."""
    physics = ad_rss.physics
    settings.pedestrian_turning_radius, settings.vehicle_min_radius = Distance(2.0), Distance(3.5)
    settings.drive_away_max_angle = physics.Angle(2.4)
    settings.vehicle_yaw_rate_change = physics.AngularAcceleration(0.3)
    settings.vehicle_trajectory_calculation_step = physics.Duration(0.2)
    free.yaw, free.yaw_rate, free.steering_angle = physics.Angle(0.0), physics.AngularVelocity(0.0), physics.Angle(0.0)
    free.center_point.x = free.center_point.y = Distance(0.0)
    free.dimension.length, free.dimension.width = Distance(4.6), Distance(1.9)
    free.speed_range.minimum = free.speed_range.maximum = physics.Speed(0.0)


def distance(function, first, second):
    """The distance that one of the library's functions finds; it must accept both states."""
    found = Distance(0.0)
    assert function(first, second, found), "ad-rss refuses its input"
    return found.mDistance


def distance_to_stop(user):
    """How far someone gets who accelerates through the response time and then brakes."""
    speed, limits, found = user.structured_object_state.velocity.speed_lon_max, user.dynamics, Distance(0.0)
    lon, top = limits.alpha_lon, limits.max_speed_on_acceleration
    pattern = structured.calculateLongitudinalDistanceOffsetAfterStatedBrakingPattern
    assert pattern(speed, top, limits.response_time, lon.accel_max, lon.brake_min, found), "ad-rss refuses its input"
    return found.mDistance
