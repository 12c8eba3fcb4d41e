"""Everything the supervisor has received: the newest valid message of each kind, and what was wrong with the others.

A message that is not finite, from the future, or implausible is never stored; it leaves a fault that stands until a
valid message of that kind arrives. Messages no newer than the stored one (duplicates, replays, time running backwards)
are ignored and do not refresh anything.
"""

from __future__ import annotations

import math
from collections import deque
from dataclasses import dataclass

import numpy as np

from onboard_vla.core.clock import Now, nanoseconds, seconds
from onboard_vla.core.ego import EgoState
from onboard_vla.core.errors import GeometryError
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat, Plan, PlanRejection
from onboard_vla.core.road import SIGNAL_STATES, LaneObservation, Route
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.config import SupervisorConfig
from onboard_vla.safety.ego_history import EgoHistory
from onboard_vla.safety.guards.orders import Orders
from onboard_vla.safety.object_memory import ObjectMemory

EGO, OBJECTS, LANES, ROUTE, PLANNER, GUARD, OPERATOR = (
    "ego",
    "objects",
    "lanes",
    "route",
    "planner",
    "guard",
    "operator",
)
PENDING_PLANS = 3
"""Plans kept for one tick; a flood beyond that loses the oldest, as the newest is what counts."""
PENDING_COMMANDS = 8
OBJECTS_MAX = 1000
"""More objects than any perception reports; a list beyond it is refused rather than computed on."""

