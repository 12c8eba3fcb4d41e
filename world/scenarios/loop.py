"""Closed loop of a scenario in virtual time: road users, perception, a vehicle with delay and lag, and its driver.

The driver is whoever takes messages and publishes safe trajectories; this room knows nothing else of it.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now
from onboard_vla.core.control import Control
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import Polyline
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Heartbeat
from onboard_vla.core.road import RED, LaneObservation, Route, Signal
from onboard_vla.core.safe_trajectory import ENGAGE, STOP, OperatorCommand, SafeTrajectory
from onboard_vla.core.vehicle_gate import VehicleGate
from onboard_vla.core.verdict import Verdict
from onboard_vla.world.scenarios import judge
from onboard_vla.world.scenarios.cell import LANES_SILENT, OBJECTS_SILENT, OPERATOR, Cell
from onboard_vla.world.scenarios.motion import Track, track
from onboard_vla.world.scenarios.planner import lane_plan
from onboard_vla.world.vehicle import Vehicle

Array = NDArray[np.float64]

TICK_S, TICK_NS = 0.02, 20_000_000
START_NS = 10_000_000_000
STANDBY_S = 0.6
"""Before time 0 the vehicle goes at constant speed in its lane, and the driver under test watches."""
PERCEPTION_TICKS, PERCEPTION_DELAY_TICKS = 5, 5
"""Object lists and lanes at 10 Hz; object lists arrive 0.1 s after they were measured."""
DELAY_TICKS = 10
"""Commands of acceleration act after 0.2 s, and then with the vehicle's lag of 0.2 s."""
ACTUATOR_LEAD_S = 0.4
"""What the tracker looks ahead for delay and lag."""
PLAN_TICKS = 10
"""Plans at 5 Hz."""
NEAR_M = 12.0
"""Centres farther apart than this are not judged."""
GRAVITY = 9.81
LANE_STEP_M, LANE_BEHIND_M = 2.0, 10.0


class Driver(Protocol):
    """Who is under test."""

    def receive(self, message: object, now: Now) -> None:
        """Take one message."""

    def tick(self, now: Now) -> SafeTrajectory:
        """Publish the trajectory of this instant."""


@dataclass
class Sample:
    """One tick after time 0."""

    time_s: float
    x_m: float
    y_m: float
    heading_rad: float
    speed_mps: float
    acceleration_mps2: float
    curvature_per_m: float
    demand_mps2: float
    mode: int
    source: str
    hazard_lights: bool
    gap_m: float


@dataclass
class Run:
    """What happened. `contact`: index of the participant touched first; `impact_mps`: closing speed at that instant.

    Sample k belongs to index `standby_ticks` + k of the tracks.
    """

    cell: Cell
    line: Polyline
    tracks: list[Track]
    standby_ticks: int
    samples: list[Sample] = field(default_factory=list)
    contact: int | None = None
    impact_mps: float = 0.0


