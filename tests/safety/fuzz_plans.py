"""Scenes and plans for fuzzing: plans near one of the limits, and plans that are broken in every way we could think of.

A scene is a vehicle in steady motion on a lane of constant curvature, anywhere in the plane, among a few objects. The
class of a plan is for the statistics alone; nothing under test sees it.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from onboard_vla.core.clock import Now
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.objects import ObjectList
from onboard_vla.core.plan import Plan
from onboard_vla.core.road import LaneObservation, Signal

from .driving_range import make_ego, make_object, make_plan

NOW_NS = 20_000_000_000
SUB_S = 0.1
SIGHT_M = 160.0
BEHIND_M = 20.0


@dataclass(frozen=True)
class Scene:
    """Steady motion: `speed` along a circle of `curvature` (or a line) through `x`, `y`, `heading` at NOW_NS.

    The lane has the same curvature, the vehicle `offset` to its left; `left` and `right` are its extents. It is seen
    for `sight` metres, with `signals`: arc lengths from beside the vehicle, and what they show.
    """

    x: float
    y: float
    heading: float
    speed: float
    curvature: float
    offset: float
    left: float
    right: float
    objects: tuple
    sight: float = SIGHT_M
    signals: tuple = ()

    def pose(self, time_s: float) -> tuple[float, float, float]:
        """Where the vehicle is `time_s` from now."""
        turn, run = self.curvature * self.speed * time_s, self.speed * time_s
        chord = run if abs(turn) < 1e-9 else 2 * math.sin(turn / 2) / (turn / run)
        middle = self.heading + turn / 2
        return self.x + chord * math.cos(middle), self.y + chord * math.sin(middle), self.heading + turn

    def lane_point(self, s: float, d: float) -> tuple[float, float, float]:
        """Position `s` along the lane from beside the vehicle, `d` to its left, and the lane's heading there."""
        k, along = self.lane_curvature, self.heading + self.lane_curvature * s
        x0, y0 = self.x + self.offset * math.sin(self.heading), self.y - self.offset * math.cos(self.heading)
        chord = s if abs(k * s) < 1e-9 else 2 * math.sin(k * s / 2) / k
        middle = self.heading + k * s / 2
        x, y = x0 + chord * math.cos(middle), y0 + chord * math.sin(middle)
        return x - d * math.sin(along), y + d * math.cos(along), along

    @property
    def lane_curvature(self) -> float:
        """Of the centreline, which lies `offset` to the right of the vehicle's circle."""
        return self.curvature / (1 + self.offset * self.curvature)

    def messages(self):
        """What the supervisor gets before the plan: two seconds of motion, lanes, objects."""
        for k in range(-105, 1):
            x, y, heading = self.pose(k * 0.02)
            yaw = self.curvature * self.speed
            yield make_ego(NOW_NS + k * 20_000_000, x_m=x, y_m=y, heading_rad=math.remainder(heading, 2 * math.pi),
                           speed_mps=self.speed, yaw_rate_rps=yaw)  # fmt: skip
        for back in (2, 1, 0):
            stamp = NOW_NS - back * 100_000_000
            rows = tuple(
                replace(o, x_m=o.x_m - o.vx_mps * back * 0.1, y_m=o.y_m - o.vy_mps * back * 0.1) for o in self.objects
            )
            yield self.lanes(stamp)
            yield ObjectList(stamp, rows)

    def lanes(self, stamp_ns: int) -> LaneObservation:
        """The lane from behind the vehicle to the sight distance, a point a metre."""
        s = np.arange(-BEHIND_M, self.sight, 1.0)
        points = np.array([self.lane_point(float(v), 0.0)[:2] for v in s])
        wide = np.ones(len(s))
        signals = tuple(Signal(k, *self.lane_point(at, 0.0)[:2], state) for k, (at, state) in enumerate(self.signals))
        return LaneObservation(stamp_ns, points, wide * self.left, wide * self.right, 3.5, wide * 30.0, signals)

    @property
    def lane_end(self) -> float:
        """Arc length of the last point that is seen."""
        return math.ceil(self.sight) - 1.0


def random_scene(rng: np.random.Generator) -> Scene:
    """Any speed to 30 m/s, any place and heading, straight or curved, up to four objects ahead; on some straight lanes
    somebody overtakes closely. Some lanes are seen no farther than a stop takes, some have signals, at their very end
    and (on straight ones) beyond it, too."""
    speed = float(rng.uniform(0.0, 30.0)) if rng.random() < 0.9 else 0.0
    tightest = min(1 / 40, 2.5 / max(speed, 1.0) ** 2)
    curvature = 0.0 if rng.random() < 0.5 else float(rng.uniform(-tightest, tightest))
    bare = Scene(
        *rng.uniform(-3000, 3000, 2).tolist(), float(rng.uniform(-math.pi, math.pi)), speed, curvature,
        float(rng.uniform(-0.3, 0.3)), float(rng.uniform(1.6, 4.0)), float(rng.uniform(1.6, 4.0)), (),
    )  # fmt: skip
    objects = [random_object(rng, bare, k) for k in range(rng.integers(0, 5))]
    if curvature == 0.0 and rng.random() < 0.3:
        objects.append(random_passer(rng, bare, len(objects)))
    sight = float(rng.uniform(4.0, 12.0 + 4.0 * speed)) if rng.random() < 0.25 else SIGHT_M
    bare = replace(bare, objects=tuple(objects), sight=sight)
    return replace(bare, signals=random_signals(rng, bare) if rng.random() < 0.25 else ())


