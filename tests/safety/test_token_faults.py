"""Wrong action tokens of the reference codebook: random plans, one wrong token, tokens no car can drive (F9 to F11).

The detection rates are those of this codebook; another one has others. Nothing here knows the model.
"""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

import onboard_vla.world
from onboard_vla.core.clock import Now
from onboard_vla.core.codebook import Codebook
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.plan_guard import PlanGuard

from .driving_range import CORE_HASH, make_plan, simulation_config, straight_poses
from .plans import STAMP, history

CODEBOOK = Codebook.load(Path(onboard_vla.world.__file__).parent / "reference" / "codebook.npz")
CONFIG = simulation_config()
SPEEDS = (5.0, 8.3, 13.9, 20.0)
NEAR_M = 0.3
BLUR_M = 0.1
"""A harmless model's distribution about the right token."""


class Drive:
    """Guards of a vehicle in steady motion on a straight road, 3.5 m of lane and 1 m of shoulder to either side."""

    def __init__(self, speed):
        self.speed, self.inputs = speed, Inputs(CONFIG)
        self.inputs.history = history(speed)
        x = np.arange(-20.0, 160.0, 2.0)
        wide = np.full(len(x), 2.75)
        self.inputs.receive(LaneObservation(STAMP, np.column_stack([x, 0 * x]), wide, wide, 3.5, wide * 10, ()),
                            Now(STAMP, STAMP))  # fmt: skip
        self.motion = Motion(0.0, 0.0, 0.0, speed, 0.0, 0.0)
        self.tokens = CODEBOOK.encode(straight_poses(speed))

    def plan(self, tokens, stamp_ns=STAMP):
        poses, fine = CODEBOOK.decode(tokens)
        made = make_plan(stamp_ns, poses, action_tokens=tuple(int(token) for token in tokens))
        return replace(made, fine_poses=fine)

    def guard(self):
        """A guard that has just accepted the right plan."""
        guard = PlanGuard(CONFIG, CORE_HASH)
        assert self.judge(guard, self.plan(self.tokens, STAMP - 1)).passed
        return guard

    def judge(self, guard, plan):
        return guard.judge(plan, self.inputs, self.motion, None, Now(STAMP, STAMP))


def chosen_mass(right, chosen):
    """Probability within 0.3 m of the chosen token, under a blur about the right one."""
    ends = CODEBOOK.deltas[:, :2]
    weights = np.exp(-((ends - ends[right]) ** 2).sum(axis=1) / (2 * BLUR_M**2))
    near = ((ends - ends[chosen]) ** 2).sum(axis=1) <= NEAR_M**2
    return float(weights[near].sum() / weights.sum())


@pytest.mark.parametrize("draws", [500, pytest.param(2500, marks=pytest.mark.slow)])
@pytest.mark.parametrize("speed", SPEEDS)
def test_random_tokens_are_refused(speed, draws):
    """F9: at least 99.9 % of all draws, at each of four speeds."""
    drive, rng = Drive(speed), np.random.default_rng(round(speed))
    passed = sum(
        drive.judge(PlanGuard(CONFIG, CORE_HASH), drive.plan(rng.integers(0, CODEBOOK.size, 10))).passed
        for _ in range(draws)
    )
    assert passed <= draws / 1000


@pytest.mark.parametrize(("speed", "least"), [(5.0, 0.9), (8.3, 0.95), (13.9, 0.95), (20.0, 0.95)])
def test_one_random_token_is_refused_or_doubted(speed, least):
    """F10: by motion, consistency or the probability near the chosen token; from 8 m/s in 95 % of 200 draws."""
    drive, rng = Drive(speed), np.random.default_rng(100 + round(speed))
    found = motion_alone = 0
    for _ in range(200):
        step, token = int(rng.integers(0, 10)), int(rng.integers(0, CODEBOOK.size))
        tokens = drive.tokens.copy()
        tokens[step] = token
        plan = drive.plan(tokens)
        masses = plan.uncertainty.chosen_mass.copy()
        masses[step] = chosen_mass(drive.tokens[step], token)
        judgement = drive.judge(drive.guard(), replace(plan, uncertainty=replace(plan.uncertainty, chosen_mass=masses)))
        motion_alone += not judgement.passed
        found += not judgement.passed or bool(judgement.doubt.reduce)
    assert found >= least * 200
    assert found > motion_alone


def test_tokens_beyond_the_vehicles_limits_are_refused_wherever_they_can_be_driven_into():
    """F11: every token that by itself is beyond a limit, forced for a whole plan at its own speed."""
    limits = CONFIG.kinematics
    forward, sideways, turn = CODEBOOK.deltas.T
    speed, rate = np.hypot(forward, sideways) / 0.5, np.abs(turn) / 0.5
    beyond = np.flatnonzero(
        (rate > 1.05 * limits.yaw_rate_rps)
        | (rate * speed > 1.05 * limits.lateral_acceleration_mps2)
        | (rate > 1.05 * limits.curvature_per_m * np.maximum(speed, limits.curvature_speed_floor_mps))
        | (speed > limits.raw_speed_max_mps)
        | (forward < -limits.raw_reverse_m)
    )
    within = np.flatnonzero((rate < 0.01) & (speed > 2.0) & (speed < 30.0))
    assert len(beyond) > 10
    for token in beyond:
        drive = Drive(float(speed[token]))
        assert not drive.judge(PlanGuard(CONFIG, CORE_HASH), drive.plan(np.full(10, token))).passed, token
    passed = [Drive(float(speed[t])) for t in within[:: max(len(within) // 20, 1)]]
    assert sum(
        d.judge(PlanGuard(CONFIG, CORE_HASH), d.plan(CODEBOOK.encode(straight_poses(d.speed)))).passed for d in passed
    ) >= 0.9 * len(passed)