InputMessage = (
    EgoState
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
        self.lane_line: Polyline | None = None
        self.route: Route | None = None
        self.arrivals: dict[str, Arrival] = {}
        self.pulses: dict[str, Pulse] = {}
        self.cameras: dict[str, CameraHealth] = {}
        self.faults: dict[str, Reason] = {}
        self.plans: deque[tuple[Plan | PlanRejection, int]] = deque(maxlen=PENDING_PLANS)
        self.commands: deque[str] = deque(maxlen=PENDING_COMMANDS)
        self.refused_commands: deque[Reason] = deque(maxlen=PENDING_COMMANDS)
        self._orders = Orders(config.freshness)
        self.override = False
        self.planner_restarted = False

    def receive(self, message: InputMessage, now: Now) -> None:
        """Store or refuse one message."""
        topic = TOPICS.get(type(message))
        if topic is None:
            return
        try:
            self._take(message, now, topic)
        except (TypeError, ValueError, AttributeError, IndexError, GeometryError) as error:
            self._fault(topic, "INPUT_MALFORMED", 1.0, 0.0, f"{type(message).__name__}: {error}")

    def _take(self, message: InputMessage, now: Now, topic: str) -> None:
        if isinstance(message, EgoState):
            self._take_ego(message, now)
        elif isinstance(message, ObjectList):
            self._take_objects(message, now)
        elif isinstance(message, LaneObservation):
            self._take_lanes(message, now)
        elif isinstance(message, Route):
            self._take_route(message, now)
        elif isinstance(message, (Plan, PlanRejection)):
            self.plans.append((message, now.monotonic_ns))
        elif isinstance(message, Heartbeat):
            self._take_heartbeat(message, now)
        elif isinstance(message, Verdict):
            self._take_verdict(message, now)
        elif isinstance(message, OperatorCommand):
            refused = self._orders.refuse_command(message, now)
            if refused is None:
                self.commands.append(str(message.command))
            else:
                self.refused_commands.append(refused)
        elif self._orders.accept_driver(message, now):
            self.override = bool(message.override)

    def _take_ego(self, ego: EgoState, now: Now) -> None:
        values = (ego.x_m, ego.y_m, ego.heading_rad, ego.speed_mps, ego.acceleration_mps2, ego.yaw_rate_rps)
        if not all(math.isfinite(value) for value in values):
            self._fault(EGO, "EGO_NOT_FINITE", 1.0, 0.0, "a field of the ego state is not finite")
            return
        if self._from_future(EGO, ego.stamp_ns, now) or not self._newer(EGO, ego.stamp_ns):
            return
        limits = self._config.ego
        newest = self.history.newest
        low, high = limits.speed_min_mps, limits.speed_max_mps
        if not low <= ego.speed_mps <= high:
            nearest = low if ego.speed_mps < low else high
            self._fault(EGO, "EGO_IMPLAUSIBLE", ego.speed_mps, nearest, "speed, m/s")
            return
        if abs(ego.yaw_rate_rps) > limits.yaw_rate_max_rps:
            self._fault(EGO, "EGO_IMPLAUSIBLE", abs(ego.yaw_rate_rps), limits.yaw_rate_max_rps, "yaw rate, rad/s")
            return
        if newest is not None:
            change = abs(ego.speed_mps - newest.speed_mps)
            reachable = limits.acceleration_max_mps2 * seconds(ego.stamp_ns - newest.stamp_ns) + limits.speed_jump_mps
            if change > reachable:
                self._fault(EGO, "EGO_JUMP", change, reachable, "speed change between two states, m/s")
                return
        self.history.add(ego)
        self._accept(EGO, ego.stamp_ns, now)
        gap = self._speed_sources_gap(ego)
        if gap > limits.speed_sources_mps:
            self._fault(EGO, "EGO_SPEED_SOURCES", gap, limits.speed_sources_mps, "speed against displacement, m/s")

    def _speed_sources_gap(self, ego: EgoState) -> float:
        """Reported speed against the distance travelled over a short window; 0 while the history is shorter."""
        window_s = self._config.ego.speed_sources_window_s
        before = self.history.at(ego.stamp_ns - nanoseconds(window_s))
        if before is None:
            return 0.0
        travelled = math.hypot(ego.x_m - before.x_m, ego.y_m - before.y_m) / window_s
        return abs(travelled - abs(before.speed_mps + ego.speed_mps) / 2)

    def _take_objects(self, message: ObjectList, now: Now) -> None:
        if len(message.objects) > OBJECTS_MAX:
            self._fault(
                OBJECTS, "OBJECTS_TOO_MANY", float(len(message.objects)), float(OBJECTS_MAX), "objects in a list"
            )
            return
        states = message.states()
        if not np.isfinite(states).all():
            self._fault(OBJECTS, "OBJECTS_NOT_FINITE", 1.0, 0.0, "a field of an object is not finite")
            return
        if (states[:, 5:] <= 0).any():
            self._fault(OBJECTS, "OBJECTS_IMPLAUSIBLE", float(states[:, 5:].min()), 0.0, "length or width, m")
            return
        if self._from_future(OBJECTS, message.stamp_ns, now) or not self._newer(OBJECTS, message.stamp_ns):
            return
        self.objects.add(message, self.lane_line)
        self._accept(OBJECTS, message.stamp_ns, now)

    def _take_lanes(self, lanes: LaneObservation, now: Now) -> None:
        arrays = (lanes.centreline, lanes.left_m, lanes.right_m, lanes.speed_limit_mps)
        count = len(lanes.centreline)
        positions = [value for signal in lanes.signals for value in (signal.x_m, signal.y_m)]
        finite = all(np.isfinite(array).all() for array in arrays) and all(map(math.isfinite, positions))
        if not (finite and math.isfinite(lanes.lane_width_m)):
            self._fault(LANES, "LANES_NOT_FINITE", 1.0, 0.0, "a field of the lanes is not finite")
            return
        shaped = lanes.centreline.shape == (count, 2) and all(array.shape == (count,) for array in arrays[1:])
        known = all(signal.state in SIGNAL_STATES for signal in lanes.signals)
        positive = shaped and min(float(array.min(initial=math.inf)) for array in arrays[1:]) >= 0.0
        if count < 2 or not (shaped and known and positive and lanes.lane_width_m > 0.0):
            self._fault(LANES, "LANES_IMPLAUSIBLE", float(count), 2.0, "points, extents or signals of the lane")
            return
        line = Polyline(lanes.centreline)
        if self._from_future(LANES, lanes.stamp_ns, now) or not self._newer(LANES, lanes.stamp_ns):
            return
        self.lanes, self.lane_line = lanes, line
        self._accept(LANES, lanes.stamp_ns, now)

    def _take_route(self, route: Route, now: Now) -> None:
        limits = route.speed_limit_mps
        if not (np.isfinite(route.points).all() and np.isfinite(limits).all()) or len(limits) != len(route.points):
            self._fault(ROUTE, "ROUTE_NOT_FINITE", 1.0, 0.0, "a field of the route is not finite or missing")
            return
        Polyline(route.points)
        self.route = route
        self._accept(ROUTE, now.stamp_ns, now)

    def _take_heartbeat(self, heartbeat: Heartbeat, now: Now) -> None:
        before = self.pulses.get(heartbeat.process)
        same = before is not None and before.heartbeat.process_id == heartbeat.process_id
        progress_ns = now.monotonic_ns
        if before is not None and same:
            if heartbeat.sequence <= before.heartbeat.sequence:
                return
            busy = heartbeat.work_started > heartbeat.work_done
            if busy and heartbeat.work_done == before.heartbeat.work_done:
                idle_before = before.heartbeat.work_started <= before.heartbeat.work_done
                progress_ns = now.monotonic_ns if idle_before else before.progress_ns
        if heartbeat.process == self._config.planner_process and before is not None and not same:
            self.planner_restarted = True
        if heartbeat.process in (self._config.planner_process, self._config.guard_process):
            self.pulses[heartbeat.process] = Pulse(heartbeat, now.monotonic_ns, progress_ns)

    def _take_verdict(self, verdict: Verdict, now: Now) -> None:
        if verdict.camera not in self._config.cameras:
            return
        before = self.cameras.get(verdict.camera)
        if before is not None and verdict.usable and verdict.stamp_ns <= before.verdict.stamp_ns:
            return
        if self._from_future(GUARD, verdict.stamp_ns, now):
            return
        bad_received = now.monotonic_ns if not verdict.usable else before.bad_received_ns if before else None
        bad_stamp = verdict.stamp_ns if not verdict.usable else before.bad_stamp_ns if before else None
        self.cameras[verdict.camera] = CameraHealth(verdict, now.monotonic_ns, bad_received, bad_stamp)

    def _from_future(self, topic: str, stamp_ns: int, now: Now) -> bool:
        ahead_s = seconds(stamp_ns - now.stamp_ns)
        if ahead_s <= self._config.freshness.future_s:
            return False
        self._fault(topic, "STAMP_IN_FUTURE", ahead_s, self._config.freshness.future_s, f"stamp of {topic}, s ahead")
        return True

    def _newer(self, topic: str, stamp_ns: int) -> bool:
        return topic not in self.arrivals or stamp_ns > self.arrivals[topic].stamp_ns

    def _accept(self, topic: str, stamp_ns: int, now: Now) -> None:
        self.arrivals[topic] = Arrival(stamp_ns, now.monotonic_ns)
        self.faults.pop(topic, None)

    def _fault(self, topic: str, code: str, measured: float, limit: float, detail: str) -> None:
        self.faults[topic] = Reason(code, measured, limit, detail)
