"""Copies of one drive in which the supervisor has the wheel already, for tests of single ticks."""

from __future__ import annotations

import copy
from functools import cache

import numpy as np

from onboard_vla.core.plan import Plan
from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.core.verdict import Reason
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.config import LadderSettings

from .driving_range import (
    Range,
    codes,
    make_plan,
    simulation_config,
    straight_poses,
)

LADDER = LadderSettings(clear_s=0.1, dwell_s=0.1, handback_clear_s=0.1, shadow_passes=2)
SPEED = 8.0
RECOVERY = Reason("R", 1.0, 0.0, "planted")


@cache
def _driven(mode, **changes):
    drive = Range(simulation_config(ladder=LADDER, **changes), speed=SPEED)
    drive.limit_mps = drive.plan_speed = SPEED
    drive.run(0.62)
    drive.command("engage")
    drive.step()
    while drive.published[-1].mode != mode or drive.tick % 10 != 1:
        if mode is Mode.FALLBACK:
            drive.silent.add("planner")
        drive.step()
        assert drive.tick < 200, codes(drive.published[-1])
    return drive


def driving(mode=Mode.NOMINAL, **changes):
    """Engaged at 8 m/s on a straight lane, a plan judged in the last tick where the model drives."""
    return copy.deepcopy(_driven(mode, **changes))


def driven_at(speed):
    """A drive of its own, by the model at this speed for some time."""
    drive = Range(simulation_config(ladder=LADDER), speed=speed)
    drive.limit_mps = drive.plan_speed = speed
    drive.engage()
    message = drive.run(4.0)
    assert (message.mode, message.source) == (Mode.NOMINAL, "model"), codes(message)
    assert abs(drive.vehicle.speed - speed) < 0.5
    return drive


def begin_stop(drive, cause):
    """By command, or because an input falls silent."""
    if cause == "stop":
        drive.command("stop")
    else:
        drive.silent.add(cause)


def until_it_stands(drive):
    """The stop's messages, and the hardest braking."""
    first = len(drive.published)
    for _ in range(900):
        message = drive.step()
        if message.mode >= Mode.IN_LANE_STOP and drive.vehicle.speed < 0.02:
            break
    assert drive.vehicle.speed < 0.02
    return drive.published[first:], -min(row[3] for row in drive.log[first:])


def quiet(drive, ticks):
    """Ticks with nothing but ego, objects, lanes and heartbeats: no plans."""
    drive.edit[Plan] = lambda plan: None
    return [drive.step() for _ in range(ticks)]


def reason(message, code):
    (found,) = (r for r in message.reasons if r.code == code)
    return found


def doubtful(plan, spread):
    row = np.full(10, spread, np.float32)
    return module.replace(plan, uncertainty=module.replace(plan.uncertainty, spread_m=row))


def slower(plan):
    """As it is for a moment, then two metres a second slower than the lane allows."""
    return make_plan(plan.stamp_ns, straight_poses(SPEED, -1.5), plan.plan_id)


def ending(lanes, end_m):
    """The same straight lane, seen from farther behind."""
    x = np.linspace(end_m - 60.0, end_m, len(lanes.centreline))
    return module.replace(lanes, centreline=np.stack([x, 0.0 * x], axis=1))
