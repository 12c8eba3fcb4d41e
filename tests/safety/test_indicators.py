"""Safety performance indicators: known constellations, frames that do not matter, who is not concerned, the ring."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.objects import PEDESTRIAN, VEHICLE, ObjectList, TrackedObject
from onboard_vla.core.road import GREEN, RED, LaneObservation, Signal
from onboard_vla.safety.config import CollisionLimits
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.indicator_record import ROWS, IndicatorRecord
from onboard_vla.safety.indicators import measure
from onboard_vla.safety.object_memory import ObjectMemory
from onboard_vla.safety.rss import CONSERVATIVE_EGO, CONSERVATIVE_OTHER, same_direction_m, stop_before_intersection_m

CAR = VehicleGeometry()
NOSE = CAR.length_m - CAR.rear_overhang_m
SECOND = 1_000_000_000


def rotated(x, y, angle, shift):
    return x * math.cos(angle) - y * math.sin(angle) + shift[0], x * math.sin(angle) + y * math.cos(angle) + shift[1]


class Road:
    """A straight lane whose coordinates are turned and shifted at will."""

    def __init__(self, angle=0.0, shift=(0.0, 0.0)):
        self.angle, self.shift = angle, shift
        self.objects, self.signals = [], []

    def at(self, x, y):
        return rotated(x, y, self.angle, self.shift)

    def add(self, x, y, vx=0.0, vy=0.0, kind=VEHICLE, length=4.5, width=1.8, heading=0.0):
        place, velocity = self.at(x, y), rotated(vx, vy, self.angle, (0.0, 0.0))
        track = len(self.objects) + 1
        self.objects.append(TrackedObject(track, kind, *place, heading + self.angle, *velocity, length, width))
        return self

    def signal(self, x, state):
        self.signals.append(Signal(len(self.signals), *self.at(x, 0.0), state))
        return self

    def measured(self, speed=10.0, acceleration=0.0):
        line = np.array([self.at(x, 0.0) for x in np.arange(-50.0, 300.0, 1.0)])
        wide = np.full(len(line), 4.0)
        lanes = LaneObservation(SECOND, line, wide, wide, 3.5, np.full(len(line), 14.0), tuple(self.signals))
        memory = ObjectMemory(CollisionLimits())
        for stamp_ns in (SECOND - 100_000_000, SECOND):
            back_s = (SECOND - stamp_ns) / 1e9
            then = tuple(
                dataclasses.replace(o, x_m=o.x_m - back_s * o.vx_mps, y_m=o.y_m - back_s * o.vy_mps)
                for o in self.objects
            )
            memory.add(ObjectList(stamp_ns, then), None)
        motion = Motion(*self.at(0.0, 0.0), self.angle, speed, acceleration, 0.0)
        found = memory.confirmed.at(SECOND)
        assert len(found.states) == len(self.objects)
        return measure(motion, found, Polyline(line), lanes, CAR, SECOND, "0" * 64)


def test_an_empty_road_concerns_nobody():
    found = Road().measured()
    assert (found.objects, found.rss_violations, found.required_deceleration_mps2) == (0, 0, 0.0)
    assert math.inf == found.headway_s == found.time_to_collision_s == found.time_to_brake_s
    assert math.inf == found.encroachment_s == found.rss_margin_m == found.stop_margin_m


def test_a_lead_at_a_known_gap_has_the_known_figures():
    gap = 60.0
    found = Road().add(NOSE + gap + 2.25, 0.0, vx=5.0).measured(speed=10.0)
    assert found.headway_s == pytest.approx(6.0)
    assert found.time_to_collision_s == pytest.approx(12.0)
    assert found.required_deceleration_mps2 == pytest.approx(5.0**2 / 120)
    ramp = 6.0 / 12.65
    braked = 5.0 * ramp - 12.65 * ramp**3 / 6 + (5.0 - 12.65 * ramp**2 / 2) ** 2 / 12
    assert found.time_to_brake_s == pytest.approx((gap - braked) / 5.0 - 0.2)
    needed = float(same_direction_m(10.0, 5.0, CONSERVATIVE_EGO, CONSERVATIVE_OTHER))
    assert found.rss_margin_m == pytest.approx(gap - needed)
    assert (found.rss_violations, found.encroachment_s) == (0, math.inf)


def test_less_room_than_rss_asks_for_is_counted():
    road = Road().add(NOSE + 20.0, 0.0, vx=5.0).add(NOSE + 25.0, 0.5, vx=5.0).add(NOSE + 200.0, 0.0, vx=5.0)
    found = road.measured(speed=10.0)
    assert found.rss_violations == 2
    assert found.rss_margin_m < 0.0


def test_braking_in_time_takes_the_collision_away():
    road = Road().add(NOSE + 30.0 + 2.25, 0.0, vx=5.0)
    assert road.measured(speed=10.0, acceleration=-3.0).time_to_collision_s == math.inf
    assert road.measured(speed=10.0, acceleration=1.0).time_to_collision_s < 6.0


@pytest.mark.parametrize(("y", "x"), [(4.0, 30.0), (0.0, -30.0)])
def test_who_is_beside_or_behind_is_nobodys_lead(x, y):
    found = Road().add(x, y, vx=5.0).measured()
    assert (found.objects, found.headway_s, found.required_deceleration_mps2) == (1, math.inf, 0.0)


def test_contact_is_the_worst_of_everything():
    found = Road().add(NOSE, 0.0).measured()
    assert (found.headway_s, found.time_to_collision_s) == (0.0, 0.0)
    assert (found.time_to_brake_s, found.required_deceleration_mps2) == (-math.inf, math.inf)


def test_a_pedestrian_who_crosses_after_the_vehicle_leaves_the_time_between():
    """Front 20 m before a way of 0.5 m; the pedestrian's edge is 6 m from the vehicle's, at 1.5 m/s."""
    half = CAR.width_m / 2
    road = Road().add(NOSE + 20.25, half + 6.0 + 0.25, vy=-1.5, kind=PEDESTRIAN, length=0.5, width=0.5)
    found = road.measured(speed=10.0)
    leaves_s = (20.5 + CAR.length_m) / 10.0
    assert found.encroachment_s == pytest.approx(4.0 - leaves_s, abs=0.05)
    away = Road().add(NOSE + 20.25, half + 6.25, vy=1.5, kind=PEDESTRIAN, length=0.5, width=0.5)
    assert away.measured(speed=10.0).encroachment_s == math.inf


def test_who_drives_along_the_road_crosses_nobodys_way():
    assert Road().add(60.0, 4.0, vx=-9.0, vy=-0.8).measured().encroachment_s == math.inf
    assert Road().add(60.0, 4.0, vx=-1.0, vy=-2.0, heading=-2.0).measured().encroachment_s < 10.0


def test_the_way_to_a_red_signal_less_what_rss_needs_to_stop():
    room = 60.0 - float(stop_before_intersection_m(10.0, CONSERVATIVE_EGO))
    assert Road().signal(NOSE + 60.0, RED).measured().stop_margin_m == pytest.approx(room)
    assert Road().signal(NOSE + 60.0, GREEN).measured().stop_margin_m == math.inf
    assert Road().signal(NOSE - 3.0, RED).measured().stop_margin_m == math.inf


@settings(max_examples=30, deadline=None)
@given(st.floats(-math.pi, math.pi), st.floats(-500, 500), st.floats(-500, 500))
def test_no_indicator_depends_on_the_direction_of_the_road(angle, x, y):
    def fill(road):
        road.add(40.0, 0.3, vx=6.0).add(25.0, 8.0, vy=-2.0, kind=PEDESTRIAN, length=0.5, width=0.5)
        return road.add(60.0, 3.6, vx=-9.0).signal(90.0, RED).measured()

    straight, turned = fill(Road()), fill(Road(angle, (x, y)))
    for field in dataclasses.fields(SafetyIndicators):
        value = getattr(straight, field.name)
        expected = value if isinstance(value, str) else pytest.approx(value, rel=1e-6, abs=1e-6)
        assert getattr(turned, field.name) == expected


class TestRecord:
    CALM = SafetyIndicators(0, 10.0, 2, 3.0, 9.0, math.inf, 0.5, math.inf, 4.0, 0, math.inf, "0" * 64)

    def test_the_worst_of_the_last_ten_seconds_and_none_for_nobody(self):
        record = IndicatorRecord()
        assert record.worst() == {}
        record.add(self.CALM)
        record.add(dataclasses.replace(self.CALM, headway_s=1.0, required_deceleration_mps2=2.0, rss_violations=3))
        worst = record.worst()
        assert (worst["headway_s"], worst["required_deceleration_mps2"], worst["rss_violations"]) == (1.0, 2.0, 3.0)
        assert (worst["time_to_brake_s"], worst["encroachment_s"]) == (None, None)
        for _ in range(ROWS):
            record.add(self.CALM)
        assert record.worst()["headway_s"] == 3.0

    def test_memory_does_not_grow(self):
        record = IndicatorRecord()
        before = record._rows
        for _ in range(3 * ROWS):
            record.add(self.CALM)
        assert record._rows is before
        assert record.count == 3 * ROWS