def random_signals(rng: np.random.Generator, scene: Scene):
    """One or two, red as a rule, as far as the plans come in three seconds."""
    farthest = scene.lane_end + (8.0 if scene.curvature == 0.0 else 0.0)
    count = int(rng.integers(1, 3))
    reach = 12.0 + 3.5 * scene.speed
    if scene.lane_end < reach and rng.random() < 0.5:
        places = rng.uniform(scene.lane_end - 0.2, farthest + 0.1, count).tolist()
    else:
        places = np.minimum(rng.uniform(2.0, reach, count), farthest).tolist()
    return tuple((at, "red" if rng.random() < 0.8 else str(rng.choice(["amber", "green"]))) for at in places)


def random_object(rng: np.random.Generator, scene: Scene, k: int):
    """A standing box, a pedestrian of constant velocity, or, on a straight lane, a vehicle along it."""
    x, y, along = scene.lane_point(float(rng.uniform(4.0, 15 + 3 * scene.speed)), float(rng.uniform(-5.0, 5.0)))
    kind = rng.choice(["standing", "pedestrian", "vehicle"])
    if kind == "pedestrian":
        course, pace = rng.uniform(-math.pi, math.pi), rng.uniform(0.0, 2.0)
        velocity = pace * math.cos(course), pace * math.sin(course)
        return make_object(x, y, *velocity, kind="pedestrian", track_id=k, length=0.6, width=0.6, heading=course)
    if kind == "vehicle" and scene.curvature == 0.0:
        pace = rng.uniform(2.0, 25.0)
        velocity = pace * math.cos(along), pace * math.sin(along)
        return make_object(x, y, *velocity, kind="vehicle", track_id=k, heading=along)
    size = {"length": float(rng.uniform(0.5, 8.0)), "width": float(rng.uniform(0.5, 2.5))}
    return make_object(x, y, kind="static", track_id=k, heading=float(rng.uniform(-math.pi, math.pi)), **size)


def random_passer(rng: np.random.Generator, scene: Scene, k: int):
    """A car or a cyclist behind the vehicle's middle and faster, less than a metre beside it."""
    kind, length, width = ("vehicle", 4.6, 1.9) if rng.random() < 0.5 else ("cyclist", 2.2, 0.8)
    aside = (VehicleGeometry().width_m + width) / 2 + float(rng.uniform(0.0, 0.8))
    x, y, along = scene.lane_point(float(rng.uniform(-10.0, 1.0)), scene.offset + aside * float(rng.choice([-1, 1])))
    pace = scene.speed + float(rng.uniform(0.2, 4.0))
    velocity = pace * math.cos(along), pace * math.sin(along)
    return make_object(x, y, *velocity, kind=kind, track_id=k, length=length, width=width, heading=along)


def near_limit_plan(rng: np.random.Generator, scene: Scene, plan_id: int, age_s: float | None = None) -> Plan:
    """Structurally valid, smooth, and near one or two of the limits of motion, road, room, age or start."""
    t = np.arange(0.0, 5.0 + 1e-9, SUB_S / 2)
    if age_s is None:
        age_s = float(rng.uniform(0.05, 0.5) if rng.random() < 0.8 else rng.uniform(0.5, 1.7))
    speed, near = scene.speed, lambda: float(rng.uniform(0.6, 1.15))
    acceleration, turn = float(rng.uniform(-1.5, 1.0)), np.zeros_like(t)
    aspects = rng.choice(
        ["speed up", "brake", "turn", "ramp", "shift", "stop", "start", "mild"], 1 if rng.random() < 0.6 else 2
    )
    start = speed
    for aspect in aspects:
        if aspect == "speed up":
            acceleration = 3.0 * near()
        elif aspect == "brake":
            acceleration = -6.0 * near()
        elif aspect == "turn":
            most = min(4.0 / max(speed, 1.0), 0.95, 0.2 * max(speed, 2.0))
            turn = turn + near() * most * rng.choice([-1, 1]) * rng.random()
        elif aspect == "ramp":
            turn = turn + near() * 5.0 / max(speed, 2.0) * rng.choice([-1, 1]) * np.minimum(t, rng.uniform(0.2, 1.5))
        elif aspect == "shift":
            lasts = float(rng.uniform(2.0, 4.0))
            size = float(rng.uniform(0.2, 3.0)) * rng.choice([-1, 1])
            swing = size / max(speed, 2.0) * (2 * math.pi / lasts) ** 2 / (2 * math.pi)
            turn = turn + np.where(t < lasts, swing * np.cos(2 * math.pi * t / lasts), 0.0) * lasts / (2 * math.pi)
        elif aspect == "stop":
            acceleration = -max(speed, 0.5) / float(rng.uniform(1.0, 5.0))
        elif aspect == "start":
            start = max(speed + 2.0 * near() * rng.choice([-1, 1]), 0.0)
        else:
            acceleration = float(rng.uniform(-0.8, 0.8))
    v = np.maximum(start + acceleration * t, 0.0)
    yaw = scene.curvature * v + turn * (v > 0.3)
    plan = through(v, yaw, age_s, plan_id)
    return of_actions_alone(plan) if rng.random() < 0.1 else plan


