"""Open loop and time to collision by hand: contacts of a plan, its displacement, its meta-action, its distance."""

from __future__ import annotations

import dataclasses
import math

import numpy as np
import pytest

from onboard_vla.app.evaluation.closed_loop_score import mean_time_to_collision_s
from onboard_vla.app.evaluation.episode import plan_errors
from onboard_vla.app.evaluation.open_loop import action_along, first_hit_s, score_plan
from onboard_vla.app.evaluation.trace import Doubt, Trace, instant_of
from onboard_vla.core.ego import EgoState, VehicleGeometry
from onboard_vla.core.plan import FAST, PassCount, Plan, Uncertainty
from onboard_vla.core.scene_record import (
    BEAR_LEFT,
    BEAR_RIGHT,
    BRAKE,
    GO_STRAIGHT,
    HOLD_SPEED,
    SLOW_DOWN,
    SPEED_UP,
    STAND,
    STOP,
    TURN_LEFT,
    TURN_RIGHT,
)
from onboard_vla.core.scoring.surroundings import Traffic
from onboard_vla.world.expert import Expert
from onboard_vla.world.scene import lateral_action, longitudinal_action
from onboard_vla.world.world import World

VEHICLE = VehicleGeometry()
"""4.8 m x 2.0 m; the front is 3.85 m ahead of the rear axle."""
STEPS = 50


def straight_on(speed_mps):
    """(51, 3): from the instant of the plan on, along x."""
    return np.stack([0.1 * speed_mps * np.arange(STEPS + 1), np.zeros(STEPS + 1), np.zeros(STEPS + 1)], axis=1)


def users(*boxes, speed_mps=0.0):
    """Road users (x, y, heading, length, width), all along x at one speed."""
    table = np.tile(np.array(boxes, float), (STEPS + 1, 1, 1))
    table[:, :, 0] += 0.1 * speed_mps * np.arange(STEPS + 1)[:, None]
    return Traffic(table, np.full(table.shape[:2], abs(speed_mps)), np.ones(len(boxes), bool))


@pytest.mark.parametrize(
    ("rear_m", "speed_mps", "expected_s"),
    [
        (18.0, 0.0, 1.5),  # the front starts at 3.85 m: 14.15 m at 10 m/s take 1.415 s
        (18.0, 4.0, 2.4),  # at 6 m/s: 2.358 s
        (13.8, 0.0, 1.0),
        (13.9, 0.0, 1.1),
        (4.0, 0.0, 0.1),  # a contact within the first step counts
        (3.9, 0.0, 0.1),
        (3.8, 0.0, math.inf),  # touched from the start
        (54.0, 0.0, math.inf),  # the front ends at 53.85 m
        (53.8, 0.0, 5.0),
    ],
)
def test_a_plans_first_contact_is_that_of_its_footprint(rear_m, speed_mps, expected_s):
    found = first_hit_s(straight_on(10.0), users((rear_m + 2.0, 0, 0, 4, 2), speed_mps=speed_mps), VEHICLE)
    assert found == pytest.approx(expected_s)


def test_a_plan_passes_who_is_beside_and_hits_the_first_of_several():
    beside, ahead, behind = (20.0, 2.05, 0, 4, 2), (30.0, 1.95, 0, 4, 2), (-10.0, 0, 0, 4, 2)
    assert first_hit_s(straight_on(10.0), users(beside), VEHICLE) == math.inf
    # Its rear end is at 28 m: 2.415 s.
    assert first_hit_s(straight_on(10.0), users(beside, ahead, behind), VEHICLE) == pytest.approx(2.5)
    assert first_hit_s(straight_on(10.0), Traffic.none(STEPS + 1), VEHICLE) == math.inf


