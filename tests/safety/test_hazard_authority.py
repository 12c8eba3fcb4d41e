"""Longitudinal authority: whoever drives, objects brake the vehicle, in time, and never make it faster."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from onboard_vla.core.safe_trajectory import Mode
from onboard_vla.safety.config import FallbackSettings, LadderSettings
from onboard_vla.safety.driving import END_DECELERATION_MPS2, follow_plan, plan_path
from onboard_vla.safety.idm import Lead

from .driving_range import Mover, Range, simulation_config, straight_poses
from .plans import placed

QUICK = LadderSettings(dwell_s=0.2, clear_s=0.2, shadow_passes=2)
SETTINGS = FallbackSettings()


def driven_by(model):
    drive = Range(simulation_config(ladder=QUICK) if model else simulation_config(thresholds=None), speed=12.0)
    drive.limit_mps = drive.plan_speed = 12.0
    drive.engage(0.7)
    drive.run(2.2)
    assert drive.published[-1].mode is (Mode.NOMINAL if model else Mode.FALLBACK)
    return drive


@pytest.mark.parametrize("model", [True, False])
@pytest.mark.parametrize("phase", range(5))
def test_a_brake_demand_follows_the_confirming_object_list_within_100_ms(model, phase):
    drive = driven_by(model)
    drive.run(0.02 * phase)
    drive.movers = [Mover(drive.vehicle.x + 3.85 + 2.3 + 22.0)]
    lists, heard = [], drive.supervisor.receive

    def receive(message, now):
        if type(message).__name__ == "ObjectList" and message.objects:
            lists.append(drive.tick)
        heard(message, now)

    drive.supervisor.receive = receive
    for _ in range(60):
        message = drive.step()
        if len(message.points) and message.points[5, 5] < -3.0:
            break
    assert len(lists) >= 2
    assert drive.tick - 1 - lists[1] <= 5


@settings(max_examples=60, deadline=None)
@given(
    st.floats(1.0, 20.0),
    st.lists(st.tuples(st.floats(-5.0, 80.0), st.floats(-5.0, 25.0)), min_size=1, max_size=3),
    st.floats(0.0, 1.0),
)
def test_leads_make_no_plan_faster_and_no_way_longer(speed, ahead, age_s):
    plan = placed(straight_poses(speed), speed=speed)
    leads = [Lead(gap, v) for gap, v in ahead]
    stamp_ns = plan.stamp_ns + round(age_s * 1e9)
    path = plan_path(plan, plan.start)

    def speeds(found):
        planned = follow_plan(plan, path, plan.start, 0.0, stamp_ns, found, 50.0, SETTINGS)
        return planned.profile.speed_mps, planned.profile.distance_m

    with_leads, without = speeds(leads), speeds([])
    times = age_s + np.arange(51) * 0.1
    asked = np.interp(times, plan.times_s, plan.speed_mps)
    # Whoever has been braked comes to the end of the path later, and so may still be as fast as the plan by then.
    assert (with_leads[0] <= np.maximum(without[0], asked) + 1e-6).all()
    # The braking before the path's end comes in steps of 0.1 s: who gets there later may begin it half a step later.
    before = path.known_m - without[1] > speed**2 / (2 * END_DECELERATION_MPS2) + speed * 0.1
    assert (with_leads[1] <= without[1] + 1e-6)[before].all()
    assert (with_leads[1] <= without[1] + 0.05 * speed).all()
    assert (with_leads[1] <= path.known_m + 0.2).all()
    assert (np.diff(with_leads[1]) >= 0.0).all()


def something_ahead_for(lists):
    """Drive on at 12 m/s, and let perception report something slower 5 m ahead in so many lists of ten a second."""
    drive = driven_by(True)
    while drive.tick % 5 != 1:
        drive.step()
    drive.movers = [Mover(drive.vehicle.x + 3.85 + 2.3 + 5.0, vx=6.0)]
    drive.run(0.1 * lists)
    drive.movers = []
    drive.run(2.0)
    return drive


@pytest.mark.parametrize("lists", [2, 3])
def test_a_ghost_right_ahead_is_braked_for_and_ends_in_no_stop_that_nobody_takes_back(lists):
    drive = something_ahead_for(lists)
    assert min(message.points[0, 5] for message in drive.published if len(message.points)) < -2.0
    assert max(message.mode for message in drive.published[50:]) <= Mode.FALLBACK
    assert drive.vehicle.speed > 5.0


def test_what_stays_right_ahead_for_longer_than_ghosts_do_is_an_emergency():
    drive = something_ahead_for(9)
    assert drive.published[-1].mode >= Mode.EMERGENCY_STOP
    assert any(reason.code == "A_REQ" for message in drive.published for reason in message.reasons)
