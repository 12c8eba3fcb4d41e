"""Everything the supervisor has received: the newest valid message of each kind, and what was wrong with the others.

A message that is not finite, from the future, or implausible is never stored; it leaves a fault that stands until a
valid message of that kind arrives. Messages no newer than the stored one (duplicates, replays, time running backwards)
are ignored and do not refresh anything.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import Now, seconds
from onboard_vla.core.ego import EgoState, WheelSpeed
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.road import LaneObservation, Route
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.driver_watch import DriverWatch
from onboard_vla.safety.ego_history import EgoHistory
from onboard_vla.safety.guards.authority import AuthorityWatch, Heard
from onboard_vla.safety.guards.camera_arrivals import CameraArrivals
from onboard_vla.safety.guards.clock import ClockWatch
from onboard_vla.safety.guards.clock_step import Restate, restated_by
from onboard_vla.safety.guards.lane_place import LanePlace
from onboard_vla.safety.guards.lanes import lanes_fault, route_fault
from onboard_vla.safety.guards.objects import OBJECTS_MAX, ObjectWatch, list_fault
from onboard_vla.safety.guards.orders import PENDING_COMMANDS, Orders, PendingCommands
from onboard_vla.safety.guards.route_place import RoutePlace
from onboard_vla.safety.guards.speed import SpeedComparison, ego_contradiction, ego_fault, wheel_fault
from onboard_vla.safety.guards.stamp_skew import StampSkew
from onboard_vla.safety.message_types import require_types
from onboard_vla.safety.object_memory import ObjectMemory, ObjectSet

EGO, OBJECTS, LANES, ROUTE, PLANNER, GUARD, OPERATOR = (
    "ego",
    "objects",
    "lanes",
    "route",
    "planner",
    "guard",
    "operator",
)
WHEEL, SPEEDS, PLACE = "wheel", "speeds", "place"
"""The second speed source, the two held against each other, and the vehicle's place against the route."""
SKEW_WATCHED = (EGO, OBJECTS, LANES)
"""Topics whose stamps are held against their learned age on arrival."""
PENDING_PLANS = 3
"""Plans kept for one tick; a flood beyond that loses the oldest, as the newest is what counts."""

MALFORMED = "INPUT_MALFORMED"
"""A field of another type or shape. Of topics without a stored message, the next sound one ends it."""

InputMessage = (
    EgoState
    | WheelSpeed
    | ObjectList
    | LaneObservation
    | Route
    | Plan
    | PlanRejection
    | Heartbeat
    | Verdict
    | OperatorCommand
    | DriverState
)
TOPICS: dict[type, str] = {
    EgoState: EGO,
    WheelSpeed: WHEEL,
    ObjectList: OBJECTS,
    LaneObservation: LANES,
    Route: ROUTE,
    Plan: PLANNER,
    PlanRejection: PLANNER,
    Heartbeat: PLANNER,
    Verdict: GUARD,
    OperatorCommand: OPERATOR,
    DriverState: OPERATOR,
}


@dataclass(frozen=True)
class Arrival:
    """When a message was measured (data clock) and received (monotonic clock), nanoseconds."""

    stamp_ns: int
    received_ns: int


@dataclass(frozen=True)
class Pulse:
    """The newest heartbeat of a process. `progress_ns`: when it last had nothing unfinished, or finished something."""

    heartbeat: Heartbeat
    received_ns: int
    progress_ns: int


@dataclass(frozen=True)
class CameraHealth:
    """The newest verdict on a camera, and when its last unusable picture was received and taken."""

    verdict: Verdict
    received_ns: int
    bad_received_ns: int | None
    bad_stamp_ns: int | None


