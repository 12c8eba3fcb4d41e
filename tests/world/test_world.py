"""Determinism, bookkeeping of violations, and what the world tells."""

import math

import numpy as np
import pytest

from onboard_vla.core.errors import ConfigurationError
from onboard_vla.core.objects import VEHICLE
from onboard_vla.core.road import GREEN, RED
from onboard_vla.world.actors import Actor
from onboard_vla.world.expert import Expert
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.render import Renderer
from onboard_vla.world.rig import default_rig
from onboard_vla.world.vehicle import Control
from onboard_vla.world.world import StartOffset, World


def empty_world(profile="quiet_road", seed=1):
    world = World(seed, profile)
    world.traffic.moving.clear()
    world.traffic.parked.clear()
    world.traffic._parked_s = np.array([])
    world.traffic._crossing.clear()
    return world


def add_vehicle(world, s, d=0.0, speed=0.0, direction=1):
    actor = Actor(900, VEHICLE, "test", s, d, 4.5, 1.8, 1.5, 0, direction=direction, speed_mps=speed)
    actor.place(world.road)
    world.traffic.moving.append(actor)
    return actor


def kinds(world):
    return [(v.kind, v.at_fault) for v in world.violations]


def hold_lane(world, acceleration=0.0):
    curvature = float(world.road.curvatures[world.road.index(world.ego_s_m)])
    return Control(acceleration, curvature - 0.01 * world.ego_d_m - 0.15 * world.heading_error_rad)


@pytest.mark.parametrize("profile", list(PROFILES))
def test_same_seed_gives_the_same_states_and_pictures_to_the_bit(profile):
    renderer = Renderer(default_rig(112, 64))
    runs = []
    for _ in range(2):
        world, pictures = World(5, profile), []
        expert = Expert(world)
        for step in range(250):
            world.step(expert.control())
            if step % 60 == 0:
                pictures.append({name: image.copy() for name, image in renderer.render(world).items()})
        runs.append((world.ego, world.objects(), pictures))
    assert runs[0][0] == runs[1][0]
    assert runs[0][1] == runs[1][1]
    for first, second in zip(runs[0][2], runs[1][2], strict=True):
        for name in first:
            np.testing.assert_array_equal(first[name], second[name])


def test_other_seeds_give_other_worlds():
    assert not np.array_equal(World(1, "quiet_road").road.points[:900], World(2, "quiet_road").road.points[:900])


def test_unknown_profile_is_refused_with_the_known_ones():
    with pytest.raises(ConfigurationError, match="quiet_road"):
        World(1, "autobahn")


def test_time_counts_in_whole_nanoseconds():
    world = empty_world()
    for _ in range(50):
        world.step(Control(0.0, 0.0))
    assert world.time_ns == 1_000_000_000
    assert world.ego.stamp_ns == 1_000_000_000


def test_driving_into_a_standing_vehicle_is_at_fault_at_the_hand_computed_place():
    world = empty_world()
    # Front bumper 3.85 m ahead of the axle, the other's rear 2.25 m behind its centre: contact at s = 80 - 6.1.
    add_vehicle(world, 80.0)
    while not world.violations and world.time_s < 20.0:
        before = world.ego_s_m
        world.step(hold_lane(world))
    assert kinds(world)[0] == ("collision", True)
    assert before <= 80.0 - 6.1 + 0.01 <= world.ego_s_m + 0.03


def test_creeping_into_a_standing_vehicle_is_at_fault():
    world = empty_world()
    world.vehicle.speed_mps = 0.2
    add_vehicle(world, world.ego_s_m + 6.1 + 0.1)
    for _ in range(100):
        world.step(hold_lane(world))
        world.vehicle.speed_mps = 0.2
    assert ("collision", True) in kinds(world)


def test_being_hit_from_behind_while_standing_for_a_signal_is_not_at_fault():
    world = empty_world()
    add_vehicle(world, world.ego_s_m + 10.0)
    while world.vehicle.speed_mps > 0.0:
        world.step(hold_lane(world, -8.0))
    striker = add_vehicle(world, world.ego_s_m - 6.0, speed=5.0)
    for _ in range(150):
        striker.s_m += 0.1
        striker.place(world.road)
        world.step(Control(-1.0, 0.0))
    assert ("collision", False) in kinds(world)
    assert ("collision", True) not in kinds(world)


