"""All guards over one plan, in order.

Structure, age, kinematics, consistency with the vehicle, road, objects, recoverability, consistency with the plans
before, doubt.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.plan import Plan, PlanRejection
from onboard_vla.core.thresholds import CHANGE_LATERAL, CHANGE_LONGITUDINAL
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import StopSettings, SupervisorConfig
from onboard_vla.safety.drift import DriftWatch
from onboard_vla.safety.driving import plan_path
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.fallback import join_length
from onboard_vla.safety.guards.authority import Moment, moment_of
from onboard_vla.safety.guards.collision import check_collision, check_encroachment, check_room
from onboard_vla.safety.guards.consistency import check_consistency, check_steadiness
from onboard_vla.safety.guards.forecast import SAMPLE_S, Forecast, forecast
from onboard_vla.safety.guards.kinematics import check_kinematics, kinematic_warnings
from onboard_vla.safety.guards.oscillation import Change, PlanHistory
from onboard_vla.safety.guards.recoverability import check_recovery, check_sight, recovery_of, sight_cap, stop_time
from onboard_vla.safety.guards.road import check_drivable, check_signals
from onboard_vla.safety.guards.second_opinion import DepthPair, Standby, standby_readings
from onboard_vla.safety.guards.staleness import check_age
from onboard_vla.safety.guards.structure import check_structure
from onboard_vla.safety.guards.uncertainty import Doubt, DoubtMonitor, Reading, values_of
from onboard_vla.safety.inputs import Inputs
from onboard_vla.safety.joined_path import JoinedPath
from onboard_vla.safety.leads import object_leads
from onboard_vla.safety.object_memory import ObjectSet
from onboard_vla.safety.placed_plan import PlacedPlan, place

UNKNOWN = Doubt((), (), False)
"""Of a plan that is refused before its signals are looked at."""


@dataclass(frozen=True, eq=False)
class Judgement:
    """The guards' word on one plan. `placed` only where it passed. `hard`: refused for its structure.

    `unsteady`: where it differs too much from the plan before it to hand back to. `shadow`: counts for handback.
    `notes`: what is reported and decides nothing. `second`: a slow plan on pictures that a fast one has answered
    already; the planner may leave it out at any time.
    """

    plan_id: int
    passed: bool
    hard: bool
    reasons: tuple[Reason, ...]
    doubt: Doubt
    placed: PlacedPlan | None
    unsteady: tuple[Reason, ...]
    shadow: bool
    notes: tuple[Reason, ...] = ()
    second: bool = False


class PlanGuard:
    """Judges plans in order of their stamps; remembers the newest stamp and the last plan that could be placed."""

    def __init__(self, config: SupervisorConfig, core_hash: str | None) -> None:
        self._config, self._core_hash = config, core_hash
        self._newest: Moment | None = None
        self._before: PlacedPlan | None = None
        self._history = PlanHistory(config.consistency)
        self._monitor = DoubtMonitor(config.thresholds, config.ladder.exit_fraction)
        self._depths = DepthPair()
        known = config.thresholds
        self._drift = DriftWatch(known.drift_reference, known.drift_tolerance) if known else DriftWatch({})
        self._told_absent = False

    def forget(self) -> None:
        """The data clock has stepped: no stamp from before it says anything about the next plan's."""
        self._newest = self._before = None
        self._history, self._depths = PlanHistory(self._config.consistency), DepthPair()

    def judge(
        self,
        plan: Plan | PlanRejection,
        inputs: Inputs,
        motion: Motion | None,
        bad_front_ns: int | None,
        now: Now,
        standby: Standby | None = None,
    ) -> Judgement | None:
        """Judge one plan; None where it is no newer than one judged before (see `authority.moment_of`).

        `motion`: the vehicle now. `bad_front_ns`: stamp of the last unusable front picture. `standby`: the fallback's
        trajectory, where it has one.
        """
        limits = self._config.freshness
        ahead_s = seconds(plan.stamp_ns - now.stamp_ns)
        if ahead_s > limits.future_s:
            return _refused(plan, [Reason("PLAN_FROM_FUTURE", ahead_s, limits.future_s, "stamp, s ahead")], hard=True)
        this = moment_of(plan)
        if self._newest is not None and this <= self._newest:
            return None
        second = self._newest is not None and this[0] == self._newest[0]
        self._newest = this
        if isinstance(plan, PlanRejection):
            return _refused(plan, [Reason("PLANNER_REJECTION", 1.0, 0.0, f"{plan.code}: {plan.detail}")], hard=False)
        reasons = check_structure(plan, self._config.structure, self._core_hash)
        if reasons:
            return _refused(plan, reasons, hard=True)
        placed = place(plan, inputs.history)
        if placed is None or motion is None:
            age_s = seconds(now.stamp_ns - plan.stamp_ns)
            unplaced = Reason("PLAN_UNPLACED", age_s, self._config.staleness.history_s, "no ego state at its stamp")
            return _refused(plan, [unplaced], hard=False, second=second)
        reasons = self._check_motion(placed, inputs, motion, now)
        change = self._history.change(placed, now.stamp_ns)
        swings = self._history.check(change)
        if not reasons and not second:
            self._history.remember(placed, change)
        reasons += swings
        doubt = self._judge_doubt(placed, change, standby, now.stamp_ns, second=second)
        reasons += doubt.reject
        unsteady: tuple[Reason, ...] = (Reason("UNSTEADY_FIRST", 0.0, 1.0, "no plan before this one"),)
        if self._before is not None:
            unsteady = tuple(check_steadiness(placed, self._before, self._config.handback))
        self._before = self._before if second else placed
        fresh = self._sees_clean(plan, bad_front_ns)
        passed = not reasons
        kept = placed if passed else None
        notes = (*self._notes(placed, doubt), *self._clipped(placed, inputs, motion, now))
        return Judgement(plan.plan_id, passed, False, tuple(reasons), doubt, kept, unsteady, fresh, notes, second)

    def _judge_doubt(
        self, placed: PlacedPlan, change: Change | None, standby: Standby | None, stamp_ns: int, *, second: bool
    ) -> Doubt:
        uncertainty = placed.plan.uncertainty
        others = standby_readings(placed, standby, stamp_ns) | self._depths.readings(placed, stamp_ns)
        if change is not None and not second:
            others[CHANGE_LATERAL] = Reading(float(np.abs(change.across_m).max()))
            others[CHANGE_LONGITUDINAL] = Reading(float(np.abs(change.along_m).max()))
        doubt = self._monitor.judge(uncertainty, others)
        if self._drift.watches and not second:
            self._drift.add(placed.stamp_ns, values_of(uncertainty))
        alarms = self._drift.alarms
        return replace(doubt, reduce=(*doubt.reduce, *alarms), calm=False) if alarms else doubt

    def _notes(self, placed: PlacedPlan, doubt: Doubt) -> tuple[Reason, ...]:
        """Warnings; with the first plan, also what is not watched because nobody delivers it."""
        notes = kinematic_warnings(placed, self._config.kinematics)
        if not self._told_absent:
            self._told_absent = True
            absent = (*doubt.absent, *(() if self._drift.watches else ("drift",)))
            texts = [f"{name} is not delivered: not watched" for name in absent]
            texts.append("slow against fast is not watched until a slow plan comes")
            notes += [Reason("SIGNAL_ABSENT", 0.0, 1.0, text) for text in texts]
        return tuple(notes)

    def _clipped(self, placed: PlacedPlan, inputs: Inputs, motion: Motion, now: Now) -> list[Reason]:
        """What is told where the plan is not driven as fast as it says."""
        planned = placed.speed_at(seconds(now.stamp_ns - placed.stamp_ns) + self._sight()[0])
        cap = self.sight_cap(inputs, motion)
        if planned <= cap:
            return []
        return [Reason("SIGHT_SPEED", planned, cap, "plan's speed, clipped to what the observed lane allows, m/s")]

    def recheck(self, judgement: Judgement, inputs: Inputs, motion: Motion, stamp_ns: int) -> list[Reason]:
        """The stop after one more cycle of an accepted plan, against the objects and the road as they are now."""
        placed = judgement.placed
        if placed is None:
            return []
        path = plan_path(placed, motion)
        reason = self._check_recovery(placed, path, inputs, motion, stamp_ns, None)
        return [] if reason is None else [reason]

    def _check_motion(self, placed: PlacedPlan, inputs: Inputs, motion: Motion, now: Now) -> list[Reason]:
        config, stamp_ns = self._config, now.stamp_ns
        found = [check_age(placed, motion, stamp_ns, config.staleness, config.stop)]
        found += check_kinematics(placed, config.kinematics, config.vehicle.wheelbase_m)
        found += check_consistency(placed, motion, stamp_ns, config.consistency)
        if any(found):
            return [reason for reason in found if reason is not None]
        if inputs.lanes is not None:
            found.append(check_drivable(placed, inputs.lanes, stamp_ns, config.vehicle, config.road))
            found.append(check_signals(placed, inputs.lanes, stamp_ns, config.vehicle, config.road))
        path = plan_path(placed, motion)
        found += self._check_objects(placed, path, inputs, motion, stamp_ns)
        return [reason for reason in found if reason is not None]

    def _check_objects(
        self, placed: PlacedPlan, path: JoinedPath, inputs: Inputs, motion: Motion, stamp_ns: int
    ) -> list[Reason | None]:
        config = self._config
        limits, vehicle = config.collision, config.vehicle
        here = inputs.objects.confirmed.at(stamp_ns)
        seen = self._forecast(here, inputs, motion)
        age_s = seconds(stamp_ns - placed.stamp_ns)
        rows = math.floor(limits.horizon_s / SAMPLE_S + 1e-9) + 1
        poses = placed.pose_at(seen.times_s[:rows] + age_s)
        found: list[Reason | None] = [check_collision(poses, seen, vehicle, limits)]
        if found[0] is None:
            found.append(check_encroachment(poses, seen, vehicle, limits))
        if len(here.states):
            margin = limits.lateral_margin_m
            leads = object_leads(path, here, motion.speed_mps, vehicle, limits, margin, inputs.lane_line)
            found += check_room(placed, motion, leads, stamp_ns, limits)
        if not any(found):
            found.append(self._check_recovery(placed, path, inputs, motion, stamp_ns, seen))
        return found

    def _forecast(self, here: ObjectSet, inputs: Inputs, motion: Motion) -> Forecast:
        config = self._config
        horizon_s = max(config.collision.horizon_s, stop_time(motion, config.recovery, config.stop))
        position = motion.pose[:2]
        return forecast(here, position, motion.speed_mps, horizon_s, inputs.lane_line, config.collision)

    def _check_recovery(
        self,
        placed: PlacedPlan,
        path: JoinedPath,
        inputs: Inputs,
        motion: Motion,
        stamp_ns: int,
        seen: Forecast | None,
    ) -> Reason | None:
        config = self._config
        if seen is None:
            seen = self._forecast(inputs.objects.confirmed.at(stamp_ns), inputs, motion)
        join_m = join_length(motion.speed_mps, config.fallback)
        recovery = recovery_of(path, placed, motion, stamp_ns, config.recovery, config.stop, join_m)
        limits, road, staleness = config.recovery, config.road, config.staleness
        found = check_recovery(recovery, path, placed, seen, inputs.lanes, config.vehicle, limits, road, staleness)
        if found is not None:
            return found
        return check_sight(path, placed, motion, stamp_ns, inputs.newest_lanes, config.vehicle, *self._sight())

    def sight_cap(self, inputs: Inputs, motion: Motion) -> float:
        """The speed at which the model's plans are clipped, for the vehicle to stop within the observed lane, m/s."""
        return sight_cap(inputs.newest_lanes, motion, self._config.vehicle, *self._sight())

    def _sight(self) -> tuple[float, float, StopSettings]:
        """Time that a stop within sight begins later, its distance from the lane's end, and how it brakes."""
        config = self._config
        # No room is left for what a fallback's braking takes to begin: add the delay that room before objects has.
        return config.recovery.cycle_s + config.collision.delay_s, config.fallback.sight_margin_m, config.stop

    def _sees_clean(self, plan: Plan, bad_front_ns: int | None) -> bool:
        """Whether all front pictures behind the plan came after the last unusable one."""
        if bad_front_ns is None:
            return True
        return plan.oldest_frame_stamp_ns - nanoseconds(self._config.ladder.front_history_s) > bad_front_ns


def _refused(plan: Plan | PlanRejection, reasons: list[Reason], *, hard: bool, second: bool = False) -> Judgement:
    return Judgement(plan.plan_id, False, hard, tuple(reasons), UNKNOWN, None, (), False, (), second)