def test_first_contacts_equal_those_of_commonroad_drivability_checker():
    pycrcc = pytest.importorskip("commonroad_dc.pycrcc", reason="wheels for x86-64 Linux, Python 3.10 to 3.13")
    rng, hits = np.random.default_rng(8), 0
    for _ in range(60):
        x, y, heading = rng.uniform(-5, 5), rng.uniform(-5, 5), rng.uniform(-np.pi, np.pi)
        ahead = 0.1 * rng.uniform(1, 12) * np.arange(STEPS + 1)
        placed = np.stack(
            [x + ahead * np.cos(heading), y + ahead * np.sin(heading), np.full(len(ahead), heading)], axis=1
        )
        boxes = [(*rng.uniform(-25, 25, 2), rng.uniform(-3, 3), *rng.uniform(0.4, 9, 2)) for _ in range(4)]
        traffic, expected = users(*boxes, speed_mps=rng.uniform(-8, 8)), math.inf
        for n in range(len(boxes)):
            met = []
            for t, (px, py, turn) in enumerate(placed):
                offset = VEHICLE.centre_offset_m
                middle = px + offset * np.cos(turn), py + offset * np.sin(turn)
                own = pycrcc.RectOBB(VEHICLE.length_m / 2, VEHICLE.width_m / 2, turn, *middle)
                bx, by, angle, length, width = traffic.boxes[t, n]
                met.append(own.collide(pycrcc.RectOBB(length / 2, width / 2, angle, bx, by)))
            if any(met) and not met[0]:
                expected = min(expected, 0.1 * met.index(True))
        assert first_hit_s(placed, traffic, VEHICLE) == pytest.approx(expected)
        hits += math.isfinite(expected)
    assert 10 < hits < 50


@pytest.mark.parametrize(
    ("turn_rad", "action"),
    [
        (0.08, GO_STRAIGHT), (-0.08, GO_STRAIGHT), (0.081, BEAR_LEFT), (-0.081, BEAR_RIGHT),
        (0.6, BEAR_LEFT), (-0.6, BEAR_RIGHT), (0.61, TURN_LEFT), (-0.61, TURN_RIGHT),
    ],
)  # fmt: skip
def test_lateral_actions_on_both_sides_of_each_limit(turn_rad, action):
    assert lateral_action(turn_rad) == action


@pytest.mark.parametrize(
    ("now", "after_3s", "after_5s", "action"),
    [
        (0.29, 0.29, 5.0, STAND), (0.31, 0.29, 5.0, HOLD_SPEED), (0.31, 0.29, 0.29, STOP), (9.0, 4.0, 0.29, STOP),
        (9.0, 5.9, 0.31, BRAKE), (9.0, 6.1, 4.0, SLOW_DOWN), (9.0, 8.1, 8.0, SLOW_DOWN), (9.0, 8.3, 8.0, HOLD_SPEED),
        (9.0, 9.7, 9.9, HOLD_SPEED), (9.0, 9.9, 9.9, SPEED_UP), (0.0, 1.0, 3.0, SPEED_UP),
    ],
)  # fmt: skip
def test_longitudinal_actions_on_both_sides_of_each_limit(now, after_3s, after_5s, action):
    assert longitudinal_action(now, after_3s, after_5s) == action


def decelerating(speed_mps, rate_mps2):
    """(10, 3) poses every 0.5 s at a constant deceleration, along a heading of 0.7 rad, until it stands."""
    t = np.minimum(0.5 * np.arange(1, 11), speed_mps / rate_mps2 if rate_mps2 > 0 else np.inf)
    metres = speed_mps * t - rate_mps2 * t**2 / 2
    return np.stack([metres * np.cos(0.7), metres * np.sin(0.7), np.full(10, 0.7)], axis=1)


@pytest.mark.parametrize(
    ("speed", "rate", "action"),
    [
        (12.0, 0.0, HOLD_SPEED), (12.0, 0.26, HOLD_SPEED), (12.0, 0.27, SLOW_DOWN), (12.0, 0.99, SLOW_DOWN),
        (12.0, 1.01, BRAKE), (12.0, -0.26, HOLD_SPEED), (12.0, -0.27, SPEED_UP), (8.0, 2.0, STOP), (0.0, 0.0, STAND),
    ],
)  # fmt: skip
def test_a_plans_action_along_the_road_comes_from_its_speed_after_three_seconds_and_at_its_end(speed, rate, action):
    # Over 3 s the speed falls by three times the rate; the limits are 0.8 and 3 m/s.
    assert action_along(decelerating(speed, rate), speed, 0.5) == action


@pytest.fixture(scope="module")
def drive():
    """Seven seconds of the expert's drive, an instant every 0.1 s."""
    world = World(3, "quiet_road")
    expert, instants = Expert(world), []
    for step in range(350):
        if step % 5 == 0:
            instants.append(instant_of(world, expert, None))
        world.step(expert.control())
    return world, instants


