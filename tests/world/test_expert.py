"""The expert in closed loop, through the vehicle's own gate, and what it says."""

import numpy as np
import pytest

from onboard_vla.core import scene_record as words
from onboard_vla.core.clock import Now
from onboard_vla.core.geometry import compose
from onboard_vla.core.safe_trajectory import Engagement, Mode, SafeTrajectory, Takeover
from onboard_vla.world.expert import Expert, expert_progress
from onboard_vla.world.profiles import PROFILES
from onboard_vla.world.vehicle import VehicleGate
from onboard_vla.world.world import StartOffset, World

from .test_world import add_vehicle, empty_world


def as_trajectory(world, plan, sequence):
    ego = world.ego
    poses = compose(np.array([ego.x_m, ego.y_m, ego.heading_rad]), np.vstack([np.zeros(3), plan.fine]))
    speeds = np.concatenate([[ego.speed_mps], plan.speeds_mps])
    accelerations = np.concatenate([[ego.acceleration_mps2], plan.accelerations_mps2])
    points = np.column_stack([np.arange(51) * 0.1, poses, speeds, accelerations])
    return SafeTrajectory(
        world.time_ns, sequence, Engagement.ENGAGED, Mode.NOMINAL, "model", sequence, (), points,
        hazard_lights=False, takeover=Takeover.NONE, takeover_stamp_ns=-1, driver_stamp_ns=-1, refusals=(),
        shadow_passes=0, config_hash="",
    )  # fmt: skip


@pytest.mark.parametrize("profile", list(PROFILES))
@pytest.mark.parametrize("seed", [0, 1, 2])
def test_expert_drives_cleanly_and_comfortably_through_the_gate(profile, seed):
    world, gate = World(seed, profile), VehicleGate()
    expert = Expert(world)
    lateral, longitudinal = [], []
    for step in range(20 * 50):
        now = Now(world.time_ns, world.time_ns)
        if step % 5 == 0:
            gate.follow(as_trajectory(world, expert.plan(), step), now)
        world.step(gate.control(world.ego, now))
        lateral.append(world.vehicle.speed_mps**2 * world.vehicle.curvature_per_m)
        longitudinal.append(world.vehicle.acceleration_mps2)
    assert [v for v in world.violations if v.at_fault] == []
    assert np.abs(lateral).max() <= 2.5
    assert min(longitudinal) > -4.0
    assert max(longitudinal) < 2.0


@pytest.mark.parametrize(
    ("lateral", "heading", "factor"), [(1.0, 0.15, 1.3), (-1.0, 0.1, 0.7), (1.0, -0.15, 1.0), (-0.6, -0.15, 1.0)]
)
def test_expert_returns_smoothly_from_a_disturbed_start(lateral, heading, factor):
    world = World(11, "quiet_road", StartOffset(lateral, heading, factor))
    world.traffic.parked.clear()
    world.traffic._parked_s = np.array([])
    expert, jumps = Expert(world), []
    previous = world.vehicle.curvature_per_m
    for _ in range(8 * 50):
        world.step(expert.control())
        jumps.append(abs(world.vehicle.curvature_per_m - previous) / 0.02 * world.vehicle.speed_mps**2)
        previous = world.vehicle.curvature_per_m
        assert abs(world.vehicle.speed_mps**2 * world.vehicle.curvature_per_m) <= 3.0
    assert abs(world.ego_d_m) < 0.15
    assert abs(world.heading_error_rad) < 0.03
    assert "collision" not in [v.kind for v in world.violations]


def test_plan_is_what_the_expert_then_does_when_nobody_interferes():
    world = empty_world(seed=4)
    world.perturb(0.7, 0.05, 1.0)
    expert = Expert(world)
    plan = expert.plan()
    start = np.array([world.ego.x_m, world.ego.y_m, world.ego.heading_rad])
    driven = []
    for step in range(250):
        world.step(expert.control())
        if step % 25 == 24:
            driven.append((world.ego.x_m, world.ego.y_m))
    planned = compose(start, plan.poses)[:, :2]
    assert np.abs(planned - np.array(driven)).max() < 0.05


def test_plan_has_the_contract_shapes_and_agrees_with_itself():
    plan = Expert(World(1, "urban")).plan()
    assert plan.poses.shape == (10, 3)
    assert plan.fine.shape == (50, 3)
    assert plan.poses.dtype == plan.fine.dtype == np.float32
    np.testing.assert_array_equal(plan.poses, plan.fine[4::5])
    assert plan.scene.scene in words.SCENES
    assert plan.scene.intent in words.INTENTS
    assert plan.scene.lateral in words.LATERAL_ACTIONS
    assert plan.scene.longitudinal in words.LONGITUDINAL_ACTIONS
    assert all(c.kind in words.CRITICAL_KINDS for c in plan.scene.critical)


def test_expert_stops_behind_a_standing_vehicle_and_says_so():
    world = empty_world()
    add_vehicle(world, 95.0)
    expert = Expert(world)
    intents, demanding = set(), []
    for step in range(20 * 50):
        if step % 25 == 0:
            plan = expert.plan()
            intents.add(plan.scene.intent)
            demanding.append(plan.demanding)
        world.step(expert.control())
    assert not world.violations
    assert 1.0 < world.lead()[0] < 4.0
    assert words.FOLLOW in intents
    assert any(demanding)
    assert not demanding[-1]


def test_expert_waits_at_red_and_goes_at_green():
    world = empty_world("urban", seed=1)
    junction = next(j for j in world.road.junctions if j.signal_id is not None)
    world.place_ego(junction.stop_s_m - 60.0, speed_mps=9.0)
    programme = world.programmes[junction.signal_id]
    while programme.state(world.time_s) != "red" or programme.state(world.time_s + 9.0) != "red":
        world.time_ns += 100_000_000
    expert, stood = Expert(world), False
    for _ in range(60 * 50):
        world.step(expert.control())
        stood = stood or world.vehicle.speed_mps < 0.1
        if world.ego_s_m > junction.exit_s_m:
            break
    assert stood
    assert world.ego_s_m > junction.exit_s_m
    assert not world.violations


def test_expert_progress_is_that_of_a_closed_loop():
    metres = expert_progress(2, "quiet_road", 10.0)
    assert 30.0 < metres < 110.0
    assert expert_progress(2, "quiet_road", 10.0) == metres
