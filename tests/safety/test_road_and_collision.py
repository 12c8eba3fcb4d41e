"""Drivable area, signals and collisions: both sides of the limits, an independent oracle, any frame."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline, compose, wrap_angle
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import LaneObservation, Signal
from onboard_vla.safety.config import CollisionLimits, FallbackSettings, KinematicLimits, RoadLimits
from onboard_vla.safety.ego_history import EgoHistory, Motion
from onboard_vla.safety.guards.collision import check_collision, check_room, gate_deceleration
from onboard_vla.safety.guards.forecast import first_overlap, forecast
from onboard_vla.safety.guards.kinematics import check_kinematics
from onboard_vla.safety.guards.road import check_drivable, check_signals
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.joined_path import join
from onboard_vla.safety.leads import nearest_distinct, object_leads, signals_ahead
from onboard_vla.safety.object_memory import ObjectMemory, ObjectSet
from onboard_vla.safety.placed_plan import place
from onboard_vla.safety.prediction import predict

from .driving_range import make_ego, make_object, make_plan, straight_poses

STAMP = 20_000_000_000
VEHICLE, LIMITS = VehicleGeometry(), CollisionLimits()
FRONT = VEHICLE.length_m - VEHICLE.rear_overhang_m
FRAMES = [(0.0, 0.0, 0.0), (300.0, -200.0, 0.7), (-5000.0, 40.0, 1.6), (12.0, 7.0, 3.1), (1.0, 2.0, -2.3)]


def placed_at(frame=(0.0, 0.0, 0.0), poses=None, speed=10.0):
    kept = EgoHistory(2.0, 0.06)
    for k in range(-60, 1):
        x, y, heading = compose(np.array(frame), np.array([speed * k * 0.02, 0.0, 0.0]))
        kept.add(make_ego(STAMP + k * 20_000_000, x_m=x, y_m=y, heading_rad=heading, speed_mps=speed))
    return place(make_plan(STAMP, straight_poses(speed) if poses is None else poses), kept)


def lane(frame=(0.0, 0.0, 0.0), left=2.0, right=2.0, length=100.0, signals=()):
    s = np.arange(-10.0, length, 2.0)
    points = compose(np.array(frame), np.column_stack([s, 0 * s, 0 * s]))[:, :2]
    wide = np.ones(len(s))
    return LaneObservation(STAMP, points, wide * left, wide * right, 3.5, wide * 13.9, tuple(signals))


def signal(x, state, frame=(0.0, 0.0, 0.0)):
    px, py, _ = compose(np.array(frame), np.array([x, 0.0, 0.0]))
    return Signal(1, px, py, state)


def objects_of(*rows, stamp_ns=STAMP, lists=2):
    memory = ObjectMemory(LIMITS)
    for k in range(lists, 0, -1):
        age_s = (k - 1) * 0.1
        moved = tuple(replace(o, x_m=o.x_m - age_s * o.vx_mps, y_m=o.y_m - age_s * o.vy_mps) for o in rows)
        memory.add(ObjectList(stamp_ns - round(age_s * 1e9), moved))
    return memory.confirmed


def turned(frame, x, y, vx=0.0, vy=0.0, **more):
    px, py, heading = compose(np.array(frame), np.array([x, y, math.atan2(vy, vx) if vx or vy else 0.0]))
    c, s = math.cos(frame[2]), math.sin(frame[2])
    return make_object(px, py, c * vx - s * vy, s * vx + c * vy, heading=heading, **more)


@pytest.mark.parametrize("frame", FRAMES)
class TestRoad:
    @pytest.mark.parametrize("side", [1, -1])
    def test_corners_may_leave_the_drivable_area_by_the_tolerance_alone(self, frame, side):
        edges = {"left": 2.0} if side > 0 else {"right": 2.0}
        for offset, expected in ((1.19, None), (1.21, "OFF_ROAD")):
            start = compose(np.array(frame), np.array([0.0, side * offset, 0.0]))
            plan = placed_at(start)
            reason = check_drivable(plan, lane(frame, **edges), STAMP, VEHICLE, RoadLimits())
            assert (reason.code if reason else None) == expected

    def test_only_the_horizon_counts(self, frame):
        poses = straight_poses()
        poses[7:, 1] = 3.0
        assert check_drivable(placed_at(frame, poses), lane(frame), STAMP, VEHICLE, RoadLimits()) is None
        poses[5:, 1] = 3.0
        assert check_drivable(placed_at(frame, poses), lane(frame), STAMP, VEHICLE, RoadLimits()).code == "OFF_ROAD"

    def test_what_lies_beyond_the_observed_lane_is_off_no_road(self, frame):
        """That nobody drives there is another's word: RECOVERY_UNSEEN (test_unseen_road)."""
        poses = straight_poses()
        poses[4:, 1] = 5.0
        assert check_drivable(placed_at(frame, poses), lane(frame, length=16.0), STAMP, VEHICLE, RoadLimits()) is None

    @pytest.mark.parametrize(
        ("x", "state", "expected"),
        [
            (FRONT + 29.3, "red", "RED_SIGNAL"),
            (FRONT + 29.7, "red", None),
            (FRONT + 20.0, "green", None),
            (FRONT + 20.0, "amber", None),
            (FRONT - 0.4, "red", "RED_SIGNAL"),
            (FRONT - 0.6, "red", None),
        ],
    )
    def test_red_signals_are_not_passed_within_the_horizon(self, frame, x, state, expected):
        lanes = lane(frame, signals=[signal(x, state, frame)])
        reason = check_signals(placed_at(frame), lanes, STAMP, VEHICLE, RoadLimits())
        assert (reason.code if reason else None) == expected


