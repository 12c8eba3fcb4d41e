"""Could everything still be stopped after one cycle of this plan?

Black-Box Simplex (Mehmood et al., arXiv 2102.12981): hold a checked command sequence at every step. A plan is accepted
only if an emergency stop along it, begun after it was followed for one cycle, ends within the plan's own length,
touches no predicted object, stays on the drivable area, and, begun a little later, ends before the observed lane does.
Such a stop is stored while the plan is driven (`last_resort.py`), and it is what runs when everything else dies.

A vehicle beside the plan comes onto it sooner or later, as its tracking makes it. Objects are therefore held against
two lines: the plan's own, and one that comes onto it as late as a join takes. A vehicle in between is covered by both
footprints together, because it is never farther beside the plan (1 m) than it is wide.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from onboard_vla.core.clock import seconds
from onboard_vla.core.ego import VehicleGeometry
from onboard_vla.core.geometry import wrap_angle
from onboard_vla.core.road import LaneObservation
from onboard_vla.core.verdict import Reason
from onboard_vla.safety.config import RecoveryLimits, RoadLimits, StalenessLimits, StopSettings
from onboard_vla.safety.ego_history import Motion
from onboard_vla.safety.guards.forecast import SAMPLE_S, Forecast, first_overlap
from onboard_vla.safety.guards.road import noses, outside_by
from onboard_vla.safety.joined_path import JoinedPath
from onboard_vla.safety.last_resort import brake
from onboard_vla.safety.longitudinal import stop_distance
from onboard_vla.safety.placed_plan import Array, PlacedPlan
from onboard_vla.safety.prediction import place_beside

ROAD_STRIDE = 3
"""Every third pose is held against the road: 4.2 m at 50 km/h, less than a vehicle's length."""
ACCELERATION_MAX_MPS2 = 3.0
"""The largest acceleration that can be in force when the stop begins (2.6: the kinematic guard's limit)."""
STANDING_M = 0.3
"""A stop on so little way is a standing vehicle's, whose measured motion is noise: it needs no margin."""
PAST_END_M = 0.5
"""So far past a lane's end may such a stop end: as far as a signal's stop point, where some lanes end (10.3 S10)."""
SIGHT_SHARE = 0.9
"""The model drives at so much of the highest speed that sight allows, for noise and control not to exceed that. Own."""


@dataclass(frozen=True, eq=False)
class Recovery:
    """`needed_m`: distance of one cycle and the stop after it. `poses` (K, 3) at 0, SAMPLE_S, ... to standstill.

    `driven` (K, 3): the same from the vehicle's own pose; what lies between it and the path decays with the distance.
    """

    needed_m: float
    poses: Array
    driven: Array


def stop_time(motion: Motion, limits: RecoveryLimits, stop: StopSettings) -> float:
    """Seconds that one cycle and the stop after it last at most, for a vehicle that moves like this."""
    speed = max(motion.speed_mps, 0.0) + ACCELERATION_MAX_MPS2 * limits.cycle_s
    ramp = (ACCELERATION_MAX_MPS2 + stop.emergency_mps2) / stop.emergency_jerk_mps3
    return min(limits.cycle_s + ramp + speed / stop.emergency_mps2, limits.samples * SAMPLE_S)


def recovery_of(
    path: JoinedPath,
    placed: PlacedPlan,
    motion: Motion,
    stamp_ns: int,
    limits: RecoveryLimits,
    stop: StopSettings,
    join_m: float,
) -> Recovery:
    """One cycle along `path` (the plan's, from beside the vehicle), then the L4 stop.

    After the cycle the vehicle is as fast as the plan, or as its own motion makes it, whichever is faster. It is on
    the path `join_m` from here: a plan may pass that begins as much as the consistency limits allow beside it.
    """
    before, speed, pushing = _speeds(placed, motion, stamp_ns, limits.cycle_s, stop)
    needed = _needed_m(before, speed, pushing, limits.cycle_s, stop)
    lasts = limits.cycle_s + (pushing + stop.emergency_mps2) / stop.emergency_jerk_mps3 + speed / stop.emergency_mps2
    times = np.arange(min(math.ceil(lasts / SAMPLE_S), limits.samples) + 1) * SAMPLE_S
    braked, _, _ = brake(speed, pushing, np.concatenate([[0.0], np.maximum(times - limits.cycle_s, 0.0)]))
    following = np.minimum(times, limits.cycle_s)
    distance = before * following + (speed - before) / limits.cycle_s * following**2 / 2 + braked[1:]
    poses = path.poses(distance)
    beside = motion.pose - poses[0]
    beside[2] = wrap_angle(beside[2])
    return Recovery(needed, poses, poses + np.maximum(1.0 - distance / join_m, 0.0)[:, None] * beside)


