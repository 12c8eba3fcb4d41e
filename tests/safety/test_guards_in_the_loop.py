"""Guards in the closed loop: the stored stop, swinging plans (F12), second opinions, drift (F28's shape)."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.plan import SLOW, Plan, PlanRejection
from onboard_vla.core.safe_trajectory import Engagement, Mode
from onboard_vla.core.thresholds import DRIFT_BLOCKS_MIN
from onboard_vla.safety import supervisor as module
from onboard_vla.safety.drift import THRESHOLD
from onboard_vla.safety.hot_standby import HotStandby

from .driving_range import make_plan, make_thresholds, straight_poses
from .test_supervisor import check_outputs, codes, nominal

REFERENCE = tuple(0.1 + 0.0001 * k for k in range(DRIFT_BLOCKS_MIN))
PLANTED = ("step", "points_of", "input_requests", "process_requests", "follow_plan", "output_fault",
           "advance", "motion_on", "stop_path", "emergency_stop", "in_lane_stop")  # fmt: skip
STANDBY_PLANTED = ("refresh", "driven_now", "opinion", "forget")


def test_with_the_planner_dead_the_ego_lost_and_every_step_failing_the_stored_stop_runs_to_standstill(monkeypatch):
    drive = nominal(10.0)
    drive.silent.add("planner")
    drive.edit[EgoState] = lambda ego: None
    drive.run(0.06)
    last = drive.published[-1]
    assert last.source == "model"
    stored = drive.supervisor._stored

    def broken(*_args, **_kwargs):
        raise RuntimeError("planted")

    for name in PLANTED:
        monkeypatch.setattr(module, name, broken)
    for name in STANDBY_PLANTED:
        monkeypatch.setattr(HotStandby, name, broken)
    begun = drive.now.monotonic_ns
    drive.run(4.0)
    fresh = [m for m in drive.published if m.sequence > last.sequence]
    assert drive.supervisor._stored is stored
    assert stored.plan_id == last.plan_id
    for k, message in enumerate(fresh):
        assert (message.mode, message.source) == (Mode.EMERGENCY_STOP, "stop")
        assert "INTERNAL_ERROR" in codes(message)
        assert message.points == pytest.approx(stored.read(begun + k * 20_000_000, 51), abs=1e-12)
    _, offset = Polyline(last.points[:, 1:3]).project(stored.points[:, 1:3])
    assert np.abs(offset).max() < 1e-6
    assert drive.vehicle.speed == 0.0
    assert stored.points[:, 1].max() <= last.points[-1, 1]
    assert abs(drive.vehicle.y) < 0.1
    assert min(row[3] for row in drive.log) > -7.0
    monkeypatch.undo()
    drive.edit.clear()
    drive.run(2.0)
    assert drive.supervisor.state.engagement is Engagement.LATCHED
    check_outputs(drive)


def test_in_standby_nothing_is_stored():
    drive = nominal(8.0)
    assert drive.supervisor._stored is not None
    drive.command("disengage")
    drive.run(0.1)
    assert drive.published[-1].source == "none"
    assert drive.supervisor._stored is None


class TestSwings:
    """F12: plans that swing by a metre, or stop and go, are published twice at most; then L2."""

    def drive(self, edits):
        drive = nominal(10.0)
        count = 0

        def edit(plan):
            nonlocal count
            count += 1
            return edits[count % 2](plan)

        while drive.tick % 10:
            drive.step()
        begun = drive.plan_id
        drive.edit[Plan] = edit
        messages = [drive.step() for _ in range(50)]
        first = next(k for k, m in enumerate(messages) if m.mode >= Mode.FALLBACK)
        published = {m.plan_id for m in messages[: first + 1] if m.source == "model" and m.plan_id > begun}
        return first * 0.02, published, messages

    @staticmethod
    def shifted(metres):
        def edit(plan):
            poses, fine = plan.poses.copy(), plan.fine_poses.copy()
            poses[:, 1] += np.float32(metres) * np.minimum(np.arange(1, 11) / 4, 1.0).astype(np.float32)
            fine[:, 1] += np.float32(metres) * np.minimum(np.arange(1, 51) / 20, 1.0).astype(np.float32)
            return replace(plan, poses=poses, fine_poses=fine)

        return edit

    def test_swerving_by_a_metre_to_either_side(self):
        waited, published, messages = self.drive([self.shifted(1.0), self.shifted(-1.0)])
        assert len(published) <= 2
        assert waited <= 0.64
        assert "SWING_LATERAL" in {code for m in messages for code in codes(m)}

    def test_stop_and_go_in_turns(self):
        def stop(plan):
            poses = straight_poses(10.0, -3.0)
            made = make_plan(plan.stamp_ns, poses)
            return replace(plan, poses=made.poses, fine_poses=made.fine_poses)

        waited, published, messages = self.drive([stop, lambda plan: plan])
        assert len(published) <= 2
        assert waited <= 0.64
        assert "SWING_LONGITUDINAL" in {code for m in messages for code in codes(m)}

    def test_one_swerve_alone_leaves_the_model_at_the_wheel(self):
        drive = nominal(10.0)
        while drive.tick % 10:
            drive.step()
        edits = iter([self.shifted(0.9)])
        drive.edit[Plan] = lambda plan: next(edits, lambda same: same)(plan)
        drive.run(1.5)
        assert drive.published[-1].source == "model"

    def test_a_refused_plan_does_not_make_the_next_one_swing(self):
        drive = nominal(10.0)
        while drive.tick % 10:
            drive.step()
        edits = iter([lambda plan: PlanRejection(plan.plan_id, plan.stamp_ns, "X", "")])
        drive.edit[Plan] = lambda plan: next(edits, lambda same: same)(plan)
        drive.run(1.0)
        assert drive.published[-1].source == "model"


def test_in_the_loop_a_plan_that_leaves_the_fallbacks_speed_reduces_and_says_why():
    drive = nominal(8.0)
    drive.limit_mps = 2.0
    seen = []
    for _ in range(100):
        message = drive.step()
        seen.append((message.mode, codes(message)))
    assert any(mode is Mode.REDUCED and "STANDBY_SPEED" in found for mode, found in seen)


def test_the_first_judged_plan_names_what_is_not_watched():
    drive = nominal(8.0)
    told = [r.detail for m in drive.published for r in m.reasons if r.code == "SIGNAL_ABSENT"]
    assert [detail.split()[0] for detail in told] == ["vision_ood", "drift", "slow"]


def test_plans_of_another_depth_pass_the_guard_all_the_same():
    drive = nominal(8.0)
    drive.edit[Plan] = lambda plan: replace(plan, depth=SLOW)
    drive.run(1.0)
    assert drive.published[-1].mode is Mode.NOMINAL


def test_in_the_loop_drift_caps_at_reduced_is_logged_and_stays():
    drive = nominal(8.0, thresholds=replace(make_thresholds(), drift_reference={"spread_reduce": REFERENCE}))
    drift = drive.supervisor._guard._drift
    for _ in range(60):
        drift._monitors["spread_reduce"].add_block(0.3)
    (alarm,) = drift.alarms
    assert alarm.code == "DRIFT"
    assert alarm.measured >= alarm.limit == pytest.approx(math.log10(THRESHOLD))
    drive.run(8.0)
    assert (drive.published[-1].mode, drive.published[-1].source) == (Mode.REDUCED, "model")
    assert "DRIFT" in codes(drive.published[-1])
    assert drive.edit.get(Plan) is None
