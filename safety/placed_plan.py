"""A plan put into the odometry frame with the supervisor's own ego history, and its smoothed motion.

The poses are sums of codebook tokens, quantised at about 5 cm, so raw differences over 0.5 s carry noise of 0.4 m/s^2
and more. All derivatives therefore come from local least-squares quadratics (a Savitzky-Golay filter of 5 poses, 2 s)
over the travelled distance, the sideways drift and the heading, led in by the vehicle's own last second. A position
noise of 3 cm becomes 0.06 m/s^2. Jumps that smoothing could hide have raw limits of their own
(`guards/kinematics.py`).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import nanoseconds
from onboard_vla.core.geometry import Polyline, compose, unwrap, wrap_angle
from onboard_vla.core.plan import Plan
from onboard_vla.safety.ego_history import EgoHistory, Motion

Array = NDArray[np.float64]

LEAD_IN = 2
"""Past poses, one step apart, put before the plan's start."""
WINDOW = 5
"""Poses per local quadratic."""
PATH_SPACING_M = 0.3
"""Poses closer than this share one path point: below it, quantisation decides the direction between them."""


@dataclass(frozen=True, eq=False)
class PlacedPlan:
    """A plan in the odometry frame.

    `poses` (T+1, 3) at 0, step_s, ...; `fine` (T*S+1, 3) at 0, step_s/S, ...; the first row of both is the vehicle at
    `stamp_ns`. `times_s` (T+1,) belongs to `distance_m` (along the path, signed), `speed_mps`, `acceleration_mps2`,
    `lateral_mps2`, `yaw_rate_rps`, `yaw_acceleration_rps2`: all (T+1,), smoothed. `start`: motion at `stamp_ns`.
    """

    plan: Plan
    stamp_ns: int
    start: Motion
    times_s: Array
    poses: Array
    fine: Array
    fine_times_s: Array
    distance_m: Array
    speed_mps: Array
    acceleration_mps2: Array
    lateral_mps2: Array
    yaw_rate_rps: Array
    yaw_acceleration_rps2: Array
    path: Polyline

    @property
    def motion_rows(self) -> tuple[Array, ...]:
        """Everything that limits are held against."""
        return (
            self.poses,
            self.fine,
            self.distance_m,
            self.speed_mps,
            self.acceleration_mps2,
            self.lateral_mps2,
            self.yaw_rate_rps,
            self.yaw_acceleration_rps2,
        )

    @property
    def length_m(self) -> float:
        """Distance travelled by the plan."""
        return float(self.distance_m[-1])

    @property
    def end_speed_mps(self) -> float:
        """Smoothed speed at the plan's end."""
        return float(self.speed_mps[-1])

    @property
    def own_start_speed_mps(self) -> float:
        """Speed at the start that the plan's first two steps imply by themselves, without the vehicle's past."""
        first, second = np.diff(self.distance_m[:3]) / self.plan.step_s
        return float(1.5 * first - 0.5 * second)

    @cached_property
    def fine_headings(self) -> Array:
        """(T*S+1,) headings of `fine` without jumps by a turn."""
        return unwrap(self.fine[:, 2])

    def pose_at(self, times_s: Array | float) -> Array:
        """Poses (..., 3) at these times since `stamp_ns`, interpolated, held at the ends."""
        t = np.asarray(times_s, np.float64)
        poses = np.empty((*t.shape, 3))
        poses[..., 0] = np.interp(t, self.fine_times_s, self.fine[:, 0])
        poses[..., 1] = np.interp(t, self.fine_times_s, self.fine[:, 1])
        poses[..., 2] = wrap_angle(np.interp(t, self.fine_times_s, self.fine_headings))
        return poses

    def speed_at(self, time_s: float) -> float:
        """Smoothed speed at this time since `stamp_ns`."""
        return float(np.interp(time_s, self.times_s, self.speed_mps))

    def acceleration_at(self, time_s: float) -> float:
        """Smoothed acceleration at this time since `stamp_ns`."""
        return float(np.interp(time_s, self.times_s, self.acceleration_mps2))


