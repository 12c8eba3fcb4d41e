"""Friction that nobody announced, in the closed loop: ice is seen, a dry road is never called slippery."""

from __future__ import annotations

import pytest

from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.friction import GRAVITY, USABLE_SHARE

from .driving_range import Mover, Vehicle
from .test_supervisor import codes, nominal


class Icy(Vehicle):
    """Brakes no harder than the road gives."""

    GRIP_MPS2 = USABLE_SHARE * 0.2 * GRAVITY

    def step(self, demand, curvature, dt):
        super().step(max(demand, -self.GRIP_MPS2), curvature, dt)


def test_in_the_loop_ice_is_seen_said_and_planned_with_and_nobody_leaves_the_lane():
    drive = nominal(8.0)
    drive.vehicle = Icy(**vars(drive.vehicle))
    drive.movers.append(Mover(drive.vehicle.x + 26.0))
    beside = 0.0
    for _ in range(400):
        drive.step()
        beside = max(beside, abs(drive.vehicle.y))
    told = [r for m in drive.published for r in m.reasons if r.code == "FRICTION_LOW"]
    assert told
    assert told[-1].measured == pytest.approx(0.2, rel=0.15)
    first = next(m for m in drive.published if "FRICTION_LOW" in codes(m))
    assert first.mode >= Mode.FALLBACK
    assert beside < 0.5


def test_in_the_loop_a_dry_road_is_never_called_slippery():
    drive = nominal(8.0)
    drive.movers.append(Mover(drive.vehicle.x + 26.0))
    drive.run(8.0)
    assert not [m for m in drive.published if "FRICTION_LOW" in codes(m)]
    assert drive.vehicle.speed < 0.1


def test_settings_in_effect_are_those_of_the_estimate():
    supervisor = nominal(8.0).supervisor
    watch = supervisor._friction
    assert watch.settings is supervisor.config.fallback
