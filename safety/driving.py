"""Trajectories that are not the fallback's own: following an accepted plan, and stopping along a path."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from onboard_vla.core.clock import seconds
from onboard_vla.core.geometry import Polyline
from onboard_vla.safety.config import FallbackSettings, StopSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.fallback import Trajectory, join_length
from onboard_vla.safety.idm import Lead, emergency_brake, required_deceleration
from onboard_vla.safety.joined_path import JoinedPath, along, join
from onboard_vla.safety.longitudinal import POINT_STEP_S, POINTS, SpeedProfile, roll
from onboard_vla.safety.placed_plan import PlacedPlan

Array = NDArray[np.float64]

SPEED_GAIN_PER_S = 1.0
"""1/s: the vehicle's speed approaches the plan's over 1 s, the blend time of 6.2."""
ACCELERATION_MAX_MPS2 = 3.0
"""The largest acceleration that the kinematic guard lets a plan have (2.6)."""
END_DECELERATION_MPS2 = 4.0
"""Braking that ends at the end of the checked path (the cap that R157 sets for a stop in lane)."""
TIMES_S: Array = np.arange(POINTS, dtype=np.float64) * POINT_STEP_S
"""Of a published trajectory's points."""
STRAIGHT_M = 100.0
"""Least length of a path to stop on, and the length of the one that is made up where there is none."""
LAST_ROOM_M = 0.1
"""With less room than this, or none, it is braked as for so much."""


def plan_path(placed: PlacedPlan, motion: Motion) -> JoinedPath:
    """The plan's own path from beside the vehicle on: what the guards passed is what is driven."""
    return along(placed.path, motion, placed.path.length)


def follow_plan(
    placed: PlacedPlan,
    path: JoinedPath,
    motion: Motion,
    acceleration_mps2: float,
    stamp_ns: int,
    leads: list[Lead],
    cap_mps: float,
    settings: FallbackSettings,
) -> Trajectory:
    """The plan's speed over time, re-timed to now, along `path`, with the hazard gate's braking for `leads` on top.

    The speed starts at the vehicle's and approaches the plan's; it never exceeds `cap_mps` for long, and it ends no
    later than the checked path does.
    """
    age_s = seconds(stamp_ns - placed.stamp_ns)
    times = age_s + np.arange(2 * POINTS) * (POINT_STEP_S / 2)
    speeds = np.interp(times, placed.times_s, placed.speed_mps).tolist()
    feeds = np.interp(times, placed.times_s, placed.acceleration_mps2).tolist()
    idm, known = settings.idm, path.known_m

    def law(time_s: float, distance_m: float, speed: float) -> tuple[float, float]:
        row = round(time_s / (POINT_STEP_S / 2))
        wanted = feeds[row] + SPEED_GAIN_PER_S * (speeds[row] - speed)
        if speed > cap_mps:
            wanted = min(wanted, max(SPEED_GAIN_PER_S * (cap_mps - speed), -settings.over_speed_mps2))
        jerk = settings.jerk_mps3 if wanted > -idm.brake_start_mps2 else settings.emergency_jerk_mps3
        room = max(known - distance_m, 0.0)
        if speed**2 >= 2 * END_DECELERATION_MPS2 * room:
            needed = max(speed**2 / (2 * max(room, 0.1)), END_DECELERATION_MPS2)
            wanted, jerk = min(wanted, -needed), settings.emergency_jerk_mps3
        for lead in leads:
            now = Lead(lead.gap_m + lead.speed_mps * time_s - distance_m, lead.speed_mps)
            brake = emergency_brake(speed, now, idm)
            if brake is not None:
                wanted, jerk = min(wanted, brake), settings.emergency_jerk_mps3
        return min(max(wanted, -idm.clip_mps2), ACCELERATION_MAX_MPS2), jerk

    profile = roll(motion.speed_mps, acceleration_mps2, law)
    return Trajectory(path, profile, tuple(leads), planned_mps2=np.array(feeds[::2]))


def braking_of(trajectory: Trajectory, elapsed_s: float) -> list[float]:
    """What a trajectory of `elapsed_s` ago accelerates with from now on, twice a point; beyond its end as there.

    Of one that follows a plan, the plan's: it is not known whether the plan would have ended where it ends.
    """
    planned = trajectory.profile.acceleration_mps2 if trajectory.planned_mps2 is None else trajectory.planned_mps2
    times = elapsed_s + np.arange(2 * POINTS) * (POINT_STEP_S / 2)
    return [float(row) for row in np.interp(times, TIMES_S, planned)]


