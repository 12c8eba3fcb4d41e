"""The fallback is ready at every tick, chooses 20 times a second, and a tick that judges a plan is spared choosing."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.road import LaneObservation
from onboard_vla.safety import hot_standby as module
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.hot_standby import HotStandby
from onboard_vla.safety.inputs import Inputs

from .driving_range import make_ego, simulation_config

CONFIG = simulation_config()
TICK_NS = 20_000_000


def lanes(stamp_ns: int, end_m: float = 150.0) -> LaneObservation:
    arcs = np.arange(-20.0, end_m, 1.0)
    wide = np.full(len(arcs), 3.0)
    return LaneObservation(stamp_ns, np.stack([arcs, 0 * arcs], axis=1), wide, wide, 3.5, np.full(len(arcs), 14.0), ())


class Ticks:
    """A vehicle at 10 m/s along the lane, tick by tick."""

    def __init__(self, monkeypatch) -> None:
        self.inputs, self.standby, self.tick = Inputs(CONFIG), HotStandby(CONFIG), 0
        self.considered, self.driven = [], []
        for name, ticks in (("consider", self.considered), ("drive", self.driven)):
            monkeypatch.setattr(module, name, self.noting(getattr(module, name), ticks))

    def noting(self, function, ticks):
        def noted(*arguments):
            ticks.append(self.tick)
            return function(*arguments)

        return noted

    @property
    def now(self) -> Now:
        return Now(self.tick * TICK_NS, self.tick * TICK_NS)

    @property
    def motion(self) -> Motion:
        return Motion(0.2 * self.tick, 0.0, 0.0, 10.0, 0.0, 0.0)

    def run(self, count: int, drives: bool = False, busy=lambda _: False) -> list[float]:
        """Ages of the opinion after each tick, s."""
        ages = []
        for _ in range(count):
            self.tick += 1
            if self.tick % 5 == 1:
                self.inputs.receive(make_ego(self.now.stamp_ns, x_m=0.2 * self.tick), self.now)
                self.inputs.receive(lanes(self.now.stamp_ns), self.now)
            self.standby.refresh(
                self.inputs, self.motion, 0.0, CONFIG.fallback, self.now, drives=drives, busy=busy(self.tick)
            )
            opinion = self.standby.opinion(self.now)
            assert opinion is not None
            ages.append(opinion.age_s)
        return ages


@pytest.fixture
def ticks(monkeypatch):
    return Ticks(monkeypatch)


def test_in_standby_it_drives_with_each_new_choice_twenty_times_a_second(ticks):
    ages = ticks.run(101)

    assert 39 <= len(ticks.driven) <= 42
    assert 78 <= len(ticks.considered) <= 84
    assert max(ages) == pytest.approx(0.04)


def test_while_it_drives_it_drives_at_every_tick(ticks):
    assert max(ticks.run(50, drives=True)) == 0.0
    assert ticks.driven == list(range(1, 51))


def test_what_is_braked_for_is_what_was_driven_last_and_nothing_once_another_drives(ticks, monkeypatch):
    begun, inner = [], module.look
    monkeypatch.setattr(module, "look", lambda *arguments: begun.append(arguments[-1]) or inner(*arguments))
    ticks.run(2, drives=True)
    braking = replace(ticks.standby.trajectory, begun=frozenset({4}))
    ticks.standby.driven(braking)
    ticks.run(2, drives=True)
    assert begun == [frozenset()] * 2 + [frozenset({4})] * 2
    for ended in (lambda: ticks.standby.driven(None), ticks.standby.forget):
        ticks.standby.driven(braking)
        ended()
        ticks.run(1, drives=True)
        assert begun[-1] == frozenset()


def test_a_tick_that_judges_a_plan_chooses_nothing(ticks):
    """Plans come five times a second; the standby is a tick older at most."""
    ages = ticks.run(200, busy=lambda tick: tick % 10 == 0)

    assert not [tick for tick in ticks.considered if tick % 10 == 0]
    assert 74 <= len(ticks.driven) <= 82
    assert max(ages) <= 0.06 + 1e-9


def test_a_flood_of_plans_does_not_keep_it_from_choosing(ticks):
    ages = ticks.run(100, busy=lambda _: True)

    assert len(ticks.considered) >= 48
    assert max(ages) <= 0.08 + 1e-9


def test_asked_for_now_it_drives_along_the_choice_that_is_there(ticks):
    ticks.run(30, busy=lambda tick: tick == 30)
    assert ticks.driven[-1] < 30
    considered = len(ticks.considered)

    trajectory = ticks.standby.driven_now(ticks.inputs, ticks.motion, 0.0, CONFIG.fallback, ticks.now)

    assert ticks.driven[-1] == 30
    assert len(ticks.considered) == considered
    assert trajectory.path.poses(np.zeros(1))[0, :2] == pytest.approx([6.0, 0.0], abs=0.05)
    assert ticks.standby.driven_now(ticks.inputs, ticks.motion, 0.0, CONFIG.fallback, ticks.now) is trajectory


@pytest.mark.parametrize("count", range(26, 31))
def test_asked_for_now_it_drives_even_between_unrolling_and_scoring(ticks, count):
    ticks.run(count)
    ticks.tick += 1

    trajectory = ticks.standby.driven_now(ticks.inputs, ticks.motion, 0.0, CONFIG.fallback, ticks.now)

    assert trajectory.path.poses(np.zeros(1))[0, 0] == pytest.approx(0.2 * (count + 1), abs=0.02)
    assert ticks.standby.opinion(ticks.now).age_s == 0.0


def test_the_first_time_it_chooses_and_drives_at_once_even_when_busy(ticks):
    ticks.run(1, drives=True, busy=lambda _: True)

    assert ticks.driven == ticks.considered == [1]


def test_without_lanes_there_is_no_trajectory(ticks):
    ticks.run(5)
    ticks.standby.forget()

    assert ticks.standby.trajectory is None
    assert ticks.standby.opinion(ticks.now) is None


def test_a_lane_that_ends_behind_the_vehicle_is_a_fault_until_there_is_another(ticks):
    ticks.run(5)
    ticks.inputs.lanes = lanes(0, end_m=-10.0)
    ticks.standby.refresh(ticks.inputs, ticks.motion, 0.0, CONFIG.fallback, ticks.now, drives=True, busy=False)
    ticks.standby.forget()
    ticks.standby.refresh(ticks.inputs, ticks.motion, 0.0, CONFIG.fallback, ticks.now, drives=True, busy=False)

    fault = ticks.standby.fault
    assert (fault.code, fault.measured, fault.limit) == ("LANE_UNUSABLE", 0.0, 1.0)
    assert ticks.standby.trajectory is None
    assert ticks.standby.opinion(ticks.now) is None
    ticks.run(5, drives=True)
    assert ticks.standby.fault is None
