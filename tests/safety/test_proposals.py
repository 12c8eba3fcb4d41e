"""Proposals: where they lie, how they are unrolled, what they yield to, and which one wins."""

from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from shapely.affinity import rotate, translate
from shapely.geometry import box

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import PEDESTRIAN, ObjectList
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.config import CollisionLimits, FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.fallback import LaneMemory, consider, drive, look
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.joined_path import after, join, join_beside
from onboard_vla.safety.lane_leads import in_lane_coordinates, lane_leads
from onboard_vla.safety.object_memory import ObjectMemory
from onboard_vla.safety.proposals import SHARES, STEP_S, STEPS, offsets, unroll
from onboard_vla.safety.scoring import boxes_touch, drivable_m

from .driving_range import arc_line, make_object, straight_line

VEHICLE, SETTINGS, MARGINS = VehicleGeometry(), FallbackSettings(), CollisionLimits()
LINE = Polyline(straight_line(400.0))
MS = 1_000_000


def motion(speed=10.0, y=0.0, heading=0.0, x=0.0):
    return Motion(x, y, heading, speed, 0.0, 0.0)


def lanes(left=2.5, right=2.5, limit=14.0, points=None):
    points = straight_line(200.0) if points is None else points
    ones = np.ones(len(points))
    return LaneObservation(0, points, left * ones, right * ones, 3.5, limit * ones, ())


def confirmed(*objects, line=LINE):
    memory = ObjectMemory(MARGINS)
    for stamp in (0, 100 * MS):
        shift = (stamp - 100 * MS) / 1e9
        moved = [make_object(o.x_m + o.vx_mps * shift, o.y_m + o.vy_mps * shift, o.vx_mps, o.vy_mps, o.kind, o.track_id,
                             length=o.length_m, width=o.width_m, heading=o.heading_rad) for o in objects]  # fmt: skip
        memory.add(ObjectList(stamp, tuple(moved)), line)
    return memory.confirmed


def leads(*objects, speed=10.0, offset=0.0):
    path = join_beside(LINE, motion(speed, y=offset), 20.0, 150.0, (offset,))[0]
    others = in_lane_coordinates(confirmed(*objects), LINE, 2.5, 50.0, speed)
    return lane_leads(path, others, speed, VEHICLE, MARGINS, SETTINGS.corridor_margin_m)


class TestLeads:
    def test_a_standing_vehicle_in_the_lane_is_one_at_its_rear(self):
        assert leads(make_object(40.0, 0.0)) == [pytest.approx((40.0 - 2.3 - 3.85, 0.0))]

    @pytest.mark.parametrize(("y", "offset", "found"), [(2.2, 0.0, 1), (2.3, 0.0, 0), (2.2, -1.0, 0), (-2.2, -1.0, 1)])
    def test_the_corridor_follows_the_offset(self, y, offset, found):
        assert len(leads(make_object(40.0, y), offset=offset)) == found

    def test_who_comes_in_when_the_vehicle_arrives_is_yielded_to(self):
        walker = make_object(25.0, -4.0, 0.0, 1.5, PEDESTRIAN, length=0.5, width=0.5)
        assert leads(walker, speed=10.0)

    def test_who_comes_in_after_the_vehicle_has_passed_is_not(self):
        walker = make_object(8.0, -6.5, 0.0, 1.5, PEDESTRIAN, length=0.5, width=0.5)
        assert not leads(walker, speed=14.0)

    def test_who_comes_in_long_before_the_vehicle_arrives_is_not_until_it_is_there(self):
        walker = make_object(70.0, -3.0, 0.0, 1.5, PEDESTRIAN, length=0.5, width=0.5)
        assert not leads(walker, speed=10.0)

    def test_a_vehicle_that_cuts_in_while_the_vehicle_closes_in_is_yielded_to_early(self):
        slower = make_object(25.0, 3.5, 5.0, -0.6, heading=0.0)
        assert leads(slower, speed=12.0) == [pytest.approx((25.0 - 2.3 - 3.85, 5.0), abs=0.1)]

    def test_a_vehicle_alongside_that_stays_in_its_lane_is_not(self):
        assert not leads(make_object(12.0, 3.4, 9.0, 0.0))

    @pytest.mark.parametrize(("drift", "found"), [(-0.5, 0), (-1.2, 1)])
    def test_an_oncoming_vehicle_is_only_where_it_comes_over_soon(self, drift, found):
        assert len(leads(make_object(60.0, 4.0, -14.0, drift, heading=3.14159), speed=11.0)) == found

    def test_what_is_behind_is_not(self):
        assert not leads(make_object(-10.0, 0.0, 20.0, 0.0))