class Course:
    """One run of a cell."""

    def __init__(self, cell: Cell, driver: Driver, geometry: VehicleGeometry) -> None:
        self._cell, self._driver, self._geometry = cell, driver, geometry
        self._line = Polyline(cell.line)
        self._front_m = geometry.length_m - geometry.rear_overhang_m
        ticks = round((STANDBY_S + cell.duration_s) / TICK_S) + 1
        self._times: Array = np.round((np.arange(ticks) - round(STANDBY_S / TICK_S)) * TICK_S, 9)
        start = cell.start_m + self._front_m
        self._signals: tuple[Signal, ...] = ()
        if cell.red_m is not None:
            red_x, red_y = self._line.at(start + cell.red_m)
            self._signals = (Signal(1, float(red_x), float(red_y), RED),)
        self._tracks = [track(p, self._line, start, self._times) for p in cell.participants]
        rng = np.random.default_rng(cell.seed)
        self._shifts = rng.standard_normal((ticks, max(len(self._tracks), 1), 2))
        behind = cell.start_m - STANDBY_S * cell.speed_mps
        x, y = self._line.at(behind)
        self._vehicle = Vehicle(float(x), float(y), float(self._line.heading_at(behind)), cell.speed_mps)
        self._gate = VehicleGate(ACTUATOR_LEAD_S)
        self._queue: deque[float] = deque([0.0] * DELAY_TICKS)
        self._waiting: deque[tuple[int, ObjectList]] = deque()
        self._arc_m = behind
        self._following_s = 0.0
        self.run = Run(cell, self._line, self._tracks, round(STANDBY_S / TICK_S))

    def drive(self) -> Run:
        """Run to the end, to contact, or until nothing can happen any more."""
        return self.drive_while(lambda: True)

    def drive_while(self, condition: Callable[[], bool]) -> Run:
        """As `drive`, and no longer than a condition holds."""
        for tick in range(len(self._times)):
            if not condition() or not self._step(tick):
                break
        return self.run

    def _step(self, tick: int) -> bool:
        time_s = float(self._times[tick])
        now = Now(START_NS + tick * TICK_NS, START_NS + tick * TICK_NS)
        self._sense(tick, time_s, now)
        if time_s == 0.0:
            self._driver.receive(OperatorCommand(now.stamp_ns, ENGAGE), now)
        elif self._cell.stop_by == OPERATOR and time_s == self._cell.stop_at_s:
            self._driver.receive(OperatorCommand(now.stamp_ns, STOP), now)
        message = self._driver.tick(now)
        vehicle = self._vehicle
        if time_s < 0.0:
            self._coast()
            return True
        self._gate.follow(message, now)
        control = self._gate.control(vehicle.state(now.stamp_ns), now)
        demand = float(message.points[0, 5]) if len(message.points) else control.acceleration_mps2
        self.run.samples.append(self._sample(time_s, message, demand, tick))
        if self.run.contact is not None:
            return False
        self._queue.append(control.acceleration_mps2)
        self._move(Control(self._queue.popleft(), control.curvature_per_m))
        return not self._over(tick, time_s)

    def _coast(self) -> None:
        """A person drives: constant speed along the lane."""
        cell, vehicle = self._cell, self._vehicle
        self._arc_m += cell.speed_mps * TICK_S
        x, y = self._line.at(self._arc_m)
        vehicle.x_m, vehicle.y_m = float(x), float(y)
        vehicle.heading_rad = float(self._line.heading_at(self._arc_m))
        vehicle.speed_mps, vehicle.acceleration_mps2 = cell.speed_mps, 0.0

    def _move(self, control: Control) -> None:
        """Friction bounds what the tyres give; a slope pulls."""
        cell, vehicle = self._cell, self._vehicle
        if cell.friction is not None:
            grip = 0.8 * cell.friction * GRAVITY
            control = Control(min(max(control.acceleration_mps2, -grip), grip), control.curvature_per_m)
        before = vehicle.speed_mps
        vehicle.step(control, TICK_S)
        held = before == 0.0 and control.acceleration_mps2 < GRAVITY * abs(cell.slope)
        if cell.slope != 0.0 and not held:
            vehicle.speed_mps = max(vehicle.speed_mps - GRAVITY * cell.slope * TICK_S, 0.0)

    def _sense(self, tick: int, time_s: float, now: Now) -> None:
        cell, send = self._cell, self._driver.receive
        send(self._vehicle.state(now.stamp_ns), now)
        if tick == 0:
            limit = np.full(len(cell.line), self._limit())
            send(Route("scenario", cell.line, limit, ()), now)
        if tick % PERCEPTION_TICKS == 0:
            self._waiting.append((tick + PERCEPTION_DELAY_TICKS, self._objects(tick, time_s, now)))
            if not self._ended(LANES_SILENT, time_s):
                send(self._lanes(now), now)
            for camera in CAMERAS:
                send(Verdict(camera, now.stamp_ns, tick, True, (), ""), now)
        while self._waiting and self._waiting[0][0] <= tick:
            objects = self._waiting.popleft()[1]
            if not self._ended(OBJECTS_SILENT, time_s):
                send(objects, now)
        if tick % 2 == 0:
            send(Heartbeat("camera_guard", 2, tick + 1, now.stamp_ns, tick, tick, True, ""), now)
        dies = cell.planner_dies_s
        if dies is not None and time_s < dies:
            if tick % 2 == 0:
                send(Heartbeat("vla_planner", 1, tick + 1, now.stamp_ns, tick, tick, True, ""), now)
            if tick % PLAN_TICKS == 0:
                swing = cell.planner_shift_m * math.sin(0.4 * time_s)
                send(lane_plan(self._vehicle, self._line, self._limit(), swing, tick, now.stamp_ns), now)

    def _ended(self, cause: str, time_s: float) -> bool:
        at_s = self._cell.stop_at_s
        return self._cell.stop_by == cause and at_s is not None and time_s >= at_s

    def _limit(self) -> float:
        return self._cell.speed_mps if self._cell.limit_mps is None else self._cell.limit_mps

    def _objects(self, tick: int, time_s: float, now: Now) -> ObjectList:
        rows = []
        for index, moving in enumerate(self._tracks):
            shift = moving.participant.jitter_m * self._shifts[tick, index]
            row = moving.reported(tick, time_s, index + 1, shift, tick // PERCEPTION_TICKS)
            if row is not None:
                rows.append(row)
        return ObjectList(now.stamp_ns, tuple(rows))

    def _lanes(self, now: Now) -> LaneObservation:
        cell = self._cell
        s, _ = self._line.project(np.array([[self._vehicle.x_m, self._vehicle.y_m]]))
        end = self._line.length if cell.end_m is None else cell.start_m + self._front_m + cell.end_m
        arcs = np.arange(max(s[0] - LANE_BEHIND_M, 0.0), min(s[0] + cell.sight_m, end), LANE_STEP_M)
        ones = np.ones(len(arcs))
        return LaneObservation(
            now.stamp_ns, self._line.at(arcs), cell.left_m * ones, cell.right_m * ones, cell.lane_width_m,
            self._limit() * ones, self._signals,
        )  # fmt: skip

    def _box(self) -> judge.Box:
        v, g = self._vehicle, self._geometry
        ahead = g.centre_offset_m
        x, y = v.x_m + ahead * math.cos(v.heading_rad), v.y_m + ahead * math.sin(v.heading_rad)
        return (x, y, v.heading_rad, g.length_m, g.width_m)

    def _sample(self, time_s: float, message: SafeTrajectory, demand: float, tick: int) -> Sample:
        own, least, v = self._box(), math.inf, self._vehicle
        for index, moving in enumerate(self._tracks):
            p = moving.participant
            x, y, heading = float(moving.x_m[tick]), float(moving.y_m[tick]), float(moving.heading_rad[tick])
            if not p.real or abs(x - own[0]) > NEAR_M or abs(y - own[1]) > NEAR_M:
                continue
            distance = judge.gap(own, (x, y, heading, p.length_m, p.width_m))
            least = min(least, distance)
            if distance <= 0.0 and self.run.contact is None:
                self.run.contact = index
                self.run.impact_mps = v.speed_mps - float(moving.speed_mps[tick])
        return Sample(
            time_s, v.x_m, v.y_m, v.heading_rad, v.speed_mps, v.acceleration_mps2, v.curvature_per_m, demand,
            int(message.mode), message.source, message.hazard_lights, least,
        )  # fmt: skip

    def _over(self, tick: int, time_s: float) -> bool:
        """In a cut-in nothing happens any more once the vehicle has followed for a second, or has passed."""
        if not self._cell.ends_when_following:
            return False
        moving = self._tracks[0]
        s, _ = self._line.project(np.array([[self._vehicle.x_m, self._vehicle.y_m]]))
        if moving.s_m[tick] < s[0] - self._geometry.length_m - moving.participant.length_m:
            return True
        settled = moving.lateral_mps[tick] == 0.0 and self._vehicle.speed_mps <= moving.speed_mps[tick]
        self._following_s = self._following_s + TICK_S if settled and time_s > 0.5 else 0.0
        return self._following_s >= 1.0
