"""The human driver behind: who brakes as traffic does is not hit, who stops dead at speed is."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.world.scenarios.follower import CLOSE_GAP_S, REACTION_S, STANDING_GAP_M, HumanBehind, least_gap_behind

STEP_S = 0.02


def behind_a_stop(speed_mps: float, braking_mps2: float) -> float:
    """Two seconds of steady driving, then this braking to a stand."""
    times = np.arange(900) * STEP_S
    speed = np.maximum(speed_mps - braking_mps2 * np.maximum(times - 2.0, 0.0), 0.0)
    rear = np.concatenate([[0.0], np.cumsum((speed[1:] + speed[:-1]) / 2 * STEP_S)])
    return least_gap_behind(rear, speed, STEP_S)


@pytest.mark.parametrize("speed_mps", [5.0, 15.0, 25.0])
@pytest.mark.parametrize("braking_mps2", [1.5, 2.5, 4.0])
def test_braking_as_traffic_does_is_not_hit(speed_mps, braking_mps2):
    assert behind_a_stop(speed_mps, braking_mps2) > 0.5


@pytest.mark.parametrize("braking_mps2", [6.0, 8.0])
def test_an_emergency_stop_on_the_motorway_is_hit(braking_mps2):
    assert behind_a_stop(25.0, braking_mps2) <= 0.0


def test_steady_driving_keeps_the_gap_it_began_with():
    assert behind_a_stop(15.0, 0.0) == pytest.approx(STANDING_GAP_M + CLOSE_GAP_S * 15.0, abs=3.0)


def test_hard_braking_begins_a_reaction_time_after_the_cause():
    driver, speed, ahead = HumanBehind(20.0), 15.0, 15.0
    demands = []
    for _ in range(200):
        ahead = max(ahead - 6.0 * STEP_S, 0.0)
        demands.append(driver.acceleration(speed, 8.0, ahead, STEP_S))
    first = next(k for k, demand in enumerate(demands) if demand < -2.5)
    assert first * STEP_S == pytest.approx(REACTION_S, abs=0.05)
    assert min(demands) == -5.0