class TestUnroll:
    def caps(self, limit=14.0, count=400):
        return [(np.full(count, limit), np.full(count, 40.0))]

    def test_the_free_road_is_driven_at_each_share_of_the_limit(self):
        speeds = unroll(0.0, 0.0, self.caps(5.0), [[]], SETTINGS).speed_mps
        assert speeds.shape == (len(SHARES), STEPS + 1)
        assert (np.diff(speeds[:, -1]) < 0.0).all()
        assert speeds[-1, -1] == pytest.approx(1.0, abs=0.05)

    @pytest.mark.parametrize("gap", [15.0, 25.0, 40.0])
    def test_nobody_runs_into_a_standing_lead(self, gap):
        rolled = unroll(10.0, 0.0, self.caps(), [[Lead(gap, 0.0)]], SETTINGS)
        assert (rolled.distance_m[:, -1] < gap).all()
        assert (rolled.acceleration_mps2 >= -6.0 - 1e-9).all()

    def test_jerk_is_bounded_and_no_speed_negative(self):
        rolled = unroll(12.0, 1.0, self.caps(), [[Lead(30.0, 0.0), Lead(60.0, 3.0)]], SETTINGS)
        assert np.abs(np.diff(rolled.acceleration_mps2)).max() <= SETTINGS.emergency_jerk_mps3 * STEP_S + 1e-9
        assert (rolled.speed_mps >= 0.0).all()
        assert (np.diff(rolled.distance_m) >= 0.0).all()

    def test_offsets_are_unrolled_apart(self):
        both = unroll(10.0, 0.0, self.caps() * 2, [[Lead(15.0, 0.0)], []], SETTINGS)
        alone = unroll(10.0, 0.0, self.caps(), [[]], SETTINGS)
        assert both.distance_m[len(SHARES) :] == pytest.approx(alone.distance_m)
        assert both.distance_m[0, -1] < 15.0 < both.distance_m[len(SHARES), -1]


class TestOffsets:
    ARCS = np.arange(0.0, 100.0, 2.0)

    def test_a_metre_to_either_side_where_there_is_room(self):
        assert offsets(lanes(3.5, 3.5, points=straight_line(50.0)), np.arange(100.0), 0.0, 60.0, VEHICLE, 1.0) == (
            0.0, -1.0, 1.0,
        )  # fmt: skip

    def test_less_where_the_drivable_width_is_less_and_none_where_it_is_hardly_any(self):
        found = offsets(lanes(1.8, 1.5, points=straight_line(50.0)), np.arange(100.0), 0.0, 60.0, VEHICLE, 1.0)
        assert found == pytest.approx((0.0, 0.0, 0.5))

    def test_no_road_in_sight_means_the_centre_alone(self):
        assert offsets(lanes(), np.arange(250.0), 900.0, 960.0, VEHICLE, 1.0) == (0.0, 0.0, 0.0)


class TestPaths:
    @pytest.mark.parametrize("target", [-1.0, 0.0, 1.0])
    def test_a_path_ends_at_its_offset_and_begins_at_the_vehicle(self, target):
        path = join_beside(LINE, motion(y=0.4, heading=0.05), 20.0, 80.0, (target,))[0]
        assert (path.x_m[0], path.y_m[0]) == (0.0, 0.4)
        assert path.y_m[-1] == pytest.approx(target, abs=1e-9)
        assert path.offset_m == pytest.approx(path.y_m, abs=1e-6)

    def test_the_rest_of_a_path_lies_on_it(self):
        path = join(Polyline(arc_line(50.0, 300.0)), motion(y=0.5), 20.0, 120.0)
        rest = after(path, 33.3)
        _, aside = Polyline(np.stack([path.x_m, path.y_m], axis=1)).project(np.stack([rest.x_m, rest.y_m], axis=1))
        assert np.abs(aside[:-2]).max() < 0.01
        assert rest.known_m == pytest.approx(path.known_m - 33.3)
        assert rest.line_s_m[0] == pytest.approx(np.interp(33.3, path.s_m, path.line_s_m))

    @pytest.mark.parametrize(("left", "drivable"), [(2.5, math.inf), (1.9, 12.0)])
    def test_the_drivable_length_ends_where_a_corner_leaves_the_road(self, left, drivable):
        path = join_beside(LINE, motion(), 20.0, 80.0, (1.0,))[0]
        observed = lanes(left=left, points=LINE.points)
        found = drivable_m([path], observed, VEHICLE)[0]
        assert found == drivable or found == pytest.approx(drivable, abs=3.0)