def contact(plan, objects):
    seen = forecast(objects.at(STAMP), plan.start.pose[:2], plan.start.speed_mps, 3.0, None, LIMITS)
    return check_collision(plan.pose_at(seen.times_s), seen, VEHICLE, LIMITS)


@pytest.mark.parametrize("frame", FRAMES)
class TestCollision:
    @pytest.mark.parametrize(
        ("row", "hit"),
        [
            (dict(x=FRONT + 30.0 + 1.0 + 2.3 + 0.05, y=0.0), False),
            (dict(x=FRONT + 30.0 + 1.0 + 2.3 - 0.05, y=0.0), True),
            (dict(x=20.0, y=1.0 + 0.3 + 0.95 + 0.01), False),
            (dict(x=20.0, y=1.0 + 0.3 + 0.95 - 0.01), True),
            (dict(x=20.0, y=-(1.0 + 0.3 + 0.95 + 0.01)), False),
            (dict(x=20.0, y=-(1.0 + 0.3 + 0.95 - 0.01)), True),
            (dict(x=20.0, y=1.0 + 0.5 + 0.25 + 0.01, kind="pedestrian", length=0.5, width=0.5), False),
            (dict(x=20.0, y=1.0 + 0.5 + 0.25 - 0.01, kind="pedestrian", length=0.5, width=0.5), True),
            (dict(x=25.0, y=-12.0, vy=5.0, kind="cyclist"), True),
            (dict(x=25.0, y=-12.0, vy=-5.0, kind="cyclist"), False),
            (dict(x=20.0, y=0.0, vx=10.0), False),
            (dict(x=-15.0, y=0.0, vx=20.0), False),
            (dict(x=-10.0, y=3.0, vx=12.0), False),
        ],
    )
    def test_plans_are_held_against_predicted_objects(self, frame, row, hit):
        objects = objects_of(turned(frame, **row))
        reason = contact(placed_at(frame), objects)
        assert (reason is not None) is hit
        if hit:
            assert 0.0 <= reason.measured <= 3.0

    def test_a_standing_vehicle_needs_no_room_in_front(self, frame):
        still = placed_at(frame, np.zeros((10, 3)), 0.0)
        for gap, hit in ((0.05, False), (-0.05, True)):
            objects = objects_of(turned(frame, FRONT + 2.3 + gap, 0.0))
            assert (contact(still, objects) is not None) is hit

    def test_required_deceleration_rejects_unless_the_plan_brakes(self, frame):
        motion = Motion(*frame, 10.0, 0.0, 0.0)
        for gap, code in ((18.6, None), (18.4, "REQUIRED_DECELERATION")):
            assert gate_deceleration(10.0, Lead(gap, 0.0), LIMITS) == pytest.approx(100 / (2 * (gap - 6.0)))
            found = [r.code for r in check_room(placed_at(frame), motion, [Lead(gap, 0.0)], STAMP, LIMITS)]
            assert ("REQUIRED_DECELERATION" in found) is (code is not None)
        braking = placed_at(frame, straight_poses(10.0, -4.0))
        assert check_room(braking, motion, [Lead(18.4, 0.0)], STAMP, LIMITS) == []
        assert check_room(placed_at(frame), motion, [Lead(5.0, 10.0)], STAMP, LIMITS) == []
        assert check_room(placed_at(frame), motion, [], STAMP, LIMITS) == []
        assert check_room(placed_at(frame), motion, [Lead(3.0, 1.0)], STAMP, LIMITS)[0].measured == 99.0