def check_recovery(
    recovery: Recovery,
    path: JoinedPath,
    placed: PlacedPlan,
    seen: Forecast,
    lanes: LaneObservation | None,
    vehicle: VehicleGeometry,
    limits: RecoveryLimits,
    road: RoadLimits,
    staleness: StalenessLimits,
) -> Reason | None:
    """The first thing that stands against the stop: its length, an object, the road."""
    ends = placed.end_speed_mps <= staleness.stopping_plan_mps
    available = path.known_m + (limits.overrun_m if ends else 0.0)
    if not recovery.needed_m <= available:
        return Reason(
            "RECOVERY_LENGTH", recovery.needed_m, available, "one cycle and a stop, against the plan's length, m"
        )
    count = min(len(recovery.poses), len(seen.times_s))
    for line in (recovery.driven, recovery.poses):
        hit = first_overlap(line[:count], seen, vehicle, 0.0)
        if hit is not None:
            reason = "a stop after one cycle touches an object after, s"
            return Reason("RECOVERY_COLLISION", hit.time_s, float(seen.times_s[count - 1]), reason)
    if lanes is None:
        return None
    outside, _ = outside_by(recovery.poses[::ROAD_STRIDE], lanes, vehicle)
    if outside <= road.outside_m:
        return None
    return Reason("RECOVERY_OFF_ROAD", outside, road.outside_m, "corner outside in a stop after one cycle, m")


def check_sight(
    path: JoinedPath,
    placed: PlacedPlan,
    motion: Motion,
    stamp_ns: int,
    lately: Sequence[LaneObservation],
    vehicle: VehicleGeometry,
    follows_s: float,
    margin_m: float,
    stop: StopSettings,
) -> Reason | None:
    """Does a stop after `follows_s` of the plan end with the front `margin_m` before the end of the observed lane?

    Nothing is known of the road beyond it. `lately`: the newest messages, the newest last. One that shows enough road
    suffices: lengths are noisy, and an end nearer than that shown before counts when the next message has it, too. The
    plan is taken as it is driven, no faster than `sight_cap`. Who stands may stand at the end.
    """
    cap = sight_cap(lately, motion, vehicle, follows_s, margin_m, stop)
    needed = _needed_m(*_speeds(placed, motion, stamp_ns, follows_s, stop, cap), follows_s, stop)
    last = float(path.s_m[-1])
    fronts = noses(path.poses(np.array([0.0, min(needed, last)])), vehicle)
    found = None
    for lanes in lately:
        s, _, _ = place_beside(lanes.line, fronts)
        way, seen = float(s[1] - s[0]) + max(needed - last, 0.0), lanes.line.length - float(s[0])
        limit = max(seen - margin_m, min(seen + PAST_END_M, STANDING_M))
        if way <= limit:
            return None
        found = Reason("RECOVERY_UNSEEN", way, limit, "front's way in a stop, against the lane seen ahead of it, m")
    return found


def sight_cap(
    lately: Sequence[LaneObservation],
    motion: Motion,
    vehicle: VehicleGeometry,
    follows_s: float,
    margin_m: float,
    stop: StopSettings,
) -> float:
    """The speed up to which the model may drive, m/s: `SIGHT_SHARE` of the highest that `check_sight` lets pass."""
    front = noses(motion.pose[None], vehicle)
    room = max((lanes.line.length - float(place_beside(lanes.line, front)[0][0]) for lanes in lately), default=math.inf)
    # Braking that builds up over time t takes as far as full braking begun t / 2 later, at most.
    delay_s = follows_s + stop.emergency_mps2 / stop.emergency_jerk_mps3 / 2
    gained = math.sqrt(delay_s**2 + 2 * max(room - margin_m, 0.0) / stop.emergency_mps2) - delay_s
    return SIGHT_SHARE * stop.emergency_mps2 * gained


def _speeds(
    placed: PlacedPlan,
    motion: Motion,
    stamp_ns: int,
    follows_s: float,
    stop: StopSettings,
    cap_mps: float = math.inf,
) -> tuple[float, float, float]:
    """Speed now, speed and acceleration after `follows_s` of the plan: the plan's or those of the present motion.

    A plan that is faster than `cap_mps` by then is driven at that, and gains no more speed than that takes.
    """
    then_s = seconds(stamp_ns - placed.stamp_ns) + follows_s
    before, planned = max(motion.speed_mps, 0.0), placed.speed_at(then_s)
    driven = placed.acceleration_at(then_s)
    if planned > cap_mps:
        driven = min(driven, max((cap_mps - before) / follows_s, 0.0))
    pushing = max(motion.acceleration_mps2, driven)
    pushing = min(max(pushing, -stop.emergency_mps2), ACCELERATION_MAX_MPS2)
    return before, max(min(planned, cap_mps), before + pushing * follows_s, 0.0), pushing


def _needed_m(before: float, speed: float, pushing: float, follows_s: float, stop: StopSettings) -> float:
    """Distance of `follows_s` and the L4 stop after it."""
    followed = (before + speed) / 2 * follows_s
    return followed + stop_distance(speed, pushing, stop.emergency_mps2, stop.emergency_jerk_mps3)
