"""The world's truth in the scorer's terms: the same edges, lanes, crossings, signals; road users keep their column."""

from __future__ import annotations

import dataclasses

import numpy as np
import pytest

from onboard_vla.app.evaluation.surroundings import BEHIND_M, driven, road_of, traffic_of
from onboard_vla.app.evaluation.trace import instant_of
from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.scoring.motion import Motion
from onboard_vla.core.scoring.score import measure
from onboard_vla.world.expert import Expert
from onboard_vla.world.world import World


def test_road_users_keep_their_column_and_are_absent_while_out_of_reach():
    world = World(3, "urban")
    made = instant_of(world, Expert(world), None)
    rows = np.array([[7.0, 1, 2, 0, 4, 2, 5], [9.0, 3, 4, 0, 4, 2, 6]])
    one = dataclasses.replace(made, users=rows, agents=np.array([True, False]))
    two = dataclasses.replace(made, users=rows[1:] + np.array([0, 10, 0, 0, 0, 0, 0]), agents=np.array([False]))
    three = dataclasses.replace(made, users=rows[:1], agents=np.array([True]))
    found = traffic_of([one, two, three])
    assert found.boxes[:, 1, 0].tolist()[:2] == [3.0, 13.0]
    assert np.isnan(found.boxes[1, 0]).all()
    assert np.isnan(found.boxes[2, 1]).all()
    assert found.boxes[2, 0].tolist() == [1, 2, 0, 4, 2]
    assert found.speed_mps[0].tolist() == [5, 6]
    assert found.agents.tolist() == [True, False]


@pytest.mark.parametrize("profile", ["quiet_road", "urban", "rural", "motorway"])
def test_edges_are_those_that_the_worlds_own_referee_judges_by(profile):
    world, rng = World(5, profile), np.random.default_rng(2)
    road = road_of(world, 120.0, [0])
    for s, d in zip(rng.uniform(100, 200, 300), rng.uniform(-9, 9, 300), strict=True):
        x, y, _ = world.road.pose_at(float(s), float(d))
        own_s, own_d = world.road.project(x, y, float(s))
        i = world.road.index(own_s)
        edge = min(abs(own_d - world.road.left_m[i]), abs(own_d + world.road.right_m[i]))
        if edge > 0.02:
            judged = bool(-world.road.right_m[i] <= own_d <= world.road.left_m[i])
            at, offset = road.centreline.project(np.array([[x, y]]))
            assert bool(road.drivable(at, offset)[0]) == judged
            assert at[0] + 120 - BEHIND_M == pytest.approx(own_s, abs=0.3)
    assert len(road.lanes_m) == world.profile.lanes


def test_red_stretches_begin_at_the_stop_line_and_are_red_when_the_signal_is():
    worlds = (World(seed, "urban") for seed in range(50))
    world = next(w for w in worlds if any(j.signal_id is not None for j in w.road.junctions))
    junction = next(j for j in world.road.junctions if j.signal_id is not None)
    stamps = [nanoseconds(0.5 * k) for k in range(80)]
    road = road_of(world, junction.stop_s_m - 30.0, stamps)
    first = int(junction.stop_s_m - 30.0) - BEHIND_M
    stretch = next(s for s in road.signals if abs(s.begin_m + first - junction.stop_s_m) < 1e-9)
    states = [world.programmes[junction.signal_id].state(0.5 * k) for k in range(80)]
    assert stretch.red.tolist() == [state == "red" for state in states]
    assert 0 < stretch.red.sum() < 80
    middle = (junction.enter_s_m + junction.exit_s_m) / 2 - first
    assert road.in_junction(np.array([middle, stretch.begin_m - 5.0])).tolist() == [True, False]


@pytest.mark.parametrize(("profile", "seed"), [("quiet_road", 11), ("urban", 2), ("rural", 4), ("motorway", 6)])
def test_the_experts_own_drive_breaks_no_rule(profile, seed):
    """Oracle: the world's referee finds nothing wrong with these drives either."""
    world = World(seed, profile)
    expert, instants = Expert(world), []
    for step in range(800):
        if step % 5 == 0:
            instants.append(instant_of(world, expert, None))
        world.step(expert.control())
    assert not [v for v in world.violations if v.at_fault]
    for start in range(0, len(instants) - 50, 40):
        part = instants[start : start + 41]
        motion: Motion = driven([i.ego for i in part])
        road = road_of(world, part[0].ego_s_m, [i.ego.stamp_ns for i in part])
        found = measure(motion, traffic_of(instants[start : start + 50]), road, world.geometry)
        assert (found.nc, found.dac, found.ddc, found.lane_keeping) == (1.0, 1.0, 1.0, 1.0)