class TestOracle:
    def test_overlaps_equal_shapely_on_random_scenes(self):
        shapely = pytest.importorskip("shapely")
        rng = np.random.default_rng(11)
        bare = CollisionLimits(lateral_margin_m=0.0, vulnerable_margin_m=0.0, front_margin_m=0.0)
        times = np.arange(0.0, 3.01, 0.1)
        hits = 0
        for _ in range(300):
            steps = rng.uniform(0, 2, 31), rng.normal(0, 0.2, 31)
            poses = np.column_stack([*np.cumsum(steps, axis=1), rng.normal(0, 0.3, 31)])
            poses = compose(np.array([*rng.uniform(-50, 50, 2), rng.uniform(-3, 3)]), poses)
            count = rng.integers(1, 6)
            near = poses[rng.integers(0, 31, count), :2] + rng.normal(0, 4, (count, 2))
            shapes = rng.uniform(0.4, 9, count), rng.uniform(0.4, 2.5, count)
            states = np.column_stack([near, rng.uniform(-3, 3, count), rng.normal(0, 2, (count, 2)), *shapes])
            states[:, :2] -= states[:, 3:5] * rng.uniform(0, 3, (count, 1))
            objects = ObjectSet(
                states,
                np.zeros(count, np.int64),
                np.zeros(count, bool),
                np.ones(count, bool),
                np.full(count, 9),
                0 * states[:, 0],
            )
            found = first_overlap(poses, forecast(objects, poses[0, :2], 20.0, 3.0, None, bare), VEHICLE, 0.0)
            expected = self.first_time(shapely, poses, times, states)
            assert (found.time_s if found else None) == pytest.approx(expected)
            hits += found is not None
        assert 60 < hits < 270

    @staticmethod
    def first_time(shapely, poses, times, states):
        def box(x, y, heading, length, width):
            c, s = math.cos(heading), math.sin(heading)
            corners = [(a * length / 2, b * width / 2) for a, b in ((1, 1), (-1, 1), (-1, -1), (1, -1))]
            return shapely.Polygon([(x + c * a - s * b, y + s * a + c * b) for a, b in corners])

        headings = np.stack([np.cos(poses[:, 2]), np.sin(poses[:, 2])], axis=1)
        along = np.einsum("ij,ij->i", np.gradient(poses[:, :2], times, axis=0), headings)
        ran_into = set()
        for t, pose, heading, speed in zip(times, poses, headings, along, strict=True):
            centre = pose[:2] + VEHICLE.centre_offset_m * heading
            own = box(*centre, pose[2], VEHICLE.length_m, VEHICLE.width_m)
            for row, state in enumerate(states):
                other = state[:2] + t * state[3:5]
                beside = abs((other - poses[0, :2]) @ [-headings[0][1], headings[0][0]])
                turn = state[2] - poses[0, 2]
                corridor = (VEHICLE.width_m + abs(math.sin(turn)) * state[5] + abs(math.cos(turn)) * state[6]) / 2
                behind = (other - centre) @ heading < 0 and state[3:5] @ heading > speed and beside <= corridor
                if row in ran_into or not own.intersects(box(*other, state[2], state[5], state[6])):
                    continue
                if not behind:
                    return t
                ran_into.add(row)
        return None