def stop_path(line: Polyline | None, motion: Motion, settings: FallbackSettings) -> JoinedPath:
    """The path to stop on: `line` from where the vehicle is; without any, its present arc, straightening."""
    if line is not None:
        length_m = max(STRAIGHT_M, motion.speed_mps * float(TIMES_S[-1]))
        return join(line, motion, join_length(motion.speed_mps, settings), length_m)
    curvature = motion.yaw_rate_rps / max(motion.speed_mps, 1.0)
    fade_m = max(motion.speed_mps, 1.0)
    s = np.arange(0.0, STRAIGHT_M, 1.0)
    heading = motion.heading_rad + curvature * fade_m * (1.0 - np.exp(-s / fade_m))
    x = motion.x_m + np.concatenate([[0.0], np.cumsum(np.cos(heading[:-1]))])
    y = motion.y_m + np.concatenate([[0.0], np.cumsum(np.sin(heading[:-1]))])
    return join(Polyline(np.stack([x, y], axis=1)), motion, settings.join_min_m, STRAIGHT_M)


def in_lane_stop(
    path: JoinedPath,
    motion: Motion,
    acceleration_mps2: float,
    leads: list[Lead],
    settings: FallbackSettings,
    stop: StopSettings,
    room_m: float = math.inf,
    *,
    shown: bool = False,
    signal_m: float = math.inf,
    replaced_mps2: Sequence[float] = (),
) -> Trajectory:
    """L3: -1.5 m/s^2 with little jerk, harder (to the cap) where a lead leaves less room, emergency brake on top.

    `replaced_mps2`: the accelerations of what drove until now, twice a point: it is braked as hard as that would have.

    `room_m`: to the end of what is known of the path. It is braked as hard as it takes to stop there, to the cap; at
    once, or where lanes show more of the road with every message (`shown`), not before sight would be braked for.
    `signal_m`: to a signal to stop before, braked for alike.
    """
    idm = settings.idm
    gentle = max(stop.in_lane_mps2, settings.sight_deceleration_mps2 if shown else 0.0)
    ends = ((room_m, gentle), (signal_m, stop.in_lane_mps2))
    needed = max((required_deceleration(motion.speed_mps, lead, idm) for lead in leads), default=0.0)
    wanted = -min(max(stop.in_lane_mps2, needed), stop.in_lane_cap_mps2)
    base_jerk = stop.in_lane_jerk_mps3 if needed <= stop.in_lane_mps2 else settings.jerk_mps3

    def law(time_s: float, distance_m: float, speed: float) -> tuple[float, float]:
        demand = wanted
        if replaced_mps2:
            demand = min(demand, replaced_mps2[round(time_s / (POINT_STEP_S / 2))])
        for end_m, start_mps2 in ends:
            room = max(end_m - distance_m, LAST_ROOM_M)
            if speed**2 > 2 * start_mps2 * room:
                demand = min(demand, -(speed**2) / (2 * room))
        jerk = base_jerk
        if demand < wanted:
            jerk = settings.jerk_mps3 if demand > -idm.brake_start_mps2 else settings.emergency_jerk_mps3
        demand = max(demand, -stop.in_lane_cap_mps2)
        for lead in leads:
            brake = emergency_brake(speed, Lead(lead.gap_m + lead.speed_mps * time_s - distance_m, lead.speed_mps), idm)
            if brake is not None and brake < demand:
                demand, jerk = brake, settings.emergency_jerk_mps3
        return demand, jerk

    start = min(acceleration_mps2, 0.0)
    return Trajectory(path, roll(motion.speed_mps, start, law), tuple(leads), math.inf if shown else room_m)


def emergency_stop(path: JoinedPath, motion: Motion, acceleration_mps2: float, stop: StopSettings) -> Trajectory:
    """L4: -6 m/s^2, jerk -12.65; at standstill the hold brake (L5)."""

    def law(_time_s: float, _distance_m: float, _speed: float) -> tuple[float, float]:
        return -stop.emergency_mps2, stop.emergency_jerk_mps3

    return Trajectory(path, roll(motion.speed_mps, min(acceleration_mps2, 0.0), law), ())


def points_of(trajectory: Trajectory, motion: Motion) -> Array:
    """(POINTS, 6) float64: time, x, y, heading, speed, acceleration; the first row is the vehicle now."""
    profile: SpeedProfile = trajectory.profile
    poses = trajectory.path.poses(profile.distance_m)
    poses[0] = motion.pose
    points = np.empty((POINTS, 6))
    points[:, 0], points[:, 1:4] = TIMES_S, poses
    points[:, 4], points[:, 5] = profile.speed_mps, profile.acceleration_mps2
    return points
