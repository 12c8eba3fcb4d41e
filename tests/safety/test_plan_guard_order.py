"""What one plan's judgement leaves for the next, what stops the guards behind, and what is said once or every time."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from onboard_vla.core.clock import Now
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import SLOW, PlanRejection
from onboard_vla.core.verdict import Reason
from onboard_vla.safety import plan_guard as module
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.plan_guard import PlanGuard

from .driving_range import CORE_HASH, make_object, make_plan, make_thresholds, simulation_config, straight_poses
from .plans import STAMP, arc_poses, found, history

FRONT, REAR = 4.8 - 0.95, 2.3
S = 1_000_000_000


class Judging:
    """A guard over a vehicle at 10 m/s along x, at the origin at STAMP; plans come 0.2 s apart."""

    def __init__(self, config=None, objects=()):
        self.config = config or simulation_config()
        self.guard, self.inputs, self.k = PlanGuard(self.config, CORE_HASH), Inputs(self.config), 0
        self.inputs.history = history()
        for age_ns in (S // 10, 0):
            for_then = tuple(
                replace(o, x_m=o.x_m - o.vx_mps * age_ns / S, y_m=o.y_m - o.vy_mps * age_ns / S) for o in objects
            )
            self.inputs.objects.add(ObjectList(STAMP - age_ns, for_then))

    def judge(self, plan, now_ns=STAMP, motion=True):
        here = Motion(10.0 * (now_ns - STAMP) / 1e9, 0.0, 0.0, 10.0, 0.0, 0.0) if motion else None
        return self.guard.judge(plan, self.inputs, here, None, Now(now_ns, now_ns))

    def next(self, poses=None, depth="fast", **changes):
        """A newer plan, stamped 0.2 s after the one before, judged when the vehicle has not moved on."""
        self.k += 1
        at_ns = STAMP - 2 * S + self.k * S // 5
        shift = 10.0 * (STAMP - at_ns) / 1e9
        plan = make_plan(at_ns, straight_poses() if poses is None else poses, self.k, depth=depth, **changes)
        here = Motion(-shift, 0.0, 0.0, 10.0, 0.0, 0.0)
        return self.guard.judge(plan, self.inputs, here, None, Now(at_ns, at_ns))


def aside(metres):
    """Straight on, and evenly to the left by this much after 2 s (1.6 m at most keeps within every limit)."""
    poses = straight_poses()
    poses[:, 1] = metres * np.minimum(np.arange(1, 11) / 4.0, 2.5)
    return poses


class TestRefusals:
    def test_a_planners_own_says_why(self):
        judgement = Judging().judge(PlanRejection(3, STAMP, "TOKEN_COUNT", "9 tokens"))
        assert judgement.reasons == (Reason("PLANNER_REJECTION", 1.0, 0.0, "TOKEN_COUNT: 9 tokens"),)
        assert (judgement.placed, judgement.shadow, judgement.second) == (None, False, False)

    def test_a_fault_of_structure_is_hard(self):
        judgement = Judging().judge(replace(make_plan(STAMP, straight_poses()), action_tokens=()))
        assert (judgement.passed, judgement.hard, found(judgement.reasons)) == (False, True, {"PLAN_TOKENS"})

    def test_without_a_place_or_a_motion_there_is_nothing_to_judge(self):
        old = make_plan(STAMP - 3 * S, straight_poses())
        for judgement, age_s in (
            (Judging().judge(old), 3.0),
            (Judging().judge(make_plan(STAMP, straight_poses()), motion=False), 0.0),
        ):
            (reason,) = judgement.reasons
            assert (reason.code, reason.measured, reason.limit) == ("PLAN_UNPLACED", pytest.approx(age_s), 2.0)
            assert (judgement.hard, judgement.second) == (False, False)

    def test_a_second_answer_stays_one_when_it_has_no_place(self):
        judging = Judging()
        judging.judge(make_plan(STAMP, straight_poses()))
        slow = make_plan(STAMP, straight_poses(), 2, depth=SLOW)
        assert judging.judge(slow, motion=False).second

    def test_a_plan_that_moves_wrongly_is_not_held_against_the_road_or_objects(self):
        judging = Judging(objects=[make_object(20.0, 0.0)])
        assert found(judging.judge(make_plan(STAMP, arc_poses(10.0, 0.45))).reasons) == {"LATERAL_ACCELERATION"}
        assert "COLLISION" in found(judging.judge(make_plan(STAMP + 1, straight_poses())).reasons)

    def test_one_guard_that_found_nothing_leaves_the_others_their_say(self):
        """The speed at the start is wrong; age and kinematics have nothing to say."""
        judging = Judging(objects=[make_object(20.0, 0.0)])
        assert found(judging.judge(make_plan(STAMP, straight_poses(12.5))).reasons) == {"PLAN_START_SPEED"}


class TestMemory:
    def test_change_is_the_largest_up_to_two_seconds_ahead(self):
        judging = Judging()
        judging.next()
        told = {r.code: r for r in judging.next(aside(1.0)).doubt.reduce}
        # 0.2 s later the plan before lies 2 m ahead of its begin, as the vehicle does.
        assert told["PLAN_CHANGED_LATERAL"].measured == pytest.approx(1.0, abs=0.01)
        slower = Judging()
        slower.next()
        told = {r.code: r for r in slower.next(straight_poses(10.0, -1.5)).doubt.reduce}
        assert told["PLAN_CHANGED_LONGITUDINAL"].measured == pytest.approx(3.0, abs=0.05)

    def test_a_plan_that_another_guard_refused_is_not_compared_with(self):
        judging = Judging()
        judging.next()
        assert not judging.next(arc_poses(10.0, 0.45)).passed
        assert "PLAN_CHANGED_LATERAL" not in found(judging.next().doubt.reduce[-1:])
        assert judging.next().passed

    def test_one_that_only_swings_is(self):
        judging = Judging()
        for poses, passes in ((aside(0.0), True), (aside(0.9), True), (aside(0.0), False), (aside(0.0), True)):
            assert judging.next(poses).passed is passes

    def test_the_first_plan_is_unsteady_and_the_next_are_held_against_it(self):
        judging = Judging()
        assert judging.next().unsteady == (Reason("UNSTEADY_FIRST", 0.0, 1.0, "no plan before this one"),)
        assert judging.next().unsteady == ()
        assert judging.next(straight_poses(10.0, -1.5)).unsteady
        assert judging.next(straight_poses(10.0, -1.5)).unsteady == ()

    def test_with_the_data_clock_stepped_everything_is_forgotten(self):
        judging = Judging()
        judging.next()
        judging.next(depth=SLOW)
        judging.guard.forget()
        judging.k = 0
        judgement = judging.next(aside(1.6))
        assert found(judgement.unsteady) == {"UNSTEADY_FIRST"}
        assert not found(judgement.doubt.reduce) & {"PLAN_CHANGED_LATERAL", "SLOW_LATERAL"}

    def test_a_second_answer_leaves_no_trace_but_its_disagreement(self):
        judging = Judging()
        judging.next()
        fast = make_plan(STAMP - S, straight_poses(), 20)
        here = Motion(-10.0, 0.0, 0.0, 10.0, 0.0, 0.0)
        judge = lambda plan: judging.guard.judge(plan, judging.inputs, here, None, Now(STAMP - S, STAMP - S))  # noqa: E731
        assert not judge(fast).second
        second = judge(make_plan(STAMP - S, aside(1.0), 21, depth=SLOW))
        assert (second.passed, second.second) == (True, True)
        assert found(second.doubt.reduce) == {"SLOW_LATERAL"}
        judging.k = 6
        after = judging.next()
        assert after.unsteady == ()
        assert "PLAN_CHANGED_LATERAL" not in found(after.doubt.reduce)

    def test_another_plan_of_the_same_depth_or_on_newer_pictures_is_no_second_answer(self):
        judging = Judging()
        assert [judging.next(depth=depth).second for depth in ("fast", SLOW, SLOW, "fast")] == [False] * 4


class TestDoubt:
    def test_drift_reduces_whatever_the_other_signals_say(self):
        judging = Judging()
        assert judging.next().doubt.calm
        alarm = Reason("DRIFT", 1.0, 0.0, "")

        class Drifting:
            watches, alarms = True, (alarm,)

            def add(self, stamp_ns, values):
                """Nothing to keep."""

        judging.guard._drift = Drifting()
        doubt = judging.next().doubt
        assert (doubt.reduce, doubt.calm) == ((alarm,), False)

    def test_drift_is_fed_where_it_is_watched(self):
        judging, fed = Judging(), []
        for watches in (False, True):
            judging.guard._drift = type(
                "Watch", (), {"watches": watches, "alarms": (), "add": lambda _, *a: fed.append(a)}
            )()
            judging.next()
        ((stamp_ns, values),) = fed
        assert stamp_ns == STAMP - 2 * S + 2 * S // 5
        assert values["spread_reduce"] == pytest.approx(0.1)

    def test_with_the_first_plan_it_says_what_is_not_watched(self):
        judging = Judging()
        first, second = judging.next().notes, judging.next().notes
        assert [(r.code, r.measured, r.limit) for r in first] == [("SIGNAL_ABSENT", 0.0, 1.0)] * 3
        assert [r.detail for r in first] == [
            "vision_ood is not delivered: not watched",
            "drift is not delivered: not watched",
            "slow against fast is not watched until a slow plan comes",
        ]
        assert second == ()

    def test_what_is_watched_is_not_called_absent(self):
        reference = tuple(np.linspace(0.0, 1.0, 300))
        thresholds = replace(
            make_thresholds(), drift_reference={"spread_reduce": reference}, drift_tolerance={"spread_reduce": 0.0}
        )
        notes = Judging(simulation_config(thresholds=thresholds)).next().notes
        assert not any(r.detail.startswith("drift") for r in notes)

    def test_without_thresholds_plans_are_judged_all_the_same(self):
        judging = Judging(simulation_config(thresholds=None))
        assert judging.next().passed


class TestObjects:
    MARGIN = 1.0
    """Ahead of the footprint."""

    def codes(self, *objects):
        return found(Judging(objects=objects).judge(make_plan(STAMP, straight_poses())).reasons)

    @pytest.mark.parametrize(("contact_s", "hit"), [(2.85, True), (2.95, True), (3.05, False), (3.15, False)])
    def test_contact_is_looked_for_during_the_horizon(self, contact_s, hit):
        nose = 10.0 * contact_s + FRONT + self.MARGIN
        assert ("COLLISION" in self.codes(make_object(nose + 0.3, 0.0, length=0.6, width=0.6))) is hit

    def test_an_old_plan_is_looked_at_from_where_the_vehicle_is_on_it(self):
        """After 1 s: contact 2.5 s after the plan's begin is 1.5 s away."""
        judging = Judging(objects=[make_object(10.0 * 2.5 + FRONT + self.MARGIN + REAR, 0.0)])
        plan = make_plan(STAMP, straight_poses())
        (reason,) = (r for r in judging.judge(plan, STAMP + S).reasons if r.code == "COLLISION")
        assert reason.measured == pytest.approx(1.5, abs=0.11)

    def test_after_contact_no_gap_in_time_is_looked_for(self, monkeypatch):
        monkeypatch.setattr(module, "check_encroachment", lambda *_: Reason("PET", 0.0, 0.0, ""))
        assert "PET" not in self.codes(make_object(20.0, 0.0))
        assert self.codes() == {"PET"}

    def test_the_stop_is_looked_at_only_where_nothing_else_is_found(self, monkeypatch):
        monkeypatch.setattr(module, "check_recovery", lambda *_: Reason("STOP", 0.0, 0.0, ""))
        assert self.codes() == {"STOP"}
        assert "STOP" not in self.codes(make_object(20.0, 0.0))
        assert "STOP" not in self.codes(make_object(24.0, 0.0))

    def test_objects_are_foreseen_for_as_long_as_the_stop_takes(self, monkeypatch):
        asked = []
        forecast = module.forecast
        monkeypatch.setattr(module, "forecast", lambda *given: (asked.append(given[3]), forecast(*given))[1])
        for stops_s in (1.0, 7.0):
            monkeypatch.setattr(module, "stop_time", lambda *_, stops_s=stops_s: stops_s)
            self.codes()
        assert asked == [3.0, 7.0]


class TestRecheck:
    def judged(self, *objects):
        judging = Judging()
        judgement = judging.judge(make_plan(STAMP, straight_poses()))
        assert judgement.passed
        for age_ns in (S // 10, 0):
            judging.inputs.objects.add(ObjectList(STAMP + S // 5 - age_ns, objects))
        return judging, judgement

    def again(self, judging, judgement):
        return judging.guard.recheck(judgement, judging.inputs, Motion(2.0, 0, 0, 10.0, 0, 0), STAMP + S // 5)

    def test_a_free_stop_is_found_free(self):
        assert self.again(*self.judged()) == []

    def test_somebody_in_its_way_is_found(self):
        (reason,) = self.again(*self.judged(make_object(16.0, 0.0)))
        assert reason.code == "RECOVERY_COLLISION"

    def test_of_a_refused_plan_there_is_nothing_to_look_at(self):
        judging = Judging()
        refused = judging.judge(make_plan(STAMP, straight_poses(3.0)))
        assert (refused.passed, self.again(judging, refused)) == (False, [])