@settings(max_examples=300, deadline=None)
@given(st.floats(-8, 8), st.floats(-5, 5), st.floats(-7, 7), st.floats(0.2, 5.0), st.floats(0.2, 2.0))
def test_boxes_touch_where_shapely_says_so(along, across, turn, length, width):
    ours = box(-2.4, -1.0, 2.4, 1.0)
    theirs = translate(
        rotate(box(-length, -width, length, width), turn, use_radians=True, origin=(0, 0)), along, across
    )
    if abs(ours.distance(theirs)) < 1e-6 and ours.intersection(theirs).area < 1e-6:
        return
    args = [np.array([value]) for value in (along, across, turn)]
    assert boxes_touch(*args, 2.4, 1.0, np.array([length]), np.array([width]))[0] == ours.intersects(theirs)


def keep_lane(memory, state, demand, observed, objects, now_ns):
    """One tick of the planner while it drives."""
    around = look(state, demand, observed, objects, VEHICLE, SETTINGS, MARGINS)
    consider(memory, around, now_ns)
    return drive(memory, around)


class TestChoice:
    def drive(self, objects, seconds=6.0, speed=10.0, observed=None):
        """Follow the planner exactly; the memory and the final motion."""
        memory, now, state = LaneMemory(), 0, motion(speed)
        demand, sides = 0.0, []
        for _ in range(round(seconds / 0.02)):
            observed_now = observed or lanes(3.5, 3.5)
            planned = keep_lane(memory, state, demand, observed_now, objects, now)
            profile, now = planned.profile, now + 20 * MS
            distance, speed, demand = (
                float(np.interp(0.02, np.arange(51) * 0.1, column))
                for column in (profile.distance_m, profile.speed_mps, profile.acceleration_mps2)
            )
            x, y, heading = planned.path.poses(np.array([distance]))[0]
            state = Motion(float(x), float(y), float(heading), speed, demand, 0.0)
            sides.append(memory.choice.side)
        return memory, state, sides

    def test_an_empty_road_is_driven_in_the_middle_at_full_speed(self):
        _, state, sides = self.drive(confirmed())
        assert set(sides) == {0}
        assert state.y_m == pytest.approx(0.0, abs=1e-3)
        assert state.speed_mps > 11.0

    @pytest.mark.parametrize(("y", "side"), [(-1.7, 2), (1.7, 1)])
    def test_a_parked_car_in_the_lane_is_passed_on_the_other_side_without_wavering(self, y, side):
        _, state, sides = self.drive(confirmed(make_object(55.0, y, width=1.8)), seconds=9.0)
        assert state.x_m > 65.0
        assert side in sides
        assert int(np.count_nonzero(np.diff(sides))) <= 2

    def test_without_room_beside_it_the_vehicle_stops_behind_it(self):
        _, state, _ = self.drive(
            confirmed(make_object(55.0, -1.5, width=1.8)), seconds=14.0, observed=lanes(left=1.2, right=3.0)
        )
        assert state.speed_mps < 0.2
        assert state.x_m + 3.85 < 55.0 - 2.3

    @pytest.mark.parametrize("speed", [3.0, 10.0, 25.0])
    def test_contact_within_two_seconds_means_full_braking_at_any_speed(self, speed):
        gap = 0.1 + 0.2 * speed
        wall = [
            make_object(3.85 + gap + 2.0, y, length=4.0, width=2.0, track_id=i) for i, y in enumerate((-2.2, 0, 2.2))
        ]
        memory = LaneMemory()
        planned = keep_lane(memory, motion(speed), 0.0, lanes(3.5, 3.5, limit=30.0), confirmed(*wall), 0)
        assert planned.profile.acceleration_mps2.min() == pytest.approx(-6.0, abs=0.3)
        assert memory.choice.brakes

    def test_proposals_come_twenty_times_a_second(self):
        memory, choices = LaneMemory(), 0
        for tick in range(100):
            before = memory.choice
            keep_lane(memory, motion(), 0.0, lanes(), confirmed(), tick * 20 * MS)
            choices += memory.choice is not before
        assert 38 <= choices <= 41
