"""Friction that nobody announced: seen by braking that does not come, kept, and planned with."""

from __future__ import annotations

import numpy as np
import pytest

from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import FallbackSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.friction import GRAVITY, USABLE_SHARE, for_friction
from onboard_vla.safety.friction_watch import CONFIRM_S, DRY, LEAST, FrictionWatch

TICK_NS = 20_000_000


def points(asked):
    rows = np.zeros((51, 6))
    rows[:, 0], rows[:, 4], rows[:, 5] = 0.1 * np.arange(51), 10.0, -asked
    return rows


class Brakes:
    """Asks and gets; ten metres per second unless said otherwise."""

    def __init__(self):
        self.watch, self.now_ns = FrictionWatch(FallbackSettings()), 0

    def run(self, seconds, asked, got, speed=10.0):
        found = []
        for _ in range(round(seconds / 0.02)):
            self.now_ns += TICK_NS
            motion = Motion(0.0, 0.0, 0.0, speed, -got, 0.0)
            found = self.watch.check(points(asked), motion, self.now_ns)
        return found


def test_a_shortfall_of_thirty_percent_for_three_tenths_lowers_the_estimate_to_what_came():
    brakes = Brakes()
    found = brakes.run(1.5, asked=4.0, got=1.2)
    assert [(r.level, r.reason.code) for r in found] == [(Mode.FALLBACK, "FRICTION_LOW")]
    assert brakes.watch.friction == pytest.approx(1.2 / (USABLE_SHARE * GRAVITY))
    assert brakes.watch.settings == for_friction(FallbackSettings(), brakes.watch.friction)
    assert brakes.watch.settings.idm.clip_mps2 == pytest.approx(1.2)


@pytest.mark.parametrize(("got", "slippery"), [(0.69 * 4.0, True), (0.71 * 4.0, False)])
def test_both_sides_of_the_shortfall(got, slippery):
    assert bool(Brakes().run(1.5, 4.0, got)) is slippery


@pytest.mark.parametrize(("asked", "slippery"), [(1.49, False), (1.51, True)])
def test_soft_braking_tells_nothing(asked, slippery):
    assert bool(Brakes().run(1.5, asked, 0.2)) is slippery


@pytest.mark.parametrize(("speed", "slippery"), [(1.49, False), (1.51, True)])
def test_the_last_metre_tells_nothing(speed, slippery):
    assert bool(Brakes().run(1.5, 4.0, 0.2, speed)) is slippery


def test_brakes_that_answer_late_are_no_ice():
    """Nothing for 0.48 s, then everything: asked for throughout is only what has been asked for half a second."""
    brakes = Brakes()
    assert brakes.run(0.48, 6.0, 0.0) == brakes.run(1.0, 6.0, 6.0) == []
    assert brakes.watch.friction == DRY


def test_a_shortfall_that_ends_in_time_is_nothing():
    brakes = Brakes()
    brakes.run(0.5, 4.0, 4.0)
    for _ in range(5):
        assert brakes.run(CONFIRM_S - 0.04, 4.0, 1.0) == []
        assert brakes.run(0.1, 4.0, 4.0) == []


def test_good_braking_afterwards_raises_nothing_and_worse_lowers_further():
    brakes = Brakes()
    brakes.run(1.5, 4.0, 2.0)
    first = brakes.watch.friction
    assert brakes.run(3.0, 4.0, 4.0)
    assert brakes.watch.friction == first
    brakes.run(1.5, 2.0, 1.1)
    assert brakes.watch.friction == pytest.approx(first * 1.1 / 2.0)


def test_the_end_of_the_drive_ends_it():
    brakes = Brakes()
    brakes.run(1.5, 4.0, 1.0)
    assert brakes.watch.check(points(4.0), None, brakes.now_ns)
    assert brakes.watch.check(np.zeros((0, 6)), None, brakes.now_ns) == []
    assert (brakes.watch.friction, brakes.watch.settings) == (DRY, FallbackSettings())


def test_no_braking_at_all_is_ice():
    brakes = Brakes()
    brakes.run(1.5, 4.0, -0.1)
    assert brakes.watch.friction == LEAST
    assert brakes.watch.settings.idm.clip_mps2 >= 1.0


class TestTiming:
    """Half a second of asking, and three tenths of too little, to the tick of 20 ms."""

    def ticks(self, brakes, asked=4.0, got=1.0, limit=60):
        """Ticks until it is found."""
        for tick in range(1, limit):
            if brakes.run(0.02, asked, got):
                return tick
        return None

    def test_from_the_start(self):
        assert self.ticks(Brakes()) == 40

    def test_after_good_braking_the_asking_is_owed_already(self):
        brakes = Brakes()
        brakes.run(1.0, 4.0, 4.0)
        assert self.ticks(brakes) == 16

    @pytest.mark.parametrize("speed", [1.0, None])
    def test_after_standing_or_an_unknown_motion_it_begins_anew(self, speed):
        brakes = Brakes()
        brakes.run(0.7, 4.0, 1.0)
        if speed is None:
            brakes.watch.check(points(4.0), None, brakes.now_ns)
        else:
            brakes.run(0.02, 4.0, 1.0, speed)
        assert self.ticks(brakes) == 40

    def test_a_worse_finding_needs_its_own_three_tenths(self):
        brakes = Brakes()
        self.ticks(brakes, got=2.0)
        first = brakes.watch.friction
        lowered = [brakes.run(0.02, 4.0, 1.0) and brakes.watch.friction < first for _ in range(20)]
        assert lowered.index(True) == 15

    def test_the_most_that_came_in_that_time_is_what_the_road_gives(self):
        brakes = Brakes()
        brakes.run(0.6, 4.0, 4.0)
        for tick in range(16):
            brakes.run(0.02, 4.0, 2.0 if tick == 7 else 0.5)
        assert brakes.watch.friction == pytest.approx(2.0 / (USABLE_SHARE * GRAVITY))

    def test_what_is_asked_now_and_then_is_not_owed(self):
        brakes = Brakes()
        for tick in range(100):
            assert brakes.run(0.02, 4.0 if tick % 20 else 0.0, 0.2) == []

    def test_asked_for_is_what_a_trajectory_begins_with(self):
        brakes = Brakes()
        rows = points(0.0)
        rows[1:, 5] = -4.0
        for _ in range(60):
            brakes.now_ns += TICK_NS
            assert brakes.watch.check(rows, Motion(0.0, 0.0, 0.0, 10.0, 0.0, 0.0), brakes.now_ns) == []


def test_at_the_limits_themselves():
    assert Brakes().run(1.5, asked=1.5, got=0.2)
    assert Brakes().run(1.5, 4.0, 0.2, speed=1.5)
    assert not Brakes().run(1.5, 4.0, got=2.8)


def test_the_reason_holds_the_friction_against_a_dry_roads():
    (request,) = Brakes().run(1.5, 4.0, 1.2)
    assert request.reason.measured == pytest.approx(1.2 / (USABLE_SHARE * GRAVITY))
    assert request.reason.limit == 1.0
