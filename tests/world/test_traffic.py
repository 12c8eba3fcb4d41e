"""Families of road users, and that the scripted one thinks for itself."""

import ast
from pathlib import Path

import numpy as np
import pytest

import onboard_vla.world
from onboard_vla.core.road import GREEN, RED
from onboard_vla.world.expert import Expert
from onboard_vla.world.idm import IdmParameters, idm_acceleration
from onboard_vla.world.scripted import Motion, pull_out
from onboard_vla.world.signals import SignalProgramme
from onboard_vla.world.world import World

ROOM = Path(onboard_vla.world.__file__).parent


def imports_of(name):
    tree = ast.parse((ROOM / name).read_text(encoding="utf-8"))
    return {node.module for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)}


def test_scripted_family_shares_no_code_with_car_following_or_expert():
    rooms = imports_of("scripted.py") | imports_of("pedestrians.py")
    assert not rooms & {"onboard_vla.world.idm", "onboard_vla.world.expert", "onboard_vla.world.expert_rollout"}
    assert not any(module.startswith("onboard_vla.safety") for module in rooms if module)


def test_expert_does_not_use_the_traffics_car_following():
    rooms = imports_of("expert.py") | imports_of("expert_rollout.py")
    assert "onboard_vla.world.idm" not in rooms
    assert "onboard_vla.world.scripted" not in rooms


def test_idm_stands_still_at_equilibrium_gap():
    p = IdmParameters(desired_mps=20.0, gap_m=2.0, time_gap_s=1.5)
    # Equilibrium: gap = (s0 + v T) / sqrt(1 - (v / v0)^4), here v = 10: 17 / sqrt(0.9375).
    assert idm_acceleration(10.0, 17.0 / np.sqrt(0.9375), 10.0, p) == pytest.approx(0.0, abs=1e-12)


def test_idm_takes_full_acceleration_on_a_free_road_from_rest():
    assert idm_acceleration(0.0, float("inf"), 0.0, IdmParameters(10.0)) == pytest.approx(1.3)


def test_motion_interpolates_speed_linearly_and_eases_sideways():
    motion = Motion(((0.0, 0.0), (4.0, 8.0)), ((1.0, -3.0), (3.0, 0.0)))
    assert motion.speed_at(1.0) == pytest.approx(2.0)
    assert motion.speed_at(9.0) == pytest.approx(8.0)
    assert motion.lateral_at(2.0) == pytest.approx(-1.5)
    assert motion.lateral_at(0.0) == pytest.approx(-3.0)


def test_pull_out_begins_parked_and_ends_in_the_lane():
    motion = pull_out(12.0, -3.1, np.random.default_rng(0))
    assert (motion.speed_at(0.0), motion.lateral_at(0.0)) == (0.0, -3.1)
    assert motion.lateral_at(10.0) == 0.0


@pytest.mark.parametrize("time_s", np.arange(0.0, 60.0, 0.5).tolist())
def test_signals_never_give_green_to_both_roads(time_s):
    programme = SignalProgramme(green_s=10.0, red_s=12.0, offset_s=3.0)
    assert programme.state(time_s) == RED or programme.crossing_state(time_s) == RED


def test_crossing_road_does_get_green():
    programme = SignalProgramme(green_s=10.0, red_s=12.0, offset_s=0.0)
    assert GREEN in {programme.crossing_state(t) for t in np.arange(0.0, 25.0, 0.5)}


def test_urban_worlds_hold_every_family():
    families, kinds = set(), set()
    for seed in range(3):
        world = World(seed, "urban")
        for actor in world.traffic.moving + world.traffic.parked:
            families.add(actor.family)
            kinds.add(actor.kind)
    assert families >= {"idm", "scripted", "parked", "pedestrian"}
    assert kinds == {"vehicle", "pedestrian"}


@pytest.mark.parametrize(("profile", "seed"), [("urban", 2), ("rural", 2), ("motorway", 1)])
def test_somebody_cuts_in_within_a_minute_and_a_half(profile, seed):
    world = World(seed, profile)
    expert = Expert(world)
    for _ in range(90 * 50):
        world.step(expert.control())
        for actor in world.traffic.actors_near(world.ego_s_m, 120.0):
            sideways = abs(actor.lateral_mps) > 0.3 and actor.direction > 0
            if actor.family == "scripted" and sideways and 0.0 < actor.s_m - world.ego_s_m < 120.0:
                return
    pytest.fail("nobody cut in")


def test_a_pedestrian_crosses_in_front_and_the_expert_yields():
    for seed in range(6):
        world = World(seed, "urban")
        expert = Expert(world)
        for _ in range(50 * 50):
            world.step(expert.control())
            for actor in world.traffic.actors_near(world.ego_s_m, 60.0):
                if actor.kind == "pedestrian" and actor.path is not None and actor.speed_mps > 0.0:
                    s, d = actor.on_route(world.road)
                    if 0.0 < s - world.ego_s_m < 60.0 and abs(d) < 1.5:
                        assert not [v for v in world.violations if v.at_fault]
                        return
    pytest.fail("nobody crossed")