def as_driven(instants, index, aside_m):
    """The drive from `index` on as a plan, moved aside: (50, 3) in the ego frame, turned there by hand."""
    ego = instants[index].ego
    rows = []
    for k in range(1, STEPS + 1):
        other = instants[index + k].ego
        east, north = other.x_m - ego.x_m, other.y_m - ego.y_m
        c, s = math.cos(ego.heading_rad), math.sin(ego.heading_rad)
        rows.append((c * east + s * north, -s * east + c * north + aside_m[k - 1], other.heading_rad - ego.heading_rad))
    return np.array(rows, np.float32)


def planned(fine):
    return Plan(
        1, 0, 0, 0.5, fine[4::5], fine, (0,) * 10, FAST, 0.2, "", Uncertainty.sure(10, 0.1), PassCount(0, 1, 0),
        {"total": 0.0}, "",
    )  # fmt: skip


def test_displacement_of_a_plan_beside_what_was_driven(drive):
    world, instants = drive
    # 0.2 m aside for each second that has passed.
    aside = 0.02 * np.arange(1, STEPS + 1)
    found = score_plan(instants, world, 16, planned(as_driven(instants, 16, aside)), 1.6)
    shown = found.displacement
    assert (shown.l2_1s_m, shown.l2_2s_m, shown.l2_3s_m) == pytest.approx((0.2, 0.4, 0.6), abs=1e-3)
    assert (shown.l2_mean_3s_m, shown.ade_m, shown.fde_m) == pytest.approx((0.35, 0.55, 1.0), abs=1e-3)
    assert found.lateral
    assert found.longitudinal
    assert (found.hit_1s, found.hit_2s, found.hit_3s, found.hit_5s) == (False,) * 4


def test_a_plan_is_a_hit_from_its_first_contact_on(drive):
    world, instants = drive
    fine = as_driven(instants, 16, np.zeros(STEPS))
    # Where the rear axle is after 2.8 s; its front, 3.85 m ahead of it, is there before: at 7.5 to 8 m/s after 2.3 s.
    there = instants[16 + 28].ego
    assert 7.3 < instants[16].ego.speed_mps < there.speed_mps < 8.0
    parked = np.array([[99.0, there.x_m, there.y_m, there.heading_rad, 0.4, 0.4, 0.0]])
    with_one = [dataclasses.replace(i, users=parked, agents=np.ones(1, bool)) for i in instants]
    found = score_plan(with_one, world, 16, planned(fine), 1.6)
    assert (found.hit_1s, found.hit_2s, found.hit_3s, found.hit_5s) == (False, False, True, True)


def ego(speed_mps, stamp_ns=0):
    return EgoState(stamp_ns, 0.0, 0.0, 0.0, speed_mps, 0.0, 0.0)


def test_mean_time_to_collision_is_over_the_instants_with_somebody_ahead(drive):
    base = drive[1][0]

    def instant(gap_m, lead_mps, speed_mps=10.0):
        return dataclasses.replace(base, ego=ego(speed_mps), lead_gap_m=gap_m, lead_mps=lead_mps)

    nobody = instant(math.inf, 0.0)
    ahead = [instant(20.0, 5.0), instant(50.0, 9.0), instant(8.0, 12.0), instant(-0.1, 9.0)]
    # 20 m at 5 m/s are 4 s; 50 s and an opening gap count as 10 s; contact is 0 s.
    assert mean_time_to_collision_s(Trace([nobody, *ahead, nobody], engaged=0)) == pytest.approx(24.0 / 4)
    assert mean_time_to_collision_s(Trace([ahead[0], nobody], engaged=1)) is None


def test_a_plans_error_is_its_mean_distance_from_the_experts_of_the_same_stamp(drive):
    instants = drive[1][:3]
    poses = instants[1].expert.poses.copy()
    poses[:, 0] += 0.3
    poses[:, 1] += 0.4
    doubts = [Doubt(instants[1].ego.stamp_ns, poses, FAST, 0.2, 1.5, 0.1), Doubt(7, poses, FAST, 0.2, 1.5, 0.1)]
    (row,) = plan_errors(Trace(instants, doubts, 0))
    assert row["ade_m"] == pytest.approx(0.5, abs=1e-6)
    assert (row["spread_m"], row["negative_log_likelihood"], row["slow_probability"]) == (0.2, 1.5, 0.1)
