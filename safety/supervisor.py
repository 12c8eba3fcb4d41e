"""The supervisor: takes every input as untrusted, decides who drives, and always has a trajectory of its own ready.

One tick, in order: judge new plans, keep the fallback hot, collect requests, step the ladder, build the trajectory of
the mode, check the own output. No message and no exception inside keeps a tick from publishing.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import FRONT
from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.indicators import SafetyIndicators
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.safe_trajectory import ENGAGE, REARM, SHADOW, UNOCCUPIED, Engagement, Mode, SafeTrajectory
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import NOT_PERCEIVED, SupervisorConfig
from onboard_vla.safety.config_file import config_hash
from onboard_vla.safety.driving import (
    braking_of,
    emergency_stop,
    follow_plan,
    in_lane_stop,
    plan_path,
    points_of,
    stop_path,
)
from onboard_vla.safety.ego_history import Motion, advance
from onboard_vla.safety.engagement import give_way, left_to_a_person, stop_obeyed
from onboard_vla.safety.fallback import Trajectory
from onboard_vla.safety.friction_watch import FrictionWatch
from onboard_vla.safety.guards.actuators import ActuatorWatch
from onboard_vla.safety.guards.cameras import camera_requests
from onboard_vla.safety.guards.consistency import check_agreement
from onboard_vla.safety.guards.freshness import ego_age_s, input_requests, process_requests
from onboard_vla.safety.guards.orders import Orders
from onboard_vla.safety.guards.staleness import check_age
from onboard_vla.safety.hazard_gate import HazardGate
from onboard_vla.safety.hot_standby import HotStandby
from onboard_vla.safety.idm import Lead
from onboard_vla.safety.indicators import indicators_of
from onboard_vla.safety.inputs import EGO, InputMessage, Inputs
from onboard_vla.safety.joined_path import JoinedPath
from onboard_vla.safety.ladder import LadderInputs, LadderState, PlanOutcome, Request, step
from onboard_vla.safety.last_resort import StoredStop, store_stop
from onboard_vla.safety.longitudinal import POINTS
from onboard_vla.safety.operating_domain import DomainWatch
from onboard_vla.safety.plan_guard import Judgement, PlanGuard
from onboard_vla.safety.preconditions import change_obstacle, engaging_obstacles, standing_requests, tick_gap_requests
from onboard_vla.safety.publication import (
    FALLBACK,
    MODEL,
    NO_PLAN,
    NO_POINTS,
    NONE,
    STOP,
    message_after_error,
    message_of,
    shadow_message,
)
from onboard_vla.safety.published import demand_on, motion_on, output_fault
from onboard_vla.safety.self_test import self_test
from onboard_vla.safety.speed_caps import model_cap
from onboard_vla.safety.stop_line import StopLine, lane_obstacles

Array = NDArray[np.float64]

LATENCIES = 20
"""Plans over which the 95th percentile of age on arrival is taken."""


class Supervisor:
    """The body of the supervisor process: `receive` messages, `tick` at 50 Hz. One thread; no clocks of its own."""

    def __init__(self, config: SupervisorConfig, died_driving: bool = False) -> None:
        """Begin in standby; after a life that ended while it drove, latched, and asking for the stop."""
        self._sequence = 0
        self._tick_ns: int | None = None
        self._last: SafeTrajectory | None = None
        self.settings_orders = Orders(config.freshness)
        self._begin(config)
        if died_driving:
            self.state = LadderState(engagement=Engagement.LATCHED, mode=Mode.STOPPED, must_rearm=True)
        self._died_driving = died_driving

    def _begin(self, config: SupervisorConfig) -> None:
        self.config, self.config_hash = config, config_hash(config)
        self.state = LadderState()
        self._self_test = self_test(config, self.config_hash)
        self._inputs = Inputs(config)
        self._perceives = config.perception != NOT_PERCEIVED
        self._domain = DomainWatch(config.odd, config.freshness.future_s)
        thresholds = config.thresholds
        self._guard = PlanGuard(config, thresholds.core_hash if thresholds else None)
        self._actuators = ActuatorWatch(config.actuators)
        self._friction = FrictionWatch(config.fallback)
        self._gate = HazardGate(config.collision, config.fallback, config.stop)
        self._judged: Judgement | None = None
        self._accepted: Judgement | None = None
        self._doubtful: tuple[Reason, ...] = ()
        self._latencies: deque[float] = deque(maxlen=LATENCIES)
        self._standby = HotStandby(config)
        self._emergency: Request | None = None
        self._internal: Reason | None = None
        front_m = config.vehicle.length_m - config.vehicle.rear_overhang_m
        self._line = StopLine(config.lanes, front_m + config.fallback.sight_margin_m)
        self._asked = Mode.NOMINAL
        self._driven: tuple[Trajectory, int] | None = None
        self._stored: StoredStop | None = None
        self._notes: tuple[Reason, ...] = ()
        self._checked_ns = 0
        self._unrecoverable: tuple[Request, ...] = ()

    def reconfigure(self, config: SupervisorConfig, now: Now) -> Reason | None:
        """Take other settings, and start over with them; None when done, else why not.

        Possible in standby only, and only `authority` while a fresh ego state says that the vehicle moves. Where no
        fresh ego state is known, standby alone decides. Route and driver stay known.
        """
        newest = self._inputs.history.newest
        fresh = newest is not None and ego_age_s(self._inputs, now) <= self.config.freshness.ego_stop_s
        speed = newest.speed_mps if newest is not None and fresh else None
        against = change_obstacle(self.config, config, self.state.engagement, speed)
        if against is None:
            before = self._inputs
            self._begin(config)
            self._inputs.keep_of(before)
        return against

    def receive(self, message: InputMessage | OperatingConditions, now: Now) -> None:
        """Take one message; whatever it holds, this never raises."""
        try:
            if isinstance(message, OperatingConditions):
                self._domain.receive(message, now)
            elif self._perceives or not isinstance(message, (ObjectList, LaneObservation)):
                self._inputs.receive(message, now)
        except Exception as error:
            self._internal = Reason("INTERNAL_ERROR", 1.0, 0.0, f"receive {type(message).__name__}: {error!r}"[:300])

    def indicators(self, now: Now) -> SafetyIndicators | None:
        """Of this instant, beside the cycle: see `indicators.indicators_of`."""
        return indicators_of(self._inputs, self._motion(now), self.config, self.config_hash, now)

    def tick(self, now: Now) -> SafeTrajectory:
        """Decide and build the trajectory for this instant; never raises."""
        try:
            published = self._tick(now)
        except Exception as error:
            self._internal = Reason("INTERNAL_ERROR", 1.0, 0.0, f"tick: {error!r}"[:300])
            published = self._after_error(now)
        self._sequence += 1
        self._tick_ns = now.monotonic_ns
        self._last = published
        return published

    def _tick(self, now: Now) -> SafeTrajectory:
        clock = self._inputs.clock_stepped(now)
        if clock is not None:
            self._domain.restate(clock)
            self.settings_orders.restate(clock)
            self._guard.forget()
            self._judged = self._accepted = None
        motion, busy = self._motion(now), bool(self._inputs.plans)
        outcomes = self._judge_plans(motion, now)
        gap = tick_gap_requests(self._tick_ns, now, self.config.freshness)
        outside = self._domain.requests(None if motion is None else motion.speed_mps, now)
        requests = self._requests(motion, now) + gap + outside
        commands, restarted = tuple(self._inputs.commands), self._inputs.planner_restarted
        unheard, untimely = tuple(self._inputs.refused_commands), tuple(self._inputs.untimely_commands)
        self._inputs.commands.clear()
        self._inputs.refused_commands.clear()
        self._inputs.untimely_commands.clear()
        self._inputs.planner_restarted = False
        if ENGAGE in commands or REARM in commands:
            self._self_test = self_test(self.config, self.config_hash)
        if motion is None:
            self._standby.forget()
        else:
            demand, drives = self._demand(motion, now), self.state.mode is Mode.FALLBACK
            settings = self._friction.settings
            self._standby.refresh(self._inputs, motion, demand, settings, now, drives=drives, busy=busy)
        if self._standby.fault is not None:
            requests.append(Request(Mode.IN_LANE_STOP, self._standby.fault))
        asked = max((request.level for request in requests), default=Mode.NOMINAL)
        stepped = step(
            self.state,
            LadderInputs(
                requests=tuple(requests),
                outcomes=outcomes,
                commands=commands,
                unheard=unheard,
                override=self._inputs.driver.acts(now),
                speed_mps=None if motion is None else motion.speed_mps,
                handback=asked < Mode.FALLBACK and self._handback(motion, now),
                reset_shadow=restarted,
                obstacles=engaging_obstacles(self.config, outside, self._self_test, self._inputs.driver.unknown(now))
                + (lane_obstacles(self._inputs.lanes, motion, self.config.lanes) if ENGAGE in commands else ()),
                has_fallback=self._perceives,
                stamp_ns=now.stamp_ns,
            ),
            now.monotonic_ns,
            self.config.ladder,
        )
        self._inputs.orders.decided(stop_obeyed(self.state, stepped.state))
        self.state, self._asked = stepped.state, stepped.asked
        if left_to_a_person(self.state):
            self._inputs.lane_place.let_go()
        elif self.state.engagement is Engagement.DRIVER_OVERRIDE and motion is not None:
            self._inputs.lane_place.leave(motion.pose[None, :2])
        reasons = [request.reason for request in requests] + list(stepped.reasons)
        reasons += (*untimely, *self._notes)
        if self._judged is not None and not self._judged.passed:
            reasons += self._judged.reasons
        if self.config.authority == SHADOW:
            self._emergency = None
            if motion is not None:
                self._line.hand_over()  # Nobody drives along what was found.
                self._watch(self._choose(motion, now)[2], motion, now)
            return shadow_message(stepped, self._sequence, self.config_hash, reasons, now)
        return self._publish(motion, reasons, now)

    def _judge_plans(self, motion: Motion | None, now: Now) -> tuple[PlanOutcome, ...]:
        inputs, outcomes = self._inputs, []
        self._notes = ()
        front = inputs.cameras.get(FRONT)
        while inputs.plans:
            plan, received_ns = inputs.plans.popleft()
            bad_front_ns = front.bad_stamp_ns if front else None
            judgement = self._guard.judge(plan, inputs, motion, bad_front_ns, now, self._standby.opinion(now))
            if judgement is None:
                continue
            self._notes += judgement.notes
            if judgement.doubt.reduce:
                self._doubtful = judgement.doubt.reduce
            elif judgement.doubt.calm:
                self._doubtful = ()
            if judgement.second and not judgement.hard and not self._prefers(judgement):
                self._notes += judgement.reasons
                continue
            self._judged = judgement
            if judgement.placed is not None:
                self._accepted = judgement
                self._checked_ns, self._unrecoverable = now.monotonic_ns, ()
            if judgement.placed is not None and not judgement.second:
                waited_s = seconds(now.monotonic_ns - received_ns)
                oldest = judgement.placed.plan.oldest_frame_stamp_ns
                self._latencies.append(seconds(now.stamp_ns - oldest) - waited_s)
            if judgement.hard or not judgement.second:
                outcomes.append(PlanOutcome(judgement.passed, judgement.hard, judgement.shadow))
        return tuple(outcomes)

    def _prefers(self, slow: Judgement) -> bool:
        """Whether a slow plan drives instead of the fast one on the same pictures: in L0, and where both agree.

        Otherwise it is dropped, and counts for nothing: it came late, or was refused, without any need for it.
        """
        return slow.passed and self.state.mode is Mode.NOMINAL and not slow.doubt.reduce

    def _requests(self, motion: Motion | None, now: Now) -> list[Request]:
        config, inputs = self.config, self._inputs
        requests = input_requests(inputs, now, config)
        faults = process_requests(inputs, now, config) + camera_requests(inputs, now, config)
        requests += [replace(fault, outside=True) for fault in faults]
        driven = self.state.engagement is Engagement.ENGAGED and not inputs.driver.acts(now)
        measured = ego_age_s(inputs, now) <= config.freshness.ego_stop_s
        points = self._last.points if self._last is not None and driven and measured else NO_POINTS
        requests += self._actuators.check(points, motion, now.monotonic_ns)
        requests += self._friction.check(points, motion, now.monotonic_ns)
        self._died_driving = self._died_driving and self.state.must_rearm
        requests += standing_requests(config, self._latencies, self._died_driving) + self._plan_requests(motion, now)
        requests += [Request(Mode.REDUCED, reason) for reason in self._doubtful]
        requests += [] if self._emergency is None else [self._emergency]
        if self._internal is not None:
            requests.append(Request(Mode.EMERGENCY_STOP, self._internal))
            self._internal = None
        return requests

    def _plan_requests(self, motion: Motion | None, now: Now) -> list[Request]:
        if self._accepted is None or self._accepted.placed is None or motion is None:
            return [Request(Mode.FALLBACK, Reason("PLAN_MISSING", 0.0, 1.0, "no plan has passed the guards"))]
        requests = []
        stale = check_age(self._accepted.placed, motion, now.stamp_ns, self.config.staleness, self.config.stop)
        if stale is not None:
            requests.append(Request(Mode.FALLBACK, stale))
        elif now.monotonic_ns - self._checked_ns > nanoseconds(self.config.recovery.cycle_s):
            found = self._guard.recheck(self._accepted, self._inputs, motion, now.stamp_ns)
            self._checked_ns = now.monotonic_ns
            self._unrecoverable = tuple(Request(Mode.FALLBACK, reason) for reason in found)
        requests += self._unrecoverable
        return requests

    def _motion(self, now: Now) -> Motion | None:
        """The vehicle now: from its state while fresh, else where the last trajectory should have brought it."""
        newest = self._inputs.history.newest
        if newest is not None and ego_age_s(self._inputs, now) <= self.config.freshness.ego_stop_s:
            return advance(newest, max(seconds(now.stamp_ns - self._inputs.arrivals[EGO].stamp_ns), 0.0))
        if self._last is None or not len(self._last.points) or self._tick_ns is None:
            return None
        return motion_on(self._last.points, seconds(now.monotonic_ns - self._tick_ns))

    def _demand(self, motion: Motion, now: Now) -> float:
        """The acceleration in force: what was last published for this instant, else what the vehicle measures."""
        if self._last is not None and self._tick_ns is not None:
            asked = demand_on(self._last.points, seconds(now.monotonic_ns - self._tick_ns))
            if asked is not None:
                return asked
        idm = self.config.fallback.idm
        return min(max(motion.acceleration_mps2, -idm.clip_mps2), idm.acceleration_mps2)

    def _handback(self, motion: Motion | None, now: Now) -> bool:
        """Whether the model's trajectory agrees with the fallback's well enough to drive again (6.2)."""
        state, limits, current = self.state, self.config.handback, self._standby.trajectory
        if motion is None or current is None or state.mode is not Mode.FALLBACK:
            return False
        if state.shadow_passes < self.config.ladder.shadow_passes - 1 or self._accepted is None:
            return False
        if self._accepted.unsteady or self._accepted is not self._judged:
            return False
        if (model := self._follow(motion, now)) is None:
            return False
        return not check_agreement(points_of(model, motion), points_of(current, motion), limits)

    def _follow(self, motion: Motion, now: Now) -> Trajectory | None:
        config, accepted = self.config, self._accepted
        if accepted is None or accepted.placed is None:
            return None
        path = plan_path(accepted.placed, motion)
        leads = self._leads(path, motion, now)
        share = config.ladder.reduced_speed if self.state.mode is Mode.REDUCED else None
        cap = model_cap(share, self._inputs.lanes, motion, config.odd.speed_max_mps)
        cap = min(cap, self._guard.sight_cap(self._inputs, motion))
        demand = self._demand(motion, now)
        return follow_plan(accepted.placed, path, motion, demand, now.stamp_ns, leads, cap, self._friction.settings)

    def _leads(self, path: JoinedPath, motion: Motion, now: Now) -> list[Lead]:
        objects, lane = self._inputs.objects_at(now), self._inputs.lane_line
        return self._gate.leads(path, objects, motion.speed_mps, self.config.vehicle, lane)

    def _stop(self, motion: Motion, now: Now, mode: Mode) -> Trajectory:
        config = self.config
        settings, lanes = self._friction.settings, self._inputs.fresh_lanes(now)
        way = self._line.find(lanes, motion, settings)
        path = stop_path(None if way is None else way.line, motion, settings)
        demand = self._demand(motion, now)
        # Latched and rolling, the driver has just let go, or a supervisor came back: as in L3, unless L4 is asked for.
        rolls = mode is Mode.STOPPED and motion.speed_mps >= config.ladder.standstill_mps
        if mode is not Mode.IN_LANE_STOP and not (rolls and self._asked < Mode.EMERGENCY_STOP):
            return emergency_stop(path, motion, demand, config.stop)
        leads = self._leads(path, motion, now)
        # Of the present arc, as of a lane that is seen as it goes, there is always as much ahead.
        shown = way is None or self._line.shown
        room_m = path.known_m if way is None else way.known_m - float(path.line_s_m[0])
        signal_m = self._line.signals_m(path, self._inputs.lanes, motion.speed_mps, demand, config)
        replaced: Sequence[float] = ()
        if self._driven is not None:
            driven, driven_ns = self._driven
            replaced = braking_of(driven, seconds(now.monotonic_ns - driven_ns))
        return in_lane_stop(
            path, motion, demand, leads, settings, config.stop, room_m,
            shown=shown, signal_m=signal_m, replaced_mps2=replaced,
        )  # fmt: skip

    def _publish(self, motion: Motion | None, reasons: list[Reason], now: Now) -> SafeTrajectory:
        engaged = self.state.engagement not in UNOCCUPIED and not self._inputs.driver.acts(now)
        self._emergency = None
        if not engaged:
            self._leave()
        if motion is None or not engaged:
            stored = NO_POINTS if self._stored is None else self._stored.read(now.monotonic_ns, POINTS)
            return self._message(STOP if len(stored) else NONE, NO_PLAN, reasons, stored, now)
        source, plan_id, trajectory = self._choose(motion, now)
        points = points_of(trajectory, motion)
        if (fault := output_fault(points, POINTS)) is not None:
            raise ArithmeticError(f"own output: {fault}")
        if source != STOP:
            self._line.follow(
                trajectory.path.known_line, lane=source == FALLBACK, stands=source == MODEL and self._stands()
            )
            self._driven = trajectory, now.monotonic_ns
        self._standby.driven(trajectory if source == FALLBACK else None)
        self._stored = store_stop(points, now.monotonic_ns, plan_id)
        self._watch(trajectory, motion, now)
        return self._message(source, plan_id, reasons, points, now)

    def _leave(self) -> None:
        self._stored = self._driven = None
        self._standby.driven(None)
        self._line.hand_over()

    def _stands(self) -> bool:
        """Whether the plan that is followed ends at standstill."""
        placed = None if self._accepted is None else self._accepted.placed
        return placed is not None and placed.end_speed_mps <= self.config.staleness.stopping_plan_mps

    def _choose(self, motion: Motion, now: Now) -> tuple[str, int, Trajectory]:
        """Source, plan id and trajectory of the present mode."""
        mode = self.state.mode
        if mode <= Mode.REDUCED:
            model = self._follow(motion, now)
            if model is not None and self._accepted is not None:
                return MODEL, self._accepted.plan_id, model
        if mode <= Mode.FALLBACK:
            demand, settings = self._demand(motion, now), self._friction.settings
            fallback = self._standby.driven_now(self._inputs, motion, demand, settings, now)
            if fallback is not None:
                return FALLBACK, NO_PLAN, fallback
        return STOP, NO_PLAN, self._stop(motion, now, mode)

    def _watch(self, trajectory: Trajectory, motion: Motion, now: Now) -> None:
        leads, speed, inputs = trajectory.leads, motion.speed_mps, self._inputs
        if self._perceives and self._gate.pressed(leads, speed):
            objects, vehicle, lane = inputs.objects_at(now), self.config.vehicle, inputs.lane_line
            leads = tuple(self._gate.lasting(trajectory.path, objects, trajectory.signals, speed, vehicle, lane))
        # Nobody knows what comes behind the end of what is known: as if somebody stood there.
        end_m = trajectory.room_m + self.config.recovery.overrun_m + self.config.fallback.idm.brake_gap_m
        self._emergency = self._gate.watch((*leads, Lead(end_m, 0.0)), speed, now.monotonic_ns)

    def _message(self, source: str, plan_id: int, reasons: list[Reason], points: Array, now: Now) -> SafeTrajectory:
        return message_of(self.state, self._sequence, self.config_hash, source, plan_id, reasons, points, now)

    def _after_error(self, now: Now) -> SafeTrajectory:
        reason = self._internal or Reason("INTERNAL_ERROR", 1.0, 0.0, "unknown")
        self.state = give_way(self.state, self._inputs.driver.acts(now), stopping=True)
        if self.state.engagement in UNOCCUPIED:
            self._leave()
        points = NO_POINTS if self._stored is None else self._stored.read(now.monotonic_ns, POINTS)
        authority = self.config.authority
        return message_after_error(self.state, authority, self._sequence, self.config_hash, reason, points, now)