@pytest.mark.parametrize("frame", FRAMES)
class TestLeads:
    def path(self, frame):
        points = compose(np.array(frame), np.column_stack([np.arange(0.0, 100.0, 2.0), np.zeros(50), np.zeros(50)]))
        return join(Polyline(points[:, :2]), Motion(*frame, 10.0, 0.0, 0.0), 20.0, 90.0)

    def leads(self, frame, *rows):
        return object_leads(self.path(frame), objects_of(*rows), 10.0, VEHICLE, LIMITS, 0.3)

    @pytest.mark.parametrize(("y", "expected"), [(0.0, 1), (2.24, 1), (2.26, 0), (-2.24, 1), (-2.26, 0)])
    def test_objects_in_the_corridor_are_leads(self, frame, y, expected):
        leads = self.leads(frame, turned(frame, 30.0, y, 4.0))
        assert len(leads[:1]) == expected
        if expected:
            assert leads[0].gap_m == pytest.approx(30.0 - 2.3 - FRONT, abs=0.05)
            assert leads[0].speed_mps == pytest.approx(4.0, abs=1e-6)

    def test_objects_behind_are_none(self, frame):
        assert self.leads(frame, turned(frame, -3.0, 0.0, 15.0)) == []

    def test_a_pedestrian_who_will_step_in_when_the_vehicle_arrives_is_a_lead(self, frame):
        person = dict(kind="pedestrian", length=0.5, width=0.5)
        crossing = self.leads(frame, turned(frame, 25.0, -4.0, 0.0, 1.5, **person))
        assert crossing
        assert crossing[0].gap_m == pytest.approx(25.0 - FRONT - 0.25, abs=0.1)
        assert self.leads(frame, turned(frame, 25.0, -4.0, 0.0, -1.5, **person)) == []
        assert self.leads(frame, turned(frame, 80.0, -2.0, 0.0, 4.0, **person)) == []

    @pytest.mark.parametrize(
        ("x", "state", "speed", "count"),
        [
            (40.0, "red", 10.0, 1),
            (40.0, "green", 10.0, 0),
            (FRONT + 16.8, "amber", 10.0, 1),
            (FRONT + 16.5, "amber", 10.0, 0),
            (FRONT + 11.4, "red", 10.0, 1),
            (FRONT + 11.3, "red", 10.0, 0),
            (FRONT - 0.9, "red", 0.1, 1),
            (FRONT - 1.1, "red", 0.1, 0),
        ],
    )
    def test_signals_stop_where_a_stop_is_possible(self, frame, x, state, speed, count):
        lanes = lane(frame, signals=[signal(x, state, frame)])
        found = signals_ahead(self.path(frame), lanes, speed, 0.0, (), VEHICLE, FallbackSettings(), LIMITS.delay_s)
        assert len(found.leads) == count


def test_nearest_distinct_keeps_what_can_matter():
    rows = [Lead(30.0, 5.0), Lead(10.0, 8.0), Lead(20.0, 9.0), Lead(50.0, 0.0), Lead(60.0, 0.2)]
    assert nearest_distinct(rows) == [Lead(10.0, 8.0), Lead(30.0, 5.0), Lead(50.0, 0.0)]


class TestObjectMemory:
    def add(self, memory, t_ms, *rows):
        memory.add(ObjectList(STAMP + t_ms * 1_000_000, rows))

    def test_an_object_is_confirmed_by_the_second_list_whatever_its_identity(self):
        memory = ObjectMemory(LIMITS)
        self.add(memory, 0, make_object(10.0, 0.0, 5.0))
        assert len(memory.known.states) == 1
        assert len(memory.confirmed.states) == 0
        self.add(memory, 100, make_object(10.5, 0.0, 5.0, track_id=77, kind="static"))
        assert len(memory.confirmed.states) == 1

    def test_a_ghost_of_one_list_is_never_confirmed(self):
        memory = ObjectMemory(LIMITS)
        self.add(memory, 0, make_object(10.0, 0.0))
        self.add(memory, 100)
        self.add(memory, 200, make_object(20.0, 0.0))
        assert len(memory.confirmed.states) == 0

    def test_a_confirmed_object_survives_misses_up_to_the_coasting_time(self):
        memory = ObjectMemory(LIMITS)
        for k in range(6):
            self.add(memory, 100 * k, make_object(10.0 + k, 0.0, 10.0))
        self.add(memory, 600)
        assert memory.confirmed.positions_at(STAMP + 600_000_000)[0] == pytest.approx([16.0, 0.0])
        self.add(memory, 800)
        assert len(memory.confirmed.states) == 1
        self.add(memory, 801)
        assert len(memory.confirmed.states) == 0

    def test_two_objects_do_not_share_a_measurement(self):
        memory = ObjectMemory(LIMITS)
        self.add(memory, 0, make_object(10.0, 0.0), make_object(11.0, 0.0, track_id=2))
        self.add(memory, 100, make_object(10.6, 0.0))
        assert sorted(memory.known.hits.tolist()) == [2]
        self.add(memory, 200, make_object(10.6, 0.0), make_object(11.4, 0.0))
        assert sorted(memory.known.hits.tolist()) == [1, 3]