class Inputs:
    """The newest valid inputs. `faults` maps a topic to what is wrong with its newest message."""

    def __init__(self, config: SupervisorConfig) -> None:
        self._config = config
        self.history = EgoHistory(config.staleness.history_s, config.staleness.extrapolation_s)
        self.objects = ObjectMemory(config.collision)
        self.lanes: LaneObservation | None = None
        self.lanes_before: LaneObservation | None = None
        self.lane_place = LanePlace(config.lanes)
        self.route_place = RoutePlace(config.lanes)
        self.wheel: WheelSpeed | None = None
        self.object_watch = ObjectWatch(config.objects)
        self._moved: tuple[Now, ObjectSet, ObjectSet] | None = None
        self.camera_arrivals = CameraArrivals(config.camera_arrivals)
        self.clock = ClockWatch(config.clock)
        self.authority = AuthorityWatch(config.speakers, config.freshness.future_s)
        self._speeds = SpeedComparison(config.wheel)
        self._skew = StampSkew(config.skew)
        self.skews: dict[str, Reason] = {}
        self.arrivals: dict[str, Arrival] = {}
        self.pulses: dict[str, Pulse] = {}
        self.cameras: dict[str, CameraHealth] = {}
        self.faults: dict[str, Reason] = {}
        self.plans: deque[tuple[Plan | PlanRejection, int]] = deque(maxlen=PENDING_PLANS)
        self.commands = PendingCommands()
        self.refused_commands: deque[Reason] = deque(maxlen=PENDING_COMMANDS)
        self.untimely_commands: deque[Reason] = deque(maxlen=PENDING_COMMANDS)
        self.orders = Orders(config.freshness)
        self.driver = DriverWatch()
        self.planner_restarted = False

    def keep_of(self, before: Inputs) -> None:
        """What settings cannot change: the route, which is said once, and whether the driver is heard."""
        self.route_place.keep_of(before.route_place)
        self.driver = before.driver

    def receive(self, message: InputMessage, now: Now) -> None:
        """Store or refuse one message."""
        topic = TOPICS.get(type(message))
        if topic is None:
            return
        try:
            require_types(message)
            self._take(message, now, topic)
        except (TypeError, ValueError, AttributeError, IndexError, ArithmeticError, GeometryError) as error:
            self.faults[topic] = Reason(MALFORMED, 1.0, 0.0, f"{type(message).__name__}: {error}")
            return
        standing = self.faults.get(topic)
        if standing is not None and standing.code == MALFORMED and topic in (PLANNER, GUARD, OPERATOR):
            del self.faults[topic]

    def _take(self, message: InputMessage, now: Now, topic: str) -> None:
        if isinstance(message, EgoState):
            self._take_ego(message, now)
        elif isinstance(message, WheelSpeed):
            self._take_wheel(message, now)
        elif isinstance(message, ObjectList):
            self._take_objects(message, now)
        elif isinstance(message, LaneObservation):
            self._take_lanes(message, now)
        elif isinstance(message, Route):
            self._take_route(message, now)
        elif isinstance(message, (Plan, PlanRejection)):
            if self.authority.accept_plan(message, now):
                self.plans.append((message, now.monotonic_ns))
        elif isinstance(message, Heartbeat):
            self._take_heartbeat(message, now)
        elif isinstance(message, Verdict):
            self._take_verdict(message, now)
        elif isinstance(message, OperatorCommand):
            untimely = self.orders.untimely(message, now)
            refused = self.orders.refuse_command(message, now) or self.commands.add(str(message.command))
            if refused is not None:
                self.refused_commands.append(refused)
            elif untimely is not None:
                self.untimely_commands.append(untimely)
        else:
            self.driver.hear(message, now, self._config.freshness.future_s)

    def _take_ego(self, ego: EgoState, now: Now) -> None:
        fault = ego_fault(ego, self.history, self._config.ego)
        if fault is not None and fault.code == "EGO_NOT_FINITE":
            self.faults[EGO] = fault
            return
        if self._from_future(EGO, ego.stamp_ns, now) or not self._newer(EGO, ego.stamp_ns):
            return
        if fault is not None:
            self.faults[EGO] = fault
            return
        self.history.add(ego)
        self._accept(EGO, ego.stamp_ns, now)
        contradiction = ego_contradiction(self.history, self._config.ego)
        if contradiction is not None:
            self.faults[EGO] = contradiction

    def _take_wheel(self, wheel: WheelSpeed, now: Now) -> None:
        before = self.wheel
        if before is not None and wheel.stamp_ns <= self.arrivals[WHEEL].stamp_ns and math.isfinite(wheel.speed_mps):
            return
        fault = wheel_fault(wheel, before, self._config.ego)
        if fault is not None:
            self.faults[WHEEL] = fault
            return
        if self._from_future(WHEEL, wheel.stamp_ns, now):
            return
        self.wheel = wheel
        self._accept(WHEEL, wheel.stamp_ns, now)
        self._note(SPEEDS, self._speeds.check(wheel, self.history))

    def _take_objects(self, message: ObjectList, now: Now) -> None:
        count = len(message.objects)
        states = message.states() if count <= OBJECTS_MAX else np.zeros((0, 7))
        fault = list_fault(count, states, self._config.objects)
        if fault is not None:
            self.faults[OBJECTS] = fault
            return
        if self._from_future(OBJECTS, message.stamp_ns, now) or not self._newer(OBJECTS, message.stamp_ns):
            return
        self.object_watch.add(message, states, self.objects.confirmed, self._here(), now)
        self.objects.add(message, self.lane_line)
        self._accept(OBJECTS, message.stamp_ns, now)

    @property
    def route(self) -> Route | None:
        """The newest valid route."""
        return self.route_place.route

    @property
    def lane_line(self) -> Polyline | None:
        """The centreline of the newest valid lane observation."""
        return None if self.lanes is None else self.lanes.line

    @property
    def newest_lanes(self) -> list[LaneObservation]:
        """The newest valid lane observation, after the one before it where that was fresh when it came."""
        before, newest, limit_s = self.lanes_before, self.lanes, self._config.freshness.lanes_data_s
        if newest is None:
            return []
        lately = before is not None and seconds(newest.stamp_ns - before.stamp_ns) <= limit_s
        return [before, newest] if before is not None and lately else [newest]

    def fresh_lanes(self, now: Now) -> LaneObservation | None:
        """The newest valid lane observation, while it is fresh."""
        return self.lanes if self._age_s(LANES, now) <= self._config.freshness.lanes_data_s else None

    def objects_at(self, now: Now) -> ObjectSet:
        """What has to be braked for at this instant; when the lists have ended, as if everybody had braked since.

        Extrapolated at constant speed, a lead that stops unseen would seem to drive on.
        """
        confirmed = self.objects.confirmed
        if self._moved is None or self._moved[0] != now or self._moved[1] is not confirmed:
            self._moved = now, confirmed, self._objects_moved(confirmed, now)
        return self._moved[2]

    def _objects_moved(self, confirmed: ObjectSet, now: Now) -> ObjectSet:
        limits = self._config
        arrival = self.arrivals.get(OBJECTS)
        silent_s = 0.0 if arrival is None else seconds(now.monotonic_ns - arrival.received_ns)
        if silent_s <= limits.freshness.objects_reception_s:
            return confirmed.at(now.stamp_ns)
        return confirmed.braking_to(now.stamp_ns, limits.collision.unseen_brake_mps2)

    def _take_lanes(self, lanes: LaneObservation, now: Now) -> None:
        fault = lanes_fault(lanes)
        if fault is not None:
            self.faults[LANES] = fault
            return
        _ = lanes.line  # what is no line raises here, also where nothing is known of the vehicle
        if self._from_future(LANES, lanes.stamp_ns, now) or not self._newer(LANES, lanes.stamp_ns):
            return
        ego, here = self.history.newest, self._here()
        if ego is not None and here is not None:
            fault = self.lane_place.fault(lanes, ego, self.route_place, now)
            self._note(PLACE, self.route_place.fault(here[None]))
        if fault is not None:
            self.faults[LANES] = fault
            return
        self.lanes_before, self.lanes = self.lanes, lanes
        self._accept(LANES, lanes.stamp_ns, now)

    def _take_route(self, route: Route, now: Now) -> None:
        fault = route_fault(route)
        if fault is not None:
            self.faults[ROUTE] = fault
            return
        self.route_place.take(route, self.history.newest, now)
        self._accept(ROUTE, now.stamp_ns, now)

    def _take_heartbeat(self, heartbeat: Heartbeat, now: Now) -> None:
        if heartbeat.process not in (self._config.planner_process, self._config.guard_process):
            return
        heard = self.authority.hear(heartbeat, now)
        if heard is Heard.OLD:
            return
        before = self.pulses.get(heartbeat.process)
        progress_ns = now.monotonic_ns
        if before is not None and heard is Heard.NEXT:
            busy = heartbeat.work_started > heartbeat.work_done
            if busy and heartbeat.work_done == before.heartbeat.work_done:
                idle_before = before.heartbeat.work_started <= before.heartbeat.work_done
                progress_ns = now.monotonic_ns if idle_before else before.progress_ns
        if heartbeat.process == self._config.planner_process and before is not None and heard is Heard.RESTARTED:
            self.planner_restarted = True
            self.authority.forget_plans()
        self.pulses[heartbeat.process] = Pulse(heartbeat, now.monotonic_ns, progress_ns)

    def _take_verdict(self, verdict: Verdict, now: Now) -> None:
        if verdict.camera not in self._config.cameras:
            return
        before = self.cameras.get(verdict.camera)
        if before is not None and verdict.usable and verdict.stamp_ns <= before.verdict.stamp_ns:
            return
        ahead_s, limit_s = seconds(verdict.stamp_ns - now.stamp_ns), self._config.freshness.future_s
        if ahead_s > limit_s:
            # The picture is unusable, and its stamp must not stand in the way of later ones.
            reason = Reason("STAMP_IN_FUTURE", ahead_s, limit_s, "stamp, s ahead")
            stamp_ns = now.stamp_ns if before is None else before.verdict.stamp_ns
            verdict = replace(verdict, usable=False, stamp_ns=stamp_ns, reasons=(reason, *verdict.reasons))
        elif before is None or verdict.stamp_ns > before.verdict.stamp_ns:
            self.camera_arrivals.add(verdict.camera, verdict.stamp_ns)
        bad_received = now.monotonic_ns if not verdict.usable else before.bad_received_ns if before else None
        bad_stamp = before.bad_stamp_ns if before else None
        if not verdict.usable:
            # Verdicts may come in any order; the newest bad picture counts.
            bad_stamp = verdict.stamp_ns if bad_stamp is None else max(bad_stamp, verdict.stamp_ns)
        self.cameras[verdict.camera] = CameraHealth(verdict, now.monotonic_ns, bad_received, bad_stamp)

    def clock_stepped(self, now: Now) -> Restate | None:
        """Compare the clocks, once a tick; after a step of the data clock restate everything kept by what is returned.

        Plans are not restated: where a plan belongs is known by its stamp alone.
        """
        step_ns = self.clock.step_ns(now)
        if not step_ns:
            return None
        clock = restated_by(step_ns, now.stamp_ns)
        for kept in (self.history, self.objects, self.object_watch, self.camera_arrivals, self.orders):
            kept.restate(clock)
        self.authority.forget_plans()
        self.plans.clear()
        if self.wheel is not None:
            self.wheel = replace(self.wheel, stamp_ns=clock(self.wheel.stamp_ns))
        for topic, arrival in self.arrivals.items():
            self.arrivals[topic] = replace(arrival, stamp_ns=clock(arrival.stamp_ns))
        for camera, health in self.cameras.items():
            verdict = replace(health.verdict, stamp_ns=clock(health.verdict.stamp_ns))
            bad_ns = None if health.bad_stamp_ns is None else clock(health.bad_stamp_ns)
            self.cameras[camera] = replace(health, verdict=verdict, bad_stamp_ns=bad_ns)
        return clock

    def _here(self) -> NDArray[np.float64] | None:
        """Where the vehicle was by its newest state, (2,)."""
        newest = self.history.newest
        return None if newest is None else np.array([newest.x_m, newest.y_m])

    def _age_s(self, topic: str, now: Now) -> float:
        arrival = self.arrivals.get(topic)
        return math.inf if arrival is None else seconds(now.stamp_ns - arrival.stamp_ns)

    def _from_future(self, topic: str, stamp_ns: int, now: Now) -> bool:
        ahead_s, limit_s = seconds(stamp_ns - now.stamp_ns), self._config.freshness.future_s
        if ahead_s <= limit_s:
            return False
        self.faults[topic] = Reason("STAMP_IN_FUTURE", ahead_s, limit_s, f"stamp of {topic}, s ahead")
        return True

    def _newer(self, topic: str, stamp_ns: int) -> bool:
        return topic not in self.arrivals or stamp_ns > self.arrivals[topic].stamp_ns

    def _accept(self, topic: str, stamp_ns: int, now: Now) -> None:
        self.arrivals[topic] = Arrival(stamp_ns, now.monotonic_ns)
        self.faults.pop(topic, None)
        if topic in SKEW_WATCHED:
            skew = self._skew.check(topic, stamp_ns, now)
            if skew is not None:
                self.skews[topic] = skew
            else:
                self.skews.pop(topic, None)

    def _note(self, topic: str, fault: Reason | None) -> None:
        """Keep what a comparison says now."""
        if fault is None:
            self.faults.pop(topic, None)
        else:
            self.faults[topic] = fault