def test_being_hit_from_behind_after_stopping_without_cause_is_at_fault():
    world = empty_world()
    while world.vehicle.speed_mps > 0.0:
        world.step(hold_lane(world, -8.0))
    striker = add_vehicle(world, world.ego_s_m - 8.0, speed=5.0)
    for _ in range(100):
        striker.s_m += 0.1
        striker.place(world.road)
        world.step(Control(-1.0, 0.0))
    assert ("collision", True) in kinds(world)


def test_passing_a_parked_vehicle_beside_the_lane_is_no_collision():
    world = empty_world()
    add_vehicle(world, 60.0, d=world.traffic.kerb_d_m)
    while world.ego_s_m < 75.0:
        world.step(hold_lane(world))
    assert not world.violations


def test_leaving_the_road_is_entered_once_per_excursion():
    world = empty_world()
    for _ in range(200):
        world.step(Control(0.0, -0.03))
        if world.violations:
            break
    assert kinds(world) == [("off_road", True)]
    # The front right corner, 3.85 m ahead and 1 m right of the axle, has just crossed the edge 3.125 m right.
    error = world.heading_error_rad
    corner = world.ego_d_m + 3.85 * math.sin(error) - 1.0 * math.cos(error)
    assert corner == pytest.approx(-3.125, abs=0.15)


def test_standing_without_cause_counts_after_five_seconds_only():
    world = empty_world()
    while world.vehicle.speed_mps > 1.5:
        world.step(hold_lane(world, -8.0))
    start = world.time_s
    while world.time_s < start + 4.9:
        world.step(Control(-2.0, 0.0))
    assert not world.violations
    for _ in range(20):
        world.step(Control(-2.0, 0.0))
    assert kinds(world) == [("stopped_without_cause", True)]


def test_standing_behind_a_vehicle_has_a_cause():
    world = empty_world()
    add_vehicle(world, world.ego_s_m + 20.0)
    for _ in range(500):
        world.step(hold_lane(world, -8.0))
    assert not world.violations


@pytest.mark.parametrize("state", [GREEN, RED])
def test_crossing_the_stop_line_is_a_violation_only_at_red(state):
    world = empty_world("urban", seed=1)
    junction = next(j for j in world.road.junctions if j.signal_id is not None)
    world.place_ego(junction.stop_s_m - 8.0, speed_mps=6.0)
    programme = world.programmes[junction.signal_id]
    while programme.state(world.time_s) != state or programme.state(world.time_s + 3.0) != state:
        world.time_ns += 100_000_000
    for _ in range(80):
        world.step(hold_lane(world))
    assert (("red_light", True) in kinds(world)) is (state == RED)


def test_learning_truth_matches_the_pose_by_hand():
    world = World(3, "quiet_road", StartOffset(lateral_m=0.8, heading_rad=0.1, speed_factor=0.7))
    truth = world.truth_for_learning()
    assert truth.lane_offset_m == pytest.approx(0.8)
    assert truth.heading_error_rad == pytest.approx(0.1)
    # The first 45 m of every road are straight: 10 m ahead the centre lies 0.8 m right, turned by -0.1 rad.
    assert truth.path_lateral_m[0] == pytest.approx(-math.sin(0.1) * 10.0 - math.cos(0.1) * 0.8, abs=0.02)
    assert world.vehicle.speed_mps == pytest.approx(0.7 * 0.8 * world.road.speed_limit_mps)


def test_lanes_begin_behind_and_reach_the_sight_distance():
    world = World(1, "urban")
    lanes = world.lanes()
    assert np.hypot(*(lanes.centreline[0] - [world.ego.x_m, world.ego.y_m])) == pytest.approx(10.0, abs=1.5)
    assert lanes.centreline.dtype == np.float64
    assert len(lanes.centreline) == len(lanes.left_m) == len(lanes.right_m) == len(lanes.speed_limit_mps)
    assert np.all(lanes.right_m >= lanes.lane_width_m / 2)


def test_signals_in_lanes_lie_on_the_stop_line():
    world = World(1, "urban")
    junction = next(j for j in world.road.junctions if j.signal_id is not None)
    world.place_ego(junction.stop_s_m - 40.0)
    (signal, *_) = world.lanes().signals
    x, y, _ = world.road.pose_at(junction.stop_s_m)
    assert (signal.x_m, signal.y_m) == pytest.approx((x, y))