def test_a_parked_car_measured_with_noise_stays_where_it_is_and_a_pedestrian_is_never_delayed():
    rng = np.random.default_rng(2)
    memory, walker = ObjectMemory(LIMITS), ObjectMemory(LIMITS)
    places, courses = [], []
    for k in range(60):
        noisy = rng.normal(0, 0.3, 2)
        car = make_object(30.0 + noisy[0], 3.0 + noisy[1], *rng.normal(0, 0.4, 2), heading=0.0)
        memory.add(ObjectList(STAMP + k * 100_000_000, (car,)))
        person = make_object(30.0, 0.15 * k, 0.0, 1.5, "pedestrian", length=0.5, width=0.5)
        walker.add(ObjectList(STAMP + k * 100_000_000, (person,)))
        assert walker.known.states[0, 1] == 0.15 * k
        places.append(memory.known.states[0, 1])
        courses.append(memory.known.states[0, 4])
    assert np.std(places[10:]) < 0.2
    assert np.std(courses[10:]) < 0.25
    assert np.mean(places[10:]) == pytest.approx(3.0, abs=0.15)


@pytest.mark.parametrize("frame", FRAMES)
@pytest.mark.parametrize("lateral", [0.0, -1.2])
def test_objects_that_follow_a_curve_are_predicted_along_it(frame, lateral):
    angle = np.arange(-0.3, 2.0, 0.02)
    circle = np.column_stack([60.0 * np.sin(angle), 60.0 * (1 - np.cos(angle)), angle])
    line = Polyline(compose(np.array(frame), circle)[:, :2])
    radius, bearing = 60.0 - 3.5, 1.2
    x, y = radius * math.sin(bearing), 60.0 - radius * math.cos(bearing)
    oncoming = turned(frame, x, y, -8.0 * math.cos(bearing) - lateral * math.sin(bearing),
                      -8.0 * math.sin(bearing) + lateral * math.cos(bearing))  # fmt: skip
    objects = objects_of(oncoming)
    positions, headings, velocities = predict(objects, np.array([0.0, 2.0]), line)
    _, d = line.project(positions[:, 0])
    assert d[0] == pytest.approx(3.5, abs=0.05)
    assert d[1] == pytest.approx(3.5 + 2.0 * lateral, abs=0.1)
    assert abs(wrap_angle(headings[1, 0] - headings[0, 0])) == pytest.approx(16.0 / 60.0, abs=0.02)
    assert np.hypot(*velocities[1, 0]) == pytest.approx(math.hypot(8.0, lateral), abs=0.05)
    straight, _, _ = predict(objects, np.array([0.0, 2.0]), None)
    assert straight[1, 0] == pytest.approx(straight[0, 0] + 2.0 * objects.states[0, 3:5])


def test_kinematic_reasons_do_not_depend_on_the_frame():
    rng = np.random.default_rng(5)
    for _ in range(40):
        poses = straight_poses(10.0, rng.uniform(-8, 5)) + rng.normal(0, [0.3, 0.3, 0.1], (10, 3))
        here, there = placed_at(FRAMES[0], poses), placed_at(FRAMES[int(rng.integers(1, 5))], poses)
        first, second = (check_kinematics(plan, KinematicLimits(), 2.9) for plan in (here, there))
        assert [reason.code for reason in first] == [reason.code for reason in second]
        assert [reason.measured for reason in first] == pytest.approx([reason.measured for reason in second], abs=1e-4)