def of_actions_alone(plan: Plan) -> Plan:
    """Of a planner that computes what is outside the actions at the first step alone."""
    return replace(plan, uncertainty=replace(plan.uncertainty, outside_mass=plan.uncertainty.outside_mass[:1]))


def mild_plan(scene: Scene, plan_id: int, age_s: float = 0.2) -> Plan:
    """Goes on as the vehicle does."""
    t = np.arange(0.0, 5.0 + 1e-9, SUB_S / 2)
    return through(np.full_like(t, scene.speed), np.full_like(t, scene.curvature * scene.speed), age_s, plan_id)


def through(v: np.ndarray, yaw: np.ndarray, age_s: float, plan_id: int) -> Plan:
    """The plan of this speed and yaw rate, every SUB_S / 2, whose pictures are `age_s` old."""
    dt = SUB_S / 2
    heading = np.concatenate([[0.0], np.cumsum((yaw[1:] + yaw[:-1]) / 2 * dt)])
    middle = (heading[1:] + heading[:-1]) / 2
    run = (v[1:] + v[:-1]) / 2 * dt
    x, y = np.cumsum(run * np.cos(middle)), np.cumsum(run * np.sin(middle))
    fine = np.column_stack([x, y, heading[1:]])[1::2].astype(np.float32)
    stamp = NOW_NS - round(age_s * 1e9)
    return make_plan(stamp, fine[4::5], plan_id, fine_poses=fine)


def broken_plan(rng: np.random.Generator, scene: Scene, plan_id: int, age_s: float | None = None) -> Plan:
    """A plan with something wrong: numbers, shapes, stamps, counts, or a path that nothing can drive."""
    plan = near_limit_plan(rng, scene, plan_id, age_s)
    poses, fine = plan.poses.copy(), plan.fine_poses.copy()
    kind = rng.integers(0, 10)
    if kind == 0:
        array = poses if rng.random() < 0.5 else fine
        array.flat[rng.integers(array.size)] = rng.choice([math.nan, math.inf, -math.inf])
    elif kind == 1:
        count = int(rng.choice([0, 1, 2, 9, 11, 100]))
        poses, fine = np.resize(poses, (count, 3)), np.resize(fine, (count * 5, 3))
    elif kind == 2:
        fine = fine.astype(np.float64) * rng.choice([1e3, 1e30, -1.0, 1e36])
        fine = np.clip(fine, -3.4e38, 3.4e38).astype(np.float32)
        poses = fine[4::5].copy()
    elif kind == 3:
        fine = np.cumsum(rng.normal(0, rng.choice([0.3, 2.0, 20.0]), (50, 3)), axis=0).astype(np.float32)
        poses = fine[4::5].copy()
    elif kind == 4:
        row = int(rng.integers(1, 10))
        fine[row * 5 :] += rng.normal(0, 3.0, 3).astype(np.float32)
        poses = fine[4::5].copy()
    elif kind == 5:
        poses += rng.normal(0, 0.5, poses.shape).astype(np.float32)
    elif kind == 6:
        stamp = int(rng.choice([0, -1, 2**62, NOW_NS + 10**8, NOW_NS - 10**10]))
        return replace(plan, stamp_ns=stamp, oldest_frame_stamp_ns=stamp)
    elif kind == 7:
        tokens = tuple(rng.integers(-5, 3000, rng.integers(0, 15)).tolist())
        return replace(plan, action_tokens=tokens, step_s=float(rng.choice([0.5, 0.0, -0.5, math.nan, 0.25])))
    elif kind == 8:
        numbers = [-1.0, 0.0, 0.5, 2.0, math.nan, math.inf]
        changed = {
            name: rng.choice(numbers, 10).astype(np.float32) for name in ("spread_m", "outside_mass", "chosen_mass")
        }
        changed = {name: row for name, row in changed.items() if rng.random() < 0.6}
        return replace(plan, uncertainty=replace(plan.uncertainty, **changed))
    else:
        fine = fine[::-1].copy()
        poses = fine[4::5].copy()
    return replace(plan, poses=poses, fine_poses=fine)


def now() -> Now:
    """The instant at which every plan is judged."""
    return Now(NOW_NS, NOW_NS)
