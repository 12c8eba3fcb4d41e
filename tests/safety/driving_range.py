"""A small closed loop for the supervisor's tests: a lane, a vehicle with delay and lag, objects, and stand-ins for the
two other processes. It shares no code with the project's world."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np

from onboard_vla.core.cameras import CAMERAS
from onboard_vla.core.clock import Now
from onboard_vla.core.conditions import OperatingConditions
from onboard_vla.core.ego import EgoState
from onboard_vla.core.geometry import Polyline, compose, inverse
from onboard_vla.core.objects import ObjectList, TrackedObject
from onboard_vla.core.plan import Heartbeat, PassCount, Plan, Uncertainty
from onboard_vla.core.road import LaneObservation, Route, Signal
from onboard_vla.core.safe_trajectory import DriverState, OperatorCommand, SafeTrajectory
from onboard_vla.core.thresholds import SIGNALS, Threshold, Thresholds
from onboard_vla.core.verdict import Reason, Verdict
from onboard_vla.safety.config import SIMULATION_PROFILE, VEHICLE_PROFILE, SupervisorConfig
from onboard_vla.safety.operating_domain import OperationalDesignDomain
from onboard_vla.safety.supervisor import Supervisor

TICK_NS = 20_000_000
START_NS = 10_000_000_000
CORE_HASH = "c0ffee" * 10
VALUES = {
    "spread_reduce": 0.5, "spread_fallback": 1.0, "outside_mass": 0.05, "chosen_mass": 0.1, "second_mass": 0.15,
    "change_lateral": 0.75, "change_longitudinal": 2.5, "standby_lateral": 0.75, "standby_speed": 3.0,
    "slow_lateral": 0.75, "slow_speed": 2.0,
}  # fmt: skip


def make_thresholds(core_hash: str = CORE_HASH, provisional: bool = True) -> Thresholds:
    limits = tuple(Threshold(s, VALUES[s], unit, direction, "test") for s, (unit, direction) in SIGNALS.items())
    alpha, scenes = (1.0, 0) if provisional else (0.01, 300)
    return Thresholds(
        core_hash, "int8", provisional, "table", "test", scenes, alpha, alpha, "2026-01-01", limits, {}, {}
    )


def simulation_config(**changes) -> SupervisorConfig:
    return SupervisorConfig(**{"profile": SIMULATION_PROFILE, "thresholds": make_thresholds(), **changes})


DECLARED = OperationalDesignDomain(road_classes=("urban",), lights=("day",), weathers=("dry",), areas=("test",))
"""The domain that the range below is in."""


def straight_line(length_m: float = 3000.0, heading: float = 0.0, origin=(0.0, 0.0)) -> np.ndarray:
    s = np.arange(-50.0, length_m, 1.0)
    return np.stack([origin[0] + s * math.cos(heading), origin[1] + s * math.sin(heading)], axis=1)


def arc_line(radius_m: float, length_m: float = 600.0) -> np.ndarray:
    """50 m straight, a spiral of 30 m, then a circle to the left."""
    s = np.arange(-50.0, length_m, 0.5)
    curvature = np.clip((s - 50.0) / 30.0, 0.0, 1.0) / radius_m
    heading = np.concatenate([[0.0], np.cumsum(curvature[:-1] * 0.5)])
    x = -50.0 + np.concatenate([[0.0], np.cumsum(0.5 * np.cos(heading[:-1]))])
    y = np.concatenate([[0.0], np.cumsum(0.5 * np.sin(heading[:-1]))])
    return np.stack([x, y], axis=1)


def make_ego(stamp_ns: int, **changes) -> EgoState:
    values = dict(x_m=0.0, y_m=0.0, heading_rad=0.0, speed_mps=10.0, acceleration_mps2=0.0, yaw_rate_rps=0.0)
    return EgoState(stamp_ns=stamp_ns, **{**values, **changes})


def make_object(x: float, y: float, vx: float = 0.0, vy: float = 0.0, kind: str = "vehicle", track_id: int = 1, **box):
    length, width = box.get("length", 4.6), box.get("width", 1.9)
    heading = box.get("heading", math.atan2(vy, vx) if (vx or vy) else 0.0)
    return TrackedObject(track_id, kind, x, y, heading, vx, vy, length, width)


def make_plan(stamp_ns: int, poses: np.ndarray, plan_id: int = 1, **changes) -> Plan:
    """A well-formed plan through `poses` (10, 3); the fine poses cut each step evenly."""
    poses = np.asarray(poses, np.float64)
    ends = np.concatenate([np.zeros((1, 3)), poses])
    shares = np.arange(1, 6) / 5
    fine = (ends[:-1, None] + shares[None, :, None] * np.diff(ends, axis=0)[:, None]).reshape(-1, 3)
    values = dict(
        plan_id=plan_id, stamp_ns=stamp_ns, oldest_frame_stamp_ns=stamp_ns, step_s=0.5,
        poses=poses.astype(np.float32), fine_poses=fine.astype(np.float32), action_tokens=tuple(range(10)),
        depth="fast", slow_probability=0.1, text="", passes=PassCount(1, 1, 9), stage_ms={}, bundle_hash=CORE_HASH,
        uncertainty=Uncertainty.sure(10, 0.1),
    )  # fmt: skip
    return Plan(**{**values, **changes})


def straight_poses(speed: float = 10.0, acceleration: float = 0.0) -> np.ndarray:
    t = np.arange(1, 11) * 0.5
    if acceleration < 0:
        t = np.minimum(t, -speed / acceleration)
    x = speed * t + acceleration * t**2 / 2
    return np.stack([x, 0 * x, 0 * x], axis=1)


def codes(message: SafeTrajectory) -> list[str]:
    return [reason.code for reason in message.reasons]


@dataclass
class Vehicle:
    """Kinematic bicycle; commands act after a delay, acceleration follows with a lag."""

    x: float = 0.0
    y: float = 0.0
    heading: float = 0.0
    speed: float = 0.0
    acceleration: float = 0.0
    delay_s: float = 0.2
    lag_s: float = 0.2
    curvature: float = 0.0
    queue: list = field(default_factory=list)

    def step(self, demand: float, curvature: float, dt: float) -> None:
        self.queue.append(demand)
        demand = self.queue.pop(0) if len(self.queue) > round(self.delay_s / dt) else self.acceleration
        self.acceleration += (demand - self.acceleration) * min(1.0, dt / self.lag_s)
        speed = max(0.0, self.speed + self.acceleration * dt)
        if speed == 0.0:
            self.acceleration = max(self.acceleration, 0.0) if demand > 0 else 0.0
        distance = (self.speed + speed) / 2 * dt
        self.curvature = curvature
        self.heading += curvature * distance
        self.x += distance * math.cos(self.heading)
        self.y += distance * math.sin(self.heading)
        self.speed = speed

    def follow(self, message: SafeTrajectory) -> tuple[float, float]:
        """Pure pursuit and speed feedback; holds still without points."""
        points = message.points
        if not len(points):
            return -1.5, self.curvature
        reach = max(4.0, 0.6 * self.speed)
        gaps = np.hypot(points[:, 1] - self.x, points[:, 2] - self.y)
        far = np.flatnonzero(gaps >= reach)
        target = points[far[0], 1:3] if len(far) else points[-1, 1:3]
        dx, dy = target[0] - self.x, target[1] - self.y
        left = -math.sin(self.heading) * dx + math.cos(self.heading) * dy
        curvature = 2 * left / (dx * dx + dy * dy) if dx * dx + dy * dy > 1.0 else self.curvature
        ahead = self.delay_s + self.lag_s
        speed = float(np.interp(ahead, points[:, 0], points[:, 4]))
        feed = float(np.interp(ahead, points[:, 0], points[:, 5]))
        expected = self.speed + self.acceleration * ahead
        return feed + 0.5 * (speed - expected), curvature


@dataclass
class Mover:
    """An object along +x (or any velocity) with an acceleration law."""

    x: float
    y: float = 0.0
    vx: float = 0.0
    vy: float = 0.0
    kind: str = "vehicle"
    length: float = 4.6
    width: float = 1.9
    law: Callable[[float], float] | None = None

    def step(self, time_s: float, dt: float) -> None:
        if self.law is not None:
            self.vx = max(0.0, self.vx + self.law(time_s) * dt)
        self.x += self.vx * dt
        self.y += self.vy * dt


class Range:
    """The closed loop. Every hook may be replaced by a test to inject a fault."""

    def __init__(self, config: SupervisorConfig | None = None, line: np.ndarray | None = None, **vehicle) -> None:
        self.config = config or simulation_config()
        self.supervisor = Supervisor(self.config)
        self.line = straight_line() if line is None else line
        self.lane = Polyline(self.line)
        self.vehicle = Vehicle(**vehicle)
        self.movers: list[Mover] = []
        self.signals: tuple[Signal, ...] = ()
        self.limit_mps = 13.9
        self.half_width_m = 2.5
        self.sight_m = 100.0
        self.attended = self.config.profile == VEHICLE_PROFILE
        """Whether somebody says that the driver does not act."""
        self.tick = 0
        self.published: list[SafeTrajectory] = []
        self.log: list[tuple[float, float, float, float]] = []
        self.plan_id = 0
        self.silent: set[str] = set()
        self.bad_cameras: set[str] = set()
        self.plan_speed: float | None = None
        self.planner_pid = 100
        self.planner_ready = True
        self.beats = 0
        self.edit: dict[type, Callable] = {}
        self.object_latency_s = 0.1
        self.conditions = {"road_class": "urban", "light": "day", "weather": "dry", "area": "test"}
        self._object_queue: list[tuple[int, ObjectList]] = []

    @property
    def now(self) -> Now:
        return Now(START_NS + self.tick * TICK_NS, START_NS + self.tick * TICK_NS)

    def send(self, name: str, message) -> None:
        if name in self.silent:
            return
        message = self.edit.get(type(message), lambda m: m)(message)
        if message is not None:
            self.supervisor.receive(message, self.now)

    def route(self) -> Route:
        return Route("r", self.line[::10], np.full(len(self.line[::10]), self.limit_mps), ())

    def lanes(self) -> LaneObservation:
        s, _ = self.lane.project(np.array([[self.vehicle.x, self.vehicle.y]]))
        arcs = np.arange(s[0] - 10.0, s[0] + self.sight_m, 2.0)
        arcs = arcs[(arcs >= 0) & (arcs <= self.lane.length)]
        wide = np.full(len(arcs), self.half_width_m)
        centre = self.lane.at(arcs)
        return LaneObservation(
            self.now.stamp_ns, centre, wide, wide, 3.5, np.full(len(arcs), self.limit_mps), self.signals
        )

    def objects(self) -> ObjectList:
        rows = tuple(
            make_object(m.x, m.y, m.vx, m.vy, m.kind, i, length=m.length, width=m.width)
            for i, m in enumerate(self.movers)
        )
        return ObjectList(self.now.stamp_ns, rows)

    def model_plan(self) -> Plan:
        """Constant-speed lane following from the present pose, as a good model would plan."""
        self.plan_id += 1
        v = self.vehicle
        pose = np.array([v.x, v.y, v.heading])
        s, d = self.lane.project(pose[None, :2])
        wanted = v.speed if self.plan_speed is None else self.plan_speed
        t = np.arange(1, 11) * 0.5
        speed = v.speed + np.clip(wanted - v.speed, -1.0 * t, 1.0 * t)
        arcs = s[0] + np.cumsum((np.concatenate([[v.speed], speed[:-1]]) + speed) / 2 * 0.5)
        shift = d[0] * np.exp(-t)
        heading = self.lane.heading_at(arcs)
        xy = self.lane.at(arcs) + shift[:, None] * np.stack([-np.sin(heading), np.cos(heading)], axis=1)
        poses = compose(inverse(pose), np.column_stack([xy, heading]))
        return make_plan(self.now.stamp_ns, poses, self.plan_id)

    def sense(self) -> None:
        """Messages that are due at this tick."""
        v, now, k = self.vehicle, self.now, self.tick
        yaw_rate = v.curvature * v.speed
        self.send("ego", EgoState(now.stamp_ns, v.x, v.y, v.heading, v.speed, v.acceleration, yaw_rate))
        if k == 0:
            self.send("route", self.route())
        if k % 50 == 0:
            self.send("conditions", OperatingConditions(now.stamp_ns, **self.conditions))
        if k % 5 == 0:
            if self.attended:
                self.send("driver", DriverState(now.stamp_ns, False))
            self._object_queue.append((k + round(self.object_latency_s / 0.02), self.objects()))
            self.send("lanes", self.lanes())
            for camera in CAMERAS:
                bad = (Reason("BLACK", 0.0, 8.0, ""),) if camera in self.bad_cameras else ()
                self.send("verdicts", Verdict(camera, now.stamp_ns, k, not bad, bad, ""))
        while self._object_queue and self._object_queue[0][0] <= k:
            self.send("objects", self._object_queue.pop(0)[1])
        if k % 2 == 0:
            self.beats += 1
            beat = Heartbeat("vla_planner", self.planner_pid, self.beats, now.stamp_ns, k, k, self.planner_ready, "")
            self.send("planner", beat)
            self.send("guard", Heartbeat("camera_guard", 200, self.beats, now.stamp_ns, k, k, True, ""))
        if k % 10 == 0 and "planner" not in self.silent:
            self.send("plans", self.model_plan())

    def step(self) -> SafeTrajectory:
        self.sense()
        message = self.supervisor.tick(self.now)
        self.published.append(message)
        demand, curvature = self.vehicle.follow(message)
        self.log.append((self.tick * 0.02, self.vehicle.x, self.vehicle.speed, self.vehicle.acceleration))
        for mover in self.movers:
            mover.step(self.tick * 0.02, 0.02)
        self.vehicle.step(demand, curvature, 0.02)
        self.tick += 1
        return message

    def command(self, command: str) -> None:
        self.supervisor.receive(OperatorCommand(self.now.stamp_ns, command), self.now)

    def run(self, seconds: float) -> SafeTrajectory:
        for _ in range(round(seconds / 0.02)):
            self.step()
        return self.published[-1]

    def engage(self, standby_s: float = 0.6) -> SafeTrajectory:
        self.run(standby_s)
        self.command("engage")
        return self.step()