def place(plan: Plan, history: EgoHistory) -> PlacedPlan | None:
    """Place a plan of finite, well-shaped poses; None where the history does not reach its stamp."""
    start = history.at(plan.stamp_ns)
    if start is None:
        return None
    count, sub_steps = len(plan.poses), len(plan.fine_poses) // len(plan.poses)
    origin = start.pose
    poses = np.concatenate([origin[None], compose(origin, plan.poses)])
    fine = np.concatenate([origin[None], compose(origin, plan.fine_poses)])
    past = [_past_pose(history, start, plan.stamp_ns, k * plan.step_s) for k in range(LEAD_IN, 0, -1)]
    knots = np.concatenate([np.array(past), poses])
    headings = unwrap(knots[:, 2])
    middles = (headings[:-1] + headings[1:]) / 2
    dx, dy = np.diff(knots[:, 0]), np.diff(knots[:, 1])
    along = np.concatenate([[0.0], np.cumsum(dx * np.cos(middles) + dy * np.sin(middles))])
    across = np.concatenate([[0.0], np.cumsum(dy * np.cos(middles) - dx * np.sin(middles))])
    first, second = _derivatives(count)
    first, second = first / plan.step_s, second / plan.step_s**2
    speed, yaw_rate = first @ along, first @ headings
    return PlacedPlan(
        plan=plan,
        stamp_ns=plan.stamp_ns,
        start=start,
        times_s=np.arange(count + 1, dtype=np.float64) * plan.step_s,
        poses=poses,
        fine=fine,
        fine_times_s=np.arange(len(fine), dtype=np.float64) * (plan.step_s / sub_steps),
        distance_m=along[LEAD_IN:] - along[LEAD_IN],
        speed_mps=speed,
        acceleration_mps2=second @ along,
        lateral_mps2=speed * yaw_rate + second @ across,
        yaw_rate_rps=yaw_rate,
        yaw_acceleration_rps2=second @ headings,
        path=path_through(fine),
    )


def path_through(poses: Array) -> Polyline:
    """A line through the positions of `poses` (N, 3) that moves forward by `PATH_SPACING_M` at least per point.

    Where the poses hardly move, the line goes straight ahead from the first one.
    """
    kept = [poses[0]]
    for pose in poses[1:]:
        dx, dy = pose[0] - kept[-1][0], pose[1] - kept[-1][1]
        if dx * math.cos(pose[2]) + dy * math.sin(pose[2]) >= PATH_SPACING_M:
            kept.append(pose)
    last = kept[-1]
    if len(kept) == 1:
        kept.append(last + PATH_SPACING_M * np.array([math.cos(last[2]), math.sin(last[2]), 0.0]))
    return Polyline(np.array(kept)[:, :2])


def _past_pose(history: EgoHistory, start: Motion, stamp_ns: int, age_s: float) -> Array:
    past = history.at(stamp_ns - nanoseconds(age_s))
    if past is not None:
        return past.pose
    turn = -start.yaw_rate_rps * age_s
    middle = start.heading_rad + turn / 2
    distance = -start.speed_mps * age_s
    change = np.array([distance * math.cos(middle), distance * math.sin(middle), turn])
    return np.asarray(start.pose + change, np.float64)


_CACHE: dict[int, tuple[Array, Array]] = {}


def _derivatives(count: int) -> tuple[Array, Array]:
    """First and second derivative (count+1, LEAD_IN+count+1) per step of local quadratics, at the plan's poses."""
    if count not in _CACHE:
        total = LEAD_IN + count + 1
        first, second = np.zeros((count + 1, total)), np.zeros((count + 1, total))
        for row in range(count + 1):
            knot = row + LEAD_IN
            start = max(0, min(knot - WINDOW // 2, total - WINDOW))
            offsets = np.arange(start, min(start + WINDOW, total)) - knot
            fit = np.linalg.pinv(np.stack([np.ones(len(offsets)), offsets, offsets**2], axis=1))
            first[row, start : start + len(offsets)], second[row, start : start + len(offsets)] = fit[1], 2 * fit[2]
        _CACHE[count] = first, second
    return _CACHE[count]
